"""Every door through which something comes that nobody vouches for, with inputs that were made to do harm.

    MNIST_FC_FUZZ=100000 bash tests/run tests/test_hostile.py

sends so many through each door, and says what they cost in memory and time; without the variable it is a short run.
"""

import copy
import io
import itertools
import json
import math
import os
import pickle
import pickletools
import random
import re
import sqlite3
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import streamlit as st
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from mnist_fc.analysis.curves import epoch_curve, gradient_curves, train_curve
from mnist_fc.analysis.diagnosis import diagnose
from mnist_fc.config import FIELDS, PRESETS, ConfigError, TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.drawing.pictures import DrawingError, load_picture
from mnist_fc.drawing.strokes import CANVAS_SIZE, Stroke, canvas_json, render
from mnist_fc.export import script
from mnist_fc.files import ROOT
from mnist_fc.network import checkpoint
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.network.mlp import MLP
from mnist_fc.reading.reader import Reader
from mnist_fc.runs.layout import MAX_NAME, RunsError, read_metadata
from mnist_fc.runs.reader import StoredRun
from mnist_fc.runs.report import report
from mnist_fc.runs.store import RunStore
from mnist_fc.runs.writer import RunFolder
from mnist_fc.server.scheduler import Scheduler
from mnist_fc.sweep.search import sweep
from mnist_fc.sweep.space import Interval, Space, SweepConfig, Values, best_trial, config_of
from mnist_fc.sweep.storage import SweepError, default_storage
from mnist_fc.sweep.study import base_and_space, studies, trials
from mnist_fc.training.engine import train
from mnist_fc.views import controls, timeline
from mnist_fc.views.components import pixels
from mnist_fc.views.components.component import browser_value
from mnist_fc.views.state import address, session, shared
from tests.support.files import WritesAFile
from tests.support.hostile import (
    EVIL_TEXTS,
    EVIL_VALUES,
    Door,
    as_json,
    inputs,
    nested,
    no_more_memory_than,
    spoiled,
    spoiled_bytes,
    spoiled_lines,
    tree,
)
from tests.support.session import State

CONFIG = TrainConfig(hidden_sizes=(8,), num_epochs=2, num_validation=500, threads=1)
APP = str(ROOT / "app.py")
DOORS: dict[str, Door] = {}


@pytest.fixture(scope="module", autouse=True)
def _figures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Say what came of it."""
    with no_more_memory_than(4 * 2**30):
        yield
    capture: Any = request.config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(*("", *DOORS.values()), sep="\n")  # noqa: T201 (the figures are what the run is for)


def door(name: str) -> Door:
    return DOORS.setdefault(name, Door(name))


@pytest.fixture(scope="module")
def views(own_store: None) -> SimpleNamespace:
    """What can be imported only once Streamlit has run the page, for the canvas is a component."""
    assert not AppTest.from_file(APP, default_timeout=300).run().exception
    from mnist_fc.views import drawing, mistakes, runs
    from mnist_fc.views.components import canvas

    return SimpleNamespace(
        Canvas=canvas.Canvas, Press=canvas.Press, FIRST_DRAWING=drawing.FIRST_DRAWING, press=mistakes._press, act=runs._act
    )


@pytest.fixture(scope="module")
def state(views: SimpleNamespace) -> Iterator[State]:
    """The state of a session that has no page."""
    with pytest.MonkeyPatch.context() as patch:
        made = State()
        patch.setattr(st, "session_state", made)
        patch.setattr(st, "query_params", {})
        yield made


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder beside the store that nothing may read or write; what it holds is found in nothing that is said."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "secret.txt").write_text("SECRET")
    (folder / "config.json").write_text(CONFIG.to_json())
    (folder / "metrics.csv").write_text("SECRET")
    checkpoint.save(folder / "model.ckpt", MLP((8,)).state_copy())
    before = tree(folder)
    yield folder
    assert tree(folder) == before


# Messages of the canvas

SENT = [
    canvas_json([Stroke(((90, 80), (190, 80), (130, 220)), 20), Stroke(((115, 150), (175, 150)), 20)]),
    canvas_json([Stroke(tuple((20.0 + i % 7, 30.0 + i) for i in range(200)), 34)]),
]
PRESSED = [
    {"objects": [*SENT[0]["objects"], {"press": "clear"}, *SENT[1]["objects"], {"press": "undo"}]},
    {"objects": [{"open": SENT[0]["objects"]}, {"press": "undo"}]},
]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load()


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


# Messages of the page's own components


@pytest.fixture(scope="module")
def trainer(state: State, records: list[Any]) -> Scheduler:
    """The trainer of a server whose store has a run, and which is busy with another, so that it begins no third."""
    made = shared.scheduler()
    for _ in range(3):
        folder = RunFolder(made.store.path, CONFIG)
        for record in records:
            folder.write(record)
    controls.set_all(PRESETS["fast"])
    state["compared"] = []
    going = made.start(PRESETS["best"].replace(threads=1))
    assert going.wait_for(lambda run: 20 in run.snapshot().kept, 120)
    made.pause(going)
    assert going.wait_until_state("paused", timeout=300)
    return made


@pytest.fixture(scope="module")
def records(small: Mnist) -> list[Any]:
    return list(train(CONFIG, small))


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


# Checkpoints

EVIL_GLOBALS = (
    *(
        "posix system",
        "builtins eval",
        "builtins bytearray",
        "torch.storage UntypedStorage",
        "torch Tensor",
        "torch.nn Parameter",
    ),
    *("torch._utils _rebuild_qtensor", "torch._utils _rebuild_sparse_tensor", "torch._utils _rebuild_wrapper_subclass"),
    *(
        "collections Counter",
        "_codecs encode",
        "torch DoubleStorage",
        "torch Size",
        "builtins set",
        "torch._tensor _rebuild_from_type_v2",
    ),
)


NAMES = ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")
SHAPES = ((8, 784), (8,), (10, 8), (10,))


def saved_state(chance: random.Random) -> bytes:
    """A state dict that is nearly one of a network."""
    state: dict[Any, Any] = {name: torch.full(shape, 0.5) for name, shape in zip(NAMES, SHAPES, strict=True)}
    for _ in range(chance.choice((0, 1, 1, 2))):
        name = chance.choice(NAMES)
        shape = tuple(chance.choice((0, 1, 7, 8, 10, 784, 2048)) for _ in range(chance.randrange(4)))
        shape = shape if math.prod(shape) < 10**6 else (8,)
        dtype = chance.choice(
            (torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.bool, torch.complex64, torch.float8_e5m2)
        )
        match chance.randrange(8):
            case 0:
                state[name] = torch.zeros(shape)
            case 1:
                state[name] = torch.zeros(shape, dtype=dtype)
            case 2:
                state[name] = torch.zeros(1).expand([chance.choice((8, 10, 784, 2048, 10**6)) for _ in shape] or [10**15])
            case 3:
                state[name] = torch.full(SHAPES[NAMES.index(name)], chance.choice((math.inf, -math.inf, math.nan)))
            case 4:
                state[name] = torch.zeros(8, 784).to_sparse() if chance.random() < 0.5 else torch.zeros(shape, device="meta")
            case 5:
                state[chance.choice([*EVIL_TEXTS[4:20], 7, None, ("fc1.weight",), b"x"])] = state.pop(name, torch.zeros(1))
            case 6:
                state[name] = chance.choice([v for v in EVIL_VALUES if not isinstance(v, str) or "\ud800" not in v])
            case 7:
                state[name] = torch.zeros(100_000)[5 : 5 + 8 * 784].view(784, 8).T
    content = io.BytesIO()
    torch.save(state, content)
    return content.getvalue()


def spoiled_pickle(chance: random.Random, content: bytes, evil: bytes) -> bytes:
    """A pickle with some of its operations changed, or with code put in."""
    try:
        starts = [position for *_, position in pickletools.genops(content)]
    except ValueError:
        return spoiled_bytes(chance, content, 100)
    parts = [content[a:b] for a, b in itertools.pairwise([*starts, len(content)])]
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(parts))
        number = chance.choice((0, 1, 7, 9, 784, 10**5, 2**31 - 1, -1, -(2**31)))
        match chance.randrange(9):
            case 0:
                del parts[at]
            case 1:
                parts[at:at] = [parts[at]] * chance.choice((1, 3, 1000))
            case 2:
                parts[at] = parts[chance.randrange(len(parts))]
            case 3:
                parts[at:at] = [b"c" + chance.choice(EVIL_GLOBALS).replace(" ", "\n").encode() + b"\n"]
            case 4:
                parts[at:at] = [evil]
            case 5:
                parts[at] = chance.choice(
                    (b"r\xff\xff\xff\x7f", b"j\xff\xff\xff\x7f", b"\x8e" + b"\xff" * 7 + b"\x7f", b"I" + b"9" * 5000 + b"\n")
                )
            case 6:
                big = chance.choice((10**6, 10**8, 2**31 - 1))
                parts[at:at] = [b"cbuiltins\nbytearray\nJ" + struct.pack("<i", big) + b"\x85R0"]
            case _:
                numbers = [i for i, part in enumerate(parts) if part[:1] in b"KMJ"]
                if numbers:
                    parts[chance.choice(numbers)] = b"J" + struct.pack("<i", number)
        parts = parts or [b"."]
    return b"".join(parts)


def spoiled_zip(chance: random.Random, content: bytes, evil: bytes) -> bytes:
    """A checkpoint whose parts were changed, doubled, renamed, compressed or left out."""
    if not zipfile.is_zipfile(io.BytesIO(content)):  # it was spoiled before
        return spoiled_bytes(chance, content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries: list[Any] = [[entry.filename, archive.read(entry), zipfile.ZIP_STORED] for entry in archive.infolist()]
    for _ in range(chance.choice((1, 1, 2, 3))):
        entry = chance.choice(entries)
        match chance.randrange(8):
            case 0:
                entries.append([entry[0], chance.choice((entry[1], b"", evil, b"\0" * 10**6)), zipfile.ZIP_STORED])
            case 1:
                entries.remove(entry)
                entries = entries or [entry]
            case 2:
                entry[0] = chance.choice(
                    ("archive/data.pkl", "archive/constants.pkl", "ARCHIVE/DATA.PKL", "data.pkl", "../../x", "/etc/x", "a")
                )
            case 3:
                entry[1], entry[2] = entry[1] + b"\0" * chance.choice((0, 10**5, 3 * 10**6)), zipfile.ZIP_DEFLATED
            case 4:
                entry[1] = spoiled_bytes(chance, entry[1])
            case _:
                for one in entries:
                    if one[0].endswith("data.pkl"):
                        one[1] = spoiled_pickle(chance, one[1], evil)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive, warnings.catch_warnings(action="ignore"):
        for name, part, kind in entries:
            info = zipfile.ZipInfo(name)
            info.compress_type = kind
            archive.writestr(info, part)
    return made.getvalue()


def spoiled_checkpoint(chance: random.Random, whole: bytes, evil: bytes) -> bytes:
    match chance.randrange(10):
        case 0:
            return saved_state(chance)
        case 1 | 2 | 3:
            return spoiled_bytes(chance, whole)
        case 4:
            return spoiled_bytes(chance, spoiled_zip(chance, whole, evil))
        case 5:
            return chance.choice(
                (whole + whole, whole[: chance.randrange(len(whole))] + whole, evil, whole + whole[-98:], whole + b"x")
            )
    return spoiled_zip(chance, whole, evil)


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bytes]:
    """A pickle's operations that make a file, which is then not there."""
    path = tmp_path_factory.mktemp("ran") / "ran"
    yield pickle.dumps(WritesAFile(path), protocol=2)[2:-1]
    assert not path.exists()


@pytest.fixture(scope="module")
def whole() -> bytes:
    """A checkpoint as it should be."""
    return checkpoint.to_bytes({name: torch.full(shape, 0.5) for name, shape in zip(NAMES, SHAPES, strict=True)})


@inputs
def test_a_file_is_a_network_within_the_limits_or_is_refused_and_runs_nothing(seed: int, whole: bytes, evil: bytes) -> None:
    chance = random.Random(seed)
    content = spoiled_checkpoint(chance, whole, evil)
    with door("checkpoints").input(CheckpointError):
        model = checkpoint.from_bytes(content, "some.ckpt", "relu")
        FIELDS["hidden_sizes"].check("hidden_sizes", model.hidden_sizes)
        assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
        assert sum(tensor.untyped_storage().nbytes() for tensor in model.state_dict().values()) == 4 * model.num_parameters


# Pictures


def pictures() -> list[bytes]:
    """Real files of every kind that is read, and of every kind of pixel."""
    drawn = render([Stroke(((90, 80), (190, 80), (130, 220)), 20)])
    rgba = Image.fromarray(drawn).resize((70, 60))
    gray = Image.fromarray(255 - np.asarray(rgba)[..., 3])
    made = []
    for form, picture, options in (
        *(("PNG", rgba, {}), ("PNG", gray, {}), ("PNG", gray.convert("1"), {}), ("PNG", gray.convert("P"), {"transparency": 0})),
        ("PNG", Image.fromarray(np.asarray(gray).astype(np.uint16) * 257), {}),
        ("PNG", gray, {"save_all": True, "append_images": [gray.rotate(90)]}),
        *(("JPEG", gray, {}), ("JPEG", gray.convert("CMYK"), {}), ("JPEG", gray.convert("RGB"), {"progressive": True})),
        *(
            ("GIF", gray, {"save_all": True, "append_images": [gray.rotate(90)]}),
            ("BMP", gray, {}),
            ("WEBP", gray.convert("RGB"), {}),
        ),
        *(
            ("TIFF", gray, {}),
            ("TIFF", gray, {"compression": "tiff_lzw"}),
            ("TIFF", gray.convert("RGB"), {"compression": "jpeg"}),
        ),
        *(("MPO", gray, {}), ("PPM", gray, {}), ("ICO", gray, {}), ("EPS", gray, {}), ("JPEG2000", gray, {})),
    ):
        content = io.BytesIO()
        picture.save(content, form, **options)
        made.append(content.getvalue())
    return made


def spoiled_picture(chance: random.Random, content: bytes) -> bytes:
    """A picture with other sizes or another kind of pixel in its header, or with bytes changed."""
    sides = chance.choice(
        ((1, 1), (0, 5), (65535, 65535), (4000, 4000), (50_000, 1000), (2**31 - 1, 1), (2**16, 2**15), (7000, 7000))
    )
    start = content.find(b"\xff\xc0") if b"\xff\xc0" in content else content.find(b"\xff\xc2")
    match chance.randrange(4):
        case 0 if content.startswith(b"\x89PNG"):
            depth, kind = chance.choice(((1, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 3), (16, 4), (8, 6), (16, 6), (3, 9)))
            header = b"IHDR" + struct.pack(">2I5B", *sides, depth, kind, 0, 0, chance.randrange(2))
            return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
        case 0 if content.startswith(b"\xff\xd8") and start > 0:
            height, width = (min(side, 65535) for side in sides)
            return content[: start + 5] + struct.pack(">2H", height, width) + content[start + 9 :]
        case 0 if content.startswith(b"GIF"):
            return content[:6] + struct.pack("<2H", *(min(side, 65535) for side in sides)) + content[10:]
        case 0 if content.startswith(b"BM"):
            return content[:18] + struct.pack("<2i", *sides) + content[26:]
        case 1 if content.startswith(b"\xff\xd8") and b"\xff\xda" in content:
            scan = content[content.index(b"\xff\xda") : -2]
            return content[:-2] + scan * chance.choice((1, 10, 500)) + content[-2:]
    return spoiled_bytes(chance, content, 200)


@pytest.fixture(scope="module")
def picture_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures") / "picture"


PICTURES = pictures()


@inputs
def test_a_file_is_a_picture_that_is_read_or_is_refused(seed: int, picture_path: Path, reader: Reader) -> None:
    chance = random.Random(seed)
    picture_path.write_bytes(spoiled_picture(chance, chance.choice(PICTURES)))
    with door("pictures").input(DrawingError):
        reader.read_number(load_picture(picture_path))


# Addresses

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


# Names


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


# Run folders


@pytest.fixture(scope="module")
def run_files(tmp_path_factory: pytest.TempPathFactory, records: list[Any]) -> dict[str, bytes]:
    """What a run leaves behind, by the names of its files; a state is there, and no end, so that it could go on."""
    folder = RunFolder(tmp_path_factory.mktemp("model") / "runs", CONFIG)
    for record in records[:-1]:
        folder.write(record)
    folder.close()
    return {path.name: path.read_bytes() for path in folder.path.iterdir() if not path.name.startswith("events")}


@pytest.fixture(scope="module")
def other_store(tmp_path_factory: pytest.TempPathFactory, run_files: dict[str, bytes]) -> RunStore:
    """A store with a run from elsewhere."""
    store = RunStore(tmp_path_factory.mktemp("elsewhere") / "runs", 1e9)
    folder = store.path / "2026-01-01-from-elsewhere"
    folder.mkdir(parents=True)
    as_it_was(folder, run_files)
    return store


def spoiled_file(chance: random.Random, name: str, content: bytes, evil: bytes) -> bytes:
    if chance.random() < 0.1:
        return chance.choice(
            (b"", b"\0" * 1000, b"[" * 100_000, b'{"a":' * 5000, b"9" * 70_000, b"," * 200_000, b"1,1,\r\n" * 50_000)
        )
    if name.endswith(".json"):
        text = as_json(spoiled(chance, json.loads(content)))
        return text if chance.random() < 0.8 else spoiled_bytes(chance, text)
    if name.endswith(".csv"):
        return spoiled_lines(chance, content, b",") if chance.random() < 0.8 else spoiled_bytes(chance, content)
    return spoiled_checkpoint(chance, content, evil) if name.endswith(".ckpt") else spoiled_bytes(chance, content)


def put_in_place(chance: random.Random, path: Path, outside: Path) -> None:
    """Something else of that name: a link, a pipe, a folder, a file that is nearly all hole."""
    path.unlink()
    match chance.randrange(6):
        case 0:
            path.symlink_to(outside / chance.choice(("secret.txt", "model.ckpt", "config.json", "none")))
        case 1:
            os.mkfifo(path)
        case 2:
            path.mkdir()
        case 3:
            path.symlink_to(chance.choice(("/dev/zero", "/dev/stdin", "/proc/self/environ", ".", path.name)))
        case 4:
            with path.open("wb") as file:
                file.truncate(10**10)


def as_it_was(folder: Path, files: dict[str, bytes]) -> None:
    """The folder with these files again, and nothing else."""
    for each in folder.iterdir():
        if each.is_symlink() or not each.is_file() or each.name not in files:
            each.rmdir() if each.is_dir() and not each.is_symlink() else each.unlink()
    for name, content in files.items():
        path = folder / name
        if not path.exists() or path.stat().st_size != len(content) or path.read_bytes() != content:
            path.write_bytes(content)


@inputs
def test_a_run_folder_from_elsewhere_is_a_run_or_is_named_and_stays_alone(
    seed: int, other_store: RunStore, run_files: dict[str, bytes], outside: Path, evil: bytes, trainer: Scheduler, whole: bytes
) -> None:
    chance = random.Random(seed)
    folder = other_store.path / "2026-01-01-from-elsewhere"
    spoilt = chance.sample(list(run_files), k=chance.choice((1, 1, 2)))
    for name in spoilt:
        (folder / name).write_bytes(spoiled_file(chance, name, run_files[name], evil))
    if chance.random() < 0.25:
        put_in_place(chance, folder / spoilt[0], outside)
    if chance.random() < 0.05:
        (folder / chance.choice(("step-000007.ckpt", "extra", "events.out"))).symlink_to(outside / "model.ckpt")
    store = RunStore(other_store.path, 1e9)
    own, trainer.store = trainer.store, store
    try:
        with door("run folders").input():
            assert len(store.runs()) + len(store.unreadable()) <= 1
            assert all("SECRET" not in problem and len(problem) < 2000 for problem in store.unreadable())
            trainer.evict(folder.name)
            run = trainer.run(folder.name)
            assert run is None or store.runs()
            if run:
                use(run.snapshot(), store.run(folder.name))
                resume_stored(chance, store, folder.name)
    finally:
        trainer.store = own
        as_it_was(folder, run_files)


def use(run: Any, stored: StoredRun) -> None:
    """All that the page makes of a run."""
    diagnose(run.config, run.learning_rate, run.steps, run.epochs, run.end)
    for what in ("loss", "accuracy"):
        train_curve(run.steps, f"train_{what}")
        train_curve(run.steps, f"train_{what}", "seconds")
        epoch_curve(run.epochs, f"val_{what}")
    if run.steps:
        gradient_curves(run.steps)
    report(stored.id, stored.config, stored.epochs, stored.end)
    script.render_script(run.config)
    for path in list(run.kept.values())[:1]:
        with suppress(CheckpointError, ConfigError):
            checkpoint.load(path)


def resume_stored(chance: random.Random, store: RunStore, run_id: str) -> None:
    with suppress(RunsError):
        store.state(run_id)
        if chance.random() < 0.1:
            store.reopen(run_id)[0].close()


# Studies of sweeps


@pytest.fixture(scope="module")
def storages(tmp_path_factory: pytest.TempPathFactory, small: Mnist) -> tuple[bytes, bytes]:
    """A study in an SQLite file and in a journal."""
    folder = tmp_path_factory.mktemp("sweeps")
    space: Space = {"hidden_sizes": Values(((8,), (16, 8))), "learning_rate": Interval(1e-4, 1e-2)}
    base = TrainConfig(hidden_sizes=(8,), num_epochs=1, num_validation=500, threads=1)
    for address_ in (default_storage(folder), str(folder / "journal.log")):
        assert list(sweep(SweepConfig(base, space, "a study", address_, num_runs=3), small))
    return (folder / "sweeps.db").read_bytes(), (folder / "journal.log").read_bytes()


def spoil_tables(chance: random.Random, path: Path) -> None:
    """Change cells of an SQLite file's tables, or what its tables are."""
    with sqlite3.connect(path) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for _ in range(chance.choice((1, 1, 2))):
            table = chance.choice(tables)
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            if not columns:  # a change before gave it another name
                continue
            value = chance.choice(EVIL_VALUES)
            if (
                isinstance(value, (list, dict))
                or (isinstance(value, str) and "\ud800" in value)
                or (type(value) is int and abs(value) >= 2**63)
            ):
                value = json.dumps(value)[:5000]
            statement = chance.choice(
                (
                    f"UPDATE OR IGNORE {table} SET {chance.choice(columns)} = ?",
                    f"UPDATE OR IGNORE {table} SET {chance.choice(columns)} = ? WHERE rowid = 1",
                    f"DELETE FROM {table} WHERE rowid = 1 OR ? IS NULL",
                    f"ALTER TABLE {table} RENAME TO other",
                    "CREATE VIEW looping AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c",
                )
            )
            try:
                connection.execute(statement, (value,) if "?" in statement else ())
            except sqlite3.Error:
                continue
    connection.close()


@inputs
def test_a_storage_from_elsewhere_has_studies_or_is_refused_in_words(
    seed: int, storages: tuple[bytes, bytes], outside: Path
) -> None:
    chance = random.Random(seed)
    path = outside.parent / f"{outside.name}-storage"
    tables, journal = storages
    is_journal = seed % 100 != 0
    if is_journal:
        lines = journal.split(b"\n")
        for _ in range(chance.choice((1, 1, 2))):
            at = chance.randrange(len(lines) - 1)
            lines[at] = as_json(spoiled(chance, json.loads(lines[at])))
        content = b"\n".join(lines)
        path.write_bytes((content if chance.random() < 0.8 else spoiled_bytes(chance, content))[:200_000])
    else:
        path.write_bytes(tables)
        if chance.random() < 0.7:
            spoil_tables(chance, path)
        else:
            path.write_bytes(spoiled_bytes(chance, tables, 4000))
    place = str(path) if is_journal else f"sqlite:///{path}"
    with door("studies of sweeps").input(SweepError):
        for name in studies(place):
            base, space = base_and_space(place, name)
            found = trials(place, name)
            if first := best_trial(found):
                config_of(base, first)
            assert space


# The largest that is let in


LARGEST: dict[str, tuple[str, str, tuple[int, int], dict[str, Any]]] = {
    "PNG, RGBA": ("PNG", "RGBA", (4000, 2500), {}),
    "PNG, palette": ("PNG", "P", (4000, 2500), {}),
    "PNG, 16 bits": ("PNG", "I;16", (4000, 2500), {}),
    "PNG, long": ("PNG", "L", (1_000_000, 10), {}),
    "JPEG": ("JPEG", "RGB", (8000, 6250), {}),
    "JPEG, progressive": ("JPEG", "RGB", (4000, 2500), {"progressive": True}),
    "WEBP": ("WEBP", "RGB", (2000, 2000), {}),
    "TIFF": ("TIFF", "RGB", (4000, 2500), {"compression": "tiff_lzw"}),
}


@pytest.mark.parametrize("kind", LARGEST)
def test_the_largest_picture_that_is_read_costs_no_more(kind: str, tmp_path: Path, reader: Reader) -> None:
    form, mode, size, options = LARGEST[kind]
    drawn = Image.fromarray(255 - render([Stroke(((90, 80), (190, 80), (130, 220)), 20)])[..., 3]).resize(size)
    picture = Image.fromarray(np.asarray(drawn).astype(np.uint16) * 257) if mode == "I;16" else drawn.convert(mode)
    picture.save(tmp_path / "large", form, **options)
    del drawn, picture
    with door("the largest pictures").input():
        assert reader.read_number(load_picture(tmp_path / "large"))


def test_the_largest_network_that_is_read_costs_no_more(tmp_path: Path) -> None:
    content = checkpoint.to_bytes({name: torch.zeros_like(tensor) for name, tensor in MLP((2048,) * 4).state_dict().items()})
    with door("the largest network").input():
        assert checkpoint.from_bytes(content, "large.ckpt", "relu").hidden_sizes == (2048,) * 4
