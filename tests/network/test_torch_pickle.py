"""unpickling.py: what torch.save writes of tensors comes back as torch.load has it, and nothing else is made or called."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnist_fc.network import checkpoint
from mnist_fc.network.torch_pickle import STORAGES, unpickled
from tests.support.files import WritesAFile


def pickle_of(value: object) -> bytes:
    """The pickle in what torch.save writes."""
    content = io.BytesIO()
    torch.save(value, content)
    with zipfile.ZipFile(content) as archive:
        return archive.read("archive/data.pkl")


@given(
    dtype=st.sampled_from(list(STORAGES.values())),
    shape=st.lists(st.integers(0, 4), max_size=4),
    name=st.text(st.characters(exclude_categories=["Cs"])),
    data=st.data(),
)
def test_tensors_of_every_kind_and_layout_come_back(dtype: torch.dtype, shape: list[int], name: str, data: Any) -> None:
    tensor = torch.arange(2 * 4**4).to(dtype)[3 : 3 + torch.Size(shape).numel()].view(shape)
    tensor = tensor.permute(data.draw(st.permutations(range(len(shape))))) if shape else tensor
    content = io.BytesIO()
    torch.save({name: tensor, "again": torch.nn.Parameter(torch.ones(2))}, content)
    loaded = checkpoint.tensors_of(content, "some.ckpt", 2**20)
    assert list(loaded) == [name, "again"]
    assert torch.equal(loaded[name], tensor)
    assert loaded[name].dtype == dtype


def test_plain_values_come_back() -> None:
    value = {"a": [1, -5, 2.5, "text", None, True, False, (), (1,), (1, 2, 3, 4)], 7: {}, "large": 10**12}
    assert unpickled(pickle_of(value)) == value


def test_what_is_to_be_called_is_not(tmp_path: Path) -> None:
    for code in (WritesAFile(tmp_path / "ran"), {"a": [WritesAFile(tmp_path / "ran")]}):
        for protocol in range(6):
            with pytest.raises((pickle.UnpicklingError, ValueError)):
                unpickled(pickle.dumps(code, protocol))
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
def test_an_operation_that_would_take_all_memory_or_for_ever_is_refused(operations: bytes) -> None:
    wrong = (pickle.UnpicklingError, ValueError, TypeError, LookupError, AttributeError)
    with pytest.raises(wrong):
        unpickled(b"\x80\x02" + operations + b"0.")
