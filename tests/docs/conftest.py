"""The tests of the documents see the parts of their site."""

from __future__ import annotations

import sys

from documents import ROOT

sys.path.insert(0, str(ROOT / "docs" / "site"))
