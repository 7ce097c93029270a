"""The page: a function of the document alone."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.investigate.asked import canonical_json
from pipeline.investigate.drawing import new_figure, shown, style, to_svg
from pipeline.investigate.figures import PAINTERS
from pipeline.investigate.figures.words import decision_text, p_text

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST = 80
"""Characters of a text in a drawing."""

PAGE_ROWS = 30
"""Rows of a table that the page shows; the document holds more."""

GROUPS = (
    ("did", "What it did", ("timeline", "parameters", "repeats")),
    ("asked", "What it asked about", ("coverage", "prompts", "part")),
    ("tied", "What it is tied to", ("networks", "graph")),
    ("judged", "How it was judged", ("signals", "looks")),
)


def render(document: Mapping[str, Any]) -> str:
    """The case file of a document, as HTML that asks for nothing outside itself.

    Raises
    ------
    UsageError
        Jinja2 or matplotlib is not installed.
    """
    environment = _environment()
    data = canonical_json(document)
    digest = hashlib.sha256(data.encode()).hexdigest()
    figures = {each["name"]: {**each, "svg": _drawn(canonical_json(each))} for each in document["figures"]}
    numbers = {name: place for place, name in enumerate((n for *_, names in GROUPS for n in names), start=1)}
    page: str = environment.get_template("case.html").render(
        document=document,
        figures=figures,
        numbers=numbers,
        groups=GROUPS,
        digest=digest,
        data=data,
        page_rows=PAGE_ROWS,
        style=_style(digest),
    )
    return page


@cache
def _environment() -> Any:
    try:
        import jinja2
        import markupsafe
    except ImportError as error:
        msg = "case files need Jinja2; install it with `pip install 'distillwatch[investigate]'`"
        raise UsageError(msg) from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.casefile"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        shown=lambda value, longest=200: shown(value, longest),
        cell=cell,
        p=p_text,
        decision=decision_text,
        day=lambda value: str(value)[:10],
        # Only for what this package wrote itself: drawings, and JSON whose brackets are escaped.
        ours=markupsafe.Markup,
    )
    return environment


def _style(digest: str) -> str:
    environment = _environment()
    text: str = environment.loader.get_source(environment, "case.css")[0]
    return text.replace("DIGEST", digest)


@lru_cache(maxsize=64)
def _drawn(figure_text: str) -> str:
    """A figure's drawing: a function of what is written here, so that checking a page draws no figure twice."""
    figure = _printable(json.loads(figure_text))
    if not figure["drawn"]:
        return ""
    with style():
        drawing = new_figure(figure["height"])
        PAINTERS[figure["name"]](drawing, figure["data"])
    return to_svg(drawing, f"figure-{figure['name']}", figure["title"], figure["caption"])


def _printable(value: Any) -> Any:
    """Every text in it as it may be drawn: whoever hands us a document to check may have put anything into it."""
    if isinstance(value, dict):
        return {key: _printable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_printable(each) for each in value]
    return shown(value, LONGEST) if isinstance(value, str) else value


def cell(value: object) -> str:
    """A value in a table.

    Examples
    --------
    >>> [cell(v) for v in (True, 0.12345678, 12345, 12345.6, "2026-01-02T03:04:05.678000")]
    ['yes', '0.1235', '12,345', '12,346', '2026-01-02 03:04:05']
    """
    if value is None or value == "":
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        plain = f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
        return p_text(value) if 0 < abs(value) < 0.001 else plain
    text = str(value)
    if len(text) >= 19 and text[4] == "-" and text[10] == "T":
        try:
            return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}"
        except ValueError:
            pass
    return shown(text, 80)
