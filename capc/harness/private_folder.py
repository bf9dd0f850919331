"""The private part of a run's folder: what tells of votes without noise, or of models.

Nothing of it is written anywhere else, also where a run fails or is stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from capc.errors import FileError
from capc.files import write_whole
from capc.harness.remarks import Remark
from capc.harness.tables import CHECK_COLUMNS, MODEL_COLUMNS, write_table
from capc.harness.verify import Check
from capc.roles import answering

NAME = "private"
_README = """\
Do not publish this folder. It is what the experimenter found, who holds all models and queries.

check.csv     for each query: the vote of the float models without noise (plain_label), that of the
              protocol's integers (integer_label), whether the run equals the exact reference on
              the same models (reference_agrees), and the largest error of a logit
models.csv    the digest of the model that each answering party served
warnings.txt  what was measured on models that suit the data or the protocol badly

No noise covers any of it, so no epsilon bounds what it tells about the training data: one vote
without noise may tell whether a party's data were used. The files beside this folder hold outputs
of the protocol and times. `capc publish` copies those that may be shown.
"""


class PrivateFolder:
    """A folder of its owner alone, with a README that says why. FileError where it cannot be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o700)
        self._write("README", _README)

    @property
    def check_csv(self) -> Path:
        """What the experimenter's check found, one row a query; tables.CHECK_COLUMNS."""
        return self.path / "check.csv"

    def keep_models(self, prepared: Sequence[Path]) -> None:
        """Which prepared model, named by its digest, each answering party serves."""
        rows = ((answering(place), path.stem) for place, path in enumerate(prepared))
        write_table(self.path / "models.csv", MODEL_COLUMNS, rows)

    def keep_remarks(self, remarks: Sequence[Remark]) -> Path | None:
        """The figures behind remarks, in a file; None where there are none."""
        found = [remark for remark in remarks if remark.private is not None]
        if not found:
            return None
        text = "".join(f"{remark.shown}\n  {remark.private}\n" for remark in found)
        return self._write("warnings.txt", text)

    def keep_checks(self, checks: Mapping[int, Check]) -> None:
        """What the check found, by query."""
        rows = (
            (
                *(query, check.float_label, check.integer_label),
                *(check.agrees, check.max_logit_error),
            )
            for query, check in sorted(checks.items())
        )
        write_table(self.check_csv, CHECK_COLUMNS, rows)

    def _write(self, name: str, text: str) -> Path:
        write_whole(self.path / name, text, error=FileError)
        return self.path / name
