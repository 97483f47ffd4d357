"""The time to a test accuracy: runs of the preset `fast`, in turn with the epochs of the blog's PyTorch loop."""

import secrets
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch

from mnist_fc.benchmark.programs import blog_run, engine_run
from mnist_fc.benchmark.timing import Epoch
from mnist_fc.config import FIELDS, PRESETS, Range, TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.network.mlp import MLP
from mnist_fc.records import Weights
from mnist_fc.training.evaluation import evaluate

FAST, BLOG_LOOP = "fast", "blog-loop"


@dataclass(frozen=True)
class Training:
    """A whole training. Seconds are without evaluation; accuracies are from 0 to 1, on the test images.

    `seconds_to_target` is the time until the end of the first epoch that reaches the accuracy, None if none does.
    """

    name: str
    seed: int | None
    train_seconds: float
    test_accuracy: float
    seconds_to_target: float | None

    def in_words(self, target: float) -> str:
        """Return the training in one line."""
        seed = "" if self.seed is None else f"seed {self.seed}, "
        reached = "not reached" if self.seconds_to_target is None else f"in {self.seconds_to_target:.2f} s"
        return f"{self.name}: {seed}{self.train_seconds:.2f} s, test {self.test_accuracy:.2%}, {target:.4g} {reached}"


@dataclass(frozen=True)
class TimeTo:
    """Runs of `fast`, and one of the blog's loop. `ratio` is the median of their whole times to that of the loop."""

    target: float
    fast: list[Training]
    blog_loop: Training
    ratio: float
    fast_accuracy: float
    """The mean test accuracy of the runs of `fast`."""


def time_to(target: float, images: Mnist, threads: int, report: Callable[[str], None]) -> TimeTo:
    """Train `fast` ten times, with new random seeds, and the blog's loop for ten epochs; `report` is told each result.

    They take turns, a run and an epoch, so that a change of the machine's speed affects both. The test accuracy is measured
    after each epoch, outside the time.
    """
    torch.set_num_threads(threads)
    blog = PRESETS["blog-pytorch"].replace(threads=threads)
    blog_epochs = _course(blog, blog_run(blog, images), images)
    fast, course = [], []
    for turn in range(1, blog.num_epochs + 1):
        config = PRESETS[FAST].replace(threads=threads, seed=_new_seed()).fitted_to(len(images.train_labels))
        fast.append(_training(FAST, config.seed, _course(config, engine_run(config, images), images), target))
        report(f"{turn} of {blog.num_epochs}: {fast[-1].in_words(target)}")
        course.append(next(blog_epochs))
        report(f"{turn} of {blog.num_epochs}: {BLOG_LOOP}: epoch {turn}, {course[-1][0]:.2f} s, test {course[-1][1]:.2%}")
    loop = _training(BLOG_LOOP, None, course, target)
    ratio = statistics.median(run.train_seconds for run in fast) / loop.train_seconds
    return TimeTo(target, fast, loop, ratio, statistics.fmean(run.test_accuracy for run in fast))


def _new_seed() -> int:
    """Return a seed on which no setting has been chosen."""
    seeds = FIELDS["seed"]
    assert isinstance(seeds, Range)
    return secrets.randbelow(int(seeds.high) + 1)


def _course(config: TrainConfig, run: Iterable[tuple[Epoch, Weights]], images: Mnist) -> Iterator[tuple[float, float]]:
    """Yield the seconds and the test accuracy of each epoch."""
    model = MLP(config.hidden_sizes)
    for epoch, weights in run:
        model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        yield epoch.seconds, evaluate(model, images.test_images, images.test_labels)[1]


def _training(name: str, seed: int | None, course: Iterable[tuple[float, float]], target: float) -> Training:
    seconds, accuracy, reached = 0.0, 0.0, None
    for epoch_seconds, accuracy in course:
        seconds += epoch_seconds
        if reached is None and accuracy >= target:
            reached = seconds
    return Training(name, seed, seconds, accuracy, reached)
