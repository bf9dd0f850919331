"""The leakage audit: recorded runs of the real parties, and every claim on their views.

    python tests/audit/audit.py --queries 500

prints a line for each test and ends with status 1 where a claim does not hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from audited_run import World, images
from bad_builds import BAD_BUILDS
from claims import CLAIMS, Evidence, Finding

SHORT_QUERIES = 60
ONE_BATCH = 20
DISTRIBUTED = ("--sigma=2", "--threshold=2", "--noise=distributed", "--nonlinear=transfers")


def evidence_of(folder: Path, queries: int, build: str = "") -> Evidence:
    """The runs of an audit of the product, or of a known-bad build, below `folder`."""
    many, few, others = (
        images(seed, count)
        for seed, count in ((1, queries), (2, SHORT_QUERIES), (3, SHORT_QUERIES))
    )
    others[: SHORT_QUERIES // 2] = 0.0  # as unlike the other queries as they can be
    worlds = {
        "main": World(many, build=build),
        "distributed": World(many, build=build, flags=DISTRIBUTED),
        "short": World(few, build=build),
        "again": World(few, build=build),
        "other_queries": World(others, build=build),
        "other_models": World(few, models=2, gain=0.5, build=build),
        "other_transfers": World(
            others[:ONE_BATCH], models=2, gain=0.5, build=build, flags=DISTRIBUTED
        ),
    }
    return Evidence(folder, worlds)


def findings_of(evidence: Evidence) -> dict[str, list[Finding]]:
    """By claim, the findings of its tests."""
    return {name: list(claim(evidence)) for name, claim in CLAIMS.items()}


def write_line(text: str) -> None:
    """A line of the report."""
    sys.stdout.write(text + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0 where every claim holds, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--queries", type=int, default=500, help="of the long run (500)")
    parser.add_argument("--build", choices=sorted(BAD_BUILDS), default="", help="a known-bad build")
    parser.add_argument("--all", action="store_true", help="print the tests that hold, too")
    flags = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found = findings_of(evidence_of(Path(folder), flags.queries, flags.build))
    failed = 0
    for name, findings in found.items():
        broken = [finding for finding in findings if not finding.holds]
        failed += len(broken)
        verdict = "LEAK" if broken else "holds"
        write_line(f"{verdict:5}  {name.replace('_', ' ')} ({len(findings)} tests)")
        for finding in findings if flags.all else broken:
            mark = " " if finding.holds else "!"
            write_line(f"     {mark} {finding.subject}: {finding.figure or finding.holds}")
    write_line(f"{sum(map(len, found.values()))} tests, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
