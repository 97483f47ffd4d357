"""How often the page is drawn again."""

import math
import time

from mnist_fc.config import CPU_COUNT
from mnist_fc.views.state.session import num_present, watched_run

# The page follows a run at this pace: slowly where it must take the time for it from the cores that train, and more slowly yet
# where a tab has much to draw. So a run takes at most 1.15 times as long.
TICK_SECONDS = 0.8
TICK_SECONDS_ALL_CORES_TRAIN = 2.2
TICK_SECONDS_WITH_MUCH_TO_DRAW = 3.6
FIRST_SECONDS = 4.0

FEW_SESSIONS = 8
"""With more, each is drawn anew more seldom, so that all of them take no more of the server's time than so many."""


def tick_seconds(*, much_to_draw: bool = False) -> float | None:
    """How often the page is drawn anew; None while nothing goes on."""
    run = watched_run()
    if run is None or not (run.is_active or run.may_change_externally):
        return None
    if run.may_change_externally:
        return TICK_SECONDS_WITH_MUCH_TO_DRAW
    is_new = time.monotonic() - run.started_at < FIRST_SECONDS  # most is learned then, and a short run is over
    if run.state == "waiting":
        seconds = TICK_SECONDS_ALL_CORES_TRAIN
    elif run.config.threads < CPU_COUNT or is_new:
        seconds = TICK_SECONDS
    else:
        seconds = TICK_SECONDS_WITH_MUCH_TO_DRAW if much_to_draw else TICK_SECONDS_ALL_CORES_TRAIN
    return scale_by_sessions(seconds)


def scale_by_sessions(seconds: float) -> float:
    """The pace of one page, or a slower one with many; in steps, so that no page is drawn anew as a whole whenever somebody comes
    or goes.
    """
    return seconds * 2.0 ** max(0, math.ceil(math.log2(max(1, num_present()) / FEW_SESSIONS)))
