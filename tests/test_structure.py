"""What may import what: the picture in mnist_fc/__init__.py holds, and Streamlit and processes stay where they belong."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mnist_fc

ROOT = Path(mnist_fc.__file__).parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in [ROOT / "app.py", *ROOT.glob("mnist_fc/**/*.py")]
}
VIEWS = {name for name in FILES if name == "app" or name.startswith("mnist_fc.views.")}
PROCESSES = {"mnist_fc.server.process", "mnist_fc.server.worker"}

SHARED_VIEWS = {"mnist_fc.views.state.messages", "mnist_fc.views.state.session"}
"""Those that keep something for all sessions, whose scripts run in threads."""

ALLOWED = {
    "streamlit": VIEWS,
    "streamlit_drawable_canvas": VIEWS,
    "subprocess": {*PROCESSES, "mnist_fc.benchmark.epochs"},
    "multiprocessing": set(),
    "socket": set(),
    "threading": {*PROCESSES, "mnist_fc.server.scheduler", "mnist_fc.server.run", "mnist_fc.runs.store", *SHARED_VIEWS},
    "signal": {*PROCESSES, "mnist_fc.__main__", "mnist_fc.views.serving"},
    "pickle": {*PROCESSES, "mnist_fc.network.checkpoint", "mnist_fc.network.torch_pickle"},  # those two name its exception
}


MODULES = {"pillow": "PIL", "opencv_python_headless": "cv2"}
"""What packages are imported as, where that is another name."""


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports anywhere, as `package.module` or `package.module.name`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(module: str) -> str:
    """The name that the picture has for a module of ours: its own, or that of its folder."""
    return module.removeprefix("mnist_fc.").split(".")[0]


def layers() -> list[set[str]]:
    """The picture's layers from the top down."""
    picture = re.search(r"^ {4}app -> .*\n(?: {4,}.*\n)*", mnist_fc.__doc__ or "", re.MULTILINE)
    assert picture
    return [set(re.findall(r"\w+", layer)) for layer in picture[0].split("->")]


def test_every_module_is_in_the_picture_once() -> None:
    named = sorted(name for layer in layers() for name in layer)
    assert named == sorted({part_of(name) for name in FILES} - {"mnist_fc", "__init__", "__main__"})


@pytest.mark.parametrize("name", sorted(set(FILES) - {"mnist_fc.__init__", "mnist_fc.__main__"}))
def test_imports_point_one_way(name: str) -> None:
    height = {part: -depth for depth, layer in enumerate(layers()) for part in layer}
    own = {part_of(module) for module in imports_of(FILES[name]) if module.startswith("mnist_fc.")} - {part_of(name)}
    upward = {part for part in own if height[part] >= height[part_of(name)]}
    assert not upward, f"{name} imports {upward}"


def test_views_alone_know_each_other() -> None:
    importers = {name for name, path in FILES.items() if any(m.startswith("mnist_fc.views") for m in imports_of(path))}
    assert importers <= VIEWS


def test_nothing_imports_the_command_line_and_it_knows_no_page_and_no_training_process() -> None:
    assert not [name for name, path in FILES.items() if any("__main__" in module for module in imports_of(path))]
    known = {part_of(module) for module in imports_of(FILES["mnist_fc.__main__"])}
    assert not known & {"app", "views", "trainer", "worker"}


@pytest.mark.parametrize("library", ALLOWED)
def test_what_belongs_to_few_modules_is_imported_in_those_alone(library: str) -> None:
    importers = {name for name, path in FILES.items() if any(m.split(".")[0] == library for m in imports_of(path))}
    assert importers <= ALLOWED[library]


def test_only_the_training_process_and_the_page_unpickle() -> None:
    unpickling = {"load", "loads", "Unpickler"}
    for name in set(FILES) - PROCESSES:
        for node in ast.walk(ast.parse(FILES[name].read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pickle":
                assert node.attr not in unpickling, f"{name} unpickles"


def test_what_is_loaded_from_files_is_loaded_without_running_code() -> None:
    for path in FILES.values():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"torch.load", "np.load"}:
                options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert options.get("weights_only") == "True" or options.get("allow_pickle") == "False"


def test_every_import_is_of_ours_of_python_or_of_a_named_requirement() -> None:
    text = (ROOT / "requirements.txt").read_text("utf-8")
    named = {name.lower().replace("-", "_") for name in re.findall(r"^([A-Za-z][\w-]*)", text, re.MULTILINE)}
    named |= {module for package, module in MODULES.items() if package in named}
    ours = {"mnist_fc", "app"}
    peers = {"keras", "sklearn"}  # timed where they are installed
    for path in FILES.values():
        roots = {module.split(".")[0] for module in imports_of(path)}
        others = peers if path.name == "peers.py" else set()
        assert roots - ours - others - set(sys.stdlib_module_names) <= named, path
