"""The intervals at which the page is redrawn."""

import math
import time

from mnist_fc.config import CPU_COUNT
from mnist_fc.views.state.session import num_present, watched_run

# Redrawing takes processor time from training: 0.3 s for each redraw, of the server and a browser on the same cores. A run should
# take at most 1.15 times as long as without a page, so the intervals are longer where all cores train, and longer still where a
# tab has much to draw.
TICK_SECONDS = 0.8
TICK_SECONDS_ALL_CORES_TRAIN = 2.2
TICK_SECONDS_WITH_MUCH_TO_DRAW = 3.6
FIRST_SECONDS = 4.0

FEW_SESSIONS = 8
"""With more sessions, each is redrawn less often, so that together they cost the server no more than this many do."""


def tick_seconds(*, much_to_draw: bool = False) -> float | None:
    """Return the seconds from one redraw of the page to the next; None if no run is active."""
    run = watched_run()
    if run is None or not (run.is_active or run.may_change_externally):
        return None
    if run.may_change_externally:
        return TICK_SECONDS_WITH_MUCH_TO_DRAW
    is_new = time.monotonic() - run.started_at < FIRST_SECONDS  # the network learns most in its first seconds
    if run.state == "waiting":
        seconds = TICK_SECONDS_ALL_CORES_TRAIN
    elif run.config.threads < CPU_COUNT or is_new:
        seconds = TICK_SECONDS
    else:
        seconds = TICK_SECONDS_WITH_MUCH_TO_DRAW if much_to_draw else TICK_SECONDS_ALL_CORES_TRAIN
    return scale_by_sessions(seconds)


def scale_by_sessions(seconds: float) -> float:
    """Return the interval of one page, lengthened if many are open.

    It changes in factors of two, so that a page is not redrawn as a whole whenever a session begins or ends.
    """
    return seconds * 2.0 ** max(0, math.ceil(math.log2(max(1, num_present()) / FEW_SESSIONS)))
