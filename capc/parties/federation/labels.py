"""The querying party's CSV of labels: rows of all its runs, one after the other."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from capc.errors import FileError
from capc.files import open_bounded

LABEL_COLUMNS = ("run", "query", "answered", "voters", "label")
_MOST_BYTES = 256 << 20


class Labels:
    """The file, to which this party alone appends: a row is on the disk when `append` returns.

    FileError for one that cannot be written, or that has other columns. What a power loss has left
    of a row is cut off.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._rows = self._read()
            if not self._rows:
                self._write(LABEL_COLUMNS)
        except OSError as error:
            raise FileError(f"{path} cannot be written: {error.strerror}") from None

    def queries(self, run: str) -> set[int]:
        """Those of a run that had a row when the file was opened."""
        return {int(row[1]) for row in self._rows[1:] if row[0] == run}

    def append(self, run: str, query: int, answered: bool, voters: int, label: int | None) -> None:
        """`label` None: the query was not answered."""
        said = "" if label is None else label
        try:
            self._write((run, query, str(answered).lower(), voters, said))
        except OSError as error:
            raise FileError(f"{self._path} cannot be written: {error.strerror}") from None

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _read(self) -> list[list[str]]:
        with open_bounded(self._path, _MOST_BYTES) as file:
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            os.ftruncate(self._file, len(whole))
        rows = list(csv.reader(io.StringIO(whole.decode(errors="replace"))))
        width = len(LABEL_COLUMNS)
        fits = all(len(row) == width and row[1].isdecimal() for row in rows[1:])
        if rows and (tuple(rows[0]) != LABEL_COLUMNS or not fits):
            raise FileError(
                f"{self._path} has other columns than {', '.join(LABEL_COLUMNS)}: move it away, "
                "and a new one is made"
            )
        return rows

    def _write(self, row: Sequence[object]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(row)
        line = text.getvalue().encode()
        while line:
            line = line[os.write(self._file, line) :]
        os.fsync(self._file)
