"""Two kinds of plots as SVG: lines over a number, and bars made of parts. Every axis is linear and begins at zero."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import ceil, floor, log10

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 860, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 170, 16, 44
_BAR_HEIGHT, _BAR_STEP, _BAR_LEFT = 22, 32, 110
_TICKS = 5
# Told apart by colour-blind eyes as well (after Okabe and Ito), then darker and lighter ones.
_COLOURS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c00", "#5e3c99", "#999999", "#222222",
)  # fmt: skip


def lines(series: Mapping[str, Points], *, x: str, y: str) -> str:
    """One line a series; `x` and `y` name the axes with their units."""
    right = _step_up(max((at for points in series.values() for at, _ in points), default=1.0))
    top = _step_up(max((value for points in series.values() for _, value in points), default=1.0))
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def place(at: float, value: float) -> str:
        return f"{_LEFT + at / right * wide:.1f},{_TOP + high - value / top * high:.1f}"

    parts = [_grid(right, top, x=x, y=y)]
    for n, (name, points) in enumerate(series.items()):
        path = " ".join(place(at, value) for at, value in points)
        parts.append(f'<polyline fill="none" stroke="{_colour(n)}" stroke-width="2" points="{path}"/>')
        parts.append(_legend(n, name))
    return _svg(parts, _HEIGHT, f"{y} over {x}")


def bars(rows: Mapping[str, Mapping[str, float]], *, x: str) -> str:
    """One bar a row, made of its parts in one order for all; `x` names the axis with its unit."""
    names = list(dict.fromkeys(name for parts in rows.values() for name in parts))
    right = _step_up(max((sum(parts.values()) for parts in rows.values()), default=1.0))
    height = max(_TOP + len(rows) * _BAR_STEP, _TOP + len(names) * 18) + _BOTTOM
    wide = _WIDTH - _BAR_LEFT - _RIGHT
    drawn = [_x_axis(right, x, left=_BAR_LEFT, height=height)]
    for row, (label, parts) in enumerate(rows.items()):
        top, at = _TOP + row * _BAR_STEP, float(_BAR_LEFT)
        drawn.append(_text(_BAR_LEFT - 8, top + 16, label, "end"))
        for n, name in enumerate(names):
            length = parts.get(name, 0.0) / right * wide
            drawn.append(
                f'<rect x="{at:.1f}" y="{top}" width="{length:.1f}" height="{_BAR_HEIGHT}" fill="{_colour(n)}">'
                f"<title>{escape(name)}: {parts.get(name, 0.0):,.1f}</title></rect>"
            )
            at += length
    drawn += [_legend(n, name) for n, name in enumerate(names)]
    return _svg(drawn, height, x)


def ticks(end: float) -> list[float]:
    """Marks from zero to `end`, evenly."""
    return [end * n / _TICKS for n in range(_TICKS + 1)]


def _step_up(value: float) -> float:
    """The end of an axis that reaches `value`: a round number, never less."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** floor(log10(value))
    return next(step * unit for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * unit >= value * 0.999999)


def _grid(right: float, top: float, *, x: str, y: str) -> str:
    high, parts = _HEIGHT - _TOP - _BOTTOM, [_x_axis(right, x, left=_LEFT, height=_HEIGHT)]
    for value in ticks(top):
        at = _TOP + high - value / top * high
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(_text(_LEFT - 8, at + 4, _number(value), "end"))
    middle = _TOP + high / 2
    turned = f'transform="rotate(-90 14 {middle})"'
    parts.append(f'<text x="14" y="{middle}" text-anchor="middle" {turned}>{escape(y)}</text>')
    return "".join(parts)


def _x_axis(right: float, label: str, *, left: int, height: int) -> str:
    wide, bottom = _WIDTH - left - _RIGHT, height - _BOTTOM
    parts = [f'<line class="axis" x1="{left}" x2="{_WIDTH - _RIGHT}" y1="{bottom}" y2="{bottom}"/>']
    for value in ticks(right):
        at = left + value / right * wide
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(_text(at, bottom + 16, _number(value), "middle"))
    parts.append(_text(left + wide / 2, height - 8, label, "middle"))
    return "".join(parts)


def _legend(n: int, name: str) -> str:
    at = _TOP + 4 + n * 18
    left = _WIDTH - _RIGHT + 14
    box = f'<rect x="{left}" y="{at}" width="11" height="11" fill="{_colour(n)}"/>'
    return box + _text(left + 17, at + 10, name, "start")


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == ceil(value) else f"{value:.2g}"


def _colour(n: int) -> str:
    return _COLOURS[n % len(_COLOURS)]


def _svg(parts: Iterable[str], height: int, label: str) -> str:
    body = "".join(parts)
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}">{body}</svg>'
