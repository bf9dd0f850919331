#!/usr/bin/env python3
"""A federation of five between hosts with a delay: two parties are killed, and the run goes on.

Each party is in a network namespace of its own, with 40 ms between any two; they start in random
order. What happens is that of tests/parties/five_parties.py. Needs root, `ip` and /dev/net/tun:
`make federation-check` calls it.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

from federations import FIVE, federation
from five_parties import QUERIES, make_distributed, survives_both

from capc.bench.emulated_hosts import Link, hosts, why_not


def main() -> int:
    """Run it and say what was found; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--round_trip_ms", type=int, default=40)
    parser.add_argument("--seed", type=int, help="of the order in which the parties start")
    flags = parser.parse_args()
    if (reason := why_not()) is not None:
        sys.stdout.write(f"skipped: {reason}\n")
        return 0
    order = random.Random(flags.seed).sample(FIVE, len(FIVE))
    program = str(shutil.which("ip"))
    with (
        tempfile.TemporaryDirectory(prefix="capc-federation-") as folder,
        hosts(len(FIVE), Link(flags.round_trip_ms / 1000)) as machines,
    ):
        at = dict(zip(FIVE, machines, strict=True))
        settings = {"queries": QUERIES, "names": FIVE, "min_parties": 2, "reconnect_seconds": 5}
        addresses = {name: host.address for name, host in at.items()}
        with redirect_stdout(sys.stderr):
            federated = federation(
                Path(folder), addresses=addresses, meet_seconds=60, timeout_seconds=120, **settings
            )
            with federated as made:
                make_distributed(made)
                began = time.monotonic()
                found = survives_both(made, order, lambda name: [program, *at[name].inside([])[1:]])
                seconds = time.monotonic() - began
    sys.stdout.write("\n".join([*found, f"{seconds:.0f} s in all", ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
