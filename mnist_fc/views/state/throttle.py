"""What is computed again only now and then while a run is active."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from mnist_fc.analysis.survey import Survey
from mnist_fc.analysis.survey import survey as survey_images
from mnist_fc.views.state.networks import Network
from mnist_fc.views.state.shared import T, mnist

LEISURE = 60
"""What is computed anew while a run goes on takes at most one part in so many of a core's time."""


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


def throttled(name: str, about: Hashable, network: Network, compute: Callable[[], T]) -> tuple[T, str]:
    """What `compute` gives for `network`, and the name of the network that it was computed with.

    That may be some seconds older while a run goes on: what takes long enough to slow the run is then done again only after
    LEISURE times as long. It is computed anew whenever it is `about` something else, or of other weights than the newest.
    """
    kept: dict[str, Computed] = st.session_state.setdefault("throttled", {})
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
    """What `network` makes of all test images, and the name of the network that did; see `throttled`."""
    return throttled("survey", None, network, lambda: survey_images(network.reader.model, mnist().test_images))
