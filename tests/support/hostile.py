"""What the tests with hostile inputs share: how many there are, what each may cost, and how real inputs are spoiled.

An input is made by chance from a real one, and a seed makes it again: what a test found is found again by its seed.
"""

import copy
import functools
import inspect
import json
import math
import os
import random
import re
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_fc.config import TrainConfig

NUM_INPUTS = int(os.environ.get("MNIST_FC_FUZZ") or 200)  # read at import: the tests themselves run without these variables
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


def inputs(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test for NUM_INPUTS seeds, its first argument; one that fails says for which."""

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
class Door:
    """Where inputs come in, and what they have cost so far."""

    name: str
    num_inputs: int = 0
    num_refused: int = 0
    most_mb: float = 0.0
    longest: float = 0.0

    @contextmanager
    def input(self, *refusals: type[Exception]) -> Iterator[None]:
        """Let one in. Nothing but `refusals` may be raised, and it may cost no more than MAX_MB of memory.

        The seconds of the processor that the longest took are reported: they are the machine's affair. Memory is what there
        is at the most meanwhile besides what there was before.
        """
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before, started = _memory_kb("VmRSS"), time.process_time()
        try:
            yield
        except refusals:
            self.num_refused += 1
        seconds = time.process_time() - started
        megabytes = (_memory_kb("VmHWM") - before) / 1000
        self.num_inputs += 1
        self.most_mb, self.longest = max(self.most_mb, megabytes), max(self.longest, seconds)
        assert megabytes <= MAX_MB, f"one input took {megabytes:.0f} MB"

    def __str__(self) -> str:
        refused = self.num_refused / max(1, self.num_inputs)
        cost = f"at most {self.most_mb:.0f} MB and {self.longest:.2f} s"
        return f"{self.name}: {self.num_inputs:,} inputs, {refused:.0%} refused, {cost}"


DOORS: dict[str, Door] = {}


def door(name: str) -> Door:
    return DOORS.setdefault(name, Door(name))


def _memory_kb(what: str) -> int:
    match = re.search(rf"{what}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert match
    return int(match[1])


@contextmanager
def no_more_memory_than(num_bytes: int) -> Iterator[None]:
    """The system gives this process no more than so much besides what it has: what asks for all that there is fails alone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (1000 * _memory_kb("VmData") + num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def tree(path: Path) -> dict[str, tuple[int, int, bytes | None]]:
    """All below a folder: names, times, sizes and contents."""
    return {
        str(each): (each.lstat().st_mtime_ns, each.lstat().st_size, each.read_bytes() if each.is_file() else None)
        for each in sorted(path.rglob("*"))
    }


# Values as of JSON


def spoiled(chance: random.Random, value: Any) -> Any:
    """A copy with one to three of its parts made into something else."""
    value = json.loads(json.dumps(value))
    for _ in range(chance.choice((1, 1, 2, 3))):
        value = _spoiled_once(chance, value)
    return value


def _spoiled_once(chance: random.Random, value: Any) -> Any:
    if isinstance(value, (list, dict)) and value and chance.random() < 0.85:
        key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        match chance.randrange(12):
            case 0:
                del value[key]
            case 1 if isinstance(value, list):
                value[key:key] = [value[key]] * chance.choice((1, 2, 10, 600))
            case 2 if isinstance(value, list):
                chance.shuffle(value)
            case 3 if isinstance(value, dict):
                value[chance.choice(EVIL_TEXTS)] = value[key]
            case _:
                value[key] = _spoiled_once(chance, value[key])
        return value
    match chance.randrange(8):
        case 0:
            return [value] * chance.choice((0, 1, 2, 1000))
        case 1:
            return {chance.choice(EVIL_TEXTS): value}
        case 2:
            return nested(chance.choice((3, 30, 120)), value)
        case 3 if isinstance(value, float) and math.isfinite(value):
            return value * chance.choice((-1, 1e-9, 3.7, 1e9, 1e300))
        case 3 if type(value) is int:
            return value * chance.choice((-1, 3, 10**9, 10**300))
    return copy.deepcopy(chance.choice(EVIL_VALUES))  # which another change may fill


def as_json(value: Any) -> bytes:
    """The value as JSON, or JSON that is too deep for it."""
    try:
        return json.dumps(value).encode()
    except RecursionError:
        return b"[" * 2000 + b"]" * 2000


def nested(depth: int, value: Any = None) -> Any:
    """A value in so many lists."""
    for _ in range(depth):
        value = [value]
    return value


# Bytes


def spoiled_bytes(chance: random.Random, content: bytes, ends: int = 900) -> bytes:
    """A copy with some bytes changed, cut out, doubled or put in; half of that within `ends` bytes of its beginning or end."""
    made = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        length = max(1, len(made))
        at = chance.choice(
            (chance.randrange(length), chance.randrange(min(ends, length)), max(0, length - 1 - chance.randrange(ends)))
        )
        match chance.randrange(8):
            case 0:
                made[at : at + chance.choice((1, 2, 16, 400))] = b""
            case 1:
                made[at:at] = made[at : at + chance.choice((1, 4, 64, 1000))] * chance.choice((1, 2, 50))
            case 2:
                evil = chance.choice(EVIL_BYTES)
                made[at : at + len(evil) * chance.randrange(2)] = evil
            case 3 if chance.random() < 0.3:
                del made[at:]
            case 4:
                made[at : at + 1] = bytes([made[at] ^ 1 << chance.randrange(8)]) if at < len(made) else b""
            case _:
                made[at : at + 1] = bytes([chance.randrange(256)])
    return bytes(made)


def spoiled_lines(chance: random.Random, content: bytes, separator: bytes, evil: Sequence[str] = EVIL_TEXTS) -> bytes:
    """Lines of cells, spoiled cell by cell or line by line."""
    lines = content.split(b"\r\n")
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(lines))
        cells = lines[at].split(separator)
        match chance.randrange(6):
            case 0:
                lines[at:at] = [lines[at]] * chance.choice((1, 3, 2000))
            case 1:
                del lines[at]
            case 2:
                cells.insert(chance.randrange(len(cells) + 1), b"")
            case _:
                cells[chance.randrange(len(cells))] = chance.choice(evil).encode("utf-8", "surrogatepass")
        if lines:
            lines[min(at, len(lines) - 1)] = separator.join(cells)
        lines = lines or [b""]
    return b"\r\n".join(lines)
