"""What no linter checks: who may unpickle, how files are loaded, and that every import is a requirement."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from mnist_fc.files import ROOT

FILES = [ROOT / "app.py", *ROOT.glob("mnist_fc/**/*.py")]

UNPICKLING = {"mnist_fc/server/process.py", "mnist_fc/server/worker.py"}
"""The two ends of the pipe of the training process."""

MODULES = {"pillow": "PIL", "opencv_python_headless": "cv2"}
"""Import names that differ from the package's name."""


def imported_by(path: Path) -> Iterator[str]:
    """Yield every top-level package that a file imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def test_only_the_ends_of_the_training_pipe_unpickle() -> None:
    unpickling = {"load", "loads", "Unpickler"}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pickle":
                assert node.attr not in unpickling or path.relative_to(ROOT).as_posix() in UNPICKLING, path


def test_files_are_loaded_without_running_code() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"torch.load", "np.load"}:
                options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert options.get("weights_only") == "True" or options.get("allow_pickle") == "False", path


def test_every_import_is_internal_standard_or_a_requirement() -> None:
    text = (ROOT / "requirements.txt").read_text("utf-8")
    named = {name.lower().replace("-", "_") for name in re.findall(r"^([A-Za-z][\w-]*)", text, re.MULTILINE)}
    named |= {module for package, module in MODULES.items() if package in named}
    optional = {"peers.py": {"keras", "sklearn"}, "jax_scan.py": {"jax"}}  # timed if installed
    for path in FILES:
        others = optional.get(path.name, set())
        assert set(imported_by(path)) - {"mnist_fc", "app"} - others - set(sys.stdlib_module_names) <= named, path
