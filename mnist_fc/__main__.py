"""The command line: train, sweep, evaluate, predict, measure, benchmark."""

import argparse
import dataclasses
import itertools
import json
import math
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

from mnist_fc.benchmark.epochs import benchmark, machine
from mnist_fc.config import (
    CPU_COUNT,
    DEFAULT_THREADS,
    LIMITS,
    PRESETS,
    Choice,
    ConfigError,
    Layers,
    Range,
    TrainConfig,
    nearest_preset,
    text_of,
    to_number,
    value_of,
)
from mnist_fc.data import non_digits, pen_digits
from mnist_fc.data.mnist import DataError, Mnist, download_mnist, load_mnist
from mnist_fc.drawing.pictures import DrawingError, load_picture
from mnist_fc.network import checkpoint
from mnist_fc.reading import evaluation
from mnist_fc.reading.reader import NOT_READ, Reader, Reading, number, percent
from mnist_fc.records import EndRecord, EpochRecord, StepRecord, WeightsRecord
from mnist_fc.runs.layout import RunsError
from mnist_fc.runs.store import RUNS_VARIABLE, RunStore, runs_dir
from mnist_fc.runs.writer import RunFolder
from mnist_fc.sweep.search import sweep
from mnist_fc.sweep.space import SweepConfig, TrialRecord, best, config_of, parse_space
from mnist_fc.sweep.storage import SWEEPS_VARIABLE, SweepError, storage_address
from mnist_fc.sweep.study import trials
from mnist_fc.training.distributed import ALONE, Team, TeamError, joined
from mnist_fc.training.engine import train
from mnist_fc.training.evaluation import evaluate
from mnist_fc.training.train_state import StateError, Training

SAID_IN_ONE_LINE = (
    *(ConfigError, DataError, checkpoint.CheckpointError, DrawingError),
    *(RunsError, StateError, SweepError, TeamError),
)

OUTLIERS = Range(int, 1, 100_000)

# The option's name where it is not the field's own.
OPTION_NAMES = {"num_epochs": "epochs", "num_validation": "validation"}


def _option(field: str) -> str:
    return OPTION_NAMES.get(field, field).replace("_", "-")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what went wrong is said in one line on standard error."""
    parsed = _parser().parse_args(arguments)
    try:
        code: int = parsed.command(parsed)
        return code
    except (
        ConfigError,
        DataError,
        checkpoint.CheckpointError,
        DrawingError,
        RunsError,
        StateError,
        SweepError,
        TeamError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mnist_fc", description="Train fully connected networks on MNIST.")
    commands = parser.add_subparsers(required=True, metavar="command")

    train_parser = commands.add_parser("train", help="train a network and keep it in a run folder")
    _add_settings(train_parser)
    train_parser.add_argument(
        "--pen-strokes",
        metavar="PATH",
        help="also train on the digits of this file of pen strokes, an .npz or UCI's pendigits-orig.tra; "
        f"of its writers every {pen_digits.HELD_OUT}th is held out",
    )
    train_parser.add_argument(
        "--outliers",
        metavar="N",
        help="also train on what is no digit, N pictures of each kind made up, as an eleventh class: such a network tells digits "
        "from the rest",
    )
    train_parser.add_argument(
        "--resume",
        metavar="RUN",
        help="go on with a run that was cut off or stopped, with its own settings; the name of its folder in the store",
    )
    _add_store_option(train_parser)
    _add_data_options(train_parser)
    train_parser.set_defaults(command=_train)

    sweep_parser = commands.add_parser("sweep", help="search for better settings with Optuna, by the validation accuracy")
    _add_settings(sweep_parser)
    sweep_parser.add_argument(
        "--vary",
        metavar="NAME=VALUES",
        action="append",
        default=[],
        help="what to vary: learning-rate=1e-4..1e-2, batch-size=64,128,256, hidden-sizes=256,500-500 (dashes between layers)",
    )
    sweep_parser.add_argument("--runs", metavar="N", default="20", help="how many settings to try (%(default)s)")
    sweep_parser.add_argument("--minutes", metavar="N", help="end after so long, if that comes first")
    sweep_parser.add_argument(
        "--study", metavar="NAME", default="sweep", help="its name; one that is there is gone on with (%(default)s)"
    )
    sweep_parser.add_argument(
        "--storage",
        metavar="ADDRESS",
        help=f"any Optuna storage address, which several machines can share ({SWEEPS_VARIABLE}, else sweeps.db in the store)",
    )
    _add_store_option(sweep_parser)
    _add_data_options(sweep_parser)
    sweep_parser.set_defaults(command=_sweep)

    evaluate_parser = commands.add_parser("evaluate", help="measure a checkpoint on the test images")
    evaluate_parser.add_argument("checkpoint", metavar="CHECKPOINT")
    _add_data_options(evaluate_parser)
    evaluate_parser.set_defaults(command=_evaluate)

    predict_parser = commands.add_parser("predict", help="read the digit in each picture")
    predict_parser.add_argument("pictures", nargs="+", metavar="PICTURE")
    predict_parser.add_argument("--checkpoint", metavar="CHECKPOINT", help="the network to read with (the shipped one)")
    predict_parser.set_defaults(command=_predict)

    measure_parser = commands.add_parser(
        "measure", help="how well networks read drawings of pen strokes, and refuse what is no digit"
    )
    measure_parser.add_argument(
        "checkpoints",
        nargs="*",
        metavar="CHECKPOINT",
        help="networks to measure (the shipped one, and each preset trained anew)",
    )
    measure_parser.add_argument(
        "--pen-strokes", metavar="PATH", required=True, help="digits as strokes, an .npz or UCI's pendigits-orig.tra or .tes"
    )
    measure_parser.add_argument(
        "--all-writers", action="store_true", help="measure on all writers of the file, not on those held out of training alone"
    )
    measure_parser.add_argument("--fashion-mnist", metavar="FILE", help="pictures to refuse: t10k-images-idx3-ubyte.gz")
    _add_data_options(measure_parser)
    measure_parser.set_defaults(command=_measure)

    benchmark_parser = commands.add_parser("benchmark", help="time an epoch of this engine, of other programs and of the floor")
    benchmark_parser.add_argument("--epochs", metavar="N", default="7", help="epochs of each, in turn (%(default)s)")
    benchmark_parser.add_argument(
        "--threads", metavar="N", default=str(DEFAULT_THREADS), help=f"{LIMITS['threads']} (%(default)s)"
    )
    benchmark_parser.add_argument("--peers", action="store_true", help="also Keras and scikit-learn, where they are installed")
    _add_data_options(benchmark_parser)
    benchmark_parser.set_defaults(command=_benchmark)

    for command in (train_parser, sweep_parser, evaluate_parser, predict_parser, measure_parser, benchmark_parser):
        command.add_argument("--json", action="store_true", help="the result as JSON on standard output")
    return parser


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", metavar="PATH", help="an .npz or a folder of IDX files (MNIST_FC_DATA, else the embedded)")
    source.add_argument("--download", action="store_true", help="fetch the original MNIST files into a cache and use them")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=PRESETS, default="fast", help="settings to begin with (%(default)s)")
    for name, limit in LIMITS.items():
        parser.add_argument(
            f"--{_option(name)}",
            dest=name,
            metavar="N,N" if isinstance(limit, Layers) else "WORD" if isinstance(limit, Choice) else "N",
            help=f"{limit}",
        )


def _add_store_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs-dir", metavar="DIR", help=f"the store of runs ({RUNS_VARIABLE}, else runs)")


def _load_data(parsed: argparse.Namespace) -> Mnist:
    return load_mnist(download_mnist() if parsed.download else parsed.data)


def _train(parsed: argparse.Namespace) -> int:
    with joined() as team:
        return _train_in(team, parsed)


def _train_in(team: Team, parsed: argparse.Namespace) -> int:
    """Train; the first process of the team alone prints and keeps the run."""
    screen = _Screen(to_stderr=parsed.json, is_silent=team.rank > 0)
    store = RunStore(runs_dir(parsed.runs_dir))
    folder = state = None
    if parsed.resume:
        names = [*_changes(parsed), *(name for name in ("pen_strokes", "outliers") if getattr(parsed, name))]
        if names:
            options = ", ".join(f"--{_option(name)}" for name in names)
            raise ConfigError(f"--resume goes on with the run's own settings, so {options} cannot be given with it")
        config = store.run(parsed.resume).config
        images = _load_data(parsed)
        if team.rank == 0:
            folder, state = store.reopen(parsed.resume)
        else:
            state = store.state(parsed.resume)
    else:
        # Processes that share a machine share its cores.
        threads = max(1, min(DEFAULT_THREADS, CPU_COUNT // team.local_size))
        config = PRESETS[parsed.preset].replace(**{"threads": threads, **_changes(parsed)})
        images, added = _training_data(parsed, config, screen)
        if team.rank == 0:
            for run in store.room_for(config).to_remove:
                screen.line(f"making room in {store.path}: removing the oldest run that is not pinned, {run.id}")
            folder = store.create(config, added)
    interrupted = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C does not wait for the step

    def before_step(training: Training) -> bool:
        screen.steps_per_epoch = training.steps_per_epoch
        return not interrupted

    # torchrun passes on what it gets, and sends SIGTERM to the others when one process has ended.
    stop_signals = [signal.SIGINT] if team is ALONE else [signal.SIGINT, signal.SIGTERM]
    before = {number: signal.signal(number, interrupt) for number in stop_signals}
    train_loss: float | None = None
    epoch_seconds: list[float] = []
    rates: list[float] = []
    try:
        for record in train(config, images, before_step, state, team):
            if folder:
                folder.write(record)
            match record:
                case StepRecord():
                    train_loss = record.train_loss
                    screen.step(record, config)
                case EpochRecord():
                    train_loss = record.train_loss
                    epoch_seconds.append(record.seconds)
                    rates.append(record.images_per_second)
                    screen.epoch(record, config)
                case EndRecord():
                    end = record
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if folder:
            folder.close()
    if folder:
        screen.line(_ending(end, folder))
    if folder and parsed.json:
        result = {
            "run_dir": str(folder.path),
            "checkpoint": str(folder.checkpoint),
            "parameters": config.num_parameters,
            "epochs": len(epoch_seconds),
            "train_seconds": end.train_seconds,
            "seconds_per_epoch": _mean(epoch_seconds),
            "images_per_second": _mean(rates),
            "train_loss": train_loss,
            "test_accuracy": end.test_accuracy,
            "outcome": end.outcome,
        }
        print(_json(result), flush=True)
    return {"done": 0, "stopped": 130, "failed": 1}[end.outcome]


def _training_data(parsed: argparse.Namespace, config: TrainConfig, screen: "_Screen") -> tuple[Mnist, str]:
    """MNIST and what the options add to it, and that in words."""
    images, added = _load_data(parsed), []
    if parsed.pen_strokes:
        digits, _ = pen_digits.load(parsed.pen_strokes).split()
        num_writers = len(set(digits.writers.tolist()))
        added.append(f"{len(digits.labels):,} digits of {num_writers} writers, each drawn {pen_digits.NUM_DRAWINGS} times")
        screen.line(f"adding {added[-1]}")
        images = pen_digits.add_to(images, digits, config.seed)
    if parsed.outliers is not None:
        count = int(OUTLIERS.check("outliers", to_number(parsed.outliers)))
        added.append(f"{count:,} pictures of each kind that is no digit")
        screen.line(f"adding {added[-1]}")
        images = non_digits.add_to(images, count, config)
    return images, "; ".join(added)


def _changes(parsed: argparse.Namespace) -> dict[str, Any]:
    """The fields that options were given for; what is wrong with them TrainConfig says."""
    return {name: value_of(name, text) for name in LIMITS if (text := getattr(parsed, name, None)) is not None}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _ending(end: EndRecord, folder: RunFolder) -> str:
    kept = f"The checkpoint of step {end.step} is {folder.checkpoint}."
    if end.outcome == "failed":
        return f"{end.message} {kept.replace('of step', 'of the last finite weights, at most step')}"
    verb = "Stopped" if end.outcome == "stopped" else "Done"
    return f"{verb} after {end.train_seconds:.1f} s of training: test accuracy {end.test_accuracy:.2%}. {kept}"


def _sweep(parsed: argparse.Namespace) -> int:
    screen = _Screen(to_stderr=parsed.json)
    store = RunStore(runs_dir(parsed.runs_dir))
    base = PRESETS[parsed.preset].replace(**_changes(parsed))
    config = SweepConfig(
        base,
        parse_space(parsed.vary),
        parsed.study,
        parsed.storage or storage_address(store.path),
        num_runs=to_number(parsed.runs),
        minutes=None if parsed.minutes is None else to_number(parsed.minutes),
        seed=base.seed,
    )
    for record in sweep(config, _load_data(parsed)):
        if record.state != "running":
            screen.line(_trial_line(record))
    records = trials(config.storage, config.study)
    winner = best(records)
    if winner:
        screen.line(f"The best is {_trial_line(winner)}")
        preset, differing = nearest_preset(config_of(config.base, winner))
        options = "".join(f" --{_option(name)} {text_of(value)}" for name, value in differing.items())
        screen.line(f"Train it: python -m mnist_fc train --preset {preset}{options}")
    if parsed.json:
        print(
            _json({"study": config.study, "best": winner and winner.settings, "trials": [dataclasses.asdict(r) for r in records]})
        )
    return 0


def _trial_line(trial: TrialRecord) -> str:
    settings = ", ".join(f"{_option(name)} {text_of(value)}" for name, value in trial.settings.items())
    accuracy = "" if trial.val_accuracy is None else f", validation {trial.val_accuracy:.2%}"
    return f"trial {trial.number}: {settings}: {trial.state} after epoch {trial.epoch} of {trial.num_epochs}{accuracy}"


def _benchmark(parsed: argparse.Namespace) -> int:
    config = TrainConfig().replace(num_epochs=to_number(parsed.epochs), threads=to_number(parsed.threads))
    images = _load_data(parsed)
    screen = _Screen(to_stderr=parsed.json)
    this_machine = machine()
    screen.line(f"{this_machine}; batch {config.batch_size}, Adam, float32, --threads {config.threads}")
    rows = benchmark(images, config.threads, config.num_epochs, parsed.peers, screen.line)
    for net, of_net in itertools.groupby(rows, lambda row: row.net):
        screen.line(f"{net:<18} {'median epoch':>12} {'of the floor':>13}")
        for row in sorted(of_net, key=lambda row: row.seconds_per_epoch):
            screen.line(f"  {row.name:<16} {row.seconds_per_epoch:>10.3f} s {row.ratio_to_floor:>13.2f}")
    if parsed.json:
        result = {"threads": config.threads, "machine": this_machine, "rows": [dataclasses.asdict(row) for row in rows]}
        print(_json(result))
    return 0


def _measure(parsed: argparse.Namespace) -> int:
    images = _load_data(parsed)
    screen = _Screen(to_stderr=parsed.json)
    digits = pen_digits.load(parsed.pen_strokes)
    fashion_mnist = evaluation.load_pictures(parsed.fashion_mnist) if parsed.fashion_mnist else None
    if not parsed.all_writers:
        _, digits = digits.split()
        if not digits.strokes:
            raise DataError(f"{parsed.pen_strokes} has too few writers to hold one out; measure on all with --all-writers")
    writers = ", ".join(map(str, sorted(set(digits.writers.tolist()))))
    screen.line(f"{len(digits.labels):,} digits, writers {writers}, drawn under each of {len(pen_digits.CONDITIONS)} conditions")
    drawings = evaluation.draw_all(digits)
    readers = {path: Reader.load(path) for path in parsed.checkpoints} or {"shipped": Reader.load()}
    if not parsed.checkpoints:
        for name, preset in PRESETS.items():
            screen.line(f"training {name} on {len(images.train_labels):,} images")
            readers[name] = _trained(preset, images)
    networks = [evaluation.measure(name, reader, drawings, digits.labels, images) for name, reader in readers.items()]
    screen.line("share read right, what is refused is not; unruled is MNIST's test set by the network alone")
    width = max(len(network.name) for network in networks)
    screen.line(" " * width + "".join(f"{name:>9}" for name in (*pen_digits.CONDITIONS, "1st/2nd", "MNIST", "unruled")))
    for network in networks:
        shares = (*network.drawings_read.values(), network.runner_up_right, network.test_read, network.test_accuracy)
        screen.line(f"{network.name:<{width}}" + "".join(f"{share:>9.2%}" for share in shares))
    screen.line("expected calibration error of what is not refused")
    for network in networks:
        screen.line(
            f"{network.name:<{width}} MNIST {network.mnist_calibration_error:.2%}, "
            f"natural drawings {network.natural_calibration_error:.2%}"
        )
    refused = evaluation.refused(drawings, images, fashion_mnist)
    screen.line("refused as no digit, whichever network reads")
    for kind, share in refused.items():
        screen.line(f"{share:>8.2%}  {kind}")
    if parsed.json:
        print(_json({"networks": [dataclasses.asdict(network) for network in networks], "refused": refused}))
    return 0


def _trained(config: TrainConfig, images: Mnist) -> Reader:
    for record in train(config, images):
        if isinstance(record, WeightsRecord):
            weights = record.weights
    return Reader.from_weights(weights, config)


def _json(result: dict[str, Any]) -> str:
    """Return `result` in one line; a number that is not finite, as of a run that diverged, is null: JSON has no other."""
    return json.dumps(_finite(result), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Screen:
    """Progress on a terminal as a bar that is drawn over, elsewhere as a line an epoch; a silent one shows nothing."""

    def __init__(self, to_stderr: bool, is_silent: bool = False) -> None:
        self._stream = sys.stderr if to_stderr else sys.stdout
        self._is_silent = is_silent
        self._is_terminal = self._stream.isatty() and not is_silent
        self.steps_per_epoch = 1

    def step(self, record: StepRecord, config: TrainConfig) -> None:
        if self._is_terminal:
            share = (record.step - (record.epoch - 1) * self.steps_per_epoch) / self.steps_per_epoch
            bar = "#" * round(30 * share)
            text = f"epoch {record.epoch:>3}/{config.num_epochs} [{bar:<30}] loss {record.train_loss:.4f}"
            print(f"\r{text}\x1b[K", end="", file=self._stream, flush=True)

    def epoch(self, record: EpochRecord, config: TrainConfig) -> None:
        measured = (
            f"validation {record.val_accuracy:.2%}" if record.val_accuracy is not None else f"test {record.test_accuracy:.2%}"
        )
        self.line(
            f"epoch {record.epoch:>3}/{config.num_epochs}  loss {record.train_loss:.4f}  {measured}  "
            f"{record.seconds:.2f} s  {record.images_per_second:,.0f} images/s"
        )

    def line(self, text: str) -> None:
        if self._is_silent:
            return
        print(f"\r{text}\x1b[K" if self._is_terminal else text, file=self._stream, flush=True)


def _evaluate(parsed: argparse.Namespace) -> int:
    model = checkpoint.load(parsed.checkpoint)
    images = _load_data(parsed)
    loss, accuracy = evaluate(model, images.test_images, images.test_labels)
    if parsed.json:
        print(_json({"test_accuracy": accuracy, "test_loss": loss}))
    else:
        print(f"test accuracy {accuracy:.2%}, test loss {loss:.4f}, on {len(images.test_labels):,} images")
    return 0


def _predict(parsed: argparse.Namespace) -> int:
    reader = Reader.load(parsed.checkpoint)
    exit_code = 0
    for picture in parsed.pictures:
        try:
            readings = reader.read_number(load_picture(picture))
        except DrawingError as error:  # the other pictures are read all the same
            print(f"error: {error}", file=sys.stderr)
            exit_code = 2
            continue
        print(_json(_reading_fields(picture, readings)) if parsed.json else _reading_line(picture, readings))
    return exit_code


def _reading_fields(picture: str, readings: Sequence[Reading]) -> dict[str, Any]:
    """As JSON; of a number the fields of its digits, and its own digit is none."""
    each = [
        {"digit": r.digit, "probabilities": r.probabilities, "runner_up": r.runner_up, "problem": r.problem} for r in readings
    ]
    if len(each) == 1:
        return {"picture": picture, **each[0], "number": number(readings)}
    whole = {"digit": None, "probabilities": NOT_READ.probabilities, "runner_up": None, "problem": None}
    return {"picture": picture, **whole, "number": number(readings), "digits": each}


def _reading_line(picture: str, readings: Sequence[Reading]) -> str:
    if len(readings) > 1:
        return f"{picture}: {number(readings)}"
    (reading,) = readings
    if reading.digit is None or reading.runner_up is None:
        return f"{picture}: {'not a digit' if reading.problem == 'no digit' else 'nothing to read'}"
    best, second = reading.probabilities[reading.digit], reading.probabilities[reading.runner_up]
    return f"{picture}: {reading.digit} ({percent(best)}), then {reading.runner_up} ({percent(second)})"


if __name__ == "__main__":
    sys.exit(main())
