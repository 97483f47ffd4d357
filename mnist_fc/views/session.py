"""What the views share: the server's one trainer, data and shipped network, and which run this session watches."""

from dataclasses import dataclass

import streamlit as st
import torch

from mnist_fc import data
from mnist_fc.config import CPU_COUNT, preset_of
from mnist_fc.engine import evaluate
from mnist_fc.reading import Reader
from mnist_fc.trainer import Run, RunSnapshot, Trainer

# The page follows a run at this pace: slowly where the browser must take the time for it from the cores that train.
TICK_SECONDS = 0.8
TICK_SECONDS_ALL_CORES_TRAIN = 1.6


@st.cache_resource(show_spinner=False)
def trainer() -> Trainer:
    """The trainer of this server; the first page that opens starts its process."""
    # Reading one image is too little to share among cores, and idle helper threads would spin where training runs.
    torch.set_num_threads(1)
    return Trainer()


@st.cache_resource(show_spinner=False)
def mnist() -> data.Mnist:
    """The data, once for all sessions. Raises DataError, each time anew until the file is right."""
    return data.load()


@st.cache_resource(show_spinner=False)
def shipped_reader() -> Reader:
    """The network that comes with the program."""
    return Reader.load()


@st.cache_resource(show_spinner=False)
def shipped_accuracy() -> float:
    """How much of MNIST's test set the shipped network reads right, measured here."""
    images = mnist()
    return evaluate(shipped_reader().model, images.test_images, images.test_labels)[1]


@dataclass(frozen=True)
class Network:
    """A network that reads on the page."""

    reader: Reader
    run: RunSnapshot | None
    """The run that it is of; None for the shipped network."""

    @property
    def key(self) -> str:
        """The same for all weights of one run."""
        return self.run.id if self.run else "shipped"

    @property
    def name(self) -> str:
        """Which weights these are, as "this run, step 400"."""
        return f"this run, step {self.run.weights.step:,}" if self.run and self.run.weights else "the shipped network"

    @property
    def title(self) -> str:
        """What tells it from others, as "784-500-10, preset fast"."""
        if self.run is None:
            return "the shipped network"
        return f"{'-'.join(map(str, self.run.config.layer_sizes))}, preset {preset_of(self.run.config)}"

    @property
    def accuracy(self) -> str:
        """On MNIST's test set, as "MNIST 98.1%"; before it has been measured there, on the validation images."""
        if self.run is None:
            return f"MNIST {shipped_accuracy():.1%}"
        if self.run.end and self.run.end.test_accuracy is not None:
            return f"MNIST {self.run.end.test_accuracy:.1%}"
        if not self.run.epochs:
            return "MNIST not yet measured"
        last = self.run.epochs[-1]
        what, measured = ("MNIST", last.test_accuracy) if last.val_accuracy is None else ("validation", last.val_accuracy)
        return f"{what} {measured:.1%} after epoch {last.epoch}"


def network() -> Network:
    """The network that reads: the newest weights of the run watched, or the shipped network where there is none or is chosen."""
    state = st.session_state
    run = watched_run()
    snapshot = run.snapshot() if run else None
    if snapshot is None or snapshot.weights is None or state.get("network") == "shipped":
        return Network(shipped_reader(), None)
    if state.get("run_reader_of") is not snapshot.weights:
        state.run_reader_of = snapshot.weights
        state.run_reader = Reader.from_weights(snapshot.weights.weights, snapshot.config)
    return Network(state.run_reader, snapshot)


def watched_run() -> Run | None:
    """The run that this session started, or that the page's address names."""
    return trainer().run(st.query_params.get("run"))


def watch(run: Run | None) -> None:
    """Show `run` from now on, after a reload too; None for none."""
    if run:
        st.query_params["run"] = run.id
    else:
        st.query_params.pop("run", None)


def num_train_images() -> int:
    """Training images in the data, validation images included."""
    return len(mnist().train_labels)


def tick_seconds() -> float | None:
    """How often the page is drawn anew; None while nothing goes on."""
    run = watched_run()
    if run is None or not run.is_active:
        return None
    return TICK_SECONDS if run.config.threads < CPU_COUNT else TICK_SECONDS_ALL_CORES_TRAIN


def is_running() -> bool:
    """Whether the run that this session watches goes on."""
    return tick_seconds() is not None
