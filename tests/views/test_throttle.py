"""views/state/throttle.py: thirty sessions that ask at once cause one computation."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from torch import Tensor

from mnist_fc.analysis.survey import Survey
from mnist_fc.analysis.survey import survey as survey_images
from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.network.mlp import MLP
from mnist_fc.reading.reader import Reader
from mnist_fc.sweep.errors import SweepError
from mnist_fc.views import studies
from mnist_fc.views.state import networks, throttle
from mnist_fc.views.state.throttle import Throttle

NUM_SESSIONS = 30
TIMEOUT = 60.0


class Computation:
    """Counts its calls; each lasts until it is released."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.has_begun, self.is_released = threading.Event(), threading.Event()

    def __call__(self) -> int:
        self.calls.append(threading.get_ident())
        self.has_begun.set()
        assert self.is_released.wait(TIMEOUT)
        return len(self.calls)


def thirty(ask: Callable[[], object], before: Callable[[], object] = lambda: None) -> list[object]:
    """Return what thirty threads get that ask at the same moment; `before` is done while they do."""
    barrier = threading.Barrier(NUM_SESSIONS + 1)

    def one() -> object:
        barrier.wait(TIMEOUT)
        return ask()

    with ThreadPoolExecutor(NUM_SESSIONS) as pool:
        answers = [pool.submit(one) for _ in range(NUM_SESSIONS)]
        barrier.wait(TIMEOUT)
        before()
        return [answer.result(TIMEOUT) for answer in answers]


def never(seconds: float) -> float:
    return 0.0


def test_thirty_sessions_wait_for_one_first_computation() -> None:
    results, compute = Throttle(), Computation()
    answers = thirty(lambda: results.get("key", 1, compute).value, compute.is_released.set)
    assert answers == [1] * NUM_SESSIONS
    assert len(compute.calls) == 1


def test_thirty_sessions_recompute_expired_result_once() -> None:
    results, compute = Throttle(), Computation()
    results.get("key", 1, lambda: 0)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(results.get, "key", 2, compute, never)
        assert compute.has_begun.wait(TIMEOUT)
        # All of them ask while it is computed, since it is released only afterwards.
        assert thirty(lambda: results.get("key", 2, compute, never).value) == [0] * NUM_SESSIONS
        compute.is_released.set()
        assert first.result(TIMEOUT).value == 1
    assert len(compute.calls) == 1
    assert results.get("key", 2, compute, never).value == 1


def test_sessions_that_accept_no_older_result_wait_for_newer() -> None:
    results, compute = Throttle(), Computation()
    results.get("key", 1, lambda: 0)
    assert thirty(lambda: results.get("key", 2, compute).value, compute.is_released.set) == [1] * NUM_SESSIONS
    assert len(compute.calls) == 1


def test_result_of_another_version_is_not_taken_for_this_one() -> None:
    results = Throttle()
    with ThreadPoolExecutor(2) as pool:
        slow = Computation()
        one = pool.submit(results.get, "key", 1, slow)
        assert slow.has_begun.wait(TIMEOUT)
        two = pool.submit(results.get, "key", 2, lambda: "two")
        slow.is_released.set()
        assert (one.result(TIMEOUT).value, two.result(TIMEOUT).value) == (1, "two")


def test_failed_computation_reaches_all_who_wait_and_is_not_kept() -> None:
    results, entered = Throttle(), []

    def fail() -> int:
        entered.append(1)
        raise SweepError("locked")

    def ask() -> str:
        try:
            return str(results.get("key", 1, fail).value)
        except SweepError as error:
            return str(error)

    assert thirty(ask) == ["locked"] * NUM_SESSIONS
    assert results.get("key", 1, lambda: 5).value == 5


def test_number_of_results_is_bounded_and_the_oldest_goes_first() -> None:
    results, computed = Throttle(max_results=3), []

    def ask(key: int) -> None:
        results.get(key, 1, lambda: computed.append(key))

    for key in (1, 2, 3, 1, 4):  # 1 is used again, so 2 is dropped
        ask(key)
    for key in (1, 3, 4, 2):
        ask(key)
    assert computed == [1, 2, 3, 4, 2]


def test_survey_of_same_weights_is_computed_once_for_all(small: Mnist, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(model: MLP, images: Tensor) -> Survey:
        calls.append(1)
        return survey_images(model, images)

    monkeypatch.setattr("mnist_fc.views.state.throttle.survey_images", counted)
    monkeypatch.setattr(throttle, "mnist", lambda: small)
    monkeypatch.setattr(throttle, "results", Throttle())
    network = networks.Network(Reader.load())
    surveys = thirty(lambda: throttle.survey(network)[0])
    assert len({id(survey) for survey in surveys}) == len(calls) == 1


def test_error_of_a_study_is_read_once_for_all_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "_max_age", lambda seconds: TIMEOUT)
    monkeypatch.setattr(throttle, "results", Throttle())
    calls = []

    def read() -> TrainConfig:
        calls.append(1)
        raise SweepError("locked")

    def ask() -> str:
        with pytest.raises(SweepError) as caught:
            studies.throttled("study", None, read)
        return str(caught.value)

    assert thirty(ask) == ["locked"] * NUM_SESSIONS
    assert len(calls) == 1
