"""What the views share: the server's one trainer, data and shipped network, and which run this session watches."""

import streamlit as st
import torch

from mnist_fc import data
from mnist_fc.config import CPU_COUNT
from mnist_fc.reading import Reader
from mnist_fc.trainer import Run, Trainer

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
