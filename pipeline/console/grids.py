"""Answers as tables: which columns, written how, leading where."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipeline.console import formats

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.console.page import Page

MOST_SHOWN = 500

_ACCOUNTS = frozenset({"account_id", "account_a", "account_b"})
_CLUSTERS = frozenset({"cluster_id", "via_cluster", "verdict_via_cluster"})
_LABELS = {
    "account_id": "account",
    "account_a": "account",
    "account_b": "and account",
    "cluster_id": "cluster",
    "subject_id": "subject",
    "subject_kind": "kind",
    "p_value": "p",
    "q_value": "q",
    "benign_class": "class",
    "window_start": "window",
    "event_time": "time",
    "client_network": "network",
    "in_cluster_since": "joined",
    "joined_at": "joined",
    "left_at": "left",
    "n_records": "records",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One value as it is shown; ``sign`` is a shape that says the same as the text, ``href`` where it leads."""

    text: str
    href: str | None = None
    sign: str | None = None
    kind: str = ""
    full: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name in the answer and its heading."""

    name: str
    label: str
    numeric: bool


@dataclass(frozen=True, slots=True)
class Grid:
    """A table to show.

    ``total`` is the number of rows there are; ``rows`` may be the first of them.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    total: int
    caption: str = ""
    truncated: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


def label(name: str) -> str:
    """Heading of a column.

    Examples
    --------
    >>> label("mean_output_tokens")
    'mean output tokens'
    """
    return _LABELS.get(name, name.replace("_", " "))


def grid(
    page: Page,
    rows: Sequence[Mapping[str, Any]],
    *,
    caption: str,
    only: Iterable[str] | None = None,
    without: Iterable[str] = (),
    labels: Mapping[str, str] | None = None,
    links: Mapping[str, Any] | None = None,
    total: int | None = None,
    most: int = MOST_SHOWN,
    truncated: bool = False,
    names: Sequence[str] | None = None,
) -> Grid:
    """Rows of an answer as a table.

    Parameters
    ----------
    only, without
        Columns to show, in this order; or to leave out.
    links
        Column to a function from a row to an address, beside the links that accounts and clusters have anyway.
    names
        Columns of an answer without rows.
    """
    hidden = set(without)
    known = list(rows[0]) if rows else list(names or ())
    chosen = [name for name in (only or known) if name not in hidden and (name in known or not rows)]
    shown = rows[:most]
    columns = [Column(name, (labels or {}).get(name, label(name)), _numeric(name, shown)) for name in chosen]
    cells = [[_cell(page, name, row, (links or {}).get(name)) for name in chosen] for row in shown]
    return Grid(columns, cells, len(rows) if total is None else total, caption, truncated)


def _numeric(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    for row in rows:
        value = row.get(name)
        if value is not None:
            return isinstance(value, int | float) and not isinstance(value, bool)
    return False


def _cell(page: Page, name: str, row: Mapping[str, Any], link: Any) -> Cell:  # noqa: PLR0911 -- one for each kind of cell
    value = row.get(name)
    if value is None:
        return Cell(formats.NOTHING, kind="none")
    href = link(row) if link is not None else None
    if name in {"decision", "verdict"} and isinstance(value, str):
        sign, word = {**formats.DECISIONS, **formats.VERDICTS}.get(value, ("", value))
        return Cell(word, href, sign, f"is-{value}")
    named = _leads_to(page, name, row, value) if href is None else href
    if named is not None and name in _ACCOUNTS | _CLUSTERS | {"subject_id"}:
        return Cell(formats.brief(str(value), 26), named, None, "id", str(value))
    if isinstance(value, float) and ("share" in name or name.endswith("_rate")) and 0 <= value <= 1:
        return Cell(formats.share(value), href)
    if isinstance(value, datetime):
        return Cell(formats.cell(value), href, None, "time")
    text = formats.cell(value)
    kind = "code" if name.endswith(("_hash", "_digest", "_id")) or name in {"prompt", "template"} else ""
    if kind and len(text) > 22:
        return Cell(formats.brief(text), href, None, kind, text)
    return Cell(text, href, None, kind)


def _leads_to(page: Page, name: str, row: Mapping[str, Any], value: object) -> str | None:
    if name in _ACCOUNTS:
        return page.link("/account", id=value)
    if name in _CLUSTERS:
        return page.link("/cluster", id=value)
    if name == "subject_id":
        kind = row.get("subject_kind", "account")
        return page.link("/cluster" if kind == "cluster" else "/account", id=value)
    return None
