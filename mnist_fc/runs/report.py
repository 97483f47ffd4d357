"""report.md: a run in words and one table."""

from collections.abc import Sequence
from dataclasses import asdict

import torch

from mnist_fc.analysis.diagnosis import outcome_word
from mnist_fc.config import format_value
from mnist_fc.records import EndRecord, EpochRecord, StepRecord
from mnist_fc.runs.settings import RunSettings


def report(
    name: str, settings: RunSettings, steps: Sequence[StepRecord], epochs: Sequence[EpochRecord], end: EndRecord | None
) -> str:
    """Return a summary of a run in Markdown: network, outcome, epochs and settings."""
    network = "-".join(map(str, settings.config.layer_sizes))
    outcome = (
        "It is running, or was interrupted."
        if end is None
        else f"{outcome_word(steps, end).capitalize()} after {end.step:,} steps. {end.message}"
    )
    lines = [f"# {name}", "", f"{network}, preset {settings.in_words}, PyTorch {torch.__version__}. {outcome.strip()}", ""]
    if end and end.test_accuracy is not None:
        lines += [f"Test accuracy {end.test_accuracy:.2%}, {end.train_seconds:.1f} s of training.", ""]
    if epochs:
        measured = "validation" if epochs[-1].val_accuracy is not None else "test"
        lines += [f"| epoch | loss | train accuracy | {measured} accuracy | seconds | images/s |", "| --- " * 6 + "|"]
        for epoch in epochs:
            accuracy = epoch.test_accuracy if epoch.val_accuracy is None else epoch.val_accuracy
            lines.append(
                f"| {epoch.epoch} | {epoch.train_loss:.4f} | {epoch.train_accuracy:.2%} | {accuracy or 0.0:.2%} "
                f"| {epoch.seconds:.2f} | {epoch.images_per_second:,.0f} |"
            )
        lines.append("")
    lines += ["| setting | value |", "| --- | --- |"]
    values = asdict(settings.config) | {
        "hidden_sizes": format_value(settings.config.hidden_sizes),
        "learning_rate": settings.learning_rate_in_words,
    }
    lines += [f"| {field} | {value} |" for field, value in values.items()]
    if len(settings.learning_rates) > 1:
        lines += ["", "The learning rate was changed during the run; config.json has the settings that it began with."]
    return "\n".join([*lines, ""])
