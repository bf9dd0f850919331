# ruff: noqa: T201  a user's program prints
"""The client of tiny_server.py."""

import sys

import pyhe_client

client = pyhe_client.HESealClient(
    "localhost", int(sys.argv[1]), 1, {"client_parameter_name": (sys.argv[2], (2, 4, 6, 8))}
)
print("results", client.get_results())
