"""The example of docs/privacy.md prints what the page says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path


def test_the_python_example_prints_what_the_page_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example, "docs/privacy.md", "exec"), {})
    assert example.rstrip().endswith(f"# {printed.getvalue().strip()}")
