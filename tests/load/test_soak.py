"""One minute of a class on one server. Times are reported, not checked."""

import sys
from pathlib import Path

import pytest

from tests.support.soak import soak


def test_class_of_thirty_loses_nothing_and_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measured = soak(tmp_path, num_sessions=30, seconds=60)
    with capsys.disabled():
        sys.stdout.write(f"\n{measured}\n")
    assert not measured.broken_bounds(), measured
    assert measured.training_seconds > 0
    assert {"strokes", "reloads", "reconnections", "goings and comings", "tabs opened", "long runs"} <= measured.events.keys()
