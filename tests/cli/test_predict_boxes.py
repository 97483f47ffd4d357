"""The boxes of `predict`: where the digits of a picture are, as JSON and drawn."""

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from mnist_fc.cli.main import main
from tests.support.sheets import sheet


def test_predict_boxes_each_digit_and_draws_the_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, annotated = tmp_path / "sums.png", tmp_path / "boxes.png"
    rgba = sheet("271", "04")
    Image.fromarray(rgba).save(path)
    assert main(["predict", str(path), "--json", "--annotate", str(annotated)]) == 0
    boxes = json.loads(capsys.readouterr().out)["boxes"]
    assert [(box["digit"], box["line"]) for box in boxes] == [(2, 0), (7, 0), (1, 0), (0, 1), (4, 1)]
    assert all(box["problem"] is None and box["runner_up"] not in (None, box["digit"]) for box in boxes)
    drawn = np.asarray(Image.open(annotated).convert("RGBA")).astype(int)
    assert drawn.shape == rgba.shape
    changed = np.argwhere((drawn != rgba).any(2)) / rgba.shape[:2]
    for box in boxes:
        left, top, right, bottom = box["box"]
        assert 0 < left < right < 1
        assert 0 < top < bottom < 1
        assert (np.abs(changed - [(top + bottom) / 2, left]) < 0.02).all(1).any()


def star() -> np.ndarray:
    """Return a picture of a star, of the same size as the picture of a digit."""
    rgba = np.full_like(sheet("1"), 255)
    for angle in np.linspace(0, np.pi, 6)[:-1]:
        across, down = round(28 * np.cos(angle)), round(28 * np.sin(angle))
        cv2.line(rgba, (60 - across, 75 - down), (60 + across, 75 + down), (20, 20, 20, 255), 5)
    return rgba


def predicted(rgba: np.ndarray, path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return what `predict --json` says of a picture."""
    Image.fromarray(rgba).save(path)
    assert main(["predict", str(path), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_box_of_an_unsure_mark_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = predicted(np.hstack([sheet("27"), star(), sheet("5")]), tmp_path / "star.png", capsys)
    expected = [(2, None), (7, None), (None, "no digit"), (5, None)]
    assert [(box["digit"], box["problem"]) for box in said["boxes"]] == expected
    assert said["problem"] is None


def test_picture_of_several_marks_without_a_digit_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rgba = np.hstack([star(), star(), star()])
    rgba[..., :3] = rgba[..., :3] * np.linspace(1, 0.5, rgba.shape[1])[:, None]  # a photograph's light
    said = predicted(rgba, tmp_path / "stars.png", capsys)
    assert len(said["digits"]) >= 3
    assert (said["digit"], set(said["number"]), said["problem"]) == (None, {"?"}, "no digit")


def test_numbers_of_a_line_and_lines_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "page.png")
    top, bottom = np.hstack([sheet("27"), sheet("53")]), np.hstack([sheet("24"), sheet("07")])
    Image.fromarray(np.vstack([top, bottom])).save(path)
    assert main(["predict", path]) == 0
    assert capsys.readouterr().out == f"{path}: 27 53, 24 07\n"
    assert main(["predict", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lines"] == ["27 53", "24 07"]


@pytest.mark.parametrize("length", [13, 30])
def test_number_longer_than_a_drawing_may_be_is_read_whole(
    tmp_path: Path, length: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path, number = str(tmp_path / "long.png"), ("2705341" * length)[:length]
    Image.fromarray(sheet(number)).save(path)
    assert main(["predict", path]) == 0
    assert capsys.readouterr().out == f"{path}: {number}\n"


def test_picture_with_nothing_like_a_digit_has_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "grids.png")
    rgba = np.full((200, 700, 4), 255, np.uint8)
    for left in (60, 260, 460):
        for place in (25, 55, 85):
            cv2.line(rgba, (left + place, 40), (left + place, 150), (20, 20, 20, 255), 5)
            cv2.line(rgba, (left, 30 + place), (left + 110, 30 + place), (20, 20, 20, 255), 5)
    rgba[..., :3] = rgba[..., :3] * np.linspace(0.5, 1, 700)[:, None]
    Image.fromarray(rgba).save(path)
    assert main(["predict", path]) == 0
    assert capsys.readouterr().out == f"{path}: no digits found; try more light, a thicker pen, or a closer photograph\n"


def test_predict_annotates_one_picture_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "seven.png")
    for name in ("seven.png", "another.png"):
        Image.fromarray(sheet("7")).save(tmp_path / name)
    for pictures, folder, words in (
        ([path, path], tmp_path, "error: --annotate draws on one picture; there are 2"),
        ([str(tmp_path / "*.png")], tmp_path, "error: --annotate draws on one picture; there are 2"),
        ([path], tmp_path / "missing", "cannot be written: there is no folder"),
    ):
        assert main(["predict", *pictures, "--annotate", str(folder / "boxes.png")]) == 2
        assert words in capsys.readouterr().err
        assert not (folder / "boxes.png").exists()


@pytest.fixture
def seven(tmp_path: Path) -> Path:
    """A picture of a seven."""
    Image.fromarray(sheet("7")).save(tmp_path / "seven.png")
    return tmp_path / "seven.png"


def format_and_size(path: Path) -> tuple[str | None, tuple[int, int]]:
    with Image.open(path) as picture:
        return picture.format, picture.size


def test_annotated_copy_goes_to_a_folder_that_exists(
    seven: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(seven.parent))
    assert main(["predict", str(seven), "--annotate", "~/copy.png"]) == 0
    assert seven.with_name("copy.png").exists()
    capsys.readouterr()
    missing = seven.parent / "none" / "copy.png"
    assert main(["predict", str(seven), "--annotate", str(missing)]) == 2
    assert tuple(capsys.readouterr()) == ("", f"error: {missing} cannot be written: there is no folder {missing.parent}\n")


@pytest.mark.parametrize(
    ("name", "form"), [("a.png", "PNG"), ("a.PNG", "PNG"), ("a.jpg", "JPEG"), ("a.Jpeg", "JPEG"), ("a.webp", "WEBP")]
)
def test_annotated_copy_is_what_its_name_says(seven: Path, name: str, form: str) -> None:
    assert main(["predict", str(seven), "--annotate", str(seven.with_name(name))]) == 0
    assert format_and_size(seven.with_name(name)) == (form, format_and_size(seven)[1])


@pytest.mark.parametrize("name", ["boxes", "boxes.gif", "boxes.pdf", ".png"])
def test_copy_of_an_unknown_kind_is_rejected(seven: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = seven.with_name(name)
    assert main(["predict", str(seven), "--annotate", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"error: {path} is not the name of a picture; end it with .png, .jpg, .jpeg, .webp\n"
    assert captured.out == ""
    assert not path.exists()


@pytest.mark.parametrize("link", ["", "symbolic", "hard"])
def test_annotating_keeps_the_picture_itself(seven: Path, link: str, capsys: pytest.CaptureFixture[str]) -> None:
    content, path = seven.read_bytes(), seven
    if link:
        path = seven.with_name("link.png")
        (path.symlink_to if link == "symbolic" else path.hardlink_to)(seven)
    for picture, copy in ((seven, path), (path, seven)):
        assert main(["predict", str(picture), "--annotate", str(copy)]) == 2
        assert "is the picture to read; give --annotate another name" in capsys.readouterr().err
        assert seven.read_bytes() == path.read_bytes() == content


NO_PIPES = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


@pytest.mark.parametrize("kind", ["folder", pytest.param("pipe", marks=NO_PIPES)])
def test_annotating_replaces_only_files(seven: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = seven.with_name("boxes.png")
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    before = path.lstat()
    assert main(["predict", str(seven), "--annotate", str(path)]) == 2
    assert capsys.readouterr().err == f"error: {path} exists and is not a file; give --annotate another name\n"
    assert (path.lstat().st_mode, path.lstat().st_ino) == (before.st_mode, before.st_ino)


def test_annotating_writes_where_a_link_points(seven: Path) -> None:
    boxes, link = seven.with_name("boxes.png"), seven.with_name("link.png")
    boxes.write_bytes(b"")
    link.symlink_to(boxes)
    assert main(["predict", str(seven), "--annotate", str(link)]) == 0
    assert link.is_symlink()
    assert format_and_size(boxes) == format_and_size(seven)
