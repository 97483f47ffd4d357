"""Hostile checkpoints and pictures: valid files with parts changed at random."""

import io
import itertools
import json
import math
import pickletools
import random
import struct
import warnings
import zipfile
import zlib
from typing import Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image

from mnist_fc.drawing.strokes import Stroke, render
from tests.support.hostile import (
    EVIL_TEXTS,
    EVIL_VALUES,
    as_json,
    mutated,
    mutated_bytes,
)

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


def hostile_state(rng: random.Random) -> bytes:
    """Return a saved state dict that differs from a network's in up to two entries."""
    state: dict[Any, Any] = {name: torch.full(shape, 0.5) for name, shape in zip(NAMES, SHAPES, strict=True)}
    for _ in range(rng.choice((0, 1, 1, 2))):
        name = rng.choice(NAMES)
        shape = tuple(rng.choice((0, 1, 7, 8, 10, 784, 2048)) for _ in range(rng.randrange(4)))
        shape = shape if math.prod(shape) < 10**6 else (8,)
        dtype = rng.choice(
            (torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.bool, torch.complex64, torch.float8_e5m2)
        )
        match rng.randrange(8):
            case 0:
                state[name] = torch.zeros(shape)
            case 1:
                state[name] = torch.zeros(shape, dtype=dtype)
            case 2:
                state[name] = torch.zeros(1).expand([rng.choice((8, 10, 784, 2048, 10**6)) for _ in shape] or [10**15])
            case 3:
                state[name] = torch.full(SHAPES[NAMES.index(name)], rng.choice((math.inf, -math.inf, math.nan)))
            case 4:
                state[name] = torch.zeros(8, 784).to_sparse() if rng.random() < 0.5 else torch.zeros(shape, device="meta")
            case 5:
                state[rng.choice([*EVIL_TEXTS[4:20], 7, None, ("fc1.weight",), b"x"])] = state.pop(name, torch.zeros(1))
            case 6:
                state[name] = rng.choice([v for v in EVIL_VALUES if not isinstance(v, str) or "\ud800" not in v])
            case 7:
                state[name] = torch.zeros(100_000)[5 : 5 + 8 * 784].view(784, 8).T
    content = io.BytesIO()
    torch.save(state, content)
    return content.getvalue()


def mutated_pickle(rng: random.Random, content: bytes, evil: bytes) -> bytes:
    """Return a pickle with up to four of its operations changed, or with hostile ones inserted."""
    try:
        starts = [position for *_, position in pickletools.genops(content)]
    except ValueError:
        return mutated_bytes(rng, content, 100)
    parts = [content[a:b] for a, b in itertools.pairwise([*starts, len(content)])]
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(parts))
        number = rng.choice((0, 1, 7, 9, 784, 10**5, 2**31 - 1, -1, -(2**31)))
        match rng.randrange(9):
            case 0:
                del parts[at]
            case 1:
                parts[at:at] = [parts[at]] * rng.choice((1, 3, 1000))
            case 2:
                parts[at] = parts[rng.randrange(len(parts))]
            case 3:
                parts[at:at] = [b"c" + rng.choice(EVIL_GLOBALS).replace(" ", "\n").encode() + b"\n"]
            case 4:
                parts[at:at] = [evil]
            case 5:
                parts[at] = rng.choice(
                    (b"r\xff\xff\xff\x7f", b"j\xff\xff\xff\x7f", b"\x8e" + b"\xff" * 7 + b"\x7f", b"I" + b"9" * 5000 + b"\n")
                )
            case 6:
                big = rng.choice((10**6, 10**8, 2**31 - 1))
                parts[at:at] = [b"cbuiltins\nbytearray\nJ" + struct.pack("<i", big) + b"\x85R0"]
            case _:
                numbers = [i for i, part in enumerate(parts) if part[:1] in b"KMJ"]
                if numbers:
                    parts[rng.choice(numbers)] = b"J" + struct.pack("<i", number)
        parts = parts or [b"."]
    return b"".join(parts)


def mutated_zip(rng: random.Random, content: bytes, evil: bytes) -> bytes:
    """Return a checkpoint with entries of its archive changed, doubled, renamed, compressed or removed."""
    if not zipfile.is_zipfile(io.BytesIO(content)):  # it was mutated before
        return mutated_bytes(rng, content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries: list[Any] = [[entry.filename, archive.read(entry), zipfile.ZIP_STORED] for entry in archive.infolist()]
    for _ in range(rng.choice((1, 1, 2, 3))):
        entry = rng.choice(entries)
        match rng.randrange(8):
            case 0:
                entries.append([entry[0], rng.choice((entry[1], b"", evil, b"\0" * 10**6)), zipfile.ZIP_STORED])
            case 1:
                entries.remove(entry)
                entries = entries or [entry]
            case 2:
                entry[0] = rng.choice(
                    ("archive/data.pkl", "archive/constants.pkl", "ARCHIVE/DATA.PKL", "data.pkl", "../../x", "/etc/x", "a")
                )
            case 3:
                entry[1], entry[2] = entry[1] + b"\0" * rng.choice((0, 10**5, 3 * 10**6)), zipfile.ZIP_DEFLATED
            case 4:
                entry[1] = mutated_bytes(rng, entry[1])
            case _:
                for one in entries:
                    if one[0].endswith("data.pkl"):
                        one[1] = mutated_pickle(rng, one[1], evil)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive, warnings.catch_warnings(action="ignore"):
        for name, part, kind in entries:
            info = zipfile.ZipInfo(name)
            info.compress_type = kind
            archive.writestr(info, part)
    return made.getvalue()


def mutated_legacy(rng: random.Random, evil: bytes) -> bytes:
    """Return a file in the format before PyTorch 1.6 with a pickle changed, or bytes anywhere."""
    content = io.BytesIO()
    state = {name: torch.full(shape, 0.5) for name, shape in zip(NAMES, SHAPES, strict=True)}
    torch.save(state, content, pickle_protocol=rng.choice((2, 4)), _use_new_zipfile_serialization=False)
    whole = content.getvalue()
    if rng.random() < 0.3:
        return mutated_bytes(rng, whole, 1500)
    stream, ends = io.BytesIO(whole), [0]
    for _ in range(5):
        for _ in pickletools.genops(stream):
            pass
        ends.append(stream.tell())
    start, end = rng.choice(list(itertools.pairwise(ends)))
    return whole[:start] + mutated_pickle(rng, whole[start:end], evil) + whole[end:]


def mutated_safetensors(rng: random.Random) -> bytes:
    """Return a safetensors file with its header or bytes anywhere changed."""
    state = {name: torch.full(shape, 0.5) for name, shape in zip(NAMES, SHAPES, strict=True)}
    whole = safetensors.torch.save(state)
    if rng.random() < 0.3:
        return mutated_bytes(rng, whole, 300)
    length = int.from_bytes(whole[:8], "little")
    header = as_json(mutated(rng, json.loads(whole[8 : 8 + length])))
    claimed = len(header) if rng.random() < 0.9 else rng.choice((0, 1, 2**31, 2**63, len(header) + len(whole)))
    return claimed.to_bytes(8, "little") + header + whole[8 + length :]


def mutated_checkpoint(rng: random.Random, valid_checkpoint: bytes, evil: bytes) -> bytes:
    match rng.randrange(14):
        case 10 | 11:
            return mutated_legacy(rng, evil)
        case 12 | 13:
            return mutated_safetensors(rng)
        case 0:
            return hostile_state(rng)
        case 1 | 2 | 3:
            return mutated_bytes(rng, valid_checkpoint)
        case 4:
            return mutated_bytes(rng, mutated_zip(rng, valid_checkpoint, evil))
        case 5:
            return rng.choice(
                (
                    valid_checkpoint + valid_checkpoint,
                    valid_checkpoint[: rng.randrange(len(valid_checkpoint))] + valid_checkpoint,
                    evil,
                    valid_checkpoint + valid_checkpoint[-98:],
                    valid_checkpoint + b"x",
                )
            )
    return mutated_zip(rng, valid_checkpoint, evil)


def pictures() -> list[bytes]:
    """Return valid files of every supported format and pixel type, and of some that are not supported."""
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
        ("AVIF", rgba, {"speed": 10}),
        ("WEBP", rgba, {"lossless": True}),
        ("WEBP", rgba, {"save_all": True, "append_images": [rgba.rotate(90)]}),
        ("TIFF", Image.fromarray(np.asarray(gray) / np.float32(255)), {}),
        *(("MPO", gray, {}), ("PPM", gray, {}), ("ICO", gray, {}), ("EPS", gray, {}), ("JPEG2000", gray, {})),
    ):
        content = io.BytesIO()
        picture.save(content, form, **options)
        made.append(content.getvalue())
    return made


def mutated_picture(rng: random.Random, content: bytes) -> bytes:
    """Return a picture with another size or pixel type in its header, or with bytes changed."""
    sides = rng.choice(
        ((1, 1), (0, 5), (65535, 65535), (4000, 4000), (50_000, 1000), (2**31 - 1, 1), (2**16, 2**15), (7000, 7000))
    )
    start = content.find(b"\xff\xc0") if b"\xff\xc0" in content else content.find(b"\xff\xc2")
    match rng.randrange(4):
        case 0 if content.startswith(b"\x89PNG"):
            depth, kind = rng.choice(((1, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 3), (16, 4), (8, 6), (16, 6), (3, 9)))
            header = b"IHDR" + struct.pack(">2I5B", *sides, depth, kind, 0, 0, rng.randrange(2))
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
            return content[:-2] + scan * rng.choice((1, 10, 500)) + content[-2:]
    return mutated_bytes(rng, content, 200)
