"""report.py: a run in words and one table."""

import json
import re
from pathlib import Path

from mnist_fc.records import EndRecord, Record
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
