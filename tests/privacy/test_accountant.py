"""The account: sums, files, and what must not leave it; cross-checked with dp-accounting."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capc.errors import ConfigError
from capc.privacy.accountant import Accountant
from capc.privacy.conversion import default_orders
from capc.privacy.dependent import dependent_rdp, log_q_gnmax, log_q_threshold
from capc.privacy.rdp import Mechanism, MechanismKind, gnmax_rdp, threshold_rdp

Document = dict[str, Any]
Damage = Callable[[Document], object]

VOTES = [[240, 5, 4], [130, 119, 0], [83, 83, 83]]


def filled() -> Accountant:
    account = Accountant()
    account.charge(Mechanism("threshold", 150.0), 1621)
    account.charge(Mechanism("gnmax", 40.0), 883)
    return account


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["gnmax", "threshold"]),
            st.sampled_from([5.0, 40.0, 200.0]),
            st.sampled_from([None, 0.0, -3.0, -20.0]),
            st.integers(0, 50),
        ),
        max_size=12,
    )
)
def test_charges_add_up_in_any_order(
    charges: list[tuple[MechanismKind, float, float | None, int]],
) -> None:
    account = Accountant([1.5, 3.0, 20.0])
    by_hand = np.zeros(3)
    for kind, sigma, log_q, count in charges:
        mechanism = Mechanism(kind, sigma, log_q)
        account.charge(mechanism, count)
        by_hand += count * dependent_rdp(log_q or 0.0, mechanism.spread, account.orders)
    np.testing.assert_allclose(account.rdp(), by_hand, rtol=1e-12)
    backwards = Accountant(account.orders)
    for kind, sigma, log_q, count in reversed(charges):
        backwards.charge(Mechanism(kind, sigma, log_q), count)
    np.testing.assert_allclose(backwards.rdp(), account.rdp(), rtol=1e-12)


@given(st.integers(1, 2000), st.integers(1, 2000), st.floats(1e-9, 1e-2))
@settings(max_examples=30, deadline=None)
def test_agrees_with_dp_accounting(queries: int, answered: int, delta: float) -> None:
    dp_accounting = pytest.importorskip("dp_accounting")
    rdp = pytest.importorskip("dp_accounting.rdp")
    theirs = rdp.RdpAccountant(default_orders().tolist())
    theirs.compose(dp_accounting.GaussianDpEvent(150.0), queries)
    theirs.compose(dp_accounting.GaussianDpEvent(40.0 / math.sqrt(2.0)), answered)
    account = Accountant()
    account.charge(Mechanism("threshold", 150.0), queries)
    account.charge(Mechanism("gnmax", 40.0), answered)
    expected, order = theirs.get_epsilon_and_optimal_order(delta)
    loss = account.privacy_loss(delta, "improved")
    assert loss.epsilon == pytest.approx(expected, rel=1e-9)
    assert loss.order == order


def test_what_would_be_charged_leaves_the_account_as_it_was() -> None:
    account = filled()
    before = account.privacy_loss(1e-5)
    worse = account.privacy_loss(1e-5, also=[Mechanism("gnmax", 40.0)] * 2)
    assert worse.epsilon > before.epsilon
    assert account.privacy_loss(1e-5) == before
    account.charge(Mechanism("gnmax", 40.0), 2)
    assert account.privacy_loss(1e-5).epsilon == pytest.approx(worse.epsilon, rel=1e-14)


def test_the_curve_handed_out_is_a_copy() -> None:
    account = filled()
    account.rdp()[:] = 0.0
    assert account.privacy_loss(1e-5).epsilon > 1.0


def test_votes_are_charged_for_what_happened() -> None:
    account = Accountant()
    answered = [True, False, True]
    account.charge_votes(VOTES, 40.0, 200.0, 150.0, answered=answered)
    gate = dependent_rdp(
        log_q_threshold(VOTES, 200.0, 150.0), math.sqrt(2) * 150.0, account.orders
    ).sum(axis=0)
    label = dependent_rdp(log_q_gnmax([VOTES[0], VOTES[2]], 40.0), 40.0, account.orders).sum(axis=0)
    np.testing.assert_allclose(account.rdp(), gate + label, rtol=1e-12)
    assert account.private
    public = account.published()
    assert not public.private
    expected = 3 * threshold_rdp(150.0, account.orders) + 2 * gnmax_rdp(40.0, account.orders)
    np.testing.assert_allclose(public.rdp(), expected, rtol=1e-12)


def test_no_answer_charges_no_label() -> None:
    account = Accountant()
    account.charge_votes(VOTES, 40.0, 200.0, 150.0, answered=[False] * 3)
    assert {mechanism.kind for mechanism in account.counts} == {"threshold"}


def test_bad_charges() -> None:
    account = Accountant()
    with pytest.raises(ConfigError, match="never taken back"):
        account.charge(Mechanism("gnmax", 1.0), -1)
    with pytest.raises(ConfigError, match="every query is answered"):
        account.charge_votes(VOTES, 40.0, answered=[True, False, True])
    with pytest.raises(ConfigError, match="3 queries"):
        account.charge_votes(VOTES, 40.0, 200.0, 150.0, answered=[True])
    with pytest.raises(ConfigError, match="zeros and ones"):
        account.charge_votes(VOTES, 40.0, 200.0, 150.0, answered=[0, 1, 2])
    assert account.counts == {}


def test_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    account = filled()
    account.save(path)
    loaded = Accountant.load(path)
    assert loaded.counts == account.counts
    np.testing.assert_array_equal(loaded.orders, account.orders)
    assert loaded.privacy_loss(1e-5) == account.privacy_loss(1e-5)


def test_a_private_account_is_saved_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    account = Accountant([2.0, 8.0])
    account.charge_votes([*VOTES, [10**6, 0, 0]], 1e-3, noise="continuous")
    with pytest.raises(ConfigError, match="as private as the votes"):
        account.save(path)
    assert not path.exists()
    account.save(path, include_private=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    loaded = Accountant.load(path)
    assert loaded.private
    np.testing.assert_array_equal(loaded.rdp(), account.rdp())


def test_a_save_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "account.json"
    filled().save(path)
    old = path.read_text()

    def disk_full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(ConfigError, match="No space left"):
        Accountant().save(path)
    assert path.read_text() == old
    assert [file.name for file in tmp_path.iterdir()] == ["account.json"]
    with pytest.raises(ConfigError, match="cannot be written"):
        Accountant().save(tmp_path / "nowhere" / "account.json")


def break_charge(**changes: Any) -> Damage:
    def apply(document: Document) -> None:
        document["charges"][0].update(changes)

    return apply


def set_field(name: str, value: object) -> Damage:
    return lambda document: document.update({name: value})


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (set_field("format", "other"), "format"),
        (set_field("version", 3), "version"),
        (set_field("orders", [1.0, 2.0]), "orders"),
        (set_field("orders", ["2"]), "orders"),
        (set_field("charges", None), "charges"),
        (set_field("charges", [3]), "charge 0"),
        (set_field("private", True), "private"),
        (break_charge(count=0), "count"),
        (break_charge(count=1.5), "count"),
        (break_charge(count=True), "count"),
        (break_charge(sigma=-1.0), "sigma"),
        (break_charge(sigma="40"), "sigma"),
        (break_charge(log_q=0.5), "log_q"),
        (break_charge(mechanism="laplace"), "laplace"),
        (break_charge(mechanism=["gnmax"]), "mechanism"),
        (break_charge(extra=1), "fields"),
        (lambda document: document["charges"].append(document["charges"][0]), "repeats"),
    ],
)
def test_a_damaged_file_is_refused_by_its_field(
    tmp_path: Path, damage: Damage, reason: str
) -> None:
    path = tmp_path / "account.json"
    filled().save(path)
    document = json.loads(path.read_text())
    damage(document)
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=reason):
        Accountant.load(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b'{"format": NaN}'])
def test_a_file_that_is_no_account(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "account.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"account\.json"):
        Accountant.load(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Accountant.load(tmp_path / "none.json")
