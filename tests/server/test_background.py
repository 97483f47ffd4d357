"""The background thread: a function that fails is logged, and keeps no other from being called."""

from mnist_fc.server.background import BackgroundThread


def test_functions_after_a_failing_one_are_called_in_order(log: list[str]) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a defect")

    called: list[int] = []
    thread = BackgroundThread()
    for function in (lambda: called.append(1), fail, lambda: called.append(2), lambda: called.append(3)):
        thread.submit(function)
    thread.close()
    assert called == [1, 2, 3]
    assert log == ["ERROR a background task failed"]
