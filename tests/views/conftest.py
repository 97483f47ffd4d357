"""Fixtures for the page's script without a browser."""

import pytest

from tests.support.session import Downloads


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> Downloads:
    """Give access to the files that the page offers."""
    return Downloads(monkeypatch)
