"""Read the pickle in a file of torch.save without running it: a few operations describe tensors, and nothing is called.

Only the operations of protocols 2 to 5 that plain values and tensors on the CPU need are known; all others are rejected.

It takes the place of torch.load with weights_only, which runs no foreign code but still allocates what a pickle asks for: a
file of 845 bytes made it take 1 GB, and is rejected here at no cost. For that, a good file of 3.7 MB takes 3.7 ms instead of
1.0 ms (CPU time on an AMD EPYC).
"""

import pickle
import pickletools
import re
from typing import IO, Any, NamedTuple

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
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}

DTYPES = {name: dtype for name, dtype in vars(torch).items() if isinstance(dtype, torch.dtype)}
"""All dtypes by name. Newer ones, such as float8, are stored as bytes."""

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}

FUNCTIONS = (
    *("torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3"),
    *("torch._utils _rebuild_parameter", "collections OrderedDict"),
)

UNREAD = (
    (r"torch\._utils _rebuild_sparse_.*", "sparse tensors", "save dense ones, made by tensor.to_dense()"),
    (r"torch\._utils _rebuild_qtensor", "quantized tensors", "save floats, made by tensor.dequantize()"),
    (r"torch\._utils _rebuild_nested_tensor", "nested tensors", "save one tensor for each weight"),
    (r"torch\._utils _rebuild_meta_tensor_.*", "tensors without values, of the device meta", "save the trained network"),
    (
        r"numpy(\._?core\.\w+)? (_reconstruct|_frombuffer|scalar|ndarray|dtype)",
        *("NumPy arrays or numbers", "save only tensors, made by torch.as_tensor(array)"),
    ),
)
"""Patterns of names that stand for data that is not read, what it is, and what to do."""


class UnreadDataError(pickle.UnpicklingError):
    """A pickle holds data, not code, of a kind that is not read; the message says which, and what to do."""


class Storage(NamedTuple):
    """A sequence of `num_values` numbers that the file keeps under the name `record`."""

    record: str
    dtype: torch.dtype
    num_values: int


class View(NamedTuple):
    """A tensor as the pickle describes it."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @property
    def record(self) -> str:
        """The name of its bytes in the file."""
        return self.storage.record

    def tensor(self, content: np.ndarray) -> Tensor:
        """Return the tensor; it shares memory with `content`, the bytes of its entry, uint8 (N,).

        Raises RuntimeError or ValueError if it does not fit in them.
        """
        if len(content) != self.storage.num_values * self.storage.dtype.itemsize:
            raise ValueError(f"{self.storage.record} has {len(content)} bytes, which are not {self.storage.num_values} numbers")
        whole = torch.from_numpy(content).view(self.dtype) if len(content) else torch.empty(0, dtype=self.dtype)
        return whole.as_strided(self.size, self.stride, self.offset)


def parse_pickle(content: bytes | IO[bytes], storages: dict[str, Storage] | None = None) -> Any:
    """Return the value that a pickle describes, with each tensor as an unchecked View.

    A stream is read up to the pickle's end. `storages` receives every storage, by its record. Raises pickle.UnpicklingError for
    anything but plain values and tensors, UnreadDataError if that is certainly data, and ValueError, TypeError, LookupError or
    AttributeError for a malformed pickle.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}
    argument: Any
    for opcode, argument, _ in pickletools.genops(content):
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                marks.append(len(stack))
            case "SHORT_BINUNICODE" | "BINUNICODE" | "INT" | "BININT" | "BININT1" | "BININT2" | "LONG" | "LONG1" | "BINFLOAT":
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE" | "EMPTY_TUPLE":
                stack.append(CONSTANTS[opcode.name])
            case "EMPTY_DICT" | "EMPTY_LIST":
                stack.append({} if opcode.name == "EMPTY_DICT" else [])
            case "TUPLE":
                stack.append(tuple(_pop_marked(stack, marks)))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(opcode.name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "APPEND" | "APPENDS":
                added = _pop_marked(stack, marks) if opcode.name == "APPENDS" else [stack.pop()]
                stack[-1].extend(added)
            case "SETITEM" | "SETITEMS":
                added = _pop_marked(stack, marks) if opcode.name == "SETITEMS" else [stack.pop(-2), stack.pop()]
                _set(stack[-1], added)
            case "GLOBAL":
                stack.append(_parse_global(argument))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(_parse_global(f"{_text(module)} {_text(name)}"))
            case "BINPERSID":
                stack.append(storage := _parse_storage(stack.pop()))
                if storages is not None:
                    storages[storage.record] = storage
            case "REDUCE":
                arguments = stack.pop()
                stack.append(_parse_call(stack.pop(), arguments))
            case "BUILD":
                stack.pop()  # a state dict's metadata
            case other:
                raise pickle.UnpicklingError(f"it has the operation {other}")
    raise ValueError("it does not end")


def _pop_marked(stack: list[Any], marks: list[int]) -> list[Any]:
    """Pop the values above the last mark, and the mark."""
    start = marks.pop()
    values = stack[start:]
    del stack[start:]
    return values


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a name is a text")
    return value


def _set(target: Any, added: list[Any]) -> None:
    for key, value in zip(added[::2], added[1::2], strict=True):
        if not isinstance(target, dict) or not isinstance(key, (str, int)):  # hashing a deep key may take forever
            raise TypeError("only a dict has items, by name or number")
        target[key] = value


class _Function(str):
    """The name of a function, which is never called."""

    __slots__ = ()


def _parse_global(name: str) -> torch.dtype | _Function:
    if name in FUNCTIONS:
        return _Function(name)
    for pattern, what, remedy in UNREAD:
        if re.fullmatch(pattern, name):
            raise UnreadDataError(f"{what}; {remedy}")
    if name == "torch.storage UntypedStorage":
        return torch.uint8
    module, _, kind = name.partition(" ")
    dtype = STORAGES.get(kind) or DTYPES.get(kind)
    if module != "torch" or dtype is None:
        raise pickle.UnpicklingError(f"it names {name}")
    return dtype


def _parse_storage(reference: Any) -> Storage:
    match reference:
        # Before PyTorch 1.6 there was a sixth part: the storage that this one is a view of.
        case ("storage", torch.dtype() as dtype, str(record), str(), int(count), *rest) if rest in ([], [None]):
            return Storage(record, dtype, count)
    raise pickle.UnpicklingError("it refers to something that is not a storage")


def _parse_call(function: Any, arguments: Any) -> Any:
    """Return what a call would return."""
    match function, arguments:
        case _Function("collections OrderedDict"), ():
            return {}
        case _Function("torch._utils _rebuild_parameter"), (View() as view, *_):
            return view
        case (
            _Function("torch._utils _rebuild_tensor_v2" | "torch._utils _rebuild_tensor"),
            (Storage() as storage, int(offset), tuple(size), tuple(stride), *_),
        ):
            return _view(storage, offset, size, stride, storage.dtype)
        case (
            _Function("torch._utils _rebuild_tensor_v3"),
            (Storage() as storage, int(offset), tuple(size), tuple(stride), _, _, torch.dtype() as dtype, *_),
        ):
            return _view(storage, offset, size, stride, dtype)
    raise pickle.UnpicklingError("it calls something that does not create a tensor")


def _view(storage: Storage, offset: int, size: tuple[Any, ...], stride: tuple[Any, ...], dtype: torch.dtype) -> View:
    if not all(isinstance(number, int) for number in (*size, *stride)):
        raise pickle.UnpicklingError("it has a shape that is not of whole numbers")
    return View(storage, offset, size, stride, dtype)
