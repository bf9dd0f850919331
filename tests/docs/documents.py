"""What the tests of the documents share: the pages, their fenced blocks and their headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
)
PAGE_NAMES = tuple(str(page.relative_to(ROOT)) for page in PAGES)

_FENCE = re.compile(r"^(\s*)```(.*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it starts, what its fence says, its text, and the line above it."""

    page: str
    line: int
    info: str
    text: str
    above: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def read(page: str) -> str:
    """The text of a page, named by its path in the repository."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page."""
    found: list[Block] = []
    body: list[str] = []
    start, info, indent, above = 0, None, "", ""
    for number, line in enumerate(read(page).splitlines(), start=1):
        fence = _FENCE.match(line)
        if fence is None:
            if info is None:
                above = line
            else:
                body.append(line.removeprefix(indent))
        elif info is None:
            start, indent, info, body = number, fence[1], fence[2].strip(), []
        else:
            found.append(Block(page, start, info, "\n".join(body) + "\n", above))
            info, above = None, line
    assert info is None, f"{page}:{start}: a fence without an end"
    return found


def prose(page: str) -> Iterator[tuple[int, str]]:
    """The numbered lines of a page outside its fenced blocks."""
    inside = False
    for number, line in enumerate(read(page).splitlines(), start=1):
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            yield number, line


def section(page: str, heading: str) -> str:
    """The text under a heading of the second level."""
    parts = re.split(r"^## (.+)$", read(page), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[heading]


def anchors(page: str) -> set[str]:
    """What a link to a heading of the page may name, as GitHub makes it."""
    found: set[str] = set()
    for _, line in prose(page):
        if heading := re.match(r"#+ (.+)$", line):
            text = re.sub(r"[^\w\- ]", "", heading[1].lower().replace("`", ""))
            found.add(text.replace(" ", "-"))
    return found
