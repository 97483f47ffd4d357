"""Every command and its options."""

import argparse

from mnist_fc.cli.benchmark import run_benchmark
from mnist_fc.cli.evaluate import run_evaluate, run_measure
from mnist_fc.cli.options import add_data_options, add_settings, add_store_option
from mnist_fc.cli.predict import run_predict
from mnist_fc.cli.sweep import run_sweep
from mnist_fc.cli.train import run_train
from mnist_fc.config import (
    DEFAULT_THREADS,
    FIELDS,
)
from mnist_fc.data import pen_digits
from mnist_fc.sweep.storage import SWEEPS_VARIABLE


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mnist_fc", description="Train fully connected networks on MNIST.")
    commands = parser.add_subparsers(required=True, metavar="command")

    train_parser = commands.add_parser("train", help="train a network and keep it in a run folder")
    add_settings(train_parser)
    train_parser.add_argument(
        "--pen-strokes",
        metavar="PATH",
        help="also train on the digits of this file of pen strokes, an .npz or UCI's pendigits-orig.tra; "
        f"of its writers every {pen_digits.HELD_OUT}th is held out",
    )
    train_parser.add_argument(
        "--outliers",
        metavar="N",
        help="also train on what is no digit, N pictures of each kind made up, as an eleventh class: such a network tells digits "
        "from the rest",
    )
    train_parser.add_argument(
        "--resume",
        metavar="RUN",
        help="go on with a run that was cut off or stopped, with its own settings; the name of its folder in the store",
    )
    add_store_option(train_parser)
    add_data_options(train_parser)
    train_parser.set_defaults(command=run_train)

    sweep_parser = commands.add_parser("sweep", help="search for better settings with Optuna, by the validation accuracy")
    add_settings(sweep_parser)
    sweep_parser.add_argument(
        "--vary",
        metavar="NAME=VALUES",
        action="append",
        default=[],
        help="what to vary: learning-rate=1e-4..1e-2, batch-size=64,128,256, hidden-sizes=256,500-500 (dashes between layers)",
    )
    sweep_parser.add_argument("--runs", metavar="N", default="20", help="how many settings to try (%(default)s)")
    sweep_parser.add_argument("--minutes", metavar="N", help="end after so long, if that comes first")
    sweep_parser.add_argument(
        "--study", metavar="NAME", default="sweep", help="its name; one that is there is gone on with (%(default)s)"
    )
    sweep_parser.add_argument(
        "--storage",
        metavar="ADDRESS",
        help=f"any Optuna storage address, which several machines can share ({SWEEPS_VARIABLE}, else sweeps.db in the store)",
    )
    add_store_option(sweep_parser)
    add_data_options(sweep_parser)
    sweep_parser.set_defaults(command=run_sweep)

    evaluate_parser = commands.add_parser("evaluate", help="measure a checkpoint on the test images")
    evaluate_parser.add_argument("checkpoint", metavar="CHECKPOINT")
    add_data_options(evaluate_parser)
    evaluate_parser.set_defaults(command=run_evaluate)

    predict_parser = commands.add_parser("predict", help="read the digit in each picture")
    predict_parser.add_argument("pictures", nargs="+", metavar="PICTURE")
    predict_parser.add_argument("--checkpoint", metavar="CHECKPOINT", help="the network to read with (the shipped one)")
    predict_parser.set_defaults(command=run_predict)

    measure_parser = commands.add_parser(
        "measure", help="how well networks read drawings of pen strokes, and refuse what is no digit"
    )
    measure_parser.add_argument(
        "checkpoints",
        nargs="*",
        metavar="CHECKPOINT",
        help="networks to measure (the shipped one, and each preset trained anew)",
    )
    measure_parser.add_argument(
        "--pen-strokes", metavar="PATH", required=True, help="digits as strokes, an .npz or UCI's pendigits-orig.tra or .tes"
    )
    measure_parser.add_argument(
        "--all-writers", action="store_true", help="measure on all writers of the file, not on those held out of training alone"
    )
    measure_parser.add_argument("--fashion-mnist", metavar="FILE", help="pictures to refuse: t10k-images-idx3-ubyte.gz")
    add_data_options(measure_parser)
    measure_parser.set_defaults(command=run_measure)

    benchmark_parser = commands.add_parser("benchmark", help="time an epoch of this engine, of other programs and of the floor")
    benchmark_parser.add_argument("--epochs", metavar="N", default="7", help="epochs of each, in turn (%(default)s)")
    benchmark_parser.add_argument(
        "--threads", metavar="N", default=str(DEFAULT_THREADS), help=f"{FIELDS['threads']} (%(default)s)"
    )
    benchmark_parser.add_argument("--peers", action="store_true", help="also Keras and scikit-learn, where they are installed")
    add_data_options(benchmark_parser)
    benchmark_parser.set_defaults(command=run_benchmark)

    for command in (train_parser, sweep_parser, evaluate_parser, predict_parser, measure_parser, benchmark_parser):
        command.add_argument("--json", action="store_true", help="the result as JSON on standard output")
    return parser
