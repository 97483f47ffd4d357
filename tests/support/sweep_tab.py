"""What the tab of sweeps shows, by the page's script alone."""

from xml.etree import ElementTree as ET

from streamlit.testing.v1 import AppTest

from mnist_fc.views.state import throttle


def reread(app: AppTest) -> AppTest:
    """Draw the page again, from what the storage holds now."""
    throttle.results.clear()
    assert not app.run().exception
    return app


def trials_table(app: AppTest) -> "ET.Element[str]":
    """Return the table of trials and the line below it."""
    (table,) = [str(one.proto.body) for one in app.get("html") if "class='sweep-table'" in str(one.proto.body)]
    return ET.fromstring(f"<div>{table}</div>")


def trial_rows(app: AppTest) -> list[list[str]]:
    """Return the cells of each trial in the table: number, accuracy, settings, epoch, seconds and state."""
    return [["".join(cell.itertext()) for cell in row] for row in trials_table(app).iterfind(".//tbody/tr")]


def trials_note(app: AppTest) -> str:
    """Return the line below the table."""
    return trials_table(app).findtext("p") or ""
