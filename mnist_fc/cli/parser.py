"""The parser of the command line; each command's file adds its own options."""

import argparse

from mnist_fc.cli import benchmark, evaluate, evaluate_teaching, predict, sweep, teach, train


def build_parser() -> argparse.ArgumentParser:
    """Return a parser whose result has the chosen command's function as `command`."""
    parser = argparse.ArgumentParser(
        prog="python -m mnist_fc",
        description="Train fully connected networks on MNIST, and read digits with them.",
        epilog="Run `python -m mnist_fc COMMAND --help` for the options of a command.",
    )
    commands = parser.add_subparsers(required=True, title="commands", metavar="COMMAND")
    for add_parser in (
        train.add_parser,
        teach.add_parser,
        sweep.add_parser,
        evaluate.add_parser,
        predict.add_parser,
        evaluate.add_measure_parser,
        evaluate_teaching.add_parser,
        benchmark.add_parser,
    ):
        add_parser(commands)
    return parser
