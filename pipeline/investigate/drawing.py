"""How charts are drawn: one style, readable in black and white and without colour vision, and SVG that is the same every time.

Colours are Okabe and Ito's; no chart says anything by colour alone: markers, hatches, line styles and labels say it too.
"""

from __future__ import annotations

import io
import math
import re
import unicodedata
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PINK = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
GREY, PALE = "#595959", "#d9d9d9"
WIDTH = 6.8
"""Inches: the text width of a printed page."""

STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.labelsize": 8.5,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "svg.hashsalt": "distillwatch",
    "svg.fonttype": "none",
    # An account may be called "$x^2$": nothing from a lake is a formula.
    "text.parse_math": False,
    "axes.unicode_minus": True,
}

_DIGITS = re.compile(r"(\d+\.\d{3})\d+")
_SVG = "http://www.w3.org/2000/svg"
_LINK = "http://www.w3.org/1999/xlink"


@contextmanager
def style() -> Iterator[None]:
    """Draw in our style.

    Raises
    ------
    UsageError
        matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        msg = "charts need matplotlib; install it with `pip install 'distillwatch[investigate]'`"
        raise UsageError(msg) from error
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # Names from a lake may be in any script; the reader's own fonts show them.
        warnings.filterwarnings("ignore", message=r".*[Gg]lyph", category=UserWarning)
        yield


def new_figure(height: float, width: float = WIDTH) -> Any:
    """An empty matplotlib figure that belongs to no window."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def to_svg(figure: Any, name: str, title: str, description: str) -> str:
    """A figure as one ``<svg>`` element for a page: no date, ids of its own, a title and a description that are read aloud."""
    out = io.StringIO()
    with style():
        figure.savefig(
            out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    # Drawn by ourselves a moment ago: no entities of a stranger's making.
    root = ElementTree.fromstring(out.getvalue())  # noqa: S314
    for element in root.iter():
        _small(element)
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif key == f"{{{_LINK}}}href" and value.startswith("#"):
                element.set(key, f"#{name}-{value[1:]}")
            elif "url(#" in value:
                element.set(key, value.replace("url(#", f"url(#{name}-"))
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("id", f"{name}-svg")
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    root.set("preserveAspectRatio", "xMinYMin meet")
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        child = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": f"{name}-{tag}"})
        child.text = text
        root.insert(place, child)
    text = ElementTree.tostring(root, encoding="unicode")
    # In an HTML document these are known; naming them again would only name addresses.
    return text.replace(f' xmlns="{_SVG}"', "").replace(f' xmlns:xlink="{_LINK}"', "")


def _small(element: ElementTree.Element) -> None:
    """Drop what is not seen: blanks between elements, the fourth digit of a place, one style said a thousand times."""
    if element.tag != f"{{{_SVG}}}text" and not (element.text or "").strip():
        element.text = None
    element.tail = None if not (element.tail or "").strip() else element.tail
    for key in ("d", "x", "y", "transform"):
        if key in element.attrib:
            element.set(key, _DIGITS.sub(r"\1", element.attrib[key]).strip())
    marks = [child for child in element if child.tag == f"{{{_SVG}}}use"]
    styles = {mark.get("style") for mark in marks}
    if len(marks) > 1 and len(marks) == len(element) and len(styles) == 1 and "style" not in element.attrib:
        element.set("style", styles.pop() or "")
        for mark in marks:
            mark.attrib.pop("style", None)


def shown(text: object, longest: int = 60) -> str:
    r"""Text of a lake as it may be shown: characters that draw nothing or turn the line round are spelled out.

    Examples
    --------
    >>> shown("a\x00b\u202ec"), shown("x" * 70, 8)
    ('a\\x00b\\u202ec', 'xxxxxxx…')
    """
    plain = "".join(
        character
        if unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
        else character.encode("unicode_escape", "surrogatepass").decode()
        for character in str(text)
    )
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"


def frame(axes: Any, *, x: str = "", y: str = "", title: str = "", grid: str | None = None) -> None:
    """Labels, a title, and grid lines behind the data."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if title:
        axes.set_title(title)
    if grid:
        axes.grid(visible=True, axis=grid)
        axes.set_axisbelow(True)


def powers(axis: Any) -> None:
    """Plain labels on a logarithmic axis: formulas are switched off."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(numticks=7))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: _power(value))


def _power(value: float) -> str:
    exponent = round(math.log10(value))
    if -3 <= exponent <= 0:
        return f"{value:g}"
    return f"10{str(exponent).translate(_RAISED)}"


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def dates(axes: Any) -> None:
    """A readable axis of time."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


HALO: dict[str, Any] = {
    "boxstyle": "round,pad=0.1",
    "facecolor": "white",
    "edgecolor": "none",
    "alpha": 0.75,
}
"""White behind letters, so that they are readable on anything."""
