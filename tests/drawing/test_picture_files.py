"""Picture files of every kind are read, or rejected in words that say what they are and what to do."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from mnist_fc.drawing.errors import DrawingError
from mnist_fc.drawing.normalize import to_image
from mnist_fc.drawing.picture_files import MAX_SIDE, load_picture
from mnist_fc.drawing.strokes import CANVAS_SIZE, Stroke, render
from tests.support.drawings import image_of, painted

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "PNG": ("RGBA", {}),
    "JPEG": ("RGB", {"quality": 90}),
    "MPO": ("RGB", {"quality": 90}),
    "GIF": ("P", {}),
    "BMP": ("RGB", {}),
    "TIFF": ("RGB", {"compression": "tiff_lzw"}),
    "WEBP": ("RGBA", {"lossless": True}),
    "PPM": ("L", {}),
    "AVIF": ("RGB", {"quality": 90}),
}


def content_of(picture: Image.Image, form: str, **options: Any) -> bytes:
    """Return a picture as a file of a format."""
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def load(content: bytes) -> np.ndarray:
    """Return the picture in the content of a file; check what holds for every picture."""
    picture = load_picture(io.BytesIO(content))
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 4
    assert picture[..., 3].min() == 255
    assert max(picture.shape) <= MAX_SIDE
    return picture


def is_seven(picture: np.ndarray, seven: list[Stroke]) -> bool:
    """Return whether a picture is prepared as the drawing is."""
    image = to_image(picture)
    return image is not None and bool(np.abs(image - image_of(seven)).max() < 0.06)  # measured: 0.04 in a JPEG


@pytest.fixture
def sheet(seven: list[Stroke]) -> np.ndarray:
    """A seven in dark ink on light paper, uint8 (h, w)."""
    return painted(seven, 240, 15)[..., 0]


@pytest.mark.parametrize("form", KINDS)
def test_file_of_any_name_is_the_same_drawing(tmp_path: Path, seven: list[Stroke], form: str) -> None:
    mode, options = KINDS[form]
    path = tmp_path / "IMG_7.HEIC"
    path.write_bytes(content_of(Image.fromarray(painted(seven, 255, 0)).convert(mode), form, **options))
    picture = load_picture(path)
    assert picture.shape == (CANVAS_SIZE, CANVAS_SIZE, 4)
    assert is_seven(picture, seven)
    assert np.array_equal(load(path.read_bytes()), picture)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_pixel_type_is_the_same_drawing(seven: list[Stroke], mode: str, form: str) -> None:
    picture = Image.fromarray(painted(seven, 255, 0)).convert("L")
    picture = picture.convert("1", dither=Image.Dither.NONE) if mode == "1" else picture.convert(mode)
    if (form, mode) in {("JPEG", "LA"), ("JPEG", "P"), ("JPEG", "RGBA"), ("PNG", "CMYK")}:
        with pytest.raises(OSError, match="cannot write mode"):  # the format has no such pixels
            content_of(picture, form)
        return
    image = to_image(load(content_of(picture, form)))
    assert image is not None
    assert np.abs(image - image_of(seven)).max() < (0.3 if mode == "1" else 0.06)  # one bit leaves no soft edges


@pytest.mark.parametrize("colours", [("white", "black"), ("black", "white")])
def test_animation_is_its_first_frame(sheet: np.ndarray, seven: list[Stroke], colours: tuple[str, str]) -> None:
    later = [Image.new("L", sheet.shape[::-1], colour) for colour in colours]
    for form in ("GIF", "PNG", "WEBP", "TIFF"):
        options = {"save_all": True, "append_images": later}
        assert is_seven(load(content_of(Image.fromarray(sheet), form, **options)), seven)


DEEP: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "16 bits": lambda gray: gray.astype(np.uint16) * 257,
    "12 bits in 16": lambda gray: gray.astype(np.uint16) * 16,
    "8 bits in 16": lambda gray: gray.astype(np.uint16),
    "10 bits in 32": lambda gray: gray.astype(np.int32) * 4,
    "24 bits in 32": lambda gray: gray.astype(np.int32) * 65_793,
    "negative": lambda gray: gray.astype(np.int32) * 8 - 1000,
    "0 to 1": lambda gray: gray / np.float32(255),
    "0 to 0.01": lambda gray: gray / np.float32(25_500),
    "0 to 255": lambda gray: gray.astype(np.float32),
    "-1 to 1": lambda gray: gray / np.float32(127.5) - 1,
    "light ink": lambda gray: 1 - gray / np.float32(255),
    "missing values": lambda gray: np.where(np.arange(gray.shape[1]) < 20, np.float32(np.nan), gray / np.float32(255)),
    "no data": lambda gray: np.where(np.arange(gray.shape[1]) < 20, np.float32(-3.4e38), gray / np.float32(255)),
    "infinite values": lambda gray: np.where(np.arange(gray.shape[1]) < 20, np.float32(np.inf), gray / np.float32(255)),
}


@pytest.mark.parametrize("values", DEEP)
def test_values_of_any_range_are_the_same_drawing(sheet: np.ndarray, seven: list[Stroke], values: str) -> None:
    deep = Image.fromarray(DEEP[values](sheet))
    assert is_seven(load(content_of(deep, "TIFF")), seven)
    if values.endswith("in 16"):
        assert is_seven(load(content_of(deep, "PNG")), seven)


def test_12_bits_in_16_bit_colours_are_the_same_drawing(sheet: np.ndarray, seven: list[Stroke]) -> None:
    _, content = cv2.imencode(".png", np.dstack([sheet] * 3).astype(np.uint16) * 16)
    assert is_seven(load(content.tobytes()), seven)


def test_16_bit_scan_keeps_its_brightness(sheet: np.ndarray) -> None:
    picture = load(content_of(Image.fromarray(sheet.astype(np.uint16) * 257), "PNG"))
    assert np.array_equal(picture[..., 0], sheet)


@pytest.mark.parametrize("value", [0, 7, np.nan, np.inf])
def test_picture_of_one_value_has_no_ink(value: float) -> None:
    picture = load(content_of(Image.fromarray(np.full((40, 40), value, np.float32)), "TIFF"))
    assert to_image(picture) is None


def test_tiny_picture_with_values_to_16_is_stretched() -> None:
    digit = np.zeros((8, 8), np.uint8)
    digit[1, 2:6] = 16
    digit[2:7, 4] = 12
    picture = load(content_of(Image.fromarray(digit), "PNG"))
    assert np.array_equal(np.unique(picture[..., 0]), [0, 191, 255])


def test_mask_of_ones_is_the_same_drawing(sheet: np.ndarray, seven: list[Stroke]) -> None:
    mask = load(content_of(Image.fromarray((sheet < 128).astype(np.uint8)), "PNG"))
    assert np.array_equal(mask[..., 0], np.where(sheet < 128, 255, 0))


def test_dark_photograph_is_not_stretched() -> None:
    noise = np.random.default_rng(0).integers(0, 9, (200, 200)).astype(np.uint8)
    assert np.array_equal(load(content_of(Image.fromarray(noise), "PNG"))[..., 0], noise)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (250, 220, 0), (20, 40, 200), (128, 128, 128)])
def test_ink_alone_gets_paper_that_contrasts(seven: list[Stroke], colour: tuple[int, int, int]) -> None:
    ink = render(seven)
    ink[..., :3] = colour
    for form in ("PNG", "WEBP"):
        picture = load(content_of(Image.fromarray(ink), form, lossless=True))
        assert np.ptp(np.asarray(Image.fromarray(picture).convert("L"))) > 90
        image = to_image(picture)
        assert image is not None
        assert np.abs(image - image_of(seven)).mean() < 0.05


def test_ink_of_two_pens_stays_readable(seven: list[Stroke]) -> None:
    ink = render(seven)
    ink[:130, :, 0] = 200
    ink[130:, :, 2] = 160
    image = to_image(load(content_of(Image.fromarray(ink), "PNG")))
    assert image is not None
    assert np.abs(image - image_of(seven)).mean() < 0.05


@pytest.mark.parametrize(("paper", "ink"), [(235, 30), (40, 220)])
def test_sheet_with_transparent_margin_is_the_same_drawing(seven: list[Stroke], paper: int, ink: int) -> None:
    card = np.zeros((400, 500, 4), np.uint8)
    card[60 : 60 + CANVAS_SIZE, 100 : 100 + CANVAS_SIZE] = painted(seven, paper, ink)
    picture = load(content_of(Image.fromarray(card), "PNG"))
    assert picture[0, 0].tolist() == [paper, paper, paper, 255]
    assert is_seven(picture, seven)


@pytest.mark.parametrize("reach", [4, 12, 25])
@pytest.mark.parametrize(("outline", "ink"), [(255, 0), (20, 240)])
def test_digit_with_an_opaque_outline_is_the_same_drawing(seven: list[Stroke], outline: int, ink: int, reach: int) -> None:
    sticker = np.pad(painted(seven, outline, ink), ((40, 40), (40, 40), (0, 0)), mode="edge")
    inked = np.pad(render(seven)[..., 3], 40)
    sticker[..., 3] = cv2.dilate(inked, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    picture = load(content_of(Image.fromarray(sticker), "PNG"))
    assert picture[0, 0].tolist() == [outline, outline, outline, 255]
    assert is_seven(picture, seven)


def test_transparent_picture_without_ink_is_blank() -> None:
    assert to_image(load(content_of(Image.new("RGBA", (50, 50)), "PNG"))) is None


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_is_read_the_way_up_it_is_shown(form: str, orientation: int) -> None:
    corners = np.zeros((40, 64), np.uint8)
    corners[:20, :32], corners[:20, 32:], corners[20:, :32] = 250, 170, 90
    turned = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the operation of Pillow that undoes each orientation
    stored = Image.fromarray(corners)
    if orientation > 1:
        stored = stored.transpose(Image.Transpose(turned[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = load(content_of(stored.convert("RGB"), form, exif=exif, quality=100))
    assert picture.shape == (40, 64, 4)
    assert np.abs(picture[4::8, 4::8, 0].astype(int) - corners[4::8, 4::8]).max() < 9


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(30)])
@pytest.mark.parametrize("form", ["JPEG", "WEBP", "PNG"])
def test_broken_exif_does_not_hide_the_picture(sheet: np.ndarray, seven: list[Stroke], form: str, exif: bytes) -> None:
    assert is_seven(load(content_of(Image.fromarray(sheet).convert("RGB"), form, exif=exif, quality=95)), seven)


def test_film_behind_a_photograph_does_not_count(sheet: np.ndarray) -> None:
    photograph = content_of(Image.fromarray(sheet).resize((4000, 4000)), "JPEG")
    film = b"\0\0\0\x18ftypmp42" + b"\xff\xda\0\x08\1\1\0\0\x3f\0" * 10_000
    assert load(photograph + film).shape == (2000, 2000, 4)


def test_thumbnail_of_a_photograph_does_not_count(sheet: np.ndarray) -> None:
    photograph = content_of(Image.fromarray(sheet).resize((4000, 4000)), "JPEG")
    thumbnail = b"\xff\xe2" + (60_002).to_bytes(2, "big") + b"\xff\xda\0" * 20_000
    assert load(photograph[:2] + thumbnail + photograph[2:]).shape == (2000, 2000, 4)


def test_large_photograph_comes_out_smaller(sheet: np.ndarray) -> None:
    large = Image.fromarray(sheet).resize((4032, 3024)).convert("RGB")
    for form in ("JPEG", "PNG"):
        picture = load(content_of(large, form, compress_level=1))
        assert picture.shape == (1500, 2000, 4)
        assert to_image(picture) is not None


def multi_scan(content: bytes, num_scans: int) -> bytes:
    """Return a JPEG file with its only scan repeated."""
    scan = content[content.index(b"\xff\xda") : -2]
    return content[:-2] + scan * (num_scans - 1) + content[-2:]


def test_photograph_with_too_many_passes_is_rejected(sheet: np.ndarray) -> None:
    photograph = content_of(Image.fromarray(sheet).resize((2000, 2000)), "JPEG")
    assert load(multi_scan(photograph, 1)).shape == (2000, 2000, 4)
    with pytest.raises(DrawingError, match=r"has 2000 x 2000 pixels; such JPEG files may have at most 3\.92 million"):
        load(multi_scan(photograph, 51))


@pytest.mark.parametrize("is_progressive", [True, False])
def test_photograph_held_at_full_size_is_bounded(is_progressive: bool) -> None:
    photograph = content_of(Image.new("RGB", (1000, 1000)), "JPEG", progressive=is_progressive, subsampling=0)
    size = b"\x11\x08" + (1000).to_bytes(2, "big") * 2
    assert size in photograph
    large = photograph.replace(size, b"\x11\x08" + (4200).to_bytes(2, "big") * 2)
    if not is_progressive:  # the first scan is of one component, so that the decoder must wait for the others
        large = large.replace(b"\xff\xda\0\x0c\3", b"\xff\xda\0\x0c\1")
    limit = r"4200 x 4200 pixels; such JPEG files may have at most 12\.\d million; make it smaller, or save it as a JPEG that"
    with pytest.raises(DrawingError, match=limit):
        load(large)


def test_too_large_picture_is_read_once_it_is_saved_as_advised() -> None:
    large = Image.new("1", (9000, 9000))
    with pytest.raises(DrawingError, match=r"such PNG files .*; make it smaller, or save it as a JPEG that is not progressive"):
        load(content_of(large, "PNG"))
    load(content_of(large, "JPEG", progressive=False))


def test_picture_too_large_for_every_kind_is_to_be_made_smaller() -> None:
    side = (16_382).to_bytes(3, "little")
    with pytest.raises(DrawingError, match=r"such WEBP files may have at most \S+ million; make it smaller$"):
        load(b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + side * 2 + b"VP8 \0\0\0\0")


def box(brand: bytes, *others: bytes) -> bytes:
    """Return the first box of an ISO media file."""
    brands = brand + bytes(4) + b"".join(others)
    return (8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands + bytes(200)


NAMED = {
    "heic": (box(b"heic", b"mif1", b"heic"), "a HEIC photograph", "save it as JPEG"),
    "heif": (box(b"mif1", b"mif1", b"heic"), "a HEIC photograph", "save it as JPEG"),
    "jpeg xl": (b"\xff\x0a" + bytes(40), "a JPEG XL picture", "save it as PNG or JPEG"),
    "jpeg xl box": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "a JPEG XL picture", "save it as PNG or JPEG"),
    "jpeg 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "a JPEG 2000 picture", "save it as PNG or JPEG"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "a PDF document", "take a picture of the page"),
    "pdf with a preface": (b"\xef\xbb\xbf\n\n%PDF-1.4\n", "a PDF document", "take a picture of the page"),
    "svg": (
        b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
        "an SVG drawing",
        "save it as PNG",
    ),
    "svg in utf-16": ("<svg/>".encode("utf-16"), "an SVG drawing", "save it as PNG"),
    "web page": (b"\n<!DOCTYPE html><html><svg></svg>", "a web page", "download the file itself"),
    "mp4": (box(b"isom", b"mp42"), "a video", "photograph or a still"),
    "mov": (b"\0\0\0\x08wide\0\0\1\0mdat", "a video", "photograph or a still"),
    "sound": (b"ID3\4" + bytes(40), "a sound file", "give a picture"),
    "zip": (b"PK\3\4" + bytes(26) + b"seven.png", "an archive", "unpack it, or export a PNG from the app"),
    "word": (b"PK\3\4" + bytes(26) + b"[Content_Types].xml", "an office document", "screenshot"),
    "raw": (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "a camera's raw file", "export it as JPEG"),
    "icon": (b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0" + bytes(40), "an icon", "save it as PNG"),
    "photoshop": (b"8BPS\0\1" + bytes(40), "a Photoshop file", "save it as PNG"),
    "mac": (b"\0\5\x16\7" + bytes(40), "a Mac's companion", "without ._"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer", "git lfs pull"),
    "Procreate": (b"PK\3\4" + bytes(26) + b"Document.archive", "an archive", "export a PNG from the app that made it"),
    "changed line ends": (b"\x89PNG\r\r\n\x1a\r\n" + bytes(40), "a PNG picture that was changed on its way", "download it again"),
    "a Mac's edits": (b'<?xml version="1.0"?>\n<!DOCTYPE plist>\n<plist>', "an XML document", "give a picture"),
    "array": (b"\x93NUMPY\1\0" + bytes(40), "a data file", "give a picture"),
    "text": (b"7\n", "a text file", "give a picture"),
    "empty": (b"", "empty", "again"),
    "unknown": (bytes(range(256)), "not a picture that can be read", "save it as PNG or JPEG"),
}


@pytest.mark.parametrize("kind", NAMED)
def test_file_is_named_for_what_it_is(tmp_path: Path, kind: str) -> None:
    content, what, advice = NAMED[kind]
    path = tmp_path / "seven.jpg"
    path.write_bytes(content)
    for source, name in ((path, str(path)), (io.BytesIO(content), "this file")):
        with pytest.raises(DrawingError) as caught:
            load_picture(source)
        message = str(caught.value)
        assert message.startswith(f"{name} is {what}")
        assert advice in message
        assert len(message.split()) <= 20


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("compression", [None, "tga_rle"])
def test_tga_is_named_though_it_has_no_signature(mode: str, compression: str | None) -> None:
    content = content_of(Image.new(mode, (40, 30), 1), "TGA", compression=compression, id_section=b"seven")
    with pytest.raises(DrawingError, match="this file is a TGA picture; open it and save it as PNG or JPEG"):
        load(content)


@pytest.mark.parametrize("form", KINDS)
def test_truncated_picture_is_rejected(sheet: np.ndarray, form: str) -> None:
    whole = content_of(Image.fromarray(sheet).convert("L" if form == "PPM" else "RGB"), form)
    for length in (0, 1, 20, 60, len(whole) // 2):
        with pytest.raises(DrawingError) as caught:
            load(whole[:length])
        assert len(str(caught.value).split()) <= 20


@pytest.mark.parametrize("side", [10_000, pytest.param(30_000, marks=pytest.mark.slow)])
def test_small_file_with_too_many_pixels_is_rejected(tmp_path: Path, side: int) -> None:
    Image.new("1", (side, side)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 200_000
    with pytest.raises(DrawingError, match=r"may have at most 75\.9 million|has too many pixels; make it smaller"):
        load_picture(tmp_path / "bomb.png")


def test_missing_picture_and_folder_are_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(DrawingError, match=r"none.png does not exist"):
        load_picture(tmp_path / "none.png")
    with pytest.raises(DrawingError, match=r"is a folder; name the pictures in it"):
        load_picture(tmp_path)


@pytest.mark.parametrize(("name", "shown"), [("a\nb\x1b[31m", r"a\nb\x1b[31m"), ("\udcff7", r"\xff7"), ("sieben ü", "sieben ü")])
def test_unprintable_names_are_escaped_in_messages(name: str, shown: str) -> None:
    with pytest.raises(DrawingError) as caught:
        load_picture(name)
    assert str(caught.value) == f"the picture {shown} does not exist"


def test_name_with_a_null_is_rejected() -> None:
    with pytest.raises(DrawingError, match=r"a\\x00b cannot be read"):
        load_picture("a\0b")
