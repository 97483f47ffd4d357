"""What the page tells the browser around it: what may be translated, and what to say when the connection is lost."""

from pathlib import Path

import streamlit as st

_SCRIPTS = "".join(
    f"<script>{Path(__file__).with_name(name).read_text('utf-8')}</script>" for name in ("connection.js", "translation.js")
)


def prepare() -> None:
    """Run the scripts that watch over the page; each does nothing if it already runs."""
    st.html(_SCRIPTS, unsafe_allow_javascript=True)
