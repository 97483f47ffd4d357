"""Hostile checkpoints, pictures, run folders and sweep storages are rejected with an error or read within the limits.

    MNIST_FC_FUZZ=100000 tests/run tests/security/test_hostile_files.py

tries that many inputs of each kind and reports their cost in memory and time. tests/README.md says how to repeat a failure.
"""

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
from mnist_fc.drawing.errors import DrawingError
from mnist_fc.drawing.picture_files import load_picture
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
from mnist_fc.sweep.errors import SweepError
from mnist_fc.sweep.search import sweep
from mnist_fc.sweep.space import Interval, Space, SweepConfig, Values, best_trial, config_of
from mnist_fc.sweep.storage import default_storage
from mnist_fc.sweep.study import base_and_space, studies, trials
from tests.support.hostile import (
    CONFIG,
    EVIL_VALUES,
    as_json,
    boundary,
    for_many_seeds,
    mutated,
    mutated_bytes,
    mutated_lines,
)
from tests.support.hostile_files import mutated_checkpoint, mutated_picture, pictures

pytestmark = pytest.mark.usefixtures("fuzzing")


@for_many_seeds
def test_checkpoint_loads_within_limits_or_is_rejected(seed: int, valid_checkpoint: bytes, evil: bytes) -> None:
    rng = random.Random(seed)
    content = mutated_checkpoint(rng, valid_checkpoint, evil)
    with boundary("checkpoints").input(CheckpointError):
        model = checkpoint.from_bytes(content, "some.ckpt", "relu").model
        FIELDS["hidden_sizes"].check("hidden_sizes", model.hidden_sizes)
        assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
        assert sum(tensor.untyped_storage().nbytes() for tensor in model.state_dict().values()) == 4 * model.num_parameters


@pytest.fixture(scope="module")
def picture_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures") / "picture"


PICTURES = pictures()


@for_many_seeds
def test_picture_is_read_or_rejected(seed: int, picture_path: Path, reader: Reader) -> None:
    rng = random.Random(seed)
    picture_path.write_bytes(mutated_picture(rng, rng.choice(PICTURES)))
    with boundary("pictures").input(DrawingError):
        reader.read_number(load_picture(picture_path))


@pytest.fixture(scope="module")
def run_files(tmp_path_factory: pytest.TempPathFactory, records: list[Any]) -> dict[str, bytes]:
    """Return the files of an unfinished run that can be resumed, by name."""
    folder = RunFolder(tmp_path_factory.mktemp("model") / "runs", CONFIG)
    for record in records[:-1]:
        folder.write(record)
    folder.close()
    return {path.name: path.read_bytes() for path in folder.path.iterdir() if not path.name.startswith("events")}


@pytest.fixture(scope="module")
def other_store(tmp_path_factory: pytest.TempPathFactory, run_files: dict[str, bytes]) -> RunStore:
    """Return a store with one run that was copied from elsewhere."""
    store = RunStore(tmp_path_factory.mktemp("elsewhere") / "runs", 1e9)
    folder = store.path / "2026-01-01-from-elsewhere"
    folder.mkdir(parents=True)
    restore_files(folder, run_files)
    return store


def mutated_file(rng: random.Random, name: str, content: bytes, evil: bytes) -> bytes:
    if rng.random() < 0.1:
        return rng.choice(
            (b"", b"\0" * 1000, b"[" * 100_000, b'{"a":' * 5000, b"9" * 70_000, b"," * 200_000, b"1,1,\r\n" * 50_000)
        )
    if name.endswith(".json"):
        text = as_json(mutated(rng, json.loads(content)))
        return text if rng.random() < 0.8 else mutated_bytes(rng, text)
    if name.endswith(".csv"):
        return mutated_lines(rng, content, b",") if rng.random() < 0.8 else mutated_bytes(rng, content)
    return mutated_checkpoint(rng, content, evil) if name.endswith(".ckpt") else mutated_bytes(rng, content)


def replace_file(rng: random.Random, path: Path, outside: Path) -> None:
    """Replace a file by a link, a pipe, a folder, a sparse file or nothing."""
    path.unlink()
    match rng.randrange(6):
        case 0:
            path.symlink_to(outside / rng.choice(("secret.txt", "model.ckpt", "config.json", "none")))
        case 1:
            os.mkfifo(path)
        case 2:
            path.mkdir()
        case 3:
            path.symlink_to(rng.choice(("/dev/zero", "/dev/stdin", "/proc/self/environ", ".", path.name)))
        case 4:
            with path.open("wb") as file:
                file.truncate(10**10)


def restore_files(folder: Path, files: dict[str, bytes]) -> None:
    """Make the folder contain exactly these files again."""
    for each in folder.iterdir():
        if each.is_symlink() or not each.is_file() or each.name not in files:
            each.rmdir() if each.is_dir() and not each.is_symlink() else each.unlink()
    for name, content in files.items():
        path = folder / name
        if not path.exists() or path.stat().st_size != len(content) or path.read_bytes() != content:
            path.write_bytes(content)


@pytest.mark.slow
@for_many_seeds
def test_foreign_run_folder_is_read_or_reported_unreadable(
    seed: int, other_store: RunStore, run_files: dict[str, bytes], outside: Path, evil: bytes, scheduler: Scheduler
) -> None:
    rng = random.Random(seed)
    folder = other_store.path / "2026-01-01-from-elsewhere"
    changed = rng.sample(list(run_files), k=rng.choice((1, 1, 2)))
    for name in changed:
        (folder / name).write_bytes(mutated_file(rng, name, run_files[name], evil))
    if rng.random() < 0.25:
        replace_file(rng, folder / changed[0], outside)
    if rng.random() < 0.05:
        (folder / rng.choice(("step-000007.ckpt", "extra", "events.out"))).symlink_to(outside / "model.ckpt")
    store = RunStore(other_store.path, 1e9)
    own, scheduler.store = scheduler.store, store
    try:
        with boundary("run folders").input():
            assert len(store.runs()) + len(store.unreadable()) <= 1
            assert all("SECRET" not in problem and len(problem) < 2000 for problem in store.unreadable())
            scheduler.evict(folder.name)
            run = scheduler.run(folder.name)
            assert run is None or store.runs()
            if run:
                use(run.snapshot(), store.run(folder.name))
                resume_stored(rng, store, folder.name)
    finally:
        scheduler.store = own
        restore_files(folder, run_files)


def use(run: Any, stored: StoredRun) -> None:
    """Compute everything that the page shows of a run."""
    diagnose(run.config, run.learning_rate, run.steps, run.epochs, run.end)
    for what in ("loss", "accuracy"):
        train_curve(run.steps, f"train_{what}")
        train_curve(run.steps, f"train_{what}", "seconds")
        epoch_curve(run.epochs, f"val_{what}")
    if run.steps:
        gradient_curves(run.steps)
    report(stored.id, stored.settings, stored.steps, stored.epochs, stored.end)
    script.render_script(run.config)
    for path in list(run.kept.values())[:1]:
        with suppress(CheckpointError, ConfigError):
            checkpoint.load(path)


def resume_stored(rng: random.Random, store: RunStore, run_id: str) -> None:
    with suppress(RunsError):
        store.state(run_id)
        if rng.random() < 0.1:
            store.reopen(run_id)[0].close()


@pytest.fixture(scope="module")
def storages(tmp_path_factory: pytest.TempPathFactory, small: Mnist) -> tuple[bytes, bytes]:
    """Return a study as an SQLite file and as a journal."""
    folder = tmp_path_factory.mktemp("sweeps")
    space: Space = {"hidden_sizes": Values(((8,), (16, 8))), "learning_rate": Interval(1e-4, 1e-2)}
    base = TrainConfig(hidden_sizes=(8,), num_epochs=1, num_validation=500, threads=1)
    for address_ in (default_storage(folder), str(folder / "journal.log")):
        assert list(sweep(SweepConfig(base, space, "a study", address_, num_runs=3), small))
    return (folder / "sweeps.db").read_bytes(), (folder / "journal.log").read_bytes()


def mutate_tables(rng: random.Random, path: Path) -> None:
    """Change cells or definitions of tables in an SQLite file."""
    with sqlite3.connect(path) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for _ in range(rng.choice((1, 1, 2))):
            table = rng.choice(tables)
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            if not columns:  # renamed by an earlier mutation
                continue
            value = rng.choice(EVIL_VALUES)
            if (
                isinstance(value, (list, dict))
                or (isinstance(value, str) and "\ud800" in value)
                or (type(value) is int and abs(value) >= 2**63)
            ):
                value = json.dumps(value)[:5000]
            statement = rng.choice(
                (
                    f"UPDATE OR IGNORE {table} SET {rng.choice(columns)} = ?",
                    f"UPDATE OR IGNORE {table} SET {rng.choice(columns)} = ? WHERE rowid = 1",
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


@for_many_seeds
def test_foreign_sweep_storage_is_read_or_rejected(seed: int, storages: tuple[bytes, bytes], outside: Path) -> None:
    rng = random.Random(seed)
    path = outside.parent / f"{outside.name}-storage"
    tables, journal = storages
    is_journal = seed % 100 != 0
    if is_journal:
        lines = journal.split(b"\n")
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(len(lines) - 1)
            lines[at] = as_json(mutated(rng, json.loads(lines[at])))
        content = b"\n".join(lines)
        path.write_bytes((content if rng.random() < 0.8 else mutated_bytes(rng, content))[:200_000])
    else:
        path.write_bytes(tables)
        if rng.random() < 0.7:
            mutate_tables(rng, path)
        else:
            path.write_bytes(mutated_bytes(rng, tables, 4000))
    place = str(path) if is_journal else f"sqlite:///{path}"
    with boundary("studies of sweeps").input(SweepError):
        for name in studies(place):
            base, space = base_and_space(place, name)
            found = trials(place, name)
            if first := best_trial(found):
                config_of(base, first)
            assert space


LARGEST: dict[str, tuple[str, str, tuple[int, int], dict[str, Any]]] = {
    "PNG, RGBA": ("PNG", "RGBA", (5000, 3700), {}),
    "PNG, palette": ("PNG", "P", (8000, 9000), {}),
    "PNG, 16 bits": ("PNG", "I;16", (6000, 6000), {}),
    "PNG, long": ("PNG", "P", (8_000_000, 10), {}),
    "JPEG": ("JPEG", "RGB", (13_000, 13_000), {}),
    "JPEG, progressive": ("JPEG", "RGB", (4032, 3024), {"progressive": True, "subsampling": 0}),
    "WEBP": ("WEBP", "RGB", (4032, 3024), {}),
    "WEBP, transparent": ("WEBP", "RGBA", (3500, 2600), {"method": 0}),
    "WEBP, lossless": ("WEBP", "RGBA", (3500, 2600), {"lossless": True, "method": 0, "quality": 0}),
    "AVIF": ("AVIF", "RGB", (3500, 2600), {"speed": 10}),
    "TIFF": ("TIFF", "RGB", (4032, 3024), {"compression": "tiff_lzw"}),
    "TIFF, one strip": ("TIFF", "RGB", (4032, 3024), {"compression": "tiff_lzw", "strip_size": 2**30}),
}


ALWAYS = ("PNG, RGBA", "JPEG, progressive", "WEBP", "TIFF, one strip")


@pytest.mark.integration
@pytest.mark.parametrize("kind", [kind if kind in ALWAYS else pytest.param(kind, marks=pytest.mark.slow) for kind in LARGEST])
def test_largest_allowed_picture_stays_within_memory_limit(kind: str, tmp_path: Path, reader: Reader) -> None:
    form, mode, size, options = LARGEST[kind]
    drawn = Image.fromarray(255 - render([Stroke(((90, 80), (190, 80), (130, 220)), 20)])[..., 3]).resize(size)
    picture = Image.fromarray(np.asarray(drawn).astype(np.uint16) * 257) if mode == "I;16" else drawn.convert(mode)
    if mode == "RGBA":
        picture.putalpha(drawn)
    picture.save(tmp_path / "large", form, **options)
    del drawn, picture
    with boundary("the largest pictures").input():
        assert reader.read_number(load_picture(tmp_path / "large"))


def test_largest_allowed_network_stays_within_memory_limit(tmp_path: Path) -> None:
    content = checkpoint.to_bytes({name: torch.zeros_like(tensor) for name, tensor in MLP((2048,) * 4).state_dict().items()})
    with boundary("the largest network").input():
        assert checkpoint.from_bytes(content, "large.ckpt", "relu").model.hidden_sizes == (2048,) * 4
