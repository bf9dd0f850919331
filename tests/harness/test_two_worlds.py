"""Two worlds with the same labels, noise and seeds, and other models and votes, look the same.

What a run shows, its public files and its screen, may tell of the outputs of the protocol and of
times, and of nothing that only models or votes without noise can tell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from scripted_runs import World, scripted_run

TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,]?\d*(\+\d\d:?\d\d|Z)?")
MOMENTS = re.compile(r'("monotonic_start": )[0-9.]+|(parties are \w+ \()[0-9.]+ m?s')


@dataclass
class Seen:
    """What a world's run showed."""

    status: int | None
    screen: str
    files: dict[str, str] = field(default_factory=dict)
    private: dict[str, str] = field(default_factory=dict)


def run_world(folder: Path, world: World, *flags: str, ends: str = "well") -> Seen:
    """One run in a world, and all that it left, without times."""
    done = scripted_run(folder, world, *flags, ends=ends)
    run = done.folder
    seen = Seen(done.status, _timeless(done.screen, folder, run.name))
    for path in sorted(run.rglob("*")):
        if path.is_file():
            name = str(path.relative_to(run)).replace(run.name, "RUN")
            kind = seen.private if name.startswith("private/") else seen.files
            kind[name] = _timeless(path.read_text(), folder, run.name)
    index = (run.parent / "index.html").read_text()
    seen.files["index.html"] = _timeless(index, folder, run.name)
    return seen


def _timeless(text: str, folder: Path, run_id: str) -> str:
    text = text.replace(run_id, "RUN").replace(str(folder), "FOLDER")
    return TIME.sub("TIME", MOMENTS.sub(r"\1\2TIME", text))


SAME_TOP = World((1, 1, 1)), World((1, 1, 2), shift=0.3, measured="9 of 20")
ANOTHER_TOP = World((1, 1, 1)), World((2, 2, 3), shift=0.3)
PRECISION = World((1, 1, 1), floats=(2, 2, 1)), World((1, 1, 3), floats=(3, 3, 2))
WRONG = World((2, 2, 2)), World((3, 3, 0), shift=0.3)


@pytest.mark.parametrize(
    ("worlds", "flags", "status"),
    [
        (SAME_TOP, ("--sigma=0",), 0),
        (SAME_TOP, (), 0),
        (ANOTHER_TOP, ("--sigma=7",), 0),
        (ANOTHER_TOP, ("--sigma=7", "--threshold=2", "--sigma_threshold=3"), 0),
        (ANOTHER_TOP, ("--sigma=0", "--threshold=2", "--sigma_threshold=3"), 0),
        (PRECISION, ("--sigma=7",), 0),
        (WRONG, ("--sigma=0",), 3),
    ],
    ids=["no noise", "default noise", "noise", "threshold", "noise on it alone", "floats", "wrong"],
)
def test_other_votes_show_nowhere_in_public(
    tmp_path: Path, worlds: tuple[World, World], flags: tuple[str, ...], status: int
) -> None:
    one, other = (
        run_world(tmp_path / name, world, *flags)
        for name, world in zip(("one", "other"), worlds, strict=True)
    )
    assert one.status == other.status == status
    assert one.screen == other.screen
    assert one.files.keys() == other.files.keys()
    for name, text in one.files.items():
        assert text == other.files[name], name
    public = {"queries.csv", "timings.csv", "summary.csv", "run.json", "logs/driver.log"}
    assert public | {"report.html", "index.html"} <= set(one.files)
    assert one.private.keys() == other.private.keys()
    assert one.private["private/check.csv"] != other.private["private/check.csv"]


@pytest.mark.parametrize(("ends", "status"), [("stopped", 130), ("failed", 1), ("Ctrl-C", None)])
def test_a_run_that_does_not_end_well_is_as_discreet(
    tmp_path: Path, ends: str, status: int | None
) -> None:
    one, other = (
        run_world(tmp_path / name, world, "--sigma=7", ends=ends)
        for name, world in zip(("one", "other"), SAME_TOP, strict=True)
    )
    assert (one.status, one.screen, one.files) == (other.status, other.screen, other.files)
    assert one.status == status
    assert len(one.files["queries.csv"].splitlines()) == 2
    kept = {"private/README", "private/models.csv", "private/warnings.txt"}
    assert one.private.keys() == other.private.keys() == kept
    assert one.private["private/warnings.txt"] != other.private["private/warnings.txt"]
    assert "of 20" not in one.screen + "".join(one.files.values())
