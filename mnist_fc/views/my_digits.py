"""My digits: the tray of labelled drawings, and the files that it is saved to and loaded from."""

from typing import Any

import numpy as np
import streamlit as st
from streamlit.typing import UploadedFile

from mnist_fc.config import NUM_CLASSES
from mnist_fc.data.errors import DataError
from mnist_fc.data.my_digits import FILE_NAME, MAX_BYTES, MAX_DIGITS, MyDigit, from_npz, to_npz
from mnist_fc.reading.reader import Reader, Reading, number
from mnist_fc.views import teaching
from mnist_fc.views.components.component import Component, browser_value
from mnist_fc.views.components.pixels import ink, pictures
from mnist_fc.views.state import formatting, networks, session, shared, streamlit_patches
from mnist_fc.views.state.tray import Tray, from_data, to_data, tray

NONE = "none"
"""The label of what is not a digit, in words."""

SIZE = 56
"""Pixels of a digit in the tray."""

KEY = "stored_digits"

_stored = Component("tray", "<i></i>")


def keep() -> None:
    """Let the browser keep the tray, and take over what it kept of an earlier session. Draw this whatever tab is open."""
    own = tray()
    is_kept = st.session_state.get("tray_kept") == (own.session, own.revision)
    digits = None if is_kept or not own.revision else to_data(own.digits)
    data: dict[str, Any] = {"session": own.session, "revision": own.revision, "digits": digits}
    _stored.show(KEY, data, on_open_change=_open, on_stored_change=_note_kept)


def _open() -> None:
    match browser_value(KEY, "open"):
        case [str(name), list(data)] if name == tray().session:
            try:
                tray().open(from_data(data))
            except DataError as error:
                session.log_rejected(f"My digits: {error}")


def _note_kept() -> None:
    match browser_value(KEY, "stored"):
        case [str(name), int(revision)]:
            st.session_state.tray_kept = name, revision


def panel(readings: list[Reading], network: networks.Network) -> None:
    """Draw the tray, and beside it the lesson."""
    left, right = st.columns(2, gap="large")
    with left:
        _tray(network)
    with right:
        teaching.panel(readings, network)


def _tray(network: networks.Network) -> None:
    own, state = tray(), st.session_state
    st.markdown(f"#### My digits{f': {len(own.digits)}' if own.digits else ''}")
    with st.container():
        if own.digits:
            st.caption(f"Each with its label and the answer of {network.name}. Press one to change or delete it.")
            with st.container(key="my_digits"):
                _gallery(own, network)
            _chosen(own, network)
        else:
            st.caption(
                f"Draw a digit and press what it is, under the bars. You can keep up to {MAX_DIGITS} here. They stay in this tab "
                "of the browser, also after a reload."
            )
    with st.container(horizontal=True, gap="small", key="tray_tools"):
        st.button("Undo", key="tray_undo", icon=":material/undo:", disabled=not own.can_undo, on_click=_undo)
        st.button("Delete all", key="tray_delete_all", icon=":material/delete:", disabled=not own.digits, on_click=_delete_all)
        st.download_button(
            "Save",
            lambda: to_npz(own.digits),
            file_name=FILE_NAME,
            key="tray_save",
            icon=":material/download:",
            on_click="ignore",
            disabled=not own.digits,
        )
    with st.expander("Load saved digits"):
        st.caption(
            "A file that **Save** made: an .npz in MNIST's layout, with the strokes. `python -m mnist_fc teach` reads it, too."
        )
        turn = state.setdefault("tray_upload_turn", 0)
        st.file_uploader(
            "A file of digits",
            key=f"tray_upload_{turn}",
            max_upload_size=MAX_BYTES // 2**20,
            on_change=_load,
            label_visibility="collapsed",
        )
    if problem := state.get("tray_problem"):
        st.error(formatting.escape_markdown(problem), icon=":material/error:")


def _gallery(own: Tray, network: networks.Network) -> None:
    images = np.stack([digit.image for digit in own.digits]).astype(np.float32) / 255
    read = network.reader.read_images(images)
    chosen = st.session_state.get("tray_chosen")
    tiles = [
        ink(digit.image.reshape(784), _caption(digit, reading), place, is_chosen=place == chosen)
        for place, (digit, reading) in enumerate(zip(own.digits, read, strict=True))
    ]
    pictures("tray_pictures", tiles, label="My digits", size=SIZE, on_click=_choose)


def _caption(digit: MyDigit, reading: Reading) -> str:
    label = NONE if digit.label is None else str(digit.label)
    if digit.label is None:
        return label
    return f"{label} ✓" if reading.digit == digit.label else f"{label}, read {number([reading])}"


def _chosen(own: Tray, network: networks.Network) -> None:
    """Draw what can be done with the digit that was pressed."""
    place = st.session_state.get("tray_chosen")
    if place is None or place >= len(own.digits):
        return
    digit = own.digits[place]
    read = ", ".join(
        f"{name} reads {number([reader.read_image(digit.image / np.float32(255))])}" for name, reader in _readers(network)
    )
    st.caption(f"{read[0].upper()}{read[1:]}.")
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="tray_change"):
        st.selectbox(
            f"Digit {place + 1} is a",
            [*range(NUM_CLASSES), NONE],
            index=NUM_CLASSES if digit.label is None else digit.label,
            key=f"tray_label_{own.revision}_{place}",
            width=140,
            on_change=_relabel,
            args=(place, own.revision),
        )
        st.button("Delete", key="tray_delete", icon=":material/close:", on_click=_delete, args=(place, own.revision))


def _readers(network: networks.Network) -> list[tuple[str, Reader]]:
    """Return the networks of this page with their names: the one that reads, the built-in one, and the loaded file."""
    readers = {network.name: network.reader, "the built-in network": shared.shipped_reader()}
    if file := networks.loaded_file():
        readers["the loaded file"] = file.reader
    return list(readers.items())


def _choose(place: int, _cell: int) -> None:
    state = st.session_state
    state.tray_chosen = None if state.get("tray_chosen") == place else place


def _relabel(place: int, revision: int) -> None:
    label = st.session_state[f"tray_label_{revision}_{place}"]
    if tray().revision == revision:
        tray().relabel(place, None if label == NONE else int(label))


def _delete(place: int, revision: int) -> None:
    """Delete a digit, unless the tray has changed since the button was drawn: a second click deletes no second one."""
    if tray().revision == revision:
        tray().delete(place)
        st.session_state.tray_chosen = None


def _delete_all() -> None:
    tray().delete(None)
    st.session_state.tray_chosen = None


def _undo() -> None:
    tray().undo()
    st.session_state.tray_chosen = None


def _load() -> None:
    """Add the digits of the chosen file, and empty the uploader; a wrong file stays in it, with a message."""
    state = st.session_state
    chosen = state[f"tray_upload_{state.tray_upload_turn}"]
    state.tray_problem = ""
    if not isinstance(chosen, UploadedFile):
        return  # the person removed it
    try:
        tray().add(*from_npz(chosen.getvalue(), chosen.name))
    except DataError as error:
        state.tray_problem = f"{error}."
        session.log_rejected(f"a file of digits: {error}")
        return
    state.tray_upload_turn += 1
    streamlit_patches.remove_upload(chosen.file_id)
