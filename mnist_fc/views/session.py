"""What the views share: the server's one trainer, data and shipped network, and which run this session watches."""

import argparse
import logging
import math
import re
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import streamlit as st
import torch
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.session_manager import ActiveSessionInfo
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from streamlit.runtime.websocket_session_manager import WebsocketSessionManager

from mnist_fc.analysis.survey import Survey
from mnist_fc.analysis.survey import survey as survey_images
from mnist_fc.config import CPU_COUNT, NUM_CLASSES, NUM_INPUTS, ConfigError, preset_of
from mnist_fc.data.mnist import Mnist, load_mnist, split_validation
from mnist_fc.network import checkpoint
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.network.mlp import MLP
from mnist_fc.reading.reader import Reader
from mnist_fc.runs.layout import RunsError, read_about
from mnist_fc.runs.results import test_result
from mnist_fc.server.job import Job
from mnist_fc.server.limits import memory_gb
from mnist_fc.server.log import open_log
from mnist_fc.server.run import Run, RunSnapshot
from mnist_fc.server.scheduler import Trainer, num_slots
from mnist_fc.server.task import Sweep
from mnist_fc.training.evaluation import evaluate
from mnist_fc.views import sync

# The page follows a run at this pace: slowly where it must take the time for it from the cores that train, and more slowly yet
# where a tab has much to draw. So a run takes at most 1.15 times as long.
TICK_SECONDS = 0.8
TICK_SECONDS_ALL_CORES_TRAIN = 2.2
TICK_SECONDS_WITH_MUCH_TO_DRAW = 3.6
FIRST_SECONDS = 4.0

FEW_SESSIONS = 8
"""With more, each is drawn anew more seldom, so that all of them take no more of the server's time than so many."""

LEISURE = 60
"""What is computed anew while a run goes on takes at most one part in so many of a core's time."""

MAX_BYTES_OF_UPLOADS = 4 * 64 * 2**20

T = TypeVar("T")

log = logging.getLogger(__name__)


class Shared(Generic[T]):
    """What is made when it is asked for first, once for all sessions. Raises what making it raises, each time anew.

    st.cache_resource is no place for it: any browser may have all of that cleared, and with it everybody's training.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.RLock()
        self._made: list[T] = []
        self.__doc__ = make.__doc__

    def __call__(self) -> T:
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]

    def clear(self) -> None:
        """Forget it; it will be made anew."""
        self._made.clear()


@Shared
def trainer() -> Trainer:
    """The trainer of this server; the first page that opens starts its processes. Raises ConfigError for wrong options."""
    open_log()
    # Reading one image is too little to share among cores, and idle helper threads would spin where training runs.
    torch.set_num_threads(1)
    memory_gb()  # the training process takes it: what is wrong with it is said here
    made = Trainer(slots=num_slots(_slots_option()), is_present=st.runtime.get_instance().is_active_session)
    _bound_uploads()
    _answer_who_comes_back()
    return made


def _bound_uploads() -> None:
    """Of files that browsers send the server keeps the newest of each session, and MAX_BYTES_OF_UPLOADS in all.

    Streamlit bounds each file alone, and keeps whatever a session sends until that ends.
    """
    manager = st.runtime.get_instance().uploaded_file_mgr
    if not isinstance(manager, MemoryUploadedFileManager):
        return
    add, lock, num_bytes = manager.add_file, threading.Lock(), dict[str, int]()

    def add_file(session_id: str, file: UploadedFileRec) -> None:
        with lock:
            for ended in num_bytes.keys() - manager.file_storage.keys():
                del num_bytes[ended]
            num_bytes.pop(session_id, None)
            manager.remove_session_files(session_id)
            num_bytes[session_id] = len(file.data)
            add(session_id, file)
            while sum(num_bytes.values()) > MAX_BYTES_OF_UPLOADS:
                oldest = next(iter(num_bytes))
                del num_bytes[oldest]
                manager.remove_session_files(oldest)

    manager.add_file = add_file  # type: ignore[method-assign]


def _answer_who_comes_back() -> None:
    """What the server sends to a session goes to the connection that this has at that moment.

    Streamlit (1.67) goes through a list of connections that it made before. A session that loses its connection and comes back
    while others are sent to has another by then, and what is drawn for it would be sent to the old one, and be lost.
    """
    manager = getattr(st.runtime.get_instance(), "_session_mgr", None)
    if not isinstance(manager, WebsocketSessionManager):
        return
    sessions: WebsocketSessionManager = manager
    list_sessions = sessions.list_active_sessions

    class Connected(list[ActiveSessionInfo]):
        """Sessions, each with the connection that it has when it is its turn."""

        def __iter__(self) -> Iterator[ActiveSessionInfo]:
            for known in super().__iter__():
                if current := sessions.get_active_session_info(known.session.id):
                    yield current

    sessions.list_active_sessions = lambda: Connected(list_sessions())  # type: ignore[method-assign]


def _slots_option() -> str | None:
    """What stands after --slots in `streamlit run app.py -- --slots 2`. Raises ConfigError where nothing does."""
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False, add_help=False)
    parser.add_argument("--slots")
    try:
        slots: str | None = parser.parse_known_args(sys.argv[1:])[0].slots
    except argparse.ArgumentError as error:
        raise ConfigError(str(error)) from None
    return slots


def person() -> str:
    """This session's own id."""
    context = get_script_run_ctx()
    return context.session_id if context else ""


def look() -> None:
    """This session is here, and sees the run that it watches, and the sweep that its person started."""
    if run := watched_run():
        trainer().look_at(run, person())
    sweep = trainer().sweep
    if sweep and address().get("sweep") == sweep.id:
        trainer().look_at(sweep, person())
    _visits[person()] = None


def keeps_going() -> bool:
    """Whether what is begun here is to go on when this session is gone."""
    return bool(st.session_state.get("keep_training"))


def set_keeps_going(is_on: bool) -> None:
    """Set whether what is begun here is to go on when this session is gone."""
    st.session_state.keep_training = is_on


def place_of(job: Job) -> str:
    """Where a job stands in the queue, in words; nothing for one that does not wait."""
    place = trainer().place(job, num_train_images())
    if place is None:
        return ""
    verb, verbs = ("resume", "Resumes") if job.has_begun else ("start", "Starts")
    where = "you're next" if place.number == 1 else f"place {place.number} of {place.of} in the queue"
    return f"{where}, about {duration(place.seconds)} until it {verb}s. {verbs} automatically"


def own_sweep() -> Sweep | None:
    """The newest sweep if it is this person's, as the page's address says after a reload."""
    sweep = trainer().sweep
    return sweep if sweep and (sweep.person == person() or sweep.id == address().get("sweep")) else None


def may_stop(sweep: Sweep) -> bool:
    """Whether it is this person's, or nobody is there for it."""
    return sweep is own_sweep() or not trainer().has_lookers(sweep)


def duration(seconds: float) -> str:
    """As a person says it: "40 s", "3 min"."""
    return f"{max(1, seconds):.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


_visits: dict[str, None] = {}
"""The sessions that there have been, by id, the newest last."""


def num_present() -> int:
    """How many sessions have the page open now."""
    is_active = st.runtime.get_instance().is_active_session
    for gone in [visitor for visitor in list(_visits) if not is_active(visitor)]:
        _visits.pop(gone, None)
    return len(_visits)


def refused(what: str) -> None:
    """Say in the log that something of this session was not taken; `what` names it, and holds nothing that a person drew."""
    log.warning("refused session %s: %s", person()[:8], what)


@Shared
def mnist() -> Mnist:
    """The data, once for all sessions. Raises DataError, each time anew until the file is right."""
    return load_mnist()


@Shared
def shipped_reader() -> Reader:
    """The network that comes with the program."""
    return Reader.load()


@Shared
def shipped_accuracy() -> float:
    """How much of MNIST's test set the shipped network reads right, measured here."""
    return test_accuracy(shipped_reader().model)


def test_accuracy(model: MLP) -> float:
    """How much of MNIST's test set `model` reads right."""
    images = mnist()
    return evaluate(model, images.test_images, images.test_labels)[1]


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
            return f"{self.layers}, loaded from {plain(self.file.name)}"
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


Source = Literal["run", "shipped", "file"]
"""Where a network that reads comes from."""


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


def choose_source(chosen: Source) -> None:
    """Let another network read from now on, whatever the person has chosen before."""
    sync.receive()
    st.session_state.network = chosen


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


# Networks are shared: each of thirty sessions that watch a run would keep one of its own, of up to 57 MB.


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


@dataclass(frozen=True)
class Computed:
    """What was computed at leisure; not the network itself, of which each session would keep several."""

    about: Hashable
    key: str
    step: int
    name: str
    is_newest: bool
    """These four are of the network that it was computed with."""
    result: Any
    wait_until: float
    """By the monotonic clock."""


def at_leisure(name: str, about: Hashable, network: Network, compute: Callable[[], T]) -> tuple[T, str]:
    """What `compute` gives for `network`, and the name of the network that it was computed with.

    That may be some seconds older while a run goes on: what takes long enough to slow the run is then done again only after
    LEISURE times as long. It is computed anew whenever it is `about` something else, or of other weights than the newest.
    """
    kept: dict[str, Computed] = st.session_state.setdefault("at_leisure", {})
    last = kept.get(name)
    if last and (last.about, last.key) == (about, network.key):
        may_wait = network.is_newest and last.is_newest and network.run is not None and network.run.is_active
        if last.step == network.step or (may_wait and time.monotonic() < last.wait_until):
            return last.result, last.name
    started = time.monotonic()
    result = compute()
    now = time.monotonic()
    wait_until = now + LEISURE * (now - started)
    kept[name] = Computed(about, network.key, network.step, network.name, network.is_newest, result, wait_until)
    return result, network.name


def survey(network: Network) -> tuple[Survey, str]:
    """What `network` makes of all test images, and the name of the network that did; see `at_leisure`."""
    return at_leisure("survey", None, network, lambda: survey_images(network.reader.model, mnist().test_images))


@lru_cache(maxsize=4)
def trained_on(num_validation: int, seed: int) -> torch.Tensor:
    """The indices of the training images that a run with such a split trains on."""
    return split_validation(mnist().train_labels, num_validation, seed)[0]


def address() -> dict[str, str]:
    """Return what the page's address says, by name: as it was when the session began, with what the page has changed since.

    The browser sends its address with every message, but over a slow network that is an old one.
    """
    said: dict[str, str] = st.session_state.setdefault("page_address", dict(st.query_params))
    return said


def set_address(name: str, value: str | None) -> None:
    """Let the page's address say `value` under `name`, or nothing."""
    address().pop(name, None)
    if value is not None:
        address()[name] = value
    redraw_panel()


def redraw_panel() -> None:
    """Have the side panel, and the address with it, drawn anew after a change from elsewhere."""
    st.session_state.panel_is_stale = True


def pop_panel_redraw() -> bool:
    """Return whether the side panel is to be drawn anew, once for each time."""
    return bool(st.session_state.pop("panel_is_stale", False))


def watched_run() -> Run | None:
    """The run that this session started, or that the page's address names."""
    return trainer().run(address().get("run"))


def watched_snapshot() -> RunSnapshot | None:
    """The run that this session watches, as it is now."""
    run = watched_run()
    return run.snapshot() if run else None


def run_name(run: Run) -> str:
    """Return what a run is called: as a person named it, else its id without the date."""
    name = ""
    if run.path:
        with suppress(RunsError):  # the table of runs says what is wrong with it
            name = read_about(run.path).name
    return name or re.sub(r"^\d{4}-\d\d-\d\d-\d{6}-", "", run.id)


def watch(run: Run | None) -> None:
    """Show `run` from now on, after a reload too; None for none."""
    set_address("run", run.id if run else None)


def follow(runs: Sequence[Run]) -> None:
    """Show the first of runs that begin in their turn, and each of the others once it has begun."""
    st.session_state.followed = [run.id for run in runs]
    choose_source("run")
    watch(runs[0])


def follow_on() -> None:
    """Go to the next of the runs that are followed, when the one that is watched has ended, unless it was stopped with it."""
    run = watched_run()
    if run is None or run.id not in st.session_state.get("followed", []):
        st.session_state.followed = []  # another is watched by now
    elif not run.is_active and (rest := _followers(run.id)) and (rest[0].is_active or rest[0].has_begun):
        st.session_state.followed = [follower.id for follower in rest]
        watch(rest[0])


def num_stopped_with(run_id: str) -> int:
    """Return how many runs that this session queued to follow the run ended with it, before they began."""
    return sum(not follower.is_active and not follower.has_begun for follower in _followers(run_id))


def _followers(run_id: str) -> list[Run]:
    """The runs that this session follows after the run of that id."""
    followed: list[str] = st.session_state.get("followed", [])
    later = followed[followed.index(run_id) + 1 :] if run_id in followed else []
    return [run for later_id in later if (run := trainer().run(later_id))]


def plain(text: str) -> str:
    """`text` for where Streamlit takes Markdown, so that it is shown as it is, whatever it holds."""
    return re.sub(r"([^\w\s]|_)", r"\\\1", " ".join(text.split()))


def unescaped(markdown: str) -> str:
    """What `plain` was made of, but for white space."""
    return re.sub(r"\\([^\w\s]|_)", r"\1", markdown)


def sentence(text: str) -> str:
    """What is wrong, as `plain` text, from a capital letter to a full stop."""
    return f"{plain(text[:1].upper() + text[1:])}."


def num_train_images() -> int:
    """Training images in the data, validation images included."""
    return len(mnist().train_labels)


def tick_seconds(*, much_to_draw: bool = False) -> float | None:
    """How often the page is drawn anew; None while nothing goes on."""
    run = watched_run()
    if run is None or not (run.is_active or run.may_go_on_elsewhere):
        return None
    if run.may_go_on_elsewhere:
        return TICK_SECONDS_WITH_MUCH_TO_DRAW
    is_new = time.monotonic() - run.started_at < FIRST_SECONDS  # most is learned then, and a short run is over
    if run.state == "waiting":
        seconds = TICK_SECONDS_ALL_CORES_TRAIN
    elif run.config.threads < CPU_COUNT or is_new:
        seconds = TICK_SECONDS
    else:
        seconds = TICK_SECONDS_WITH_MUCH_TO_DRAW if much_to_draw else TICK_SECONDS_ALL_CORES_TRAIN
    return among_all(seconds)


def among_all(seconds: float) -> float:
    """The pace of one page, or a slower one with many; in steps, so that no page is drawn anew as a whole whenever somebody comes
    or goes.
    """
    return seconds * 2.0 ** max(0, math.ceil(math.log2(max(1, num_present()) / FEW_SESSIONS)))
