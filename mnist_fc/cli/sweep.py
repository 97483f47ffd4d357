"""The command `sweep`."""

import argparse
import dataclasses

from mnist_fc.cli.console import Screen, to_json
from mnist_fc.cli.options import changed_settings, load_data, option_name
from mnist_fc.config import (
    PRESETS,
    format_value,
    nearest_preset,
    to_number,
)
from mnist_fc.runs.store import RunStore, runs_dir
from mnist_fc.sweep.search import sweep
from mnist_fc.sweep.space import SweepConfig, TrialRecord, best_trial, config_of, parse_space
from mnist_fc.sweep.storage import storage_address
from mnist_fc.sweep.study import trials


def run_sweep(parsed: argparse.Namespace) -> int:
    screen = Screen(to_stderr=parsed.json)
    store = RunStore(runs_dir(parsed.runs_dir))
    base = PRESETS[parsed.preset].replace(**changed_settings(parsed))
    config = SweepConfig(
        base,
        parse_space(parsed.vary),
        parsed.study,
        parsed.storage or storage_address(store.path),
        num_runs=to_number(parsed.runs),
        minutes=None if parsed.minutes is None else to_number(parsed.minutes),
        seed=base.seed,
    )
    for record in sweep(config, load_data(parsed)):
        if record.state != "running":
            screen.line(_trial_line(record))
    records = trials(config.storage, config.study)
    winner = best_trial(records)
    if winner:
        screen.line(f"The best is {_trial_line(winner)}")
        preset, differing = nearest_preset(config_of(config.base, winner))
        options = "".join(f" --{option_name(name)} {format_value(value)}" for name, value in differing.items())
        screen.line(f"Train it: python -m mnist_fc train --preset {preset}{options}")
    if parsed.json:
        print(
            to_json(
                {"study": config.study, "best": winner and winner.settings, "trials": [dataclasses.asdict(r) for r in records]}
            )
        )
    return 0


def _trial_line(trial: TrialRecord) -> str:
    settings = ", ".join(f"{option_name(name)} {format_value(value)}" for name, value in trial.settings.items())
    accuracy = "" if trial.val_accuracy is None else f", validation {trial.val_accuracy:.2%}"
    return f"trial {trial.number}: {settings}: {trial.state} after epoch {trial.epoch} of {trial.num_epochs}{accuracy}"
