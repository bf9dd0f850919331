"""Each claim on the parties' views holds over recorded runs; each known-bad build breaks one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from audit import SHORT_QUERIES, evidence_of
from bad_builds import BAD_BUILDS
from claims import CLAIMS, Evidence
from forked_parties import AllForks, parties_forked

QUERIES = 300
FEW_QUERIES = 240  # enough for a build that leaks in each query

# Which claim a known-bad build breaks.
BROKEN = {
    "mask_reused": "nothing_is_used_twice",
    "mask_short": "vote_shares_are_uniform",
    "parties_unmasked": "distributed_noise_hides_each_vote",
    "index_opened": "no_view_shows_the_vote",
    "fixed_seed": "nothing_is_used_twice",
    "flooding_off": "replies_fill_their_cells",
    "inputs_unmasked": "inputs_are_masked",
    "half_cell": "replies_fill_their_cells",
}


@pytest.fixture(scope="module", autouse=True)
def forked(forks: AllForks) -> Iterator[None]:
    with parties_forked(forks):
        yield


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return evidence_of(tmp_path_factory.mktemp("audit"), QUERIES)


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_claim_holds(evidence: Evidence, claim: str) -> None:
    findings = list(CLAIMS[claim](evidence))
    assert findings
    assert [finding for finding in findings if not finding.holds] == []


def test_every_bad_build_is_tried() -> None:
    assert set(BROKEN) == set(BAD_BUILDS)
    assert set(BROKEN.values()) <= set(CLAIMS)


@pytest.mark.parametrize("build", BAD_BUILDS)
def test_a_bad_build_turns_the_audit_red(tmp_path: Path, build: str) -> None:
    # A second use of a secret is a finding by itself: three batches of queries show it.
    queries = SHORT_QUERIES if BROKEN[build] == "nothing_is_used_twice" else FEW_QUERIES
    findings = list(CLAIMS[BROKEN[build]](evidence_of(tmp_path, queries, build)))
    assert any(not finding.holds for finding in findings)
