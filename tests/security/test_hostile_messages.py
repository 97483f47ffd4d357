"""Hostile messages from the canvas and the page's components, addresses and run names are rejected with an error."""

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
    boundary,
    for_many_seeds,
    mutated,
    mutated_bytes,
    nested,
)
from tests.support.session import State

pytestmark = pytest.mark.usefixtures("fuzzing")

SENT = [
    canvas_json([Stroke(((90, 80), (190, 80), (130, 220)), 20), Stroke(((115, 150), (175, 150)), 20)]),
    canvas_json([Stroke(tuple((20.0 + i % 7, 30.0 + i) for i in range(200)), 34)]),
]

PRESSED = [
    {"objects": [*SENT[0]["objects"], {"press": "clear"}, *SENT[1]["objects"], {"press": "undo"}]},
    {"objects": [{"open": SENT[0]["objects"]}, {"press": "undo"}]},
]


@pytest.mark.integration
@for_many_seeds
def test_canvas_message_is_drawn_or_rejected(seed: int, state: State, views: SimpleNamespace, reader: Reader) -> None:
    rng = random.Random(seed)
    canvas = views.Canvas(
        "canvas", {"clear": views.Press("clear", views.Canvas.clear), "undo": views.Press("undo", views.Canvas.undo)}
    )
    known = state["canvas_state"]
    raw = copy.deepcopy(rng.choice([views.FIRST_DRAWING, *SENT, *PRESSED]))
    envelope = {"session": known["session"], "first": known["done"] + 1, "data": "data:image/png;base64,AAAA"}
    is_about_envelope = rng.random() < 0.1
    message = mutated(rng, {"drawing": {**envelope, "raw": raw}} if is_about_envelope else raw)
    state["canvas_component"] = message if is_about_envelope else {"drawing": {**envelope, "raw": message}}
    with boundary("canvas messages").input():
        canvas.receive()
        assert canvas.drawing.shape == (CANVAS_SIZE, CANVAS_SIZE, 4)
        canvas_json(canvas.strokes)
        if canvas.problem is None:
            assert 1 <= len(reader.read_number(canvas.drawing)) <= 12
        assert canvas.problem is None or (canvas.problem.isprintable() and len(canvas.problem) < 200)


def test_too_deeply_nested_canvas_message_is_rejected(state: State, views: SimpleNamespace) -> None:
    for _ in range(2):
        state["canvas_component"] = {"drawing": {"raw": nested(5000)}}
        canvas = views.Canvas("canvas")
        canvas.receive()
        assert canvas.problem == "The canvas sent something that is not a drawing"


@for_many_seeds
def test_forged_component_message_changes_nothing_else(
    seed: int, state: State, views: SimpleNamespace, scheduler: Scheduler
) -> None:
    rng, store = random.Random(seed), scheduler.store
    (going,) = scheduler.jobs()
    known = state.setdefault("known_runs", [run.id for run in store.runs()] if "known_runs" not in state else [])
    session.set_address("run", rng.choice([*known, "none"]))
    whats = ["show", "pin", "rename", "delete", "open", "use", "again", "undelete"]
    values = [None, True, False, 0, "a name", *EVIL_TEXTS]
    act = {"what": rng.choice(whats), "run": rng.choice(known), "value": rng.choice(values)}
    name, key, value, called = rng.choice(
        [
            ("act", "runs_table", act, views.act),
            ("moment", "timeline_slider", {"step": rng.choice([0, 5, 20, -1, 10**9]), "turn": 3}, timeline._choose),
            ("use", "timeline_slider", rng.choice(known), timeline._use),
            ("cell", "confusion_matrix", [rng.randrange(10), rng.randrange(10)], views.press),
            ("clicked", "some_pictures", [rng.randrange(3), rng.randrange(784)], None),
        ]
    )
    sent = mutated(rng, {name: value}) if rng.random() < 0.2 else {name: mutated(rng, value)}
    state[key] = rng.choice(EVIL_VALUES) if rng.random() < 0.02 else sent
    with boundary("messages of components").input():
        if called:
            called()
        else:
            place = pixels.clicked_pixel(browser_value(key, name), {0: 784, 2: 10})
            assert place is None or (place[0], place[1]) in {(0, place[1]), (2, place[1])}
    assert scheduler.jobs()[0] is going
    for waiting in scheduler.jobs()[1:]:  # of "again"
        scheduler.stop(waiting)
    assert all(0 <= digit < 10 for digit in state.get("confusion_cell") or [])
    for deleted in store.deleted():
        assert deleted.id in known
        store.restore(deleted.id)


QUERIES: list[dict[str, str]] = [
    {"preset": "fast", "learning_rate": "0.01", "hidden_sizes": "300,100", "epochs": "3", "run": "2026-11-24-101500-best-otter"},
    {"activation": "tanh", "seed": "7", "threads": "1", "dropout": "0.2", "hide": "learning_rate,seed"},
    {"hide": "all", "optimizer": "sgd", "batch_size": "64", "num_validation": "0", "momentum": "0.9"},
]


@for_many_seeds
def test_address_yields_valid_settings_or_plain_text_errors(seed: int, state: State, scheduler: Scheduler) -> None:
    rng = random.Random(seed)
    query = mutated(rng, rng.choice(QUERIES))
    query = (
        {str(name): value if isinstance(value, str) else str(value)[:100_000] for name, value in query.items()}
        if isinstance(query, dict)
        else {}
    )
    if rng.random() < 0.02:
        query |= {f"{name}{i}": "x" for name in EVIL_TEXTS[:4] for i in range(2000)}
    for name in list(query):
        query[name] = (
            mutated_bytes(rng, query[name].encode("utf-8", "replace")).decode("utf-8", "replace")
            if rng.random() < 0.3
            else query[name]
        )
    session.address().clear()
    session.address().update(query)
    with boundary("addresses").input():
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


@for_many_seeds
def test_names_are_one_line_and_ids_stay_inside_store(seed: int, scheduler: Scheduler, outside: Path) -> None:
    rng, store = random.Random(seed), scheduler.store
    run = store.path / min(path.name for path in store.path.iterdir() if (path / "config.json").is_file())
    name = rng.choice(EVIL_TEXTS)
    if rng.random() < 0.7:
        name = "".join(
            map(
                chr,
                (
                    rng.choice((rng.randrange(128), rng.randrange(0xD800), rng.randrange(0x110000)))
                    for _ in range(rng.randrange(100))
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
    run_id = name if rng.random() < 0.5 else rng.choice(others)
    with boundary("names").input():
        if rng.random() < 0.1:
            store.rename(run.name, name)
        kept = store.run(run.name).metadata if rng.random() < 0.1 else read_metadata(run)
        assert kept.name.isprintable()
        assert len(kept.name) <= MAX_NAME
        assert scheduler.run(run_id) is None
        for act in (store.run, store.delete, store.state, store.reopen, lambda each: store.rename(each, "x"), store.folder):
            with pytest.raises(RunsError, match="no such run"):
                act(run_id)
    assert set(os.listdir(store.path)) == names
