"""The page where its data is missing, or where its store cannot be written."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnist_fc.data.mnist import load_mnist
from mnist_fc.views import notices
from mnist_fc.views.state import formatting, shared
from tests.support.session import has_text, new_app, open_tab, opened_app, press, status_html
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_small_store")


@pytest.fixture
def unwritable_store(own_small_store: None) -> Iterator[None]:
    """Put a regular file where the folder of the store was."""
    path = shared.scheduler().store.path
    path.rmdir()
    path.write_text("a file")
    notices._removed_by.cache_clear()
    yield
    path.unlink()


def test_missing_data_file_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_FC_DATA", str(tmp_path / "missing.npz"))
    monkeypatch.setattr(shared, "mnist", shared.Singleton(load_mnist))
    app = new_app().run()
    assert not app.exception
    (error,) = app.error
    assert re.search(r"^The page cannot start: .*missing\.npz does not exist\.$", formatting.unescape_markdown(error.value))


@pytest.mark.usefixtures("unwritable_store")
def test_unwritable_store_is_reported_and_the_run_continues() -> None:
    app = press(opened_app(preset="fast", hidden_sizes="16", epochs="1", num_validation="200", threads="1"), "train")
    run = shared.scheduler().run(app.session_state["page_address"]["run"])
    assert run
    wait_until(run, "done")
    open_tab(app, "Export and import")
    assert "data-state='done'" in status_html(app)
    assert has_text(app, "This run is not kept on disk: ")
    assert has_text(app, "This run is not on disk: ")
    assert {one.key for one in app.get("download_button") if one.proto.disabled} == {"take_metrics_csv", "take_report_md"}
