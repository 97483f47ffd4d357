"""torch_pickle.py: it reads tensors as torch.load does, and neither creates nor calls anything else."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnist_fc.network.tensor_files import read_state
from mnist_fc.network.torch_pickle import STORAGES, parse_pickle
from tests.support.files import WritesAFile


def pickle_of(value: object) -> bytes:
    """The pickle in what torch.save writes."""
    content = io.BytesIO()
    torch.save(value, content)
    with zipfile.ZipFile(content) as archive:
        return archive.read("archive/data.pkl")


WITHOUT_STORAGES = [torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32, torch.uint64]


@given(
    dtype=st.sampled_from([*STORAGES.values(), *WITHOUT_STORAGES]),
    shape=st.lists(st.integers(0, 4), max_size=4),
    name=st.text(st.characters(exclude_categories=["Cs"])),
    data=st.data(),
)
def test_tensors_of_every_dtype_and_layout_are_read(dtype: torch.dtype, shape: list[int], name: str, data: Any) -> None:
    tensor = torch.arange(2 * 4**4).to(dtype)[3 : 3 + torch.Size(shape).numel()].view(shape)
    tensor = tensor.permute(data.draw(st.permutations(range(len(shape))))) if shape else tensor
    content = io.BytesIO()
    torch.save({name: tensor, "again": torch.nn.Parameter(torch.ones(2))}, content)
    loaded = read_state(content, 2**20).tensors
    assert list(loaded) == [name, "again"]
    assert loaded[name].dtype == dtype
    assert loaded[name].tolist() == tensor.tolist()


def test_plain_values_are_read() -> None:
    value = {"a": [1, -5, 2.5, "text", None, True, False, (), (1,), (1, 2, 3, 4)], 7: {}, "large": 10**12}
    assert parse_pickle(pickle_of(value)) == value


def test_functions_in_a_pickle_are_never_called(tmp_path: Path) -> None:
    for code in (WritesAFile(tmp_path / "ran"), {"a": [WritesAFile(tmp_path / "ran")]}):
        for protocol in range(6):
            with pytest.raises((pickle.UnpicklingError, ValueError)):
                parse_pickle(pickle.dumps(code, protocol))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "operations",
    [
        pytest.param(b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R", id="an array of any size"),
        pytest.param(b"ctorch\nFloatStorage\nJ\xff\xff\xff\x7f\x85R", id="a storage of any size"),
        pytest.param(b"r\xff\xff\xff\x7f", id="a memo of any size"),
        pytest.param(b"X\xff\xff\xff\x7f", id="a text that is not there"),
        pytest.param(b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", id="bytes that are not there"),
        pytest.param(b"}(" + b")q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"K\x01u", id="a name that takes for ever to hash"),
        pytest.param(b"(" * 60_000 + b"t" * 60_000, id="sixty thousand marks"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_operations_that_exhaust_memory_or_time_are_rejected(operations: bytes) -> None:
    wrong = (pickle.UnpicklingError, ValueError, TypeError, LookupError, AttributeError)
    with pytest.raises(wrong):
        parse_pickle(b"\x80\x02" + operations + b"0.")
