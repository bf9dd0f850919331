"""Inline SVG: the protocol with a run's figures, its steps in time, and epsilon by query."""

from __future__ import annotations

import math
from collections.abc import Sequence

from capc.console import bytes_text, seconds_text
from capc.harness.pages.markup import Markup, element, join
from capc.harness.pages.tables_of_run import Bar, Row, number
from capc.roles import ANSWERING, GUARDIAN, QUERYING, STEPS, role_of

WIDTH = 480
_LANES = {QUERYING: 68, ANSWERING: 240, GUARDIAN: 412}
_MAX_PARTIES = 12  # lanes of the timeline; further answering parties look like these

# By step: who talks to whom, whether both speak, what is said.
_ARROWS = {
    "1a": (QUERYING, ANSWERING, True, "private inference"),
    "1b": (QUERYING, ANSWERING, True, "logit shares"),
    "1c": (QUERYING, ANSWERING, True, "vote shares (circuit)"),
    "2": (ANSWERING, GUARDIAN, False, "vote shares"),
    "3": (QUERYING, GUARDIAN, True, "noisy argmax (circuit)"),
}


def protocol_drawing(parties: int, summary: Sequence[Row], *, encrypted: bool) -> Markup:
    """The three roles, and an arrow for each step with its median seconds and bytes a query."""
    named = "1 answering party" if parties == 1 else f"{parties} answering parties"
    names = {QUERYING: "querying party", ANSWERING: named, GUARDIAN: "privacy guardian"}
    steps = [step for step in STEPS if any(row["step"] == step for row in summary)]
    height = 66 + 74 * len(steps)
    parts = [_line(x, 36, x, height - 8) for x in _LANES.values()]
    for role, x in _LANES.items():
        parts.append(element("rect", x=x - 66, y=4, width=132, height=30, rx=6, class_="box"))
        parts.append(text_at(x, 23, names[role], font_size=12))
    for place, step in enumerate(steps):
        parts.append(_arrow(step, 66 + 74 * place, summary, encrypted=encrypted))
    return svg(height, "The protocol, with the seconds and bytes of this run", *parts)


def _arrow(step: str, top: float, summary: Sequence[Row], *, encrypted: bool) -> Markup:
    start, end, both, said = _ARROWS[step]
    left, right = _LANES[start] + 5, _LANES[end] - 5
    middle, y = (left + right) / 2, top + 14
    if step == "1a" and not encrypted:
        said = "the query, in the clear"
    figures = [
        f"{row['phase']} {seconds_text(float(row['median_s']))}, "
        f"{bytes_text(float(row['bytes_median']))}"
        for row in summary
        if row["step"] == step and row["phase"] in ("offline", "online")
    ]
    covers = end == GUARDIAN and start == QUERYING  # the answering parties' line
    ground = element("rect", x=middle - 92, y=y - 20, width=184, height=58, class_="ground")
    head = [_head(right, y, 1, step), *([_head(left, y, -1, step)] if both else [])]
    line = element("line", x1=left, y1=y, x2=right, y2=y, class_=f"s{step}", stroke_width=1.6)
    lines = [
        text_at(middle, y + 15 + 14 * place, text, class_="small")
        for place, text in enumerate(figures)
    ]
    label = text_at(middle, y - 7, f"{step}  {said}", font_size=12, class_=f"s{step}")
    return join([ground if covers else "", line, *head, label, *lines])


def _head(x: float, y: float, direction: int, step: str) -> Markup:
    back = x - 8 * direction
    return element("path", d=f"M{x} {y}L{back} {y - 4}L{back} {y + 4}Z", class_=f"s{step}")


def timeline_drawing(found: Sequence[Bar]) -> Markup:
    """A lane for each party, a bar for each step: pale offline, full online."""
    names = sorted({bar.party for bar in found}, key=_place)
    answering = [name for name in names if role_of(name) == ANSWERING]
    left_out = answering[_MAX_PARTIES:]
    shown = [name for name in names if name not in left_out]
    left, right = 92, WIDTH - 8
    end = max(bar.start + bar.seconds for bar in found) or 1.0
    height = 22 * len(shown) + 48
    scale = (right - left) / end
    parts = []
    for tick in _ticks(end):
        x = left + tick * scale
        parts.append(_line(x, 4, x, height - 40))
        parts.append(text_at(x, height - 26, seconds_text(tick), class_="small"))
    for lane, name in enumerate(shown):
        parts.append(text_at(left - 6, 18 + 22 * lane, name, font_size=11.5, text_anchor="end"))
        for bar in (bar for bar in found if bar.party == name):
            title = f"{name}, {bar.step} {bar.phase}: {seconds_text(bar.seconds)}"
            parts.append(
                element(
                    "rect",
                    element("title", title),
                    x=_short(left + bar.start * scale),
                    y=6 + 22 * lane,
                    width=_short(max(bar.seconds * scale, 0.6)),
                    height=16,
                    class_=f"s{bar.step} {bar.phase}",
                )
            )
    if left_out:
        more = f"and {len(left_out)} more answering parties"
        parts.append(text_at(right, height - 40, more, class_="small", text_anchor="end"))
    used = [step for step in STEPS if any(bar.step == step for bar in found)]
    for place, step in enumerate(used):
        x = left + 44 * place
        parts.append(element("rect", x=x, y=height - 14, width=11, height=11, class_=f"s{step}"))
        parts.append(text_at(x + 16, height - 5, step, font_size=11, text_anchor="start"))
    parts.append(text_at(right, height - 5, "pale: offline", class_="small", text_anchor="end"))
    return svg(height, "What each party did when, for one query", *parts)


def _place(party: str) -> tuple[int, int]:
    """The querying party first, the guardian last, the others by number."""
    role, _, index = party.partition("-")
    return [QUERYING, ANSWERING, GUARDIAN].index(role), int(index or 0)


def _ticks(end: float) -> list[float]:
    """Round times from 0 on, three to six of them."""
    step = 10 ** math.floor(math.log10(end))
    step = next(part * step for part in (0.2, 0.5, 1.0, 2.0) if end / (part * step) <= 5)
    return [place * step for place in range(int(end / step) + 1)]


def epsilon_drawing(spent: Sequence[float], budget: float | None) -> Markup:
    """Epsilon after each query, and the budget as a line."""
    left, right, top, bottom = 44, WIDTH - 8, 12, 108
    highest = max(*spent, budget or 0.0, 1e-9) * 1.05
    width = (right - left) / len(spent)

    def y(epsilon: float) -> float:
        return _short(bottom - (bottom - top) * epsilon / highest)

    path = f"M{left} {y(0.0)}" + "".join(
        f"V{y(epsilon)}H{_short(left + width * (place + 1))}" for place, epsilon in enumerate(spent)
    )
    parts = [_line(left, bottom, right, bottom), _line(left, top, left, bottom)]
    parts.append(element("path", d=path, class_="curve"))
    marks = [0.0, spent[-1]]
    if budget is not None:
        line = {"x1": left, "x2": right, "y1": y(budget), "y2": y(budget)}
        parts.append(element("line", class_="limit", **line))
        parts.append(text_at(right, y(budget) - 3, "budget", class_="small", text_anchor="end"))
        marks = [0.0, budget] if abs(y(budget) - y(spent[-1])) < 12 else [*marks, budget]
    parts += [
        text_at(left - 5, y(mark) + 4, f"{mark:.4g}", class_="small", text_anchor="end")
        for mark in marks
    ]
    asked = "1 query" if len(spent) == 1 else f"{len(spent)} queries"
    parts.append(text_at(right, bottom + 14, f"after {asked}", class_="small", text_anchor="end"))
    return svg(128, "Epsilon after each query", *parts)


def svg(height: float, label: str, *parts: object) -> Markup:
    """A drawing WIDTH wide; `label` is for those who do not see it."""
    return element("svg", *parts, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=label)


def _line(x1: float, y1: float, x2: float, y2: float) -> Markup:
    return element("line", x1=_short(x1), y1=y1, x2=_short(x2), y2=y2, class_="line")


def text_at(x: float, y: float, said: str, **attributes: object) -> Markup:
    """Text at a place, centred there unless `text_anchor` says otherwise."""
    given = {"text_anchor": "middle", **attributes}
    return element("text", said, x=_short(x), y=_short(y), **given)


def _short(value: float) -> float:
    return round(value, 2)


def budget_of_flags(epsilon: object) -> float | None:
    """The budget in the flags of run.json; None where there is no limit."""
    found = number(str(epsilon)) if epsilon not in (None, "") else None
    return None if found is None or math.isinf(found) else found
