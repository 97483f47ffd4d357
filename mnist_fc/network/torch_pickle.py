"""The pickle in what torch.save wrote, read and not run: a few operations that describe tensors, and nothing is called.

Only what plain values and tensors on the CPU need is known; all else is refused.
"""

import pickle
import pickletools
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

FUNCTIONS = ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "collections OrderedDict")


class Storage(NamedTuple):
    """A row of `num_values` numbers, and which record of the archive has their bytes."""

    record: str
    dtype: torch.dtype
    num_values: int


class View(NamedTuple):
    """A tensor as it was described."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def record(self) -> str:
        """Which record of the archive has its bytes."""
        return self.storage.record

    def tensor(self, content: np.ndarray) -> Tensor:
        """The tensor over the bytes of its record, uint8 (N,), which it shares.

        Raises RuntimeError and ValueError for a view that does not fit in it.
        """
        dtype = self.storage.dtype
        whole = torch.from_numpy(content).view(dtype) if len(content) else torch.empty(0, dtype=dtype)
        if len(whole) != self.storage.num_values:
            raise ValueError(f"{self.storage.record} has {len(whole)} numbers, not {self.storage.num_values}")
        return whole.as_strided(self.size, self.stride, self.offset)


def unpickled(content: bytes) -> Any:
    """The value that a pickle describes, each tensor as a View, whose numbers are not checked.

    Raises pickle.UnpicklingError for what is neither a plain value nor a tensor; ValueError, TypeError, LookupError or
    AttributeError for what is no pickle.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}
    constants = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}

    def items() -> list[Any]:
        """Those above the last mark, which go from the stack with it."""
        start = marks.pop()
        taken = stack[start:]
        del stack[start:]
        return taken

    argument: Any
    for opcode, argument, _ in pickletools.genops(content):
        match opcode.name:
            case "PROTO":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                marks.append(len(stack))
            case "BINUNICODE" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE" | "EMPTY_TUPLE":
                stack.append(constants[opcode.name])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "TUPLE":
                stack.append(tuple(items()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(opcode.name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "APPEND" | "APPENDS":
                added = items() if opcode.name == "APPENDS" else [stack.pop()]
                stack[-1].extend(added)
            case "SETITEM" | "SETITEMS":
                added = items() if opcode.name == "SETITEMS" else [stack.pop(-2), stack.pop()]
                _set(stack[-1], added)
            case "GLOBAL":
                stack.append(_named(argument))
            case "BINPERSID":
                stack.append(_stored(stack.pop()))
            case "REDUCE":
                arguments = stack.pop()
                stack.append(_made(stack.pop(), arguments))
            case "BUILD":
                stack.pop()  # what a module says of its version
            case other:
                raise pickle.UnpicklingError(f"it has the operation {other}")
    raise ValueError("it does not end")


def _set(target: Any, added: list[Any]) -> None:
    for key, value in zip(added[::2], added[1::2], strict=True):
        if not isinstance(target, dict) or not isinstance(key, (str, int)):  # to hash what is deep may take for ever
            raise TypeError("only a dict has items, by name or number")
        target[key] = value


class _Function(str):
    """The name of what is to be called, which nothing is."""

    __slots__ = ()


def _named(name: str) -> torch.dtype | _Function:
    if name in FUNCTIONS:
        return _Function(name)
    module, _, kind = name.partition(" ")
    if module != "torch" or kind not in STORAGES:
        raise pickle.UnpicklingError(f"it names {name}")
    return STORAGES[kind]


def _stored(said: Any) -> Storage:
    match said:
        case ("storage", torch.dtype() as dtype, str(record), str(), int(count)):
            return Storage(record, dtype, count)
    raise pickle.UnpicklingError("it refers to what is no storage")


def _made(function: Any, arguments: Any) -> Any:
    """What a call would give."""
    match function, arguments:
        case _Function("collections OrderedDict"), ():
            return {}
        case _Function("torch._utils _rebuild_parameter"), (View() as view, *_):
            return view
        case _Function("torch._utils _rebuild_tensor_v2"), (Storage() as storage, int(offset), tuple(size), tuple(stride), *_):
            if all(isinstance(number, int) for number in (*size, *stride)):
                return View(storage, offset, size, stride)
    raise pickle.UnpicklingError("it calls what makes no tensor")
