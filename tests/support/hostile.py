"""Fuzzing helpers: run a test for many seeds, bound the cost of each input, and mutate valid inputs.

Each input is a valid one with random changes. The seed alone determines it, so a failure can be repeated by its seed.
"""

import copy
import functools
import inspect
import json
import math
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_fc.config import TrainConfig

NUM_INPUTS = int(os.environ.get("MNIST_FC_FUZZ") or 50)  # read at import, since tests run without these variables
FIRST_SEED = int(os.environ.get("MNIST_FC_FUZZ_SEED") or 0)
MAX_MB = 100
CONFIG = TrainConfig(hidden_sizes=(8,), num_epochs=2, num_validation=500, threads=1)

EVIL_TEXTS = (
    *(
        "",
        " ",
        "\0",
        "x\0y",
        "../..",
        "/etc/passwd",
        "..\\..\\x",
        "CON",
        ".deleted",
        ".lock",
        "a" * 5000,
        "\ud800",
        "\u202e",
        "\x1b[31m",
    ),
    *(
        "<img src=x onerror=alert(1)>",
        "</script><script>alert(1)</script>",
        "[x](javascript:alert(1))",
        "![x](http://x)",
        "$x$ :red[x]",
    ),
    *("1e999", "-1", "nan", "9" * 5000, "1" * 300, "٣", "0x10", "1_000", "%s%n", "{0}", "=1+1", "fast", "all", "true"),
)
EVIL_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 10**400, 1e-320, 1e308, -1e308, math.inf, -math.inf, math.nan),
    *([], {}, [[]], [None], {"": None}, *EVIL_TEXTS),
)
EVIL_BYTES = (
    b"\0" * 8,
    b"\xff" * 8,
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"PK\5\6",
    b"PK\1\2",
    b"PK\3\4",
    b"\r\n",
    b",",
    b'"',
    b"[" * 2000,
)


def for_many_seeds(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test for NUM_INPUTS seeds, its first argument; a failure names its seed and how to repeat it."""

    def for_each_seed(**fixtures: Any) -> None:
        for seed in range(FIRST_SEED, FIRST_SEED + NUM_INPUTS):
            try:
                test(seed, **fixtures)
            except BaseException as error:
                error.add_note(f"seed {seed}: MNIST_FC_FUZZ=1 MNIST_FC_FUZZ_SEED={seed} repeats it")
                raise

    functools.update_wrapper(for_each_seed, test)
    _, *fixtures = inspect.signature(test).parameters.values()
    for_each_seed.__signature__ = inspect.Signature(fixtures)  # type: ignore[attr-defined]
    return for_each_seed


@dataclass
class Boundary:
    """A place where untrusted inputs enter the program, and what they have cost so far."""

    name: str
    num_inputs: int = 0
    num_rejected: int = 0
    peak_mb: float = 0.0
    max_seconds: float = 0.0

    @contextmanager
    def input(self, *errors: type[Exception]) -> Iterator[None]:
        """Count one input. It may raise only `errors`, and increase the peak memory by at most MAX_MB.

        Processor time is reported but not checked, since it depends on the machine.
        """
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before, started = _memory_kb("VmRSS"), time.process_time()
        try:
            yield
        except errors:
            self.num_rejected += 1
        seconds = time.process_time() - started
        megabytes = (_memory_kb("VmHWM") - before) / 1000
        self.num_inputs += 1
        self.peak_mb, self.max_seconds = max(self.peak_mb, megabytes), max(self.max_seconds, seconds)
        assert megabytes <= MAX_MB, f"one input took {megabytes:.0f} MB"

    def __str__(self) -> str:
        rejected = self.num_rejected / max(1, self.num_inputs)
        cost = f"at most {self.peak_mb:.0f} MB and {self.max_seconds:.2f} s"
        return f"{self.name}: {self.num_inputs:,} inputs, {rejected:.0%} rejected, {cost}"


BOUNDARIES: dict[str, Boundary] = {}


def boundary(name: str) -> Boundary:
    """Return the boundary of that name, created on first use."""
    return BOUNDARIES.setdefault(name, Boundary(name))


def _memory_kb(what: str) -> int:
    match = re.search(rf"{what}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert match
    return int(match[1])


@contextmanager
def memory_limit(num_bytes: int) -> Iterator[None]:
    """Limit this process to `num_bytes` more memory than it has, so that a huge allocation fails instead of the machine."""
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (1000 * _memory_kb("VmData") + num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def tree(path: Path) -> dict[str, tuple[int, int, bytes | None]]:
    """Return modification time, size and content of everything below a folder, by path."""
    return {
        str(each): (each.lstat().st_mtime_ns, each.lstat().st_size, each.read_bytes() if each.is_file() else None)
        for each in sorted(path.rglob("*"))
    }


# Values as of JSON


def mutated(rng: random.Random, value: Any) -> Any:
    """Return a copy with one to three of its parts replaced."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = _mutated_once(rng, value)
    return value


def _mutated_once(rng: random.Random, value: Any) -> Any:
    if isinstance(value, (list, dict)) and value and rng.random() < 0.85:
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        match rng.randrange(12):
            case 0:
                del value[key]
            case 1 if isinstance(value, list):
                value[key:key] = [value[key]] * rng.choice((1, 2, 10, 600))
            case 2 if isinstance(value, list):
                rng.shuffle(value)
            case 3 if isinstance(value, dict):
                value[rng.choice(EVIL_TEXTS)] = value[key]
            case _:
                value[key] = _mutated_once(rng, value[key])
        return value
    match rng.randrange(8):
        case 0:
            return [value] * rng.choice((0, 1, 2, 1000))
        case 1:
            return {rng.choice(EVIL_TEXTS): value}
        case 2:
            return nested(rng.choice((3, 30, 120)), value)
        case 3 if isinstance(value, float) and math.isfinite(value):
            return value * rng.choice((-1, 1e-9, 3.7, 1e9, 1e300))
        case 3 if type(value) is int:
            return value * rng.choice((-1, 3, 10**9, 10**300))
    return copy.deepcopy(rng.choice(EVIL_VALUES))  # a copy, since a later mutation may change it


def as_json(value: Any) -> bytes:
    """Return the value as JSON; deeply nested brackets if it is too deep to encode."""
    try:
        return json.dumps(value).encode()
    except RecursionError:
        return b"[" * 2000 + b"]" * 2000


def nested(depth: int, value: Any = None) -> Any:
    """Return `value` inside `depth` nested lists."""
    for _ in range(depth):
        value = [value]
    return value


# Bytes


def mutated_bytes(rng: random.Random, content: bytes, ends: int = 900) -> bytes:
    """Return a copy with bytes changed, removed, doubled or inserted, mostly within `ends` bytes of its start or end."""
    made = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        length = max(1, len(made))
        at = rng.choice((rng.randrange(length), rng.randrange(min(ends, length)), max(0, length - 1 - rng.randrange(ends))))
        match rng.randrange(8):
            case 0:
                made[at : at + rng.choice((1, 2, 16, 400))] = b""
            case 1:
                made[at:at] = made[at : at + rng.choice((1, 4, 64, 1000))] * rng.choice((1, 2, 50))
            case 2:
                evil = rng.choice(EVIL_BYTES)
                made[at : at + len(evil) * rng.randrange(2)] = evil
            case 3 if rng.random() < 0.3:
                del made[at:]
            case 4:
                made[at : at + 1] = bytes([made[at] ^ 1 << rng.randrange(8)]) if at < len(made) else b""
            case _:
                made[at : at + 1] = bytes([rng.randrange(256)])
    return bytes(made)


def mutated_lines(rng: random.Random, content: bytes, separator: bytes, evil: Sequence[str] = EVIL_TEXTS) -> bytes:
    """Return lines of cells with cells or whole lines changed."""
    lines = content.split(b"\r\n")
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(lines))
        cells = lines[at].split(separator)
        match rng.randrange(6):
            case 0:
                lines[at:at] = [lines[at]] * rng.choice((1, 3, 2000))
            case 1:
                del lines[at]
            case 2:
                cells.insert(rng.randrange(len(cells) + 1), b"")
            case _:
                cells[rng.randrange(len(cells))] = rng.choice(evil).encode("utf-8", "surrogatepass")
        if lines:
            lines[min(at, len(lines) - 1)] = separator.join(cells)
        lines = lines or [b""]
    return b"\r\n".join(lines)
