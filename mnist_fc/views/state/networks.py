"""Which network reads on this session's page: a run's, a file's or the shipped one."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import streamlit as st

from mnist_fc.analysis.results import test_result
from mnist_fc.config import NUM_CLASSES, NUM_INPUTS, ConfigError, preset_of
from mnist_fc.network import checkpoint
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.network.mlp import MLP
from mnist_fc.reading.reader import Reader
from mnist_fc.server.run import RunSnapshot
from mnist_fc.views.state.formatting import escape_markdown
from mnist_fc.views.state.session import Source, watched_snapshot
from mnist_fc.views.state.shared import shipped_accuracy, shipped_reader, test_accuracy


@dataclass(frozen=True)
class LoadedFile:
    """A network that this session's person brought in a file."""

    name: str
    """The file's, as text that can be shown."""
    digest: str
    """Of what is in it: that of another file is another."""
    reader: Reader

    @cached_property
    def accuracy(self) -> float:
        """How much of MNIST's test set it reads right; measured when it is asked for first."""
        return test_accuracy(self.reader.model)


@dataclass(frozen=True)
class Network:
    """A network that reads on the page: of a run, of a file, or the shipped one where it is of neither."""

    reader: Reader
    run: RunSnapshot | None = None
    """The run that it is of."""
    step: int = 0
    """After so many steps of that run."""
    is_newest: bool = True
    """Whether these are the newest weights that there are of it."""
    file: LoadedFile | None = None
    """The file that it is of."""

    @property
    def key(self) -> str:
        """The same for all weights of one run, and for all files with the same weights and activation."""
        if self.file:
            return f"file {self.file.digest} {self.reader.model.activation_name}"
        return self.run.id if self.run else "shipped"

    @property
    def name(self) -> str:
        """Which weights these are, as "this run, step 400"."""
        if self.file:
            return "the loaded file"
        return f"this run, step {self.step:,}" if self.run else "the shipped network"

    @property
    def layers(self) -> str:
        """Units of every layer, as "784-500-10"."""
        model = self.reader.model
        return "-".join(map(str, (NUM_INPUTS, *model.hidden_sizes, NUM_CLASSES)))

    @property
    def title(self) -> str:
        """What tells it from others, as "784-500-10, preset fast", in Markdown."""
        if self.file:
            return f"{self.layers}, loaded from {escape_markdown(self.file.name)}"
        return f"{self.layers}, preset {preset_of(self.run.config)}" if self.run else "the shipped network"

    @property
    def accuracy(self) -> str:
        """On MNIST's test set, as "MNIST 98.1%"; before it has been measured there, on the validation images."""
        if self.file:
            return f"MNIST {self.file.accuracy:.2%}"
        if self.run is None:
            return f"MNIST {shipped_accuracy():.2%}"
        run = self.run if self.is_newest else self.run.up_to(self.step)
        result = test_result(run.epochs, run.end)
        if result and (result.step == self.step or self.is_newest):
            return f"MNIST {result.accuracy:.2%}" + ("" if result.step == self.step else f" after epoch {result.epoch}")
        if run.epochs and (accuracy := run.epochs[-1].val_accuracy) is not None:
            return f"validation {accuracy:.2%} after epoch {run.epochs[-1].epoch}"
        return "MNIST not measured" if self.step < self.run.last_step else "MNIST not yet measured"


def sources() -> list[Source]:
    """Those that there are now."""
    snapshot = watched_snapshot()
    has_run = snapshot is not None and snapshot.weights is not None
    return [*(["run"] if has_run else []), "shipped", *(["file"] if loaded_file() else [])]  # type: ignore[list-item]


def source() -> Source:
    """The one that is chosen, or the shipped network where there is none such."""
    chosen: Source = st.session_state.get("network", "run")
    return chosen if chosen in sources() else "shipped"


def loaded_file() -> LoadedFile | None:
    """The person's own network, where there is one."""
    file: LoadedFile | None = st.session_state.get("loaded_file")
    return file


def network() -> Network:
    """The network that reads, of the source that is chosen; of a run the weights of the moment chosen, or else the newest."""
    state = st.session_state
    file = loaded_file()
    if file and state.get("network") == "file":
        return Network(file.reader, file=file)
    snapshot = watched_snapshot()
    if snapshot is None or snapshot.weights is None or state.get("network", "run") != "run":
        return Network(shipped_reader())
    if (step := moment(snapshot)) is not None:
        try:
            return Network(Reader(kept_model(snapshot, step)), snapshot, step, is_newest=False)
        except (CheckpointError, ConfigError) as error:  # it was there when it was chosen
            state.moment = snapshot.id, None
            state.moment_problem = snapshot.id, _not_shown(step, error)
    return Network(newest_reader(snapshot), snapshot, snapshot.weights.step)


def newest_reader(run: RunSnapshot) -> Reader:
    """The newest weights of a run, which has some; they are not copied."""
    assert run.weights
    return Reader.from_weights(run.weights.weights, run.config)


@lru_cache(maxsize=4)
def _kept_model(path: Path, _changed_at: int) -> MLP:
    """The network in a file that was last changed at that time."""
    return checkpoint.load(path)


def kept_model(run: RunSnapshot, step: int) -> MLP:
    """The network of one of the steps whose weights were kept, which nobody may change.

    Raises CheckpointError and ConfigError as `checkpoint.load`, and CheckpointError for a network that is not of this run.
    """
    path = run.kept[step]
    try:
        changed_at = path.stat().st_mtime_ns
    except OSError:
        model = checkpoint.load(path)  # which says what is wrong with it
    else:
        model = _kept_model(path, changed_at)
    if (model.hidden_sizes, model.activation_name) != (run.config.hidden_sizes, run.config.activation):
        raise CheckpointError(f"{run.kept[step]} holds another network than that of this run")
    return model


def moment(run: RunSnapshot) -> int | None:
    """The step of `run` whose weights this session looks at; None for the newest."""
    run_id, step = st.session_state.get("moment", (run.id, None))
    is_newest = run.weights is not None and step == run.weights.step
    is_other = run_id != run.id or st.session_state.get("network", "run") != "run"
    return None if is_newest or is_other or step not in run.kept else step


def at_moment(run: RunSnapshot) -> RunSnapshot:
    """Return `run` with its figures as they were at the moment that this session looks at."""
    step = moment(run)
    return run if step is None else run.up_to(step)


def choose_moment(run: RunSnapshot, step: int) -> str:
    """Look at the weights of `step` from now on; at the newest if it is not one of the steps that were kept.

    Returns what is wrong with weights that are not to be had, else nothing.
    """
    state = st.session_state
    state.moment = run.id, None
    if step not in run.kept:
        return ""
    try:
        kept_model(run, step)
    except (CheckpointError, ConfigError) as error:
        return _not_shown(step, error)
    state.moment = run.id, step
    return ""


def moment_problem(run: RunSnapshot | None) -> str:
    """Return why the moment last chosen of this run cannot be shown; empty if it can."""
    of_run, problem = st.session_state.get("moment_problem", (None, ""))
    return problem if run and of_run == run.id else ""


def _not_shown(step: int, error: Exception) -> str:
    return f"The weights of step {step:,} cannot be shown: {error}."
