"""layout.py: what is known of a run besides its records."""

from mnist_fc.runs.layout import RunMetadata


def test_a_name_is_one_short_line_of_printable_characters() -> None:
    assert RunMetadata(name=" my\n\x1b[31m run \u202e" + "x" * 100).name == "my[31m run " + "x" * 49
    assert RunMetadata(name="Zwölf ✏️ <b>").name == "Zwölf ✏️ <b>"
