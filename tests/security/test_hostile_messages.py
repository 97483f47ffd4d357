"""Hostile messages of the canvas and of the page's components, addresses and names."""

import copy
import os
import random
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from mnist_fc.drawing.strokes import CANVAS_SIZE, Stroke, canvas_json
from mnist_fc.reading.reader import Reader
from mnist_fc.runs.layout import MAX_NAME, RunsError, read_metadata
from mnist_fc.server.scheduler import Scheduler
from mnist_fc.views import controls, timeline
from mnist_fc.views.components import pixels
from mnist_fc.views.components.component import browser_value
from mnist_fc.views.state import address, session
from tests.support.hostile import (
    EVIL_TEXTS,
    EVIL_VALUES,
    door,
    inputs,
    nested,
    spoiled,
    spoiled_bytes,
)
from tests.support.session import State

pytestmark = pytest.mark.usefixtures("figures")

SENT = [
    canvas_json([Stroke(((90, 80), (190, 80), (130, 220)), 20), Stroke(((115, 150), (175, 150)), 20)]),
    canvas_json([Stroke(tuple((20.0 + i % 7, 30.0 + i) for i in range(200)), 34)]),
]

PRESSED = [
    {"objects": [*SENT[0]["objects"], {"press": "clear"}, *SENT[1]["objects"], {"press": "undo"}]},
    {"objects": [{"open": SENT[0]["objects"]}, {"press": "undo"}]},
]


@inputs
def test_a_message_of_the_canvas_is_drawn_and_read_or_refused_in_words(
    seed: int, state: State, views: SimpleNamespace, reader: Reader
) -> None:
    chance = random.Random(seed)
    canvas = views.Canvas(
        "canvas", {"clear": views.Press("clear", views.Canvas.clear), "undo": views.Press("undo", views.Canvas.undo)}
    )
    known = state["canvas_state"]
    raw = copy.deepcopy(chance.choice([views.FIRST_DRAWING, *SENT, *PRESSED]))
    envelope = {"session": known["session"], "first": known["done"] + 1, "data": "data:image/png;base64,AAAA"}
    is_about_envelope = chance.random() < 0.1
    message = spoiled(chance, {"drawing": {**envelope, "raw": raw}} if is_about_envelope else raw)
    state["canvas_component"] = message if is_about_envelope else {"drawing": {**envelope, "raw": message}}
    with door("canvas messages").input():
        canvas.receive()
        assert canvas.drawing.shape == (CANVAS_SIZE, CANVAS_SIZE, 4)
        canvas_json(canvas.strokes)
        if canvas.problem is None:
            assert 1 <= len(reader.read_number(canvas.drawing)) <= 12
        assert canvas.problem is None or (canvas.problem.isprintable() and len(canvas.problem) < 200)


def test_a_message_that_is_too_deep_is_refused_in_words(state: State, views: SimpleNamespace) -> None:
    for _ in range(2):
        state["canvas_component"] = {"drawing": {"raw": nested(5000)}}
        canvas = views.Canvas("canvas")
        canvas.receive()
        assert canvas.problem == "The canvas sent something that is no drawing"


@inputs
def test_a_click_that_nothing_on_the_page_can_send_changes_nothing_else(
    seed: int, state: State, views: SimpleNamespace, trainer: Scheduler
) -> None:
    chance, store = random.Random(seed), trainer.store
    (going,) = trainer.jobs()
    known = state.setdefault("known_runs", [run.id for run in store.runs()] if "known_runs" not in state else [])
    session.set_address("run", chance.choice([*known, "none"]))
    whats = ["show", "pin", "rename", "delete", "open", "use", "again"]
    act = {"what": chance.choice(whats), "run": chance.choice(known), "value": chance.choice([None, "a name", *EVIL_TEXTS])}
    name, key, value, called = chance.choice(
        [
            ("act", "runs_table", act, views.act),
            ("moment", "timeline_slider", {"step": chance.choice([0, 5, 20, -1, 10**9]), "turn": 3}, timeline._choose),
            ("use", "timeline_slider", chance.choice(known), timeline._use),
            ("cell", "confusion_matrix", [chance.randrange(10), chance.randrange(10)], views.press),
            ("clicked", "some_pictures", [chance.randrange(3), chance.randrange(784)], None),
        ]
    )
    sent = spoiled(chance, {name: value}) if chance.random() < 0.2 else {name: spoiled(chance, value)}
    state[key] = chance.choice(EVIL_VALUES) if chance.random() < 0.02 else sent
    with door("messages of components").input():
        if called:
            called()
        else:
            place = pixels.place(browser_value(key, name), {0: 784, 2: 10})
            assert place is None or (place[0], place[1]) in {(0, place[1]), (2, place[1])}
    assert trainer.jobs()[0] is going
    for waiting in trainer.jobs()[1:]:  # of "again"
        trainer.stop(waiting)
    assert all(0 <= digit < 10 for digit in state.get("confusion_cell") or [])
    if deleted := store.deleted():
        assert deleted in known
        store.restore()


QUERIES: list[dict[str, str]] = [
    {"preset": "fast", "learning_rate": "0.01", "hidden_sizes": "300,100", "epochs": "3", "run": "2026-11-24-101500-best-otter"},
    {"activation": "tanh", "seed": "7", "threads": "1", "dropout": "0.2", "hide": "learning_rate,seed"},
    {"hide": "all", "optimizer": "sgd", "batch_size": "64", "num_validation": "0", "momentum": "0.9"},
]


@inputs
def test_an_address_gives_settings_within_the_limits_and_says_what_is_wrong_as_text(
    seed: int, state: State, trainer: Scheduler
) -> None:
    chance = random.Random(seed)
    query = spoiled(chance, chance.choice(QUERIES))
    query = (
        {str(name): value if isinstance(value, str) else str(value)[:100_000] for name, value in query.items()}
        if isinstance(query, dict)
        else {}
    )
    if chance.random() < 0.02:
        query |= {f"{name}{i}": "x" for name in EVIL_TEXTS[:4] for i in range(2000)}
    for name in list(query):
        query[name] = (
            spoiled_bytes(chance, query[name].encode("utf-8", "replace")).decode("utf-8", "replace")
            if chance.random() < 0.3
            else query[name]
        )
    session.address().clear()
    session.address().update(query)
    with door("addresses").input():
        config, problems = address.settings()
        hidden, more = address.hidden(controls.HIDEABLE)
        assert hidden <= set(controls.HIDEABLE)
        for problem in [*problems, *more]:
            assert not re.search(r"(?<!\\)[<>\[\]$`]", problem)
            assert len(problem) < 1000
        assert max(len(problems), len(more)) <= address.MAX_PROBLEMS + 1
        run = session.watched_run()
        assert run is None or run.id == query["run"]
        if config:
            address.show_settings(config)
            again, _ = address.settings()
            assert again
            assert again.hidden_sizes == config.hidden_sizes


@inputs
def test_a_name_is_kept_as_one_line_of_text_and_no_id_leads_out_of_the_store(
    seed: int, trainer: Scheduler, outside: Path
) -> None:
    chance, store = random.Random(seed), trainer.store
    run = store.path / min(path.name for path in store.path.iterdir() if (path / "config.json").is_file())
    name = chance.choice(EVIL_TEXTS)
    if chance.random() < 0.7:
        name = "".join(
            map(
                chr,
                (
                    chance.choice((chance.randrange(128), chance.randrange(0xD800), chance.randrange(0x110000)))
                    for _ in range(chance.randrange(100))
                ),
            )
        )
    names = set(os.listdir(store.path))
    others = [
        f"../{outside.name}",
        str(outside),
        f"{run.name}/../../{outside.name}",
        f"{run.name}/.",
        "sweeps.db",
        "..",
        run.name + "\0",
    ]
    run_id = name if chance.random() < 0.5 else chance.choice(others)
    with door("names").input():
        if chance.random() < 0.1:
            store.rename(run.name, name)
        kept = store.run(run.name).metadata if chance.random() < 0.1 else read_metadata(run)
        assert kept.name.isprintable()
        assert len(kept.name) <= MAX_NAME
        assert trainer.run(run_id) is None
        for act in (store.run, store.delete, store.state, store.reopen, lambda each: store.rename(each, "x"), store.folder):
            with pytest.raises(RunsError, match="no such run"):
                act(run_id)
    assert set(os.listdir(store.path)) == names
