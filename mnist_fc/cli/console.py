"""The output of commands: lines and progress on a terminal, and results as JSON for programs."""

import json
import math
import sys
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

from mnist_fc.config import TrainConfig
from mnist_fc.records import EpochRecord, StepRecord

# tqdm's monitor thread would redraw a bar that stands still. This program starts no threads.
tqdm.monitor_interval = 0


def to_json(result: dict[str, Any]) -> str:
    """Return `result` as one line of JSON. Numbers that are not finite become null, since JSON has none."""
    return json.dumps(_finite(result), allow_nan=False)


def _finite(value: Any) -> Any:
    """Return `value` with None in place of every number in it that is not finite."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Screen:
    """Shows lines, and the progress of a training: as a bar on a terminal, and as a line for each epoch everywhere.

    It writes to standard output, or to standard error if a program reads the output. A silent one writes nothing.
    """

    def __init__(self, to_stderr: bool, is_silent: bool = False) -> None:
        self._stream = sys.stderr if to_stderr else sys.stdout
        self._is_silent = is_silent
        self._bar: Any = None

    def start(self, num_steps: int, steps_done: int = 0) -> None:
        """Begin the progress of a training of `num_steps` steps."""
        self._bar = tqdm(
            total=num_steps,
            initial=steps_done,
            unit="step",
            file=self._stream,
            disable=self._is_silent or not self._stream.isatty(),
            dynamic_ncols=True,
            leave=False,
        )

    def step(self, record: StepRecord, config: TrainConfig) -> None:
        """Move the bar to a step, if there is one."""
        if self._bar is not None:
            self._bar.set_description(f"epoch {record.epoch}/{config.num_epochs}", refresh=False)
            self._bar.set_postfix_str(f"loss {record.train_loss:.4f}", refresh=False)
            self._bar.update(record.step - self._bar.n)

    def epoch(self, record: EpochRecord, config: TrainConfig) -> None:
        """Print the result of an epoch."""
        accuracy = (
            f"validation {record.val_accuracy:.2%}" if record.val_accuracy is not None else f"test {record.test_accuracy:.2%}"
        )
        self.line(
            f"epoch {record.epoch:>3}/{config.num_epochs}  loss {record.train_loss:.4f}  {accuracy}  "
            f"{record.seconds:.2f} s  {record.images_per_second:,.0f} images/s"
        )

    def line(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        if not self._is_silent:
            tqdm.write(text, file=self._stream)
            self._stream.flush()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
