"""Results that are expensive to compute: shared by all sessions, and computed seldom while a run needs the processor."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mnist_fc.analysis.survey import Survey
from mnist_fc.analysis.survey import survey as survey_images
from mnist_fc.views.state.networks import Network
from mnist_fc.views.state.shared import mnist

T = TypeVar("T")

MAX_RESULTS = 64
"""Results that are kept for all sessions together; the ones used last."""

LEISURE = 60
"""While a run is active, recomputing one result takes at most one part in this many of a core's time."""


@dataclass(frozen=True)
class Result(Generic[T]):
    """A computed value, and when it was computed."""

    version: Hashable
    """The version of its input; None if the input has none."""
    value: T
    computed_at: float
    """On the monotonic clock, in seconds."""
    seconds: float
    """The duration of the computation."""


MaxAge = Callable[[float], float]
"""A function from the seconds that a computation took to the seconds for which its result may be used, even if outdated."""


class Throttle:
    """The newest result for each key. However many threads ask for it at once, it is computed once."""

    def __init__(self, max_results: int = MAX_RESULTS) -> None:
        self._max_results = max_results
        self._results: OrderedDict[Hashable, Result[Any]] = OrderedDict()
        self._running: dict[Hashable, tuple[Hashable, Future[Result[Any]]]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, version: Hashable, compute: Callable[[], T], max_age: MaxAge | None = None) -> Result[T]:
        """Return the result for `key`: of this `version`, or an older one that `max_age` allows.

        While another thread computes it, return the last result if `max_age` is given, else wait for that computation.
        Raises whatever `compute` raises, in all threads that wait for this version.
        """
        while True:
            with self._lock:
                last = self._results.get(key)
                if last and _is_usable(last, version, max_age):
                    self._results.move_to_end(key)
                    return last
                running = self._running.get(key)
                if not running:
                    future: Future[Result[T]] = Future()
                    self._running[key] = version, future
                    break
            running_version, running_future = running
            if last and max_age:
                return last
            error = running_future.exception()
            if not error and (version is None or running_version == version):
                return running_future.result()
            if isinstance(error, Exception) and running_version == version:
                raise error
        return self._compute(key, version, compute, future)

    def clear(self) -> None:
        """Drop all results."""
        with self._lock:
            self._results.clear()

    def _compute(self, key: Hashable, version: Hashable, compute: Callable[[], T], future: Future[Result[T]]) -> Result[T]:
        started = time.monotonic()
        try:
            value = compute()
        except BaseException as error:
            with self._lock:
                del self._running[key]
            future.set_exception(error)
            raise
        now = time.monotonic()
        result = Result(version, value, now, now - started)
        with self._lock:
            del self._running[key]
            self._results[key] = result
            self._results.move_to_end(key)
            while len(self._results) > self._max_results:
                self._results.popitem(last=False)
        future.set_result(result)
        return result


def _is_usable(result: Result[Any], version: Hashable, max_age: MaxAge | None) -> bool:
    is_same = version is not None and result.version == version
    return is_same or (max_age is not None and time.monotonic() < result.computed_at + max_age(result.seconds))


results = Throttle()
"""The results of all sessions."""

curves = Throttle()
"""The curves of runs, which are drawn at every stroke and change only with a record. They are small, and displace no result."""


def throttled(name: str, about: Hashable, network: Network, compute: Callable[[], T]) -> tuple[T, str]:
    """Return what `compute` gives for `network`, and the name of the network that it was computed with.

    `name` and `about` say what is computed. While a run is active, the result may be of weights that are some seconds older
    than its newest: it is computed again only after LEISURE times as long as the computation took.
    """
    may_be_old = network.is_newest and network.run is not None and network.run.is_active
    result = results.get(
        # An earlier step has its own key, beside the newest step of the same run.
        (name, about, network.key, None if network.is_newest else network.step),
        network.step,
        lambda: (compute(), network.name),
        (lambda seconds: LEISURE * seconds) if may_be_old else None,
    )
    return result.value


def survey(network: Network) -> tuple[Survey, str]:
    """Return how `network` reads all test images, and the name of the network that read them; see `throttled`."""
    return throttled("survey", None, network, lambda: survey_images(network.reader.model, mnist().test_images))
