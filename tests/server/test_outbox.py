"""The outbox: a slow reader slows nothing and loses nothing but what is superseded."""

import gc
import os
import pickle
import weakref

import numpy as np

from mnist_fc.records import Record, StepRecord, WeightsRecord
from mnist_fc.server.outbox import Outbox
from mnist_fc.server.protocol import Ended, RunRecord


def step(number: int) -> StepRecord:
    return StepRecord(number, 1, number, 0.0, 1.0, 0.5, 0.001, (1.0, 1.0))


def test_outbox_never_waits_and_keeps_only_the_newest_weights() -> None:
    reader, writer = os.pipe()
    outbox = Outbox(os.fdopen(writer, "wb"))
    weights: list[weakref.ref[np.ndarray]] = []
    for number in range(5000):  # if one waited for the reader, this would never end
        outbox.put(RunRecord("a", step(number)))
        if number % 10 == 0:
            array = np.full(100_000, number, dtype=np.float32)
            weights.append(weakref.ref(array))
            outbox.put(RunRecord("a", WeightsRecord(number, 1, {"fc1.weight": array})))
            del array
    gc.collect()
    kept = [i for i, reference in enumerate(weights) if reference() is not None]
    assert kept[-1] == len(weights) - 1
    assert len(kept) <= 2  # the other is on its way through the pipe
    outbox.put(Ended("a", ""))

    received: list[Record] = []
    with os.fdopen(reader, "rb") as stream:
        while isinstance(reply := pickle.load(stream), RunRecord):
            received.append(reply.record)
    assert reply == Ended("a", "")
    assert [record.step for record in received if isinstance(record, StepRecord)] == list(range(5000))
    newest = [record for record in received if isinstance(record, WeightsRecord)][-1]
    assert newest.step == 4990
    assert (newest.weights["fc1.weight"] == 4990).all()
    assert [record.step for record in received] == sorted(record.step for record in received)


def test_kept_weights_all_arrive_in_order() -> None:
    reader, writer = os.pipe()
    outbox = Outbox(os.fdopen(writer, "wb"))
    array = np.zeros(100_000, np.float32)
    for number in range(200):
        outbox.put(RunRecord("a", WeightsRecord(number, 1, {"fc1.weight": array}, is_kept=number % 10 == 0)))
    outbox.put(Ended("a", ""))
    received: list[WeightsRecord] = []
    with os.fdopen(reader, "rb") as stream:
        while isinstance(reply := pickle.load(stream), RunRecord):
            assert isinstance(reply.record, WeightsRecord)
            received.append(reply.record)
    assert [record.step for record in received if record.is_kept] == list(range(0, 200, 10))
    assert received[-1].step == 199
    assert len(received) <= 24
