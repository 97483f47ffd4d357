"""The command `teach`: teach a network a person's own digits, and say what was gained and what was lost."""

import argparse
from dataclasses import asdict
from pathlib import Path

from mnist_fc.cli.console import Screen, to_json
from mnist_fc.cli.options import (
    Subparsers,
    add_command,
    add_data_options,
    add_network_options,
    add_store_option,
    load_data,
    load_network,
    whole_number,
)
from mnist_fc.cli.train import EXIT_CODES, Figures, Prepared, ending, result, train_prepared
from mnist_fc.config import DEFAULT_THREADS
from mnist_fc.data import my_digits
from mnist_fc.files import named_path, printable
from mnist_fc.network import checkpoint
from mnist_fc.runs.lessons import TAUGHT
from mnist_fc.runs.store import RunStore, runs_dir
from mnist_fc.training.distributed import SINGLE_PROCESS
from mnist_fc.training.lesson_scores import LessonScores, Score, in_words, lesson_scores
from mnist_fc.training.teaching import lesson_for, settings


def add_parser(commands: Subparsers) -> None:
    """Add the command `teach`."""
    parser = add_command(
        commands,
        "teach",
        run_teach,
        "teach a network your own digits",
        "model.ckpt --my-digits my_digits.npz\nmodel.ckpt --my-digits my_digits.npz --without-rehearsal",
    )
    parser.add_argument(
        "checkpoint", type=named_path, metavar="CHECKPOINT", help="the network to teach, best with its config.json beside it"
    )
    parser.add_argument("--my-digits", type=named_path, metavar="FILE", required=True, help="your digits, as the page saves them")
    parser.add_argument(
        "--without-rehearsal", action="store_true", help="train on your digits alone; the network then forgets the others"
    )
    parser.add_argument("--seed", metavar="N", default="0", help="seed of all random numbers (default: %(default)s)")
    parser.add_argument("--threads", metavar="N", default=str(DEFAULT_THREADS), help="CPU threads (default: %(default)s)")
    add_store_option(parser)
    add_network_options(parser)
    add_data_options(parser)


def run_teach(parsed: argparse.Namespace) -> int:
    """Teach a network, keep the result as a run, and print how digits were read before and after."""
    seed, threads = whole_number("seed", parsed.seed), whole_number("threads", parsed.threads)
    screen = Screen(to_stderr=parsed.json)
    images = load_data(parsed, screen)
    model = load_network(parsed.checkpoint, parsed, images)
    digits = my_digits.load(parsed.my_digits)
    parent = printable(Path(parsed.checkpoint).name)
    lesson = lesson_for(model, digits, rehearses=not parsed.without_rehearsal, parent=parent)
    config = settings(model.hidden_sizes, model.activation_name, threads=threads, seed=seed)
    store = RunStore(runs_dir(parsed.runs_dir))
    folder = store.create(config, run_id=store.new_id(config, kind=TAUGHT), lesson=lesson)
    figures = Figures()
    end = train_prepared(Prepared(config, images, folder, lesson=lesson), SINGLE_PROCESS, screen, figures)
    found = result(config, folder, figures, end)
    if end.outcome != "failed":
        taught = checkpoint.load(folder.checkpoint)
        scores = lesson_scores(model, taught, lesson, figures.held_out, images.test_images, images.test_labels)
        found |= asdict(scores)
        for line in _table(scores):
            screen.line(line)
        screen.line(in_words(scores))
    screen.line(ending(end, folder))
    if parsed.json:
        print(to_json(found), flush=True)
    return EXIT_CODES[end.outcome]


def _table(scores: LessonScores) -> list[str]:
    """Return the lines of a table: how many digits of each kind are read right before and after."""
    rows = {
        "your digits": scores.taught,
        "your digits, each read by a network that was not taught it": scores.held_out,
        "MNIST's test digits": scores.mnist,
        "digits by other people": scores.others,
    }
    width = max(map(len, rows))
    return [f"{'read right':<{width}}{'of':>8}{'before':>8}{'after':>8}", *(_row(name, rows[name], width) for name in rows)]


def _row(name: str, score: Score, width: int) -> str:
    cells = ("-" if value is None else f"{value:,}" for value in (score.count, score.before, score.after))
    return f"{name:<{width}}" + "".join(f"{cell:>8}" for cell in cells)
