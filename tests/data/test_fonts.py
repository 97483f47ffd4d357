"""fonts.py: printed digits are read as what they are, letters are not blank, and the seed decides both."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from mnist_fc.data import fonts
from mnist_fc.data.mnist import DataError, Mnist
from mnist_fc.data.non_digits import NO_DIGIT
from mnist_fc.reading.reader import Reader
from tests.support.typefaces import save_typeface


@pytest.fixture(scope="module")
def typefaces(tmp_path_factory: pytest.TempPathFactory) -> list[ImageFont.FreeTypeFont]:
    return fonts.load(save_typeface(tmp_path_factory.mktemp("fonts")))


def test_fonts_are_found_in_folders_within_the_folder(tmp_path: Path) -> None:
    (tmp_path / "sans").mkdir()
    save_typeface(tmp_path / "sans")
    (tmp_path / "README.txt").write_text("not a font")
    (font,) = fonts.load(tmp_path)
    assert font.getname() == ("Aileron", "Regular")


def test_folder_without_fonts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no fonts"):
        fonts.load(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        fonts.load(tmp_path / "none")


def test_damaged_font_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"not a font")
    with pytest.raises(DataError, match=r"broken\.ttf cannot be read"):
        fonts.load(tmp_path)


def test_font_damaged_in_any_place_is_named_or_read(tmp_path: Path) -> None:
    save_typeface(tmp_path)
    (path,) = tmp_path.iterdir()
    content, random = path.read_bytes(), np.random.default_rng(0)
    num_named = 0
    for _ in range(60):
        damaged = bytearray(content)
        start = int(random.integers(len(content) - 400))
        damaged[start : start + 400] = random.bytes(400)
        path.write_bytes(damaged)
        try:
            fonts.letters(fonts.load(tmp_path), 5, seed=0)
        except DataError as error:
            num_named += "cannot be read" in str(error)
    assert num_named


def test_fonts_without_ink_do_not_end_in_an_endless_search(typefaces: list[ImageFont.FreeTypeFont]) -> None:
    (font,) = typefaces
    blank = font.font_variant(size=1)
    with pytest.raises(DataError, match="most letters of the fonts are blank"):
        fonts.letters([blank], 2, seed=0)


def test_printed_digits_look_like_their_labels(typefaces: list[ImageFont.FreeTypeFont]) -> None:
    images, labels = fonts.digits(typefaces, 0)
    assert images.shape == (10 * fonts.NUM_DRAWINGS, 28, 28)
    assert images.dtype == np.float32
    assert np.bincount(labels).tolist() == [fonts.NUM_DRAWINGS] * 10
    readings = Reader.load().read_images(images)
    assert np.mean([reading.digit == label for reading, label in zip(readings, labels, strict=True)]) > 0.85


def test_letters_are_rejected(typefaces: list[ImageFont.FreeTypeFont]) -> None:
    images = fonts.letters(typefaces, 200, 0)
    assert images.shape == (200, 28, 28)
    assert images.dtype == np.float32
    assert (images.max((1, 2)) > 0.5).all()
    assert np.mean([reading.digit is None for reading in Reader.load().read_images(images)]) > 0.9


def test_seed_decides_the_images(typefaces: list[ImageFont.FreeTypeFont]) -> None:
    assert np.array_equal(fonts.letters(typefaces, 20, 1), fonts.letters(typefaces, 20, 1))
    assert not np.array_equal(fonts.letters(typefaces, 20, 1), fonts.letters(typefaces, 20, 2))
    assert not np.array_equal(fonts.digits(typefaces, 1)[0], fonts.digits(typefaces, 2)[0])


def test_added_images_come_last(typefaces: list[ImageFont.FreeTypeFont], mnist: Mnist) -> None:
    with_digits = fonts.add_to(mnist, typefaces)
    count = 10 * fonts.NUM_DRAWINGS
    assert with_digits.num_added == mnist.num_added + count
    assert with_digits.train_images[:-count].equal(mnist.train_images)
    with_letters = fonts.add_letters_to(with_digits, typefaces, 5)
    assert with_letters.train_labels[-5:].tolist() == [NO_DIGIT] * 5
    assert with_letters.num_classes == NO_DIGIT + 1
