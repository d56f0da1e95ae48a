"""Files of lines that only grow."""

from pathlib import Path

from fedgap.flower.lines import append_line


def test_a_line_begins_behind_one_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"whole\ncut")
    for line in (b"next", b"last"):
        with path.open("a+b", buffering=0) as file:
            append_line(file, line)

    assert path.read_bytes() == b"whole\ncut\nnext\nlast\n"
