"""What the page tells the browser around it: what may be translated."""

from pathlib import Path

import streamlit as st

_SCRIPT = f"<script>{Path(__file__).with_name('translation.js').read_text('utf-8')}</script>"


def prepare() -> None:
    """Run the script that watches over the page; it does nothing if it already runs."""
    st.html(_SCRIPT, unsafe_allow_javascript=True)
