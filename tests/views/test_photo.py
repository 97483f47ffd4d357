"""views/photo.py: a picture that a person brings is read, shown with its digits, chosen from and removed."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from streamlit.testing.v1 import AppTest

from tests.support.session import component_data, has_text, opened_app, press, rerun, send, texts
from tests.support.sheets import sheet

pytestmark = pytest.mark.integration

BLANK = np.full((120, 160, 4), 255, np.uint8)


def bring(app: AppTest, picture: np.ndarray | bytes, name: str = "photo.png") -> AppTest:
    """Choose a picture in the uploader."""
    content = picture if isinstance(picture, bytes) else as_png(picture)
    app.file_uploader(key=f"photo_file_{app.session_state['photo_turn']}").set_value((name, content, "image/png"))
    return rerun(app)


def as_png(rgba: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgba).save(file, "PNG")
    return file.getvalue()


def digit_read(app: AppTest) -> str:
    """Return what the page shows as the answer."""
    (answer,) = (text for text in texts(app) if "class='digit'" in text)
    return answer.partition(">")[2].partition("<")[0]


def choose(app: AppTest, place: object, picture: object = None) -> AppTest:
    """Click a box in the picture."""
    return send(app, "photo_boxes", "chosen", [picture or component_data(app, "photo_boxes")["picture"], place])


@pytest.fixture
def app(own_store: None) -> AppTest:
    return opened_app()


def test_every_digit_has_a_box_with_its_reading(app: AppTest) -> None:
    app = bring(app, sheet("271", "04"), "my *sums*.png")
    boxes = component_data(app, "photo_boxes")["boxes"]
    assert [box["text"] for box in boxes] == list("27104")
    assert all(0 <= box["left"] < box["left"] + box["width"] <= 1 for box in boxes)
    assert boxes[0]["top"] < boxes[3]["top"]
    assert boxes[0]["words"].startswith("Digit 1 of 5: 2, ")
    assert has_text(app, "**my *sums*.png**: 5 digits: **271, 04**.")
    assert digit_read(app) == "3", "the drawing is read until a box is chosen"


def test_numbers_of_a_printed_list_are_read_among_its_words(app: AppTest) -> None:
    page = Image.new("RGBA", (900, 420), "white")
    writing = ImageDraw.Draw(page)
    for row, line in enumerate(["24 eggs and ham", "3 apples", "8 more peaches"]):
        writing.text((60, 50 + 110 * row), line, "black", ImageFont.load_default(70))
    app = bring(app, np.array(page))
    boxes = component_data(app, "photo_boxes")["boxes"]
    assert [box["text"] for box in boxes if not box["isUnsure"]] == list("2438")
    num_unsure = sum(box["isUnsure"] for box in boxes)
    assert num_unsure > 10
    assert has_text(app, f": 4 digits, {num_unsure} unsure: ")


def test_chosen_digit_is_read_and_pinned_until_clear(app: AppTest) -> None:
    app = choose(bring(app, sheet("271", "04")), 4)
    assert digit_read(app) == "4"
    assert has_text(app, "Digit 5 of the picture")
    assert [box["isChosen"] for box in component_data(app, "photo_boxes")["boxes"]] == [False] * 4 + [True]
    app = press(app, "pin")
    (probe,) = app.session_state["probes"]
    assert probe.digit == 4
    app = press(app, "clear")
    assert digit_read(app) == ""
    assert not any(box["isChosen"] for box in component_data(app, "photo_boxes")["boxes"])


def test_only_digit_of_a_picture_is_read_at_once(app: AppTest) -> None:
    app = bring(app, sheet("7"))
    assert digit_read(app) == "7"
    assert digit_read(press(app, "undo")) == "3"


def test_picture_without_digits_says_what_to_do(app: AppTest) -> None:
    app = bring(app, BLANK)
    assert has_text(app, "**photo.png**: no digits found. Try more light")
    assert not any("photo_boxes" in element.proto.id for element in app.get("bidi_component"))


def test_marks_without_a_digit_are_said_to_be_unsure(app: AppTest) -> None:
    scribble = np.full((200, 300, 4), 255, np.uint8)
    for x in range(60, 240, 30):
        scribble[60:140, x : x + 6, :3] = scribble[97:103, 60:220, :3] = 0
    app = bring(app, scribble)
    assert [box["isUnsure"] for box in component_data(app, "photo_boxes")["boxes"]] == [True]
    assert has_text(app, "nothing that is surely a digit")


def test_unreadable_file_is_rejected_and_the_last_picture_stays(app: AppTest) -> None:
    app = bring(bring(app, sheet("27")), b"This is no picture.", "text.png")
    (alert,) = app.error
    assert "picture" in alert.value
    assert "/" not in alert.value
    assert len(component_data(app, "photo_boxes")["boxes"]) == 2
    assert not bring(app, sheet("7")).error


def test_removed_picture_is_gone(app: AppTest) -> None:
    app = press(bring(app, sheet("27")), "remove_photo")
    assert not any("photo_boxes" in element.proto.id for element in app.get("bidi_component"))


@pytest.mark.parametrize("value", [["another", 0], ["", -1], ["", 2], ["", 10**9], ["", "0"], [], None, {"a": 1}, [[], 0]])
def test_choice_of_what_is_not_there_is_ignored(app: AppTest, value: object) -> None:
    app = bring(app, sheet("27"))
    if isinstance(value, list) and value[:1] == [""]:
        value[0] = component_data(app, "photo_boxes")["picture"]
    assert digit_read(send(app, "photo_boxes", "chosen", value)) == "3"
