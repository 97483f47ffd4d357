"""Adapt the page to the browser: which texts it may translate, and what a click on a help icon does."""

from pathlib import Path

import streamlit as st

_SCRIPT = "\n".join(Path(__file__).with_name(f"{name}.js").read_text("utf-8") for name in ("translation", "help"))


def prepare() -> None:
    """Run the scripts in the browser; they do nothing if they are already running."""
    st.html(f"<script>{_SCRIPT}</script>", unsafe_allow_javascript=True)
