"""The network that reads on this session's page: a run's, a loaded file's or the built-in one."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import streamlit as st

from mnist_fc.analysis.results import test_result
from mnist_fc.analysis.settings_check import Suggestion, notice_orientation, suggest_settings
from mnist_fc.config import NUM_CLASSES, NUM_INPUTS, ConfigError
from mnist_fc.network import checkpoint
from mnist_fc.network.checkpoint import CheckpointError, Loaded
from mnist_fc.network.mlp import MLP
from mnist_fc.percentages import in_percent
from mnist_fc.reading.exceptions import Exceptions
from mnist_fc.reading.reader import Reader
from mnist_fc.server.run import RunSnapshot
from mnist_fc.views.state import built_in
from mnist_fc.views.state.formatting import escape_markdown
from mnist_fc.views.state.session import Source, watched_snapshot
from mnist_fc.views.state.shared import mnist, shipped_accuracy, shipped_reader, test_accuracy


@dataclass(frozen=True)
class LoadedFile:
    """A network that this session's person loaded from a file."""

    name: str
    """The file's name, printable."""
    digest: str
    """The SHA-256 of its content."""
    loaded: Loaded

    @cached_property
    def reader(self) -> Reader:
        """A reader with its network."""
        return Reader(self.loaded.model)

    @cached_property
    def suggestion(self) -> Suggestion | None:
        """The inputs and the activation with which it reads clearly better, if any; measured on first use."""
        return suggest_settings(self.loaded.trained, self.loaded.inputs, mnist().test_images, mnist().test_labels)

    @cached_property
    def orientation(self) -> str:
        """How digits must lie for it if not upright, in words; empty if that is not clear. Measured on first use."""
        return notice_orientation(self.loaded.trained, self.loaded.inputs, mnist().test_images, mnist().test_labels)

    @cached_property
    def accuracy(self) -> float:
        """Its accuracy on MNIST's test set, measured on first use."""
        return test_accuracy(self.reader.model)


@dataclass(frozen=True)
class Network:
    """A network that reads on the page: of a run, of a file, or the built-in one if it has neither."""

    reader: Reader
    run: RunSnapshot | None = None
    """The run that trained it."""
    step: int = 0
    """The steps taken by the run, or in the built-in network's own training."""
    is_newest: bool = True
    """Whether these are the newest weights of the run, or of the built-in network."""
    file: LoadedFile | None = None
    """The file that it was loaded from."""

    @property
    def key(self) -> str:
        """A text that is equal for all weights of one run, and for all files with the same content, inputs and activation."""
        if self.file:
            return f"file {self.file.digest} {self.file.loaded.inputs} {self.reader.model.activation_name}"
        return self.run.id if self.run else "shipped"

    @property
    def name(self) -> str:
        """The name of these weights, such as "this run, step 400"."""
        if self.file:
            return "the loaded file"
        if self.run:
            return f"this run, step {self.step:,}"
        return "the built-in network" if self.is_newest else f"the built-in network, step {self.step:,}"

    @property
    def layers(self) -> str:
        """The number of units of every layer, such as "784-500-10"."""
        model = self.reader.model
        return "-".join(map(str, (NUM_INPUTS, *model.hidden_sizes, NUM_CLASSES)))

    @property
    def title(self) -> str:
        """A short description in Markdown, such as "784-500-10, preset fast"."""
        if self.file:
            return f"{self.layers}, loaded from {escape_markdown(self.file.name)}"
        if self.run and self.run.lesson:
            return f"{self.layers}, {self.run.in_words}"
        return f"{self.layers}, preset {self.run.settings.in_words}" if self.run else "the built-in network"

    @property
    def accuracy(self) -> str:
        """The accuracy on MNIST's test set, such as "MNIST 98.10%"; on the validation images until that is measured."""
        if self.file:
            return f"MNIST {in_percent(self.file.accuracy, 2)}"
        if self.run is None:
            return f"MNIST {in_percent(shipped_accuracy(), 2)}" if self.is_newest else "MNIST not measured"
        run = self.run if self.is_newest else self.run.up_to(self.step)
        result = test_result(run.epochs, run.end)
        if result and (result.step == self.step or self.is_newest):
            return f"MNIST {in_percent(result.accuracy, 2)}" + (
                "" if result.step == self.step else f" after epoch {result.epoch}"
            )
        if run.epochs and (accuracy := run.epochs[-1].val_accuracy) is not None:
            return f"validation {in_percent(accuracy, 2)} after epoch {run.epochs[-1].epoch}"
        return "MNIST not measured" if self.step < self.run.last_step else "MNIST not yet measured"


def sources() -> list[Source]:
    """Return the sources that can be chosen now."""
    snapshot = watched_snapshot()
    has_run = snapshot is not None and snapshot.weights is not None
    return [*(["run"] if has_run else []), "shipped", *(["file"] if loaded_file() else [])]  # type: ignore[list-item]


def source() -> Source:
    """Return the chosen source, or "shipped" if that is not available."""
    chosen: Source = st.session_state.get("network", "run")
    return chosen if chosen in sources() else "shipped"


def shown_run() -> RunSnapshot:
    """Return the run whose curves and moments the page shows: the watched one, else the built-in network's own training."""
    return watched_snapshot() or built_in.run()


def loaded_file() -> LoadedFile | None:
    """Return the network that the person loaded, if any."""
    file: LoadedFile | None = st.session_state.get("loaded_file")
    return file


def network() -> Network:
    """Return the network that reads, from the chosen source; of a run, the weights of the chosen moment, else the newest."""
    state = st.session_state
    file = loaded_file()
    if file and state.get("network") == "file":
        return Network(file.reader, file=file)
    snapshot = shown_run()
    run = None if snapshot.id == built_in.ID else snapshot
    if (step := chosen_step(snapshot)) is not None:
        try:
            return Network(
                Reader(kept_model(snapshot, step), Exceptions.from_lesson(snapshot.lesson) if step else None),
                run,
                step,
                is_newest=False,
            )
        except (CheckpointError, ConfigError) as error:  # the weights could be read when they were chosen
            state.chosen_step = snapshot.id, None
            state.chosen_step_problem = snapshot.id, _not_shown(step, error)
    if run is None or run.weights is None or state.get("network", "run") != "run":
        return Network(shipped_reader())
    return Network(newest_reader(run), run, run.weights.step)


def newest_reader(run: RunSnapshot) -> Reader:
    """Return a reader with the newest weights of a run that has some, which are not copied: they can take 57 MB."""
    assert run.weights
    return Reader.from_weights(run.weights.weights, run.config, Exceptions.from_lesson(run.lesson))


@lru_cache(maxsize=4)
def _kept_model(path: Path, _changed_at: int) -> MLP:
    """Return the network in a file that was last changed at that time."""
    return checkpoint.load(path)


def kept_model(run: RunSnapshot, step: int) -> MLP:
    """Return the network of a step whose weights were kept. It is shared and must not be changed.

    Raises CheckpointError and ConfigError as `checkpoint.load` does, and CheckpointError if the network is not of this run.
    """
    path = run.kept[step]
    if run.id == built_in.ID:
        return built_in.model(step)
    try:
        changed_at = path.stat().st_mtime_ns
    except OSError:
        model = checkpoint.load(path)  # it raises a CheckpointError that explains the problem
    else:
        model = _kept_model(path, changed_at)
    if (model.hidden_sizes, model.activation_name) != (run.config.hidden_sizes, run.config.activation):
        raise CheckpointError(f"{run.kept[step]} contains a network with other layers or activation than this run's")
    return model


def chosen_step(run: RunSnapshot) -> int | None:
    """Return the step of `run` whose weights this session looks back on; None for the newest."""
    run_id, step = st.session_state.get("chosen_step", (run.id, None))
    is_newest = run.weights is not None and step == run.weights.step
    reads_with = ("run", "shipped") if run.id == built_in.ID else ("run",)
    is_other = run_id != run.id or st.session_state.get("network", "run") not in reads_with
    return None if is_newest or is_other or step not in run.kept else step


def at_chosen_step(run: RunSnapshot) -> RunSnapshot:
    """Return `run` with its figures as they were at the moment that this session looks back on."""
    step = chosen_step(run)
    return run if step is None else run.up_to(step)


def choose_step(run: RunSnapshot, step: int) -> str:
    """Look back on the weights of `step` from now on; on the newest if those of `step` were not kept.

    Returns why the weights cannot be shown, else an empty text.
    """
    state = st.session_state
    state.chosen_step = run.id, None
    if step not in run.kept:
        return ""
    try:
        kept_model(run, step)
    except (CheckpointError, ConfigError) as error:
        return _not_shown(step, error)
    state.chosen_step = run.id, step
    return ""


def chosen_step_problem(run: RunSnapshot) -> str:
    """Return why the moment last chosen of this run cannot be shown; empty if it can."""
    of_run, problem = st.session_state.get("chosen_step_problem", (None, ""))
    return problem if of_run == run.id else ""


def _not_shown(step: int, error: Exception) -> str:
    return f"The weights of step {step:,} cannot be shown: {error}."
