"""report.py: a run in words and one table."""

import json
import re
from pathlib import Path

import pytest

from mnist_fc.records import NOT_FINITE, EndRecord, Outcome, Record, StepRecord
from tests.support.runs import CONFIG, NewRun, write_all


def test_the_report_has_the_result_every_epoch_and_setting(tmp_path: Path, new_run: NewRun, records: list[Record]) -> None:
    folder = write_all(new_run(tmp_path, CONFIG), records[:-1])
    text = (folder.path / "report.md").read_text("utf-8")
    assert "It is running, or was interrupted." in text
    folder.write(records[-1])
    text = (folder.path / "report.md").read_text("utf-8")
    end = records[-1]
    assert isinstance(end, EndRecord)
    assert end.test_accuracy is not None
    assert text.startswith(f"# {folder.path.name}\n")
    assert "784-16-8-10, preset custom" in text
    assert f"Test accuracy {end.test_accuracy:.2%}" in text
    assert len(re.findall(r"^\| \d+ \|", text, re.MULTILINE)) == CONFIG.num_epochs
    assert all(f"| {name} | {value} |" in text for name, value in json.loads(CONFIG.to_json()).items() if name != "hidden_sizes")
    assert "| hidden_sizes | 16,8 |" in text


@pytest.mark.parametrize(
    ("last_loss", "outcome", "message", "word"),
    [
        (0.5, "done", "", "Done"),
        (0.5, "stopped", "", "Stopped"),
        (0.5, "failed", "The training process ran out of memory.", "Failed"),
        (20.0, "done", "", "Diverged"),
        (0.5, "failed", f"The loss {NOT_FINITE} at step 41.", "Diverged"),
    ],
)
def test_outcome_is_the_word_that_the_page_shows(
    tmp_path: Path, new_run: NewRun, last_loss: float, outcome: Outcome, message: str, word: str
) -> None:
    folder = new_run(tmp_path, CONFIG)
    for step in range(1, 41):
        loss = 2.3 if step <= 10 else last_loss
        folder.write(StepRecord(step, 1, 500 * step, 0.1 * step, loss, 0.5, 0.001, (1.0, 1.0, 1.0)))
    folder.write(EndRecord(40, 1, outcome, message, 4.0, None, None))
    assert f"{word} after 40 steps. {message}".strip() in (folder.path / "report.md").read_text("utf-8")
