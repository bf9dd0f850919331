"""The command that prints what the linear layers cost."""

from __future__ import annotations

import io

import pytest
from he_reference import CONFIG

from capc.he.__main__ import main


def test_it_reports_every_operation() -> None:
    output = io.StringIO()
    arguments = ["--encryption_params", str(CONFIG / "fast.json"), "--repetitions", "1"]
    assert main(arguments, output) == 0
    text = output.getvalue()
    for operation in ("keys", "weights", "prepare inputs", "prepare reply", "encrypt", "decrypt"):
        assert operation in text
    assert "dense 980x100   online             15696 bytes" in text
    assert "one query, all layers:" in text.splitlines()[-1]


def test_one_line_for_bad_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--encryption_params", "nowhere.json"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("cannot read the encryption parameters 'nowhere.json'")
    assert error.count("\n") == 1


def test_flags_out_of_range() -> None:
    with pytest.raises(SystemExit):
        main(["--ring_bits", "61"])
