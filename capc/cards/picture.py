"""Cards as a picture: SVG, as rich draws it, without fonts from elsewhere."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

_FONT_FACES = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def svg(lines: Sequence[Text], width: int, title: str) -> str:
    """The lines in a terminal of `width` columns with a title."""
    console = Console(
        record=True, width=width, file=io.StringIO(), force_terminal=True, _environ={}
    )
    for line in lines:
        console.print(Text.assemble(line), no_wrap=True, overflow="crop", highlight=False)
    return _FONT_FACES.sub("", console.export_svg(title=title, unique_id="cards"))
