"""The store of runs: a folder of run folders, of limited total size. The oldest runs that are not pinned are evicted first.

Deleted runs stay in .deleted until the next run begins, so that they can be restored.
"""

import errno
import os
import re
import secrets
import shutil
import stat
import threading
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mnist_fc.config import TrainConfig, comma_hint, to_number
from mnist_fc.data.lesson import Lesson
from mnist_fc.files import named_path, reason
from mnist_fc.network.checkpoint import CONFIG_NAME
from mnist_fc.runs.layout import MAX_NUMBER, RunsError, bytes_of, bytes_on_disk, fingerprint, read_metadata, write_metadata
from mnist_fc.runs.lock import is_locked
from mnist_fc.runs.reader import StoredRun, read_run, read_state
from mnist_fc.runs.writer import RunFolder, new_id

RUNS_VARIABLE = "MNIST_FC_RUNS"
LIMIT_VARIABLE = "MNIST_FC_RUNS_GB"
DEFAULT_LIMIT_GB = 2.0
DELETED_NAME = ".deleted"
REMOVED_PREFIX = ".removed-"
REMOVED_MARK = ".removed"
"""A file in what is left of a run that could not be renamed before it was removed."""
NO_RENAMES = (errno.EPERM, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
"""Errors of mounts that rename no folders, as some of cloud storage."""


def runs_dir(path: str | Path | None = None) -> Path:
    """Return `path`, falling back to the environment variable MNIST_FC_RUNS, then to runs/ in the working folder."""
    return Path(path or named_path(os.environ.get(RUNS_VARIABLE) or "runs"))


def limit_bytes() -> float:
    """Return the store's limit by the environment variable MNIST_FC_RUNS_GB, or the default. Raises RunsError."""
    text = os.environ.get(LIMIT_VARIABLE) or str(DEFAULT_LIMIT_GB)
    limit = to_number(text)
    if not isinstance(limit, (int, float)) or not limit > 0:
        raise RunsError(f"{LIMIT_VARIABLE} is {text!r}; it must be a number of gigabytes above 0{comma_hint(text)}")
    return float(min(limit, 1e9)) * 1e9  # as good as no limit, and not too large for a float


@dataclass(frozen=True)
class EvictionPlan:
    """The runs to remove before a run can be written, and the space that it then has."""

    to_remove: tuple[StoredRun, ...]
    """The oldest runs that are neither pinned nor running."""
    max_bytes: float
    """The space for the run after that."""


class RunStore:
    """All runs in one folder. Methods may be called from any thread; they raise RunsError when something cannot be done."""

    def __init__(self, path: Path, limit: float | None = None) -> None:
        self.path = path
        self.limit = limit_bytes() if limit is None else limit
        self._lock = threading.RLock()
        self._known: dict[Path, dict[Path, tuple[object, StoredRun | RunsError]]] = {}
        """The runs as they were last read, by folder and path."""

    def new_id(self, config: TrainConfig, taken: Container[str] = (), kind: str = "") -> str:
        """Return an id for a run that starts later: neither a folder here nor one of those `taken`; see writer.new_id."""
        while (run_id := new_id(config, kind)) in taken or os.path.exists(self.path / run_id):  # false if it cannot be told
            pass
        return run_id

    def create(self, config: TrainConfig, added: str = "", run_id: str | None = None, lesson: Lesson | None = None) -> RunFolder:
        """Start a run, after removing what `plan_eviction` lists and the deleted run; see RunFolder for the rest."""
        with self._lock:
            plan = self.plan_eviction(config)
            for path in [*(run.path for run in plan.to_remove), self.path / DELETED_NAME]:
                self._remove(path)
            number = min(1 + max((run.metadata.number for run in self.runs()), default=0), MAX_NUMBER)
            return RunFolder(self.path, config, run_id, added=added, number=number, max_bytes=plan.max_bytes, lesson=lesson)

    def reopen(self, run_id: str) -> tuple[RunFolder, dict[str, np.ndarray] | None]:
        """Resume a run; see RunFolder.reopen."""
        path = self.folder(run_id)
        others = self._num_other_bytes() + sum(reserved_bytes(run) for run in self.runs() if run.id != run_id)
        return RunFolder.reopen(path, max_bytes=self.limit - others)

    def state(self, run_id: str) -> dict[str, np.ndarray] | None:
        """Return the state that a run can resume from, or None for its start."""
        return read_state(self.folder(run_id), self.run(run_id).config)

    def plan_eviction(self, *configs: TrainConfig) -> EvictionPlan:
        """Plan what to remove so that runs with these settings fit. Raises RunsError if too much is pinned or running."""
        runs = self.runs()
        total = self._num_other_bytes() + sum(map(reserved_bytes, runs))
        needed = min(sum(map(bytes_of, configs)), self.limit)
        to_remove = []
        for run in reversed(runs):
            if total + needed > self.limit and not run.metadata.is_pinned and not is_locked(run.path):
                to_remove.append(run)
                total -= reserved_bytes(run)
        if self.limit - total < min(needed, self.limit / 20):
            raise RunsError(
                f"the store {self.path} is full: pinned and running runs take {total / 1e9:.2f} of its "
                f"{self.limit / 1e9:g} GB; unpin or delete some, or allow more with {LIMIT_VARIABLE}"
            )
        return EvictionPlan(tuple(to_remove), self.limit - total)

    def runs(self) -> list[StoredRun]:
        """Return all readable runs, newest first, without their steps."""
        return [run for run in self._all(self.path) if isinstance(run, StoredRun)]

    def unreadable(self) -> list[str]:
        """Return what is wrong with each of the other runs."""
        return [str(run) for run in self._all(self.path) if isinstance(run, RunsError)]

    def run(self, run_id: str) -> StoredRun:
        """Return a run with its steps."""
        return read_run(self.folder(run_id))

    def folder(self, run_id: str) -> Path:
        """Return the folder of a run. The id may come from an address, so it is not trusted."""
        if not _is_run(self.path / run_id, run_id):
            raise RunsError("there is no such run in the store")
        return self.path / run_id

    def rename(self, run_id: str, name: str) -> None:
        """Rename a run; an empty name stands for the folder's name."""
        self._change(run_id, name=name)

    def pin(self, run_id: str, is_pinned: bool) -> None:
        """Protect a run from eviction, or end its protection."""
        self._change(run_id, is_pinned=is_pinned)

    def delete(self, run_id: str) -> None:
        """Move a run to .deleted, where `restore` finds it until the next run begins."""
        with self._lock:
            path = self.folder(run_id)
            if is_locked(path):
                raise RunsError(f"the run {run_id} is running; stop it first")
            folder = self.path / DELETED_NAME
            if folder.is_symlink() or not folder.is_dir():
                self._remove(folder)
            try:
                folder.mkdir(exist_ok=True)
                self._remove(folder / run_id)  # a run may have got the id of one that was deleted in the same second
                path.rename(folder / run_id)
            except OSError as error:
                raise RunsError(f"the run {run_id} cannot be deleted: {reason(error)}") from None

    def deleted(self) -> list[StoredRun]:
        """Return the deleted runs that can be restored, newest first, without their steps."""
        folder = self.path / DELETED_NAME
        return [] if folder.is_symlink() else [run for run in self._all(folder) if isinstance(run, StoredRun)]

    def restore(self, run_id: str) -> None:
        """Restore a run that was deleted since the last run began."""
        with self._lock:
            folder = self.path / DELETED_NAME
            if folder.is_symlink() or not _is_run(folder / run_id, run_id):
                raise RunsError("the deleted run is gone: another run has begun since")
            try:
                (folder / run_id).rename(self.path / run_id)
            except OSError as error:
                raise RunsError(f"the run {run_id} cannot be restored: {reason(error)}") from None

    def _change(self, run_id: str, **changes: Any) -> None:
        with self._lock:
            path = self.folder(run_id)
            write_metadata(path, replace(read_metadata(path), **changes))

    def _num_other_bytes(self) -> int:
        """Return the bytes of the files beside runs: studies of sweeps."""
        num_bytes = 0
        for path in self.path.glob("*"):
            with suppress(OSError):  # the journal of a database comes and goes
                found = path.lstat()
                num_bytes += bytes_on_disk(found) if stat.S_ISREG(found.st_mode) else 0
        return num_bytes

    def _all(self, folder: Path) -> list[StoredRun | RunsError]:
        """Return every run in `folder` or what is wrong with it, newest first. Only runs that have changed are read again."""
        with self._lock:
            known, now = self._known.get(folder, {}), {}
            for path in folder.glob("*"):
                if _is_run(path, path.name):
                    stamp = fingerprint(path)
                    now[path] = known[path] if path in known and known[path][0] == stamp else (stamp, _read(path))
            self._known[folder] = now
            newest_first = sorted(now.items(), key=lambda item: (_number(item[1][1]), item[0].name), reverse=True)
            return [run for _, (_, run) in newest_first]

    def _remove(self, path: Path) -> None:
        """Remove a folder for good. What a killed process leaves of it is not a run, and is removed the next time."""
        try:
            with suppress(FileNotFoundError, NotADirectoryError):  # another process was first, or it never existed
                try:
                    path.rename(self.path / f"{REMOVED_PREFIX}{secrets.token_hex(8)}")
                except OSError as error:
                    if os.name == "nt" or error.errno not in NO_RENAMES:
                        raise
                    _remove_in_place(path)
            for removed in self.path.glob(f"{REMOVED_PREFIX}*"):
                if removed.is_symlink():
                    removed.unlink()
                else:
                    shutil.rmtree(removed, ignore_errors=True)
            for mark in self.path.glob(f"*/{REMOVED_MARK}"):
                shutil.rmtree(mark.parent, ignore_errors=True)
        except OSError as error:
            raise RunsError(f"{path} cannot be removed: {reason(error)}") from None


def _remove_in_place(path: Path) -> None:
    """Remove a run, or the folder of deleted runs, where it is. Raises OSError.

    A mark takes the place of each config first: what a killed process leaves is then not a run, and is known to be removed.
    """
    if path.is_symlink():
        path.unlink()
        return
    for config in (path / CONFIG_NAME, *path.glob(f"*/{CONFIG_NAME}")):
        with suppress(FileNotFoundError):
            config.replace(config.with_name(REMOVED_MARK))
    shutil.rmtree(path)


def _is_run(path: Path, name: str) -> bool:
    return bool(re.fullmatch(r"\w[\w.-]{0,120}", name, re.ASCII)) and not path.is_symlink() and os.path.isfile(path / CONFIG_NAME)


def reserved_bytes(run: StoredRun) -> int:
    """Return the bytes that a run takes, or will take when it is done."""
    is_running = run.end is None and is_locked(run.path)
    return max(run.num_bytes, bytes_of(run.config)) if is_running else run.num_bytes


def _number(run: StoredRun | RunsError) -> int:
    return run.metadata.number if isinstance(run, StoredRun) else 0


def _read(path: Path) -> StoredRun | RunsError:
    try:
        return read_run(path, with_steps=False)
    except RunsError as error:
        return error
