"""The benchmark of the linear layers: a row for each operation, and one for the whole query."""

from __future__ import annotations

import pytest

from capc.bench.areas import linear_layers


def test_it_reports_every_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_layers, "CONFIGS", ("fast.json",))
    rows = {row.benchmark: row for row in linear_layers.run(2)}
    for operation in ("set-up: keys", "conv 5x5x5/2: weights", "dense 100x10: decrypt"):
        assert rows[operation].median_s
    assert rows["dense 980x100: encrypt"].bytes_sent == 3 * 122_880 + 32
    assert rows["one query"].n == 2
