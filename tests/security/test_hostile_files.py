"""Hostile checkpoints, pictures, run folders and studies of sweeps."""

import json
import os
import random
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mnist_fc.analysis.curves import epoch_curve, gradient_curves, train_curve
from mnist_fc.analysis.diagnosis import diagnose
from mnist_fc.config import FIELDS, ConfigError, TrainConfig
from mnist_fc.data.mnist import Mnist
from mnist_fc.drawing.pictures import DrawingError, load_picture
from mnist_fc.drawing.strokes import Stroke, render
from mnist_fc.export import script
from mnist_fc.network import checkpoint
from mnist_fc.network.checkpoint import CheckpointError
from mnist_fc.network.mlp import MLP
from mnist_fc.reading.reader import Reader
from mnist_fc.runs.layout import RunsError
from mnist_fc.runs.reader import StoredRun
from mnist_fc.runs.report import report
from mnist_fc.runs.store import RunStore
from mnist_fc.runs.writer import RunFolder
from mnist_fc.server.scheduler import Scheduler
from mnist_fc.sweep.search import sweep
from mnist_fc.sweep.space import Interval, Space, SweepConfig, Values, best, config_of
from mnist_fc.sweep.storage import SweepError, default_storage
from mnist_fc.sweep.study import base_and_space, studies, trials
from tests.support.hostile import (
    CONFIG,
    EVIL_VALUES,
    as_json,
    door,
    inputs,
    spoiled,
    spoiled_bytes,
    spoiled_lines,
)
from tests.support.hostile_files import pictures, spoiled_checkpoint, spoiled_picture

pytestmark = pytest.mark.usefixtures("figures")


@inputs
def test_a_file_is_a_network_within_the_limits_or_is_refused_and_runs_nothing(seed: int, whole: bytes, evil: bytes) -> None:
    chance = random.Random(seed)
    content = spoiled_checkpoint(chance, whole, evil)
    with door("checkpoints").input(CheckpointError):
        model = checkpoint.from_bytes(content, "some.ckpt", "relu")
        FIELDS["hidden_sizes"].check("hidden_sizes", model.hidden_sizes)
        assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
        assert sum(tensor.untyped_storage().nbytes() for tensor in model.state_dict().values()) == 4 * model.num_parameters


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
    script.script(run.config)
    for path in list(run.kept.values())[:1]:
        with suppress(CheckpointError, ConfigError):
            checkpoint.load(path)


def resume_stored(chance: random.Random, store: RunStore, run_id: str) -> None:
    with suppress(RunsError):
        store.state(run_id)
        if chance.random() < 0.1:
            store.reopen(run_id)[0].close()


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
            if first := best(found):
                config_of(base, first)
            assert space


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
