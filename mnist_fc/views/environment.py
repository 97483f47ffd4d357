"""Tell the browser which texts of the page it may translate."""

from pathlib import Path

import streamlit as st

_SCRIPT = f"<script>{Path(__file__).with_name('translation.js').read_text('utf-8')}</script>"


def prepare() -> None:
    """Run translation.js in the browser; it does nothing if it is already running."""
    st.html(_SCRIPT, unsafe_allow_javascript=True)
