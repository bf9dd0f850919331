"""HTML from Python: everything is text until it is marked as markup, so that nothing runs."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

from capc.harness.pages.style import STYLE


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> Markup:
    """A value as HTML; Markup stays as it is."""
    return value if isinstance(value, Markup) else Markup(html.escape(str(value)))


def join(parts: Iterable[object], between: str = "") -> Markup:
    """The parts one after the other."""
    return Markup(between.join(text(part) for part in parts))


def element(tag: str, *content: object, **attributes: object) -> Markup:
    """<tag attributes>content</tag>; `class_` is class, other underscores are hyphens."""
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{text(value)}"'
        for name, value in attributes.items()
    )
    if tag == "img":  # has no end
        return Markup(f"<{tag}{named}>")
    return Markup(f"<{tag}{named}>{join(content)}</{tag}>")


def table(head: Sequence[object], rows: Iterable[Sequence[object]], numbers: int = 99) -> Markup:
    """A table that scrolls on narrow screens; columns from `numbers` on are aligned right."""

    def row(tag: str, cells: Sequence[object]) -> Markup:
        return element(
            "tr",
            *(
                element(tag, cell, class_="n") if place >= numbers else element(tag, cell)
                for place, cell in enumerate(cells)
            ),
        )

    body = element("tbody", *(row("td", cells) for cells in rows))
    inner = element("table", element("thead", row("th", head)), body)
    return element("div", inner, class_="wide")


def command_block(line: str) -> Markup:
    """A command line, broken between its words on narrow screens."""
    return element("pre", join((element("span", word) for word in line.split(" ")), " "))


def section(title: str, *content: object) -> Markup:
    """A section under a heading."""
    return element("section", element("h2", title), *content)


def picture(png: bytes, said: str, *, broad: bool = False) -> Markup:
    """An image within the page; `said` is for those who do not see it.

    A `broad` one stays legible on a phone, where it scrolls.
    """
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    if not broad:
        return element("img", src=source, alt=said)
    return element("div", element("img", src=source, alt=said, class_="broad"), class_="wide")


def figure(drawing: object, caption: object) -> Markup:
    """A drawing and what its marks mean."""
    return element("figure", drawing, element("figcaption", caption))


def page(title: str, *content: object, images: bool = False) -> str:
    """A whole document: no script, no network; `images` allows those within the page itself."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    policy += "; img-src data:" if images else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(title)}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + join(content, "\n")
        + "\n</main>\n</body>\n</html>\n"
    )
