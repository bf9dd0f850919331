"""Loads the engine, capc.gc._engine, so that it finds its own OpenSSL beside TensorFlow.

TensorFlow's libraries export BoringSSL's functions under OpenSSL's names, to the whole process.
An extension that is loaded after them would call those with OpenSSL's own structures, and crash.
Imported before all else of the package, this module has the engine look into its own dependencies
first.
"""

from __future__ import annotations

import importlib
import os
import sys


def _load() -> None:
    deep = getattr(os, "RTLD_DEEPBIND", 0)
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | deep)
    try:
        importlib.import_module("capc.gc._engine")
    finally:
        sys.setdlopenflags(flags)


_load()
