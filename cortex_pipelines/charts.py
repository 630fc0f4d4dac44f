"""Charts by matplotlib, as SVG: for the UI, and for reports that are exact on one machine type."""

from base64 import b64encode
from collections.abc import Callable
from io import BytesIO
from typing import Any

COLOUR = "#4f43dd"
_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_STYLE = {"svg.hashsalt": "cortex", "svg.fonttype": "none", "text.parse_math": False}
_EDGES = (0.16, 0.14, 0.8, 0.82)


def chart(
    draw: Callable[[Any], object],
    width: float,
    height: float,
    edges: tuple[float, float, float, float] = _EDGES,
) -> str:
    """A chart as a ``data:`` address, for an image in HTML or Markdown that needs no file.

    Args:
        draw: Draws on matplotlib axes.
        width: Inches.
        height: Inches.
        edges: Left, bottom, width and height of the axes, as shares of the picture.
    """
    encoded = b64encode(picture(draw, width, height, edges)).decode()
    return f"data:image/svg+xml;base64,{encoded}"


def picture(
    draw: Callable[[Any], object],
    width: float,
    height: float,
    edges: tuple[float, float, float, float] = _EDGES,
) -> bytes:
    """A chart as the bytes of an SVG file; arguments as of ``chart``.

    The bytes are the same from run to run: fixed edges, ids and defaults (no ``matplotlibrc``),
    and no date. Names of axes are placed by the font that measures them, so outputs that have to
    be the same on every machine hold no chart.
    """
    # imported here, for it takes most of a second
    from matplotlib import style
    from matplotlib.figure import Figure

    written = BytesIO()
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(width, height))
        draw(figure.add_axes(edges))
        figure.savefig(written, format="svg", metadata=_METADATA)
    return written.getvalue()
