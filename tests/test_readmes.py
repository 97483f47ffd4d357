"""The READMEs: short, with links that lead somewhere, and with commands that the command line accepts."""

import re
import shlex
from pathlib import Path

import pytest

from mnist_fc.cli.parser import build_parser
from mnist_fc.files import ROOT

MAX_LINES = 200
"""Of the README at the top."""

MAX_PARAGRAPH_LINES = 5

PACKAGES = sorted(path.parent for path in ROOT.glob("mnist_fc/*/__init__.py"))
READMES = [ROOT / "README.md", ROOT / "assets/README.md", *(package / "README.md" for package in PACKAGES)]

COMMON = re.compile(r"^COMMON is `(.*?)`", re.MULTILINE)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def paragraphs(text: str) -> list[list[str]]:
    """Lines that stand together, without tables and headings; each item of a list is a paragraph."""
    found: list[list[str]] = [[]]
    for line in without_code(text).splitlines():
        if not line.strip() or line.startswith(("|", "#")):
            found.append([])
        elif re.match(r" *(-|\d+\.) ", line):
            found.append([line])
        else:
            found[-1].append(line)
    return [lines for lines in found if lines]


def commands(text: str) -> list[list[str]]:
    """The arguments of each `python -m mnist_fc` that stands in a block of code, without its comment."""
    common = COMMON.search(text)
    lines = "\n".join(re.findall(r"^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)).replace("\\\n", " ").splitlines()
    found = (re.search(r"-m mnist_fc (.*)", line) for line in lines)
    return [shlex.split(match[1].replace("COMMON", common[1] if common else ""), comments=True) for match in found if match]


def test_top_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("readme", READMES, ids=name)
def test_paragraphs_are_short(readme: Path) -> None:
    long = [lines[0] for lines in paragraphs(readme.read_text("utf-8")) if len(lines) > MAX_PARAGRAPH_LINES]
    assert not long


@pytest.mark.parametrize("readme", READMES, ids=name)
def test_every_link_leads_to_a_file(readme: Path) -> None:
    targets = re.findall(r"\]\(([^)]+)\)", without_code(readme.read_text("utf-8")))
    assert not [target for target in targets if "://" not in target and not (readme.parent / target).exists()]


@pytest.mark.parametrize("readme", READMES, ids=name)
def test_every_path_that_is_named_exists(readme: Path) -> None:
    paths = re.findall(r"(?<![\w./-])(?:mnist_fc|tests|assets)/[\w./-]*\w", readme.read_text("utf-8"))
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_every_command_is_accepted() -> None:
    written = [command for readme in READMES for command in commands(readme.read_text("utf-8"))]
    parser = build_parser()
    for command in written:
        parser.parse_args(command)
    assert {command[0] for command in written} == {
        "train",
        "teach",
        "sweep",
        "evaluate",
        "predict",
        "measure",
        "evaluate-teaching",
        "benchmark",
    }
