"""What a new server loads for its first page."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from mnist_fc.files import ROOT

pytestmark = pytest.mark.integration

FIRST_PAGE = """
import gc, json, sys
import torch
from tests.support.session import opened_app

opened_app()
tensors = [each for each in gc.get_objects() if isinstance(each, torch.Tensor)]
large = [(list(each.shape), str(each.dtype)) for each in tensors if each.nbytes > 5_000_000]
print(json.dumps({"modules": list(sys.modules), "large": large}))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the modules and the large tensors of a process that has drawn one page."""
    environment = {**os.environ, "MNIST_FC_RUNS": str(tmp_path_factory.mktemp("runs"))}
    environment.pop("MNIST_FC_DATA", None)
    done = subprocess.run([sys.executable, "-c", FIRST_PAGE], cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_modules_that_few_pages_need_are_not_imported(loaded: dict[str, Any]) -> None:
    imported = {name.partition(".")[0] for name in loaded["modules"]}
    assert "torch" in imported
    assert imported.isdisjoint({"jinja2", "onnx", "optuna", "pandas", "sqlalchemy", "sympy", "tensorboard"})
    assert "streamlit.emojis" not in loaded["modules"]


def test_only_the_test_images_are_held_and_as_bytes(loaded: dict[str, Any]) -> None:
    assert loaded["large"] == [[[10_000, 784], "torch.uint8"]]
