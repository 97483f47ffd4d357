"""Runs on a real training process: their records, snapshots and order."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mnist_fc.config import TrainConfig
from mnist_fc.network import checkpoint
from mnist_fc.server.job import ACTIVE_STATES
from mnist_fc.server.scheduler import Scheduler
from tests.support.jobs import LONG, SHORT, losses
from tests.support.settings import OVERFLOWING
from tests.support.waiting import finished, wait_for, wait_for_steps


def test_run_ends_done_with_every_record(scheduler: Scheduler) -> None:
    run = scheduler.start(SHORT)
    snapshot = finished(run)
    num_steps = SHORT.num_epochs * -(-5000 // SHORT.batch_size)
    assert (snapshot.state, snapshot.message, snapshot.storage_problem) == ("done", "", "")
    assert snapshot.end
    assert (snapshot.end.step, snapshot.end.outcome) == (num_steps, "done")
    assert snapshot.end.test_accuracy is not None
    assert [step.step for step in snapshot.steps] == list(range(1, num_steps + 1))
    assert [epoch.epoch for epoch in snapshot.epochs] == list(range(1, SHORT.num_epochs + 1))
    assert snapshot.weights
    assert snapshot.weights.step == num_steps
    assert scheduler.run(run.id) is run
    assert not scheduler.is_busy


def test_ended_run_is_on_disk(scheduler: Scheduler, store_path: Path) -> None:
    run = scheduler.start(SHORT)
    snapshot = finished(run)
    folder = run.path
    assert folder
    assert folder.parent == store_path
    assert TrainConfig.from_json((folder / "config.json").read_text("utf-8")) == SHORT
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(snapshot.steps) + len(snapshot.epochs) + 1
    assert [float(row["train_loss"]) for row in rows if row["gradient_norms"]] == losses(snapshot)
    assert rows[-1]["outcome"] == "done"
    assert snapshot.weights
    for name, tensor in checkpoint.load(folder / "model.ckpt").state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), snapshot.weights.weights[name])


def test_same_config_gives_the_same_losses(scheduler: Scheduler) -> None:
    first, second = finished(scheduler.start(SHORT)), finished(scheduler.start(SHORT))
    assert losses(first) == losses(second)
    assert losses(finished(scheduler.start(SHORT.replace(seed=1)))) != losses(first)


def test_snapshot_does_not_change(scheduler: Scheduler) -> None:
    run = scheduler.start(SHORT)
    wait_for_steps(run, 1)
    snapshot = run.snapshot()
    before = replace(snapshot)
    finished(run)
    assert snapshot.steps == before.steps
    assert snapshot.state in ACTIVE_STATES


def test_diverged_run_fails_with_the_reason_and_finite_weights(scheduler: Scheduler) -> None:
    snapshot = finished(scheduler.start(SHORT.replace(**OVERFLOWING)))
    assert snapshot.state == "failed"
    assert "loss stopped being a finite number" in snapshot.message
    assert "lower learning rate" in snapshot.message
    assert snapshot.weights
    assert all(np.isfinite(value).all() for value in snapshot.weights.weights.values())
    assert finished(scheduler.start(SHORT)).state == "done"


def test_kept_weights_can_be_loaded_while_the_run_trains(scheduler: Scheduler) -> None:
    run = scheduler.start(LONG)
    wait_for(run, lambda: 50 in run._kept)
    kept = run.snapshot().kept
    assert list(kept)[:5] == [0, 5, 10, 20, 50]
    first, later = (checkpoint.load(kept[step]).state_dict()["fc1.weight"] for step in (0, 50))
    assert not torch.equal(first, later)
    scheduler.stop(run)
    snapshot = finished(run)
    assert snapshot.end
    assert list(snapshot.kept) == sorted(snapshot.kept)
    assert snapshot.weights
    last = checkpoint.load(snapshot.kept[snapshot.end.step]).state_dict()["fc1.weight"]
    assert torch.equal(last, torch.from_numpy(snapshot.weights.weights["fc1.weight"]))


def test_learning_rate_set_in_the_queue_holds_at_the_start(scheduler: Scheduler) -> None:
    first, second = scheduler.start_in_turn(LONG, SHORT)
    scheduler.set_learning_rate(second, 0.05)
    wait_for_steps(first, 1)
    scheduler.stop(first)
    after = finished(second)
    assert after.learning_rate == 0.05
    assert {step.learning_rate for step in after.steps[1:]} == {0.05}


def test_runs_queued_together_start_in_order(scheduler: Scheduler) -> None:
    first, second, third = scheduler.start_in_turn(LONG, LONG.replace(seed=1), SHORT)
    wait_for_steps(first, 1)
    assert [run.snapshot().state for run in (second, third)] == ["waiting", "waiting"]
    scheduler.stop(second)
    assert second.snapshot().state == "stopped"
    assert third.snapshot().state == "waiting"
    scheduler.stop(first)
    assert finished(third).state == "done"
    assert first.snapshot().state == "stopped"
    assert not scheduler.is_busy
