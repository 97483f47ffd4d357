"""The page shows a hint if its data looks unlike MNIST."""

from pathlib import Path

from tests.support.data import Arrays, write_npz
from tests.support.session import has_text, new_server, opened_app


def test_data_unlike_mnist_gets_a_hint(small_arrays: Arrays, tmp_path: Path) -> None:
    inverted = small_arrays | {name: 255 - small_arrays[name] for name in ("x_train", "x_test")}
    with new_server(tmp_path / "runs", MNIST_FC_DATA=str(write_npz(tmp_path / "inverted.npz", inverted))):
        assert has_text(opened_app(), "Ink is dark on light paper. With `x = 255 - x` it reads 9")
