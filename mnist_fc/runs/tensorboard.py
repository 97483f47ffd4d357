"""A run's records as a TensorBoard event file: `tensorboard --logdir runs` shows all runs, during training and afterwards.

It holds scalars, histograms, pictures of first-layer weights, the graph, and the hyperparameters with the metrics they led to. A
record is in the file when `write` returns, so a killed process loses none, and TensorBoard skips one that is incomplete.
TensorFlow is never imported, even where it is installed.

It is not torch.utils.tensorboard's SummaryWriter, which writes from a thread of its own and one event per scalar: with a flush
after each record, which a kill may follow, a record of five scalars took 172 us there and 33 us here (CPU time on an AMD EPYC).
Imports take the same time (0.07 s); this module takes 8 MB of memory, and SummaryWriter 5 MB.
"""

import io
import math
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tensorboard.compat.proto import (  # type: ignore[import-untyped]
    attr_value_pb2,
    event_pb2,
    graph_pb2,
    histogram_pb2,
    node_def_pb2,
    summary_pb2,
    tensor_shape_pb2,
    types_pb2,
    versions_pb2,
)
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2  # type: ignore[import-untyped]
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

from mnist_fc.config import FIELDS, Activation, Choice, LayerSizes, Range, TrainConfig
from mnist_fc.records import EndRecord, EpochRecord, Histogram, HistogramsRecord, Record, StepRecord, Weights, WeightsRecord

DESCRIPTIONS = {
    "loss/train": "Mean cross-entropy of the training images since the previous point, without label smoothing.",
    "loss/validation": "Mean cross-entropy of the validation images at the end of an epoch.",
    "loss/test": "Mean cross-entropy of the test images.",
    "accuracy/train": "Fraction of the training images since the previous point that were classified correctly.",
    "accuracy/validation": "Fraction of the validation images classified correctly at the end of an epoch.",
    "accuracy/test": "Fraction of the test images classified correctly.",
    "learning_rate": "The learning rate of the step, by the schedule.",
    "images_per_second": "Over the training steps of an epoch.",
    "gradient_norm": "Euclidean norm of the gradient of a layer's weights and biases, of this step.",
    "weights": "At the end of an epoch.",
    "gradients": "Of the last step of an epoch.",
    "pictures": "What first-layer units look for: weights above zero are orange, below zero blue, at zero white; full colour is "
    "the largest of these weights.",
}
"""The descriptions, by tag or by the part of the tag before the slash."""

METRICS = ("accuracy/test", "accuracy/validation", "accuracy/train", "loss/test", "loss/validation", "loss/train")
"""The metrics that TensorBoard's table of hyperparameters shows beside them."""

FILE_NAME = "events.out.tfevents"
"""The time in nanoseconds follows."""

PICTURE_COLUMNS = 8
PICTURE_UNITS = 64
"""The first units are shown: all start equally random, so these are as good a sample as any."""

# Shades on each side of white. More would enlarge the picture, most of which is noise, and hardly improve it.
SHADES = 31
POSITIVE, NEGATIVE, WHITE, GAP = (224, 108, 20), (46, 104, 224), (255, 255, 255), (90, 90, 90)
PALETTE = np.rint(
    np.concatenate([[GAP], np.linspace(NEGATIVE, WHITE, SHADES, endpoint=False), np.linspace(WHITE, POSITIVE, SHADES + 1)])
).astype(np.uint8)
"""RGB of each index, (2 + 2 * SHADES, 3): the gap between two units, then from the lowest weight to the highest."""

OPERATIONS: dict[Activation, str] = {
    "relu": "Relu",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "leaky_relu": "LeakyRelu",
    "gelu": "Gelu",
}


class EventFile:
    """A new event file in a run's folder, which must exist. Methods raise OSError when the file cannot be written."""

    def __init__(self, folder: Path, config: TrainConfig, *, purge_from: int | None = None) -> None:
        """Start a run, or resume it: TensorBoard then drops what earlier files hold of step `purge_from` and later.

        The graph, the hyperparameters and the failure of an earlier part remain.
        """
        self._activation = config.activation
        self._has_graph = bool(purge_from)
        self._weights: WeightsRecord | None = None
        self._newest: dict[str, int] = {}
        """The step of the newest value, by tag."""
        # TensorBoard reads a folder's files in the order of their names, and the clock may have been set back since the last.
        earlier = [int(file.suffix[1:]) for file in folder.glob(f"{FILE_NAME}.*") if file.suffix[1:].isdecimal()]
        self._file = (folder / f"{FILE_NAME}.{max([time.time_ns(), *(time_ns + 1 for time_ns in earlier)])}").open("xb")
        self._writer = RecordWriter(self._file)
        try:
            self._add(0, file_version="brain.Event:2")
            # TensorBoard takes the first START for the start of the run, and later ones for restarts.
            self._add(purge_from or 0, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))
            if not self._has_graph:
                self._add(0, summary=_experiment())
                self._add(0, summary=_session_start(config))
        except BaseException:
            with suppress(OSError):
                self._file.close()
            raise

    def write(self, record: Record, *, has_diverged: bool = False) -> None:
        """Add a record's numbers, and at the end of an epoch or the run a picture of the newest weights. States are skipped.

        The end of a run that `has_diverged` counts as a failure, also if the run took all its steps.
        """
        match record:
            case WeightsRecord():
                if not self._has_graph:
                    # The weights have the right shapes: with non-digits the network has an output more than the settings say.
                    self._add(0, graph_def=_graph(record.weights, self._activation).SerializeToString())
                    self._has_graph = True
                self._weights = record
            case StepRecord(step=step):
                norms = {f"gradient_norm/fc{number}": norm for number, norm in enumerate(record.gradient_norms, start=1)}
                scalars = {
                    "loss/train": record.train_loss,
                    "accuracy/train": record.train_accuracy,
                    "learning_rate": record.learning_rate,
                }
                self._add(step, summary=_summary(self._scalars(step, scalars | norms)))
            case HistogramsRecord(step=step):
                values = self._histograms(step, "weights", record.weights) + self._histograms(step, "gradients", record.gradients)
                self._add(step, summary=_summary(values))
            case EpochRecord(step=step):
                results = {
                    "loss/validation": record.val_loss,
                    "accuracy/validation": record.val_accuracy,
                    "loss/test": record.test_loss,
                    "accuracy/test": record.test_accuracy,
                    "images_per_second": record.images_per_second,
                }
                self._add(step, summary=_summary(self._scalars(step, results) + self._pictures(step)))
            case EndRecord(step=step):
                results = {"loss/test": record.test_loss, "accuracy/test": record.test_accuracy}
                # TensorBoard keeps the first end that it reads, and a stopped run can resume to another.
                is_success = record.outcome == "done" and not has_diverged
                ends = [] if record.outcome == "stopped" else [_session_end(is_success=is_success)]
                self._add(step, summary=_summary(self._scalars(step, results) + self._pictures(step) + ends))

    def release_weights(self) -> None:
        """Release the memory of the newest weights; they will not be pictured."""
        self._weights = None

    def close(self) -> None:
        """Close the file; nothing can be written afterwards."""
        self._file.close()

    def _add(self, step: int, **what: Any) -> None:
        self._writer.write(event_pb2.Event(wall_time=time.time(), step=step, **what).SerializeToString())
        self._writer.flush()

    def _scalars(self, step: int, scalars: Mapping[str, float | None]) -> list[Any]:
        """Return values for the scalars that are not None and not already written for this step."""
        return [
            self._value(tag, step, "scalars", summary_pb2.DATA_CLASS_SCALAR, simple_value=value)
            for tag, value in scalars.items()
            if value is not None and self._newest.get(tag) != step
        ]

    def _histograms(self, step: int, kind: str, histograms: dict[str, Histogram]) -> list[Any]:
        return [
            self._value(f"{kind}/{name}", step, "histograms", summary_pb2.DATA_CLASS_TENSOR, histo=_histogram(histogram))
            for name, histogram in histograms.items()
        ]

    def _pictures(self, step: int) -> list[Any]:
        """Return a picture of the weights after `step`, unless there are none of this step or they were pictured before."""
        tag = "pictures/fc1.weight"
        if self._weights is None or self._weights.step != step or self._newest.get(tag) == step:
            return []
        image = _picture(self._weights.weights["fc1.weight"])
        return [self._value(tag, step, "images", summary_pb2.DATA_CLASS_BLOB_SEQUENCE, image=image)]

    def _value(self, tag: str, step: int, plugin: str, data_class: int, **content: Any) -> Any:
        """Return a value for one of TensorBoard's plugins, with a description if it is the first of its tag."""
        if tag not in self._newest:
            content["metadata"] = summary_pb2.SummaryMetadata(
                plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=plugin),
                summary_description=DESCRIPTIONS.get(tag) or DESCRIPTIONS[tag.partition("/")[0]],
                data_class=data_class,
            )
        self._newest[tag] = step
        return summary_pb2.Summary.Value(tag=tag, **content)


def _summary(values: list[Any]) -> Any:
    return summary_pb2.Summary(value=values)


def _histogram(histogram: Histogram) -> Any:
    counts = histogram.counts
    return histogram_pb2.HistogramProto(
        min=histogram.low,
        max=histogram.high,
        num=counts.sum(),
        sum=histogram.sum,
        sum_squares=histogram.sum_of_squares,
        bucket_limit=np.linspace(histogram.low, histogram.high, len(counts) + 1)[1:].tolist(),
        bucket=counts.tolist(),
    )


def _picture(weights: np.ndarray) -> Any:
    """Return the first units' weights, of `weights` (units, 784), as a grid of 28 x 28 pictures."""
    shown = weights[:PICTURE_UNITS].reshape(-1, 28, 28)
    limit = np.abs(shown).max() or 1.0
    rows = math.ceil(len(shown) / PICTURE_COLUMNS)
    cells = np.zeros((rows * PICTURE_COLUMNS, 29, 29), np.uint8)
    cells[: len(shown), :28, :28] = np.rint(shown / limit * SHADES) + (1 + SHADES)
    grid = cells.reshape(rows, PICTURE_COLUMNS, 29, 29).swapaxes(1, 2).reshape(rows * 29, -1)[:-1, :-1]
    image = Image.fromarray(np.ascontiguousarray(grid))
    image.putpalette(PALETTE.tobytes())
    content = io.BytesIO()
    image.save(content, "png", compress_type=zlib.Z_RLE)  # searching for longer repeats takes five times as long and finds none
    return summary_pb2.Summary.Image(
        width=image.width, height=image.height, colorspace=3, encoded_image_string=content.getvalue()
    )


def _graph(weights: Weights, activation: Activation) -> Any:
    """Return the graph from images to logits, as TensorFlow writes it, for any number of images."""
    num_layers = len(weights) // 2
    output = "images"
    nodes = [_node(output, "Placeholder", (-1, weights["fc1.weight"].shape[1]))]
    for layer in (f"fc{number}" for number in range(1, num_layers + 1)):
        num_out, num_in = weights[f"{layer}.weight"].shape
        product, total = f"{layer}/MatMul", f"{layer}/BiasAdd"
        nodes += [
            _node(f"{layer}/weight", "VariableV2", (num_out, num_in)),
            _node(f"{layer}/bias", "VariableV2", (num_out,)),
            _node(product, "MatMul", (-1, num_out), output, f"{layer}/weight", transpose_b=attr_value_pb2.AttrValue(b=True)),
            _node(total, "BiasAdd", (-1, num_out), product, f"{layer}/bias"),
        ]
        is_last = layer == f"fc{num_layers}"
        output = "logits" if is_last else f"{layer}/{activation}"
        nodes.append(_node(output, "Identity" if is_last else OPERATIONS[activation], (-1, num_out), total))
    return graph_pb2.GraphDef(node=nodes, versions=versions_pb2.VersionDef(producer=22))


def _node(name: str, operation: str, shape: tuple[int, ...], *inputs: str, **attributes: Any) -> Any:
    """Return a node with the shape of its output, -1 for the number of images."""
    sizes = [tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in shape]
    shapes = attr_value_pb2.AttrValue.ListValue(shape=[tensor_shape_pb2.TensorShapeProto(dim=sizes)])
    attributes |= {
        "dtype": attr_value_pb2.AttrValue(type=types_pb2.DT_FLOAT),
        "_output_shapes": attr_value_pb2.AttrValue(list=shapes),
    }
    return node_def_pb2.NodeDef(name=name, op=operation, input=inputs, attr=attributes)


def _experiment() -> Any:
    """Return the names and ranges of all hyperparameters, and the metrics; they are the same for every run."""
    return hparams.hparams_config_pb(
        [hparams.HParam(name, _domain(limit), description=str(limit)) for name, limit in FIELDS.items()],
        [hparams.Metric(tag, description=DESCRIPTIONS[tag]) for tag in METRICS],
    )


def _domain(limit: Range | Choice | LayerSizes) -> Any:
    match limit:
        case Choice(options):
            return hparams.Discrete(options)
        case Range(kind, low, high):
            interval = hparams.IntInterval if kind is int else hparams.RealInterval
            return interval(kind(low), kind(high))
        case LayerSizes():
            return None  # sizes are written as text, with too many values to list


def _session_start(config: TrainConfig) -> Any:
    values = asdict(config) | {"hidden_sizes": ",".join(map(str, config.hidden_sizes))}
    return hparams.hparams_pb(values, trial_id="")  # no group: each run has a row of its own, under its folder's name


def _session_end(*, is_success: bool) -> Any:
    status = api_pb2.STATUS_SUCCESS if is_success else api_pb2.STATUS_FAILURE
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
    return summary_pb2.Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=end)),
        tensor=metadata.NULL_TENSOR,
    )
