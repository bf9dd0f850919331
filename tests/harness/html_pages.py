"""A page as a browser would see it, for tests."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """Fails on a tag that is not closed; keeps texts, tags and all that could leave the page."""

    VOID = frozenset(("meta", "img"))
    LEAVES = ("src", "href", "action", "data", "xlink:href", "onload", "onclick")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.leaves: list[str | None] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the tag, and what of it could leave the page."""
        self.tags.add(tag)
        self.leaves += [value for name, value in attrs if name in self.LEAVES]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """The tag that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.words.append(data)

    @property
    def said(self) -> str:
        """All texts, blanks made one."""
        return " ".join(" ".join(self.words).split())
