"""Photo or file: a picture that a person brings, with a box around each digit that is found in it."""

import hashlib
import io
from dataclasses import dataclass

import numpy as np
import streamlit as st
from PIL import Image
from streamlit.typing import UploadedFile

from mnist_fc.drawing.errors import DrawingError
from mnist_fc.drawing.picture_files import MAX_BYTES, load_picture
from mnist_fc.reading.reader import FoundDigit, Reader, Reading, number, numbers, percent, summary
from mnist_fc.views import drawing
from mnist_fc.views.components.component import Component, browser_value
from mnist_fc.views.covers import PictureDigit
from mnist_fc.views.state import formatting, networks, session, shared, streamlit_patches

SHOWN_SIDE = 1000
"""Pixels of the longest side at which the page shows a picture."""

_boxes = Component("boxes", "<div class='picture-boxes' role='group'></div>")
_incoming = Component("incoming_files", "<i></i>")


@dataclass(frozen=True)
class Photo:
    """A picture as the page keeps it: small, with the digits found in it."""

    id: str
    name: str
    shown: bytes
    """As a JPEG file, its longest side at most SHOWN_SIDE."""
    width: int
    """Of the picture in which the digits' boxes are counted, in pixels."""
    height: int
    digits: tuple[FoundDigit, ...]


def panel(network: networks.Network) -> None:
    """Draw the ways to bring a picture, and the last one with its boxes."""
    state = st.session_state
    turn = state.setdefault("photo_turn", 0)
    opened = st.expander("Photo or file", key="photo_open", icon=":material/add_a_photo:", on_change="rerun")
    with opened:
        with st.container(key="photo_file"):
            st.file_uploader(
                "Picture of one digit or of many: choose, drop or paste it",
                key=f"photo_file_{turn}",
                max_upload_size=MAX_BYTES // 10**6,
                on_change=_receive,
                args=("photo_file",),
            )
        if opened.open and st.toggle("Use the camera", key="photo_by_camera"):
            st.camera_input(
                "Photograph", key=f"photo_camera_{turn}", on_change=_receive, args=("photo_camera",), label_visibility="collapsed"
            )
        with st.container():
            if problem := state.get("photo_problem"):
                st.error(formatting.escape_markdown(problem), icon=":material/error:")
        if opened.open and (photo := current()):
            _show(photo, network)
    _incoming.show("incoming_files", {})


def current() -> Photo | None:
    """Return the picture of this session; None if there is none."""
    photo: Photo | None = st.session_state.get("photo")
    return photo


def _receive(source: str) -> None:
    """Read the picture that was chosen, and empty the uploader; a wrong file stays in it, with a message."""
    state = st.session_state
    state.photo_open = True  # it may have been pasted, or dropped on the canvas
    chosen = state[f"{source}_{state.photo_turn}"]
    state.photo_problem = ""
    if not isinstance(chosen, UploadedFile):
        return  # the person removed it
    try:
        photo = read_photo(chosen.getvalue(), chosen.name, shared.shipped_reader())
    except DrawingError as error:
        state.photo_problem = formatting.sentence(str(error))
        session.log_rejected(f"a picture: {error}")
        return
    state.photo_turn += 1
    streamlit_patches.remove_upload(chosen.file_id)
    state.photo = photo
    if len(photo.digits) == 1:
        _choose(photo, 0)


def read_photo(content: bytes, name: str, reader: Reader) -> Photo:
    """Return the picture in a file, with its digits. Raises DrawingError as `load_picture` does."""
    rgba = load_picture(io.BytesIO(content))
    digits = tuple(reader.read_picture(rgba))
    height, width = rgba.shape[:2]
    return Photo(hashlib.sha256(content).hexdigest(), name, _as_jpeg(rgba), width, height, digits)


def _as_jpeg(rgba: np.ndarray) -> bytes:
    """Return an opaque picture, uint8 (H, W, 4), as a JPEG file."""
    picture = Image.fromarray(rgba).convert("RGB")
    picture.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return file.getvalue()


def _show(photo: Photo, network: networks.Network) -> None:
    """Draw the picture, its boxes as `network` reads them, and the numbers in words."""
    readings = network.reader.read_again(photo.digits)
    with st.container(key="photo_view"):
        st.image(photo.shown, width="stretch")
        if photo.digits:
            _boxes.show("photo_boxes", as_data(photo, readings, drawing.covered_by()), on_chosen_change=_chosen)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(_words(photo, readings))
        st.button("Remove", key="remove_photo", icon=":material/close:", on_click=_remove)


def as_data(photo: Photo, readings: list[Reading], cover: object) -> dict[str, object]:
    """Return the boxes with their readings for boxes.js; places and sizes are shares of the picture's."""
    boxes = []
    for place, (found, reading) in enumerate(zip(photo.digits, readings, strict=True)):
        box, sure = found.box, _sure(reading)
        what = f"{reading.digit}, {sure} sure" if sure else "unsure"
        boxes.append(
            {
                "left": box.left / photo.width,
                "top": box.top / photo.height,
                "width": box.width / photo.width,
                "height": box.height / photo.height,
                "text": number([reading]),
                "sure": sure,
                "words": f"Digit {place + 1} of {len(readings)}: {what}",
                "isUnsure": reading.digit is None,
                "isChosen": cover == _cover(photo, place),
            }
        )
    return {"label": "Digits found in the picture", "picture": photo.id, "boxes": boxes}


def _sure(reading: Reading) -> str:
    return "" if reading.digit is None else percent(reading.probabilities[reading.digit])


def _cover(photo: Photo, place: int) -> PictureDigit:
    return PictureDigit(photo.id, place, photo.digits[place])


def _choose(photo: Photo, place: int) -> None:
    """Read one digit of the picture in the drawing's place."""
    drawing.cover(_cover(photo, place))


def _chosen() -> None:
    """Read the digit whose box was clicked; a browser is not trusted."""
    photo = current()
    match browser_value("photo_boxes", "chosen"):
        case [str(picture), int(place)] if photo and picture == photo.id and 0 <= place < len(photo.digits):
            _choose(photo, place)


def _words(photo: Photo, readings: list[Reading]) -> str:
    """Return what was found in the picture, in words of Markdown: the number of each line."""
    name = formatting.escape_markdown(photo.name)
    if not readings:
        return f"**{name}**: no digits found. Try more light, a thicker pen, or a closer photograph."
    num_digits = sum(reading.digit is not None for reading in readings)
    if not num_digits:
        return f"**{name}**: nothing that is surely a digit. Click a box to see why."
    lines = summary(numbers(photo.digits, readings))
    count = "1 digit" if num_digits == 1 else f"{num_digits} digits"
    if num_digits < len(readings):
        count += f", {len(readings) - num_digits} unsure"
    return f"**{name}**: {count}: **{lines}**. Click a box to read that digit above."


def _remove() -> None:
    st.session_state.photo = None
