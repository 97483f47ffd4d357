"""What the terminal shows, and JSON for programs."""

import json
import math
import sys
from typing import Any

from mnist_fc.config import (
    TrainConfig,
)
from mnist_fc.records import EpochRecord, StepRecord


def to_json(result: dict[str, Any]) -> str:
    """Return `result` in one line; a number that is not finite, as of a run that diverged, is null: JSON has no other."""
    return json.dumps(_finite(result), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Screen:
    """Progress on a terminal as a bar that is drawn over, elsewhere as a line an epoch; a silent one shows nothing."""

    def __init__(self, to_stderr: bool, is_silent: bool = False) -> None:
        self._stream = sys.stderr if to_stderr else sys.stdout
        self._is_silent = is_silent
        self._is_terminal = self._stream.isatty() and not is_silent
        self.steps_per_epoch = 1

    def step(self, record: StepRecord, config: TrainConfig) -> None:
        if self._is_terminal:
            share = (record.step - (record.epoch - 1) * self.steps_per_epoch) / self.steps_per_epoch
            bar = "#" * round(30 * share)
            text = f"epoch {record.epoch:>3}/{config.num_epochs} [{bar:<30}] loss {record.train_loss:.4f}"
            print(f"\r{text}\x1b[K", end="", file=self._stream, flush=True)

    def epoch(self, record: EpochRecord, config: TrainConfig) -> None:
        measured = (
            f"validation {record.val_accuracy:.2%}" if record.val_accuracy is not None else f"test {record.test_accuracy:.2%}"
        )
        self.line(
            f"epoch {record.epoch:>3}/{config.num_epochs}  loss {record.train_loss:.4f}  {measured}  "
            f"{record.seconds:.2f} s  {record.images_per_second:,.0f} images/s"
        )

    def line(self, text: str) -> None:
        if self._is_silent:
            return
        print(f"\r{text}\x1b[K" if self._is_terminal else text, file=self._stream, flush=True)
