"""The command `sweep`: search for better settings."""

import argparse
import dataclasses
from collections.abc import Sequence

from mnist_fc.cli.console import Screen, to_json
from mnist_fc.cli.options import (
    Subparsers,
    add_command,
    add_data_options,
    add_setting_options,
    add_store_option,
    fit_validation,
    given_settings,
    load_data,
    option_of_field,
)
from mnist_fc.config import DEFAULT_PRESET, PRESETS, TrainConfig, format_value, nearest_preset, to_number
from mnist_fc.runs.store import RunStore, runs_dir
from mnist_fc.sweep.space import (
    MINUTES,
    NUM_RUNS,
    SWEEPS_VARIABLE,
    SweepConfig,
    TrialRecord,
    best_trial,
    config_of,
    parse_space,
)


def add_parser(commands: Subparsers) -> None:
    """Add the command `sweep`."""
    parser = add_command(
        commands,
        "sweep",
        run_sweep,
        "search with Optuna for settings with a higher validation accuracy",
        "--vary learning-rate=1e-4..1e-2 --runs 30\n--vary batch-size=64,128,256 --vary hidden-sizes=256,500-500 --minutes 10",
    )
    parser.add_argument(
        "--vary",
        metavar="NAME=VALUES",
        action="append",
        default=[],
        help="a setting to search and its values, once or more: learning-rate=1e-4..1e-2 for an interval, batch-size=64,128 for "
        "a list, hidden-sizes=256,500-500 for networks of one and of two hidden layers",
    )
    parser.add_argument("--runs", metavar="N", default="20", help=f"trials to run; 1 to {NUM_RUNS.high:,} (default: %(default)s)")
    parser.add_argument("--minutes", metavar="X", help=f"stop after this time; {MINUTES.low:g} to {MINUTES.high:g}")
    parser.add_argument(
        "--study", metavar="NAME", default="sweep", help="name of the study; one that exists is continued (default: %(default)s)"
    )
    parser.add_argument(
        "--storage",
        metavar="ADDRESS",
        help="where to keep the study: an SQLAlchemy address, which machines can share, or the path of an Optuna journal file "
        f"(default: ${SWEEPS_VARIABLE}, else sweeps.db in the folder of the runs)",
    )
    add_store_option(parser)
    add_data_options(parser)
    add_setting_options(parser)


def run_sweep(parsed: argparse.Namespace) -> int:
    """Run a sweep; print each trial as it ends, then the best of the study and the command that trains it."""
    # Imported here: Optuna and SQLAlchemy take a third of a second, for which the other commands would wait.
    from mnist_fc.sweep.search import sweep
    from mnist_fc.sweep.storage import storage_address
    from mnist_fc.sweep.study import trials

    screen = Screen(to_stderr=parsed.json)
    store = RunStore(runs_dir(parsed.runs_dir))
    base = PRESETS[parsed.preset or DEFAULT_PRESET].replace(**given_settings(parsed))
    config = SweepConfig(
        base,
        parse_space(parsed.vary),
        parsed.study,
        parsed.storage or storage_address(store.path),
        num_runs=to_number(parsed.runs),
        minutes=None if parsed.minutes is None else to_number(parsed.minutes),
        seed=base.seed,
    )
    images = load_data(parsed, screen)
    config = dataclasses.replace(config, base=fit_validation(config.base, images, screen))
    for record in sweep(config, images):
        if record.state != "running":
            screen.line(_trial_line(record))
    records = trials(config.storage, config.study)
    best = best_trial(records)
    if best:
        _print_best(screen, config.base, best, records)
    if parsed.json:
        result = {"study": config.study, "best": best and best.settings, "trials": [dataclasses.asdict(r) for r in records]}
        print(to_json(result))
    return 0


def _print_best(screen: Screen, base: TrainConfig, best: TrialRecord, records: Sequence[TrialRecord]) -> None:
    """Print the best trial, how far to trust its accuracy, and the command that trains its settings."""
    num_done = sum(record.state == "done" for record in records)
    screen.line(f"The best is {_trial_line(best)}")
    screen.line(
        f"Its accuracy is on {base.num_validation:,} validation images and the highest of {num_done:,}, so it is optimistic: "
        "expect less on new images."
    )
    preset, differing = nearest_preset(config_of(base, best))
    options = "".join(f" --{option_of_field(name)} {format_value(value)}" for name, value in differing.items())
    screen.line(f"Train it: python -m mnist_fc train --preset {preset}{options}")


def _trial_line(trial: TrialRecord) -> str:
    settings = ", ".join(f"{option_of_field(name)} {format_value(value)}" for name, value in trial.settings.items())
    accuracy = "" if trial.val_accuracy is None else f", validation accuracy {trial.val_accuracy:.2%}"
    return f"trial {trial.number}: {settings}: {trial.state} after epoch {trial.epoch} of {trial.num_epochs}{accuracy}"
