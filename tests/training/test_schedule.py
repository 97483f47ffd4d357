"""schedule.py compared with PyTorch's schedulers."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from mnist_fc.config import TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.records import (
    StepRecord,
)
from mnist_fc.training.engine import train
from tests.support.training import of, quick


def rates(config: TrainConfig, data: Mnist) -> list[float]:
    return [record.learning_rate for record in of(StepRecord, list(train(config, data)))]


def scheduled(scheduler: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler], num_steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.02)
    schedule = scheduler(optimizer)
    result = []
    for _ in range(num_steps):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return result


def test_a_constant_schedule_keeps_the_learning_rate(small: Mnist) -> None:
    assert rates(quick(learning_rate=0.02, num_epochs=2), small) == [0.02] * 30


def test_the_cosine_schedule_is_pytorchs(small: Mnist) -> None:
    config = quick(learning_rate=0.02, num_epochs=4, schedule="cosine")
    expected = scheduled(lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=60), 60)
    assert rates(config, small) == pytest.approx(expected, rel=1e-6)


def test_one_cycle_is_pytorchs_to_within_a_step(small: Mnist) -> None:
    config = quick(learning_rate=0.02, num_epochs=4, schedule="one_cycle")
    expected = scheduled(
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 0.02, total_steps=60, pct_start=0.3, div_factor=25, anneal_strategy="cos"
        ),
        60,
    )
    steepest_step = 0.02 * (1 - 1 / 25) * math.pi / 2 / 0.3 / 60
    assert rates(config, small) == pytest.approx(expected, abs=1.05 * steepest_step)


def test_one_cycle_is_pytorchs_exactly_when_both_end_at_zero(small: Mnist) -> None:
    config = quick(learning_rate=0.02, num_epochs=4, schedule="one_cycle")
    expected = scheduled(
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 0.02, total_steps=61, pct_start=(0.3 * 60 + 1) / 61, div_factor=25, final_div_factor=1e12
        ),
        60,
    )
    assert rates(config, small) == pytest.approx(expected, rel=1e-6)
