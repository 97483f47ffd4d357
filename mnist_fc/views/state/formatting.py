"""Text for Streamlit's Markdown, and durations in words."""

import re


def duration(seconds: float) -> str:
    """As a person says it: "40 s", "3 min"."""
    return f"{max(1, seconds):.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def escape_markdown(text: str) -> str:
    """`text` for where Streamlit takes Markdown, so that it is shown as it is, whatever it holds."""
    return re.sub(r"([^\w\s]|_)", r"\\\1", " ".join(text.split()))


def unescape_markdown(markdown: str) -> str:
    """What `plain` was made of, but for white space."""
    return re.sub(r"\\([^\w\s]|_)", r"\1", markdown)


def sentence(text: str) -> str:
    """What is wrong, as `plain` text, from a capital letter to a full stop."""
    return f"{escape_markdown(text[:1].upper() + text[1:])}."
