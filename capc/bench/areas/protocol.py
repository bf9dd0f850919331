"""Area protocol: steps 2 and 3 in a running session, fifty parties, and `make run`'s wall time."""

from __future__ import annotations

import numpy as np

from capc.bench.rows import Row, measured
from capc.bench.runs import measured_run

MANY = 50
_PHASES = ("offline", "online")


def run(repeat: int) -> list[Row]:
    """The runs start every process afresh; TensorFlow is not needed, the model being prepared."""
    steps = ("2", "3")
    threshold = ("--threshold=2", "--sigma_threshold=1")
    session = measured_run(n_parties=3, flags=(f"--n_queries={repeat}", *threshold))
    rows = [
        measured(
            benchmark,
            "builtin",
            session.per_query(steps, phases),
            traffic=session.traffic(steps, phases),
            note=f"3 parties, threshold, {note}",
        )
        for benchmark, phases, note in (
            ("steps_2_3", _PHASES, "offline and online"),
            ("steps_2_3_online", ("online",), "online alone"),
        )
    ]
    for n_parties, note in ((3, "the whole program, no panes"), (MANY, "the whole program")):
        runs = [measured_run(n_parties=n_parties) for _ in range(3)]
        busy = float(np.median([finished.processor_seconds for finished in runs]))
        rows.append(
            measured(
                f"one_query_{n_parties}_parties",
                "builtin",
                [finished.wall_seconds for finished in runs],
                note=f"{note}; {busy:.1f} s of processor time",
            )
        )
    return rows
