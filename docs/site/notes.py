"""What the files say in comments above their commands: on the site, readers see it."""

from __future__ import annotations

import re
from typing import Any

_COMMENT = re.compile(r"^( *)<!-- (not run by the tests[^\n]*) -->$", re.MULTILINE)


def show_why_not_run(app: Any, name: str, source: list[str]) -> None:
    """Change the one text in `source`: why a command is not run by the tests, and its time."""
    source[0] = _COMMENT.sub(r"\1*\2*", source[0])
