"""Fixtures for the page's script without a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mnist_fc.views import notices
from mnist_fc.views.state import shared
from tests.support.session import Downloads, opened_app


@pytest.fixture(scope="module")
def small_store(own_store: None, small_npz: Path) -> Iterator[None]:
    """Give AppTest a new server with a store of its own and few images, and open its page once."""
    caches = shared.trained_on, notices._removed_by
    for cache in caches:
        cache.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MNIST_FC_DATA", str(small_npz))
        opened_app()
        yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> Downloads:
    """Give access to the files that the page offers."""
    return Downloads(monkeypatch)
