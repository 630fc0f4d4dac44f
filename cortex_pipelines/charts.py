"""SVG charts by matplotlib, for the UI and for reports whose bytes may depend on the machine."""

from base64 import b64encode
from collections.abc import Callable
from io import BytesIO
from typing import Any

COLOUR = "#4f43dd"
_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_STYLE = {"svg.hashsalt": "cortex", "svg.fonttype": "none", "text.parse_math": False}
_EDGES = (0.16, 0.14, 0.8, 0.82)


def chart(draw: Callable[[Any], object], width: float, height: float) -> str:
    """A chart as a ``data:`` address; sizes in inches."""
    encoded = b64encode(picture(draw, width, height)).decode()
    return f"data:image/svg+xml;base64,{encoded}"


def picture(
    draw: Callable[[Any], object], width: float, height: float, edges: tuple[float, float, float, float] = _EDGES
) -> bytes:
    """A chart as the bytes of an SVG file; ``edges`` are left, bottom, width and height as shares.

    The bytes are the same from run to run: fixed edges, ids and defaults (no ``matplotlibrc``),
    and no date. The position of axis labels depends on installed fonts, so outputs that must be the
    same on every machine contain no charts.
    """
    # imported here because it takes most of a second
    from matplotlib import style
    from matplotlib.figure import Figure

    buffer = BytesIO()
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(width, height))
        draw(figure.add_axes(edges))
        figure.savefig(buffer, format="svg", metadata=_METADATA)
    return buffer.getvalue()
