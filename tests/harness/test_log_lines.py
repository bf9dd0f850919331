"""Lines of the logs: text for people, or one JSON object each."""

from __future__ import annotations

import datetime
import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from scripted_runs import World, scripted_run

from capc.log_lines import JsonFormatter, LogStream, in_step

FIELDS = ["time", "level", "role", "step", "message"]


@pytest.fixture
def log() -> tuple[logging.Logger, io.StringIO]:
    """A logger of JSON lines, and what it has written."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter("guardian"))
    logger = logging.Logger("of a test")
    logger.addHandler(handler)
    return logger, written


def lines(text: str) -> list[dict[str, str | None]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_is_an_object_whatever_it_says(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = log
    said = 'two\nlines, "quoted", \x1b[31m and \udcff'
    logger.warning("%s", said)
    (line,) = lines(written.getvalue())
    assert list(line) == FIELDS
    assert (line["level"], line["role"], line["message"]) == ("warning", "guardian", said)
    assert datetime.datetime.fromisoformat(str(line["time"])).tzinfo is not None


def test_a_line_has_its_step_and_so_has_what_ended_it(
    log: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, written = log
    with in_step("2"):
        logger.info("within")
    logger.info("after")
    with pytest.raises(OSError), in_step("3"):
        raise OSError
    try:
        raise ValueError("why")
    except ValueError:
        logger.exception("ended")
    within, after, ended = lines(written.getvalue())
    assert [within["step"], after["step"], ended["step"]] == ["2", None, "3"]
    assert "ValueError: why" in str(ended["trace"])


def test_a_stream_logs_whole_lines(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, written = log
    with LogStream(logger) as stream:
        for part in ("one ", "line  \n\nan", "other\nnot yet"):
            stream.write(part)
    assert [line["message"] for line in lines(written.getvalue())] == ["one line", "another"]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_driver_writes_one_format(tmp_path: Path, log_format: str) -> None:
    ended = scripted_run(tmp_path / "run", World([1, 1, 2]), f"--log_format={log_format}")
    written = (ended.folder / "logs" / "driver.log").read_text()
    assert "3 of 3 answered" in written
    assert (log_format == "json") == all(line.startswith("{") for line in written.splitlines())
    if log_format == "json":
        assert all(list(line) == FIELDS for line in lines(written))


def test_a_party_says_in_json_what_is_wrong_with_its_settings(
    tmp_path: Path,
) -> None:
    missing = str(tmp_path / "party.toml")
    # in a process of its own: a party ends the logging of its process
    words = ["party", "guardian", "--config", missing, "--log_format", "json"]
    ended = subprocess.run(
        [sys.executable, "-m", "capc.cli", *words], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    (line,) = lines(ended.stderr)
    assert (line["level"], line["role"]) == ("error", "guardian")
    assert missing in str(line["message"])
