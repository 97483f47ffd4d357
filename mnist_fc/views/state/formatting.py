"""Text for Streamlit's Markdown, and durations in words."""

import re


def duration(seconds: float) -> str:
    """Return a duration rounded as people say it: "40 s", "3 min"."""
    return f"{max(1, seconds):.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def escape_markdown(text: str) -> str:
    """Return `text` as Markdown that shows it literally, whatever it contains."""
    return re.sub(r"([^\w\s]|_)", r"\\\1", " ".join(text.split()))


def unescape_markdown(markdown: str) -> str:
    """Return the text that `escape_markdown` was given, except for its white space."""
    return re.sub(r"\\([^\w\s]|_)", r"\1", markdown)


def sentence(text: str) -> str:
    """Return an error's text as a sentence in Markdown, from a capital letter to a full stop."""
    return f"{escape_markdown(text[:1].upper() + text[1:])}."
