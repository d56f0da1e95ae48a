"""Files of lines that only grow: what left a site, what a round cost. A line that was cut off harms no other."""

import io
import os

from fedgap.storage import append_all


def append_line(file: io.FileIO, line: bytes) -> None:
    """Add a line to a file that is open for reading and appending; durable when this returns.

    Behind a line that a power cut left incomplete, the new one begins as a line of its own.

    Raises:
        OSError: it cannot be written; what was in the file is unchanged.
    """
    size = file.seek(0, os.SEEK_END)
    is_whole = size == 0 or os.pread(file.fileno(), 1, size - 1) == b"\n"
    append_all(file, (b"" if is_whole else b"\n") + line + b"\n")
