"""The command `evaluate-teaching`: what a few digits of one writer teach a network, and what that costs on MNIST."""

import argparse
import dataclasses

from mnist_fc.cli.console import Screen, to_json
from mnist_fc.cli.evaluate import add_writer_options, load_writers, trained
from mnist_fc.cli.options import Subparsers, add_command, add_data_options, load_data, whole_number
from mnist_fc.config import DEFAULT_THREADS, PRESETS
from mnist_fc.files import named_path
from mnist_fc.network import checkpoint
from mnist_fc.network.checkpoint import SHIPPED
from mnist_fc.reading.evaluation import Interval
from mnist_fc.reading.teaching_evaluation import EXAMPLES, TeachingScores, evaluate_teaching

TAUGHT_PRESETS = ("blog-pytorch", "fast", "best")


def add_parser(commands: Subparsers) -> None:
    """Add the command `evaluate-teaching`."""
    parser = add_command(
        commands,
        "evaluate-teaching",
        run_evaluate_teaching,
        "measure what a few digits of one writer teach a network",
        "--pen-strokes pendigits-orig.tra\nmodel.ckpt --pen-strokes pendigits-orig.tes --all-writers --json",
    )
    parser.add_argument(
        "checkpoints",
        type=named_path,
        nargs="*",
        metavar="CHECKPOINT",
        help=f"networks to teach (default: the one included, and one trained with each of {', '.join(TAUGHT_PRESETS)})",
    )
    add_writer_options(parser)
    parser.add_argument("--without-rehearsal", action="store_true", help="train on the writer's digits alone")
    parser.add_argument("--threads", metavar="N", default=str(DEFAULT_THREADS), help="CPU threads (default: %(default)s)")
    add_data_options(parser)


def run_evaluate_teaching(parsed: argparse.Namespace) -> int:
    """Print a table of what each network gains and loses, or JSON."""
    threads = whole_number("threads", parsed.threads)
    screen = Screen(to_stderr=parsed.json)
    images = load_data(parsed, screen)
    digits = load_writers(parsed)
    models = {path: checkpoint.load(path) for path in parsed.checkpoints}
    if not models:
        models["built-in"] = checkpoint.load(SHIPPED)
        for name in TAUGHT_PRESETS:
            screen.line(f"training {name} on {len(images.train_labels):,} images")
            models[name] = trained(PRESETS[name].replace(threads=threads), images).model
    writers = len(set(digits.writers.tolist()))
    screen.line(
        f"errors of the network alone on digits that it was not taught, mean over {writers} writers, with 95% intervals of the "
        f"change; MNIST in points of {len(images.test_labels):,} test images; seconds of training with {threads} threads"
    )
    width = max(map(len, models))
    titles = ("examples", "digits", "before", "after", "fall", "change", "MNIST", "interval", "seconds")
    screen.line(" " * width + "".join(f"{title:>18}" if title in ("change", "interval") else f"{title:>10}" for title in titles))
    all_scores = []
    for name, model in models.items():
        for num_examples in EXAMPLES:
            scores = evaluate_teaching(
                name, model, digits, images, num_examples, rehearses=not parsed.without_rehearsal, threads=threads
            )
            screen.line(_row(scores, width))
            all_scores.append(dataclasses.asdict(scores) | {"error_fall": scores.error_fall})
    if parsed.json:
        print(to_json({"writers": sorted(set(digits.writers.tolist())), "teaching": all_scores}))
    return 0


def _row(scores: TeachingScores, width: int) -> str:
    return (
        f"{scores.name:<{width}}{scores.num_examples:>10}{scores.num_digits:>10}{scores.error_before:>10.2%}"
        f"{scores.error_after:>10.2%}{scores.error_fall:>10.0%}{_points(scores.error_change_interval):>18}"
        f"{100 * scores.mnist_change:>+10.2f}{_points(scores.mnist_change_interval):>18}{scores.seconds:>10.2f}"
    )


def _points(interval: Interval | None) -> str:
    """Return an interval of shares in points of a percent."""
    return f"{100 * interval[0]:+.2f} to {100 * interval[1]:+.2f}" if interval else "one writer"
