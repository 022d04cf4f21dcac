"""Numbers as text and shapes as inline SVG. Shapes stretch with the page, so all text stands beside them as HTML.

Nothing here takes text from the data: only numbers go into markup, so what is returned is safe as it is.
"""

from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from pipelines.report.figures import Bin

KIB = 1024
NOTHING = "\N{EN DASH}"  # a share of nothing


def number(value: float) -> str:
    """1234567 -> 1,234,567."""
    return f"{value:,.0f}"


def percent(part: float, whole: float) -> str:
    """A share; those that would be rounded to nothing or to all say so."""
    if not whole:
        return NOTHING
    share = part / whole
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{share:.1%}".replace("%", " %")


def size(value: float) -> str:
    """Bytes in the unit that fits."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < KIB or unit == "TiB":
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= KIB
    raise AssertionError("a size has a unit")


def seconds(value: float) -> str:
    """A duration in the unit that fits."""
    if value < 60:
        return f"{value:.1f} s" if value >= 1 else f"{value * 1000:.0f} ms"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def per_row(cost: float, rows: int) -> str:
    """Milliseconds a row."""
    return f"{1000 * cost / rows:,.2f}" if rows else NOTHING


def bar(value: float, of: float, kind: str = "kept") -> Markup:
    """A horizontal bar, `value` of `of` wide."""
    return bars([(value, kind)], of)


def bars(parts: list[tuple[float, str]], of: float) -> Markup:
    """Horizontal bars end to end. Each part that is not nothing can be seen."""
    at, rects = 0.0, ""
    for value, kind in parts:
        width = max(100 * value / of, 0.4) if value and of else 0.0
        rects += f'<rect class="{kind}" x="{at:.3f}" width="{width:.3f}" height="10"/>'
        at += width
    return Markup(  # noqa: S704 - numbers only
        f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{rects}</svg>'
    )


def stream(rows_in: int, rows_out: int, widest: int) -> Markup:
    """One reach of the channel: as wide at its ends as the rows that enter and leave; beside it the loss."""
    top, bottom = 100 * rows_in / widest, 100 * rows_out / widest
    # The water narrows in the upper part, so that a reach of any height ends in a straight piece.
    water = f"M0 0H{top:.3f}C{top:.3f} 26 {bottom:.3f} 14 {bottom:.3f} 44V100H0Z"
    lost = f'<path class="lost" d="M{bottom:.3f} 0H{top:.3f}V100H{bottom:.3f}Z"/>' if bottom < top else ""
    return Markup(  # noqa: S704 - numbers only
        '<svg class="stream" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
        f'{lost}<path class="water" d="{water}"/></svg>'
    )


def histogram(bins: list[Bin]) -> Markup:
    """Columns: kept above the line, removed below it, on one scale."""
    up, down = max(b.kept for b in bins), max(b.removed for b in bins)
    scale, width = 100 / max(up + down, 1), 100 / len(bins)
    zero, shapes = up * scale, ""
    for number_, b in enumerate(bins):
        x, w = number_ * width + 0.07 * width, 0.86 * width
        kept, removed = b.kept * scale, b.removed * scale
        shapes += f'<rect class="kept" x="{x:.2f}" y="{zero - kept:.2f}" width="{w:.2f}" height="{kept:.2f}"/>'
        shapes += f'<rect class="dropped" x="{x:.2f}" y="{zero:.2f}" width="{w:.2f}" height="{removed:.2f}"/>'
    shapes += f'<line class="axis" x1="0" x2="100" y1="{zero:.2f}" y2="{zero:.2f}" vector-effect="non-scaling-stroke"/>'
    return Markup(  # noqa: S704 - numbers only
        f'<svg class="histogram" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{shapes}</svg>'
    )


def short(value: float) -> str:
    """Labels of an axis: 1600 -> 1.6k."""
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


FILTERS: dict[str, Callable[..., str]] = {
    "number": number,
    "size": size,
    "seconds": seconds,
    "short": short,
}
SHAPES: dict[str, Callable[..., Any]] = {
    "percent": percent,
    "per_row": per_row,
    "bar": bar,
    "bars": bars,
    "stream": stream,
    "histogram": histogram,
}
