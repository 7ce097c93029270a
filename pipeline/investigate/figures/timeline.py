"""When the accounts of a case were at work."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipeline.counted import counted
from pipeline.investigate.drawing import BLACK, BLUE, dates, frame, shown
from pipeline.investigate.figures.base import Figure, Sources, nothing

if TYPE_CHECKING:
    from collections.abc import Mapping

TITLE = "When it was at work"
LINES = 40
"""Accounts that have a line of their own; the others share the last one."""
MARKS = 4000
"""Marks that are drawn; where every window with records would be more, windows are taken together."""
STEPS = (1, 3, 6, 12, 24, 72, 168, 672)
"""Hours that one mark may stand for."""
_EPOCH = datetime(1970, 1, 1)


def timeline_figure(sources: Sources) -> Figure:
    """Records by day, and below it hours of the day (an account) or one line for each account (a cluster)."""
    asked = sources.answers["case_timeline"]
    rows = asked.rows
    if not rows:
        return nothing(
            "timeline", TITLE, "None of its records is in a landed window yet: windows lag records.", asked
        )
    by_day: dict[str, dict[str, Any]] = {}
    accounts_by_day: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        day = row["window_start"].date().isoformat()
        here = by_day.setdefault(day, {"day": day, "records": 0, "windows": 0})
        here["records"] += row["records"]
        here["windows"] += 1
        accounts_by_day[day].add(row["account_id"])
    days = [{**each, "accounts": len(accounts_by_day[day])} for day, each in sorted(by_day.items())]
    sent: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        sent[row["account_id"]] += row["records"]
    order = [account for account in sources.subject.accounts if account in sent]
    most = set(sorted(order, key=lambda account: (-sent[account], account))[:LINES])
    lines = [account for account in order if account in most]
    line_of = {account: place for place, account in enumerate(lines)}
    step, marks = _marks(rows, line_of, by_hour=not sources.subject.is_cluster)
    hours = {row["window_start"].hour for row in rows}
    total = sum(row["records"] for row in rows)
    busiest = max(days, key=lambda each: (each["records"], each["day"]))
    first, last = rows[0]["window_start"], max(row["window_start"] for row in rows)
    span = (last.date() - first.date()).days + 1
    caption = (
        f"{counted(total, 'record')} between {first:%d %B %Y} and {last:%d %B %Y} (UTC), on {len(days)} of {counted(span, 'day')}, in "
        f"{len(hours)} of the 24 hours of the day; most on {datetime.fromisoformat(busiest['day']):%d %B} "
        f"({busiest['records']:,})."
    )
    if sources.subject.is_cluster:
        together = max(days, key=lambda each: (each["accounts"], each["day"]))
        caption += (
            f" Of {counted(len(order), 'account')} up to {together['accounts']:,} were at work on one day."
        )
    if len(order) > len(lines):
        caption += f" The {len(lines)} accounts with most records have a line each; the last line holds the other {len(order) - len(lines):,}."
    data: dict[str, Any] = {
        "days": days,
        "marks": marks,
        "lines": [shown(each, 24) for each in lines] + (["all others"] if len(order) > len(lines) else []),
        "is_cluster": sources.subject.is_cluster,
        "step_hours": step,
    }
    return Figure(
        "timeline",
        TITLE,
        caption,
        f"Every mark is {_one_mark(step, len(rows), len(marks))}, larger with more of them. Work round the clock and breaks that "
        "many accounts take together are worth a look; schedules and offices make them too.",
        data,
        ("day (UTC)", "records", "windows with records", "accounts at work"),
        [[each["day"], each["records"], each["windows"], each["accounts"]] for each in days],
        (asked,),
        paint,
        2.3 + (0.16 * max(6, len(data["lines"])) if data["is_cluster"] else 1.9),
    )


def _marks(
    rows: list[dict[str, Any]], line_of: Mapping[str, int], *, by_hour: bool
) -> tuple[int | None, list[dict[str, Any]]]:
    """What is drawn, and how many hours a mark stands for (None: a window).

    ``by_hour``: windows of one hour of the day are taken together over days, else those that follow each other.
    """
    others = len(line_of)
    at = [(row["window_start"], line_of.get(row["account_id"], others), row["records"]) for row in rows]
    summed: defaultdict[tuple[datetime, int], int] = defaultdict(int)
    for start, line, records in at:
        summed[start, line] += records
    step = None
    for hours in STEPS:
        if len(summed) <= MARKS:
            break
        if by_hour and hours < 48:
            continue
        step = hours
        summed = defaultdict(int)
        for start, line, records in at:
            long = timedelta(hours=hours)
            first = start - (start - _EPOCH) % long
            summed[first + (start - _EPOCH) % timedelta(days=1) if by_hour else first, line] += records
    return step, [
        {"at": start.isoformat(), "records": records, "line": line}
        for (start, line), records in sorted(summed.items())
    ]


def _one_mark(step: int | None, windows: int, marks: int) -> str:
    """What a mark stands for, in words."""
    if step is None:
        return (
            "one window with records"
            if windows == marks
            else "one window with records (on the last line of all its accounts together)"
        )
    long = f"{step} hours" if step < 48 else f"{step // 24} days"
    return f"{long} with records ({windows:,} windows were taken together to {marks:,} marks)"


def paint(figure: Any, data: Mapping[str, Any]) -> None:
    """Draw the figure's data."""
    lines = data["lines"] if data["is_cluster"] else []
    below = max(1.9, 0.16 * len(lines)) if data["is_cluster"] else 1.9
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1.1, below])
    import numpy as np

    half = np.timedelta64(12, "h")
    at = [np.datetime64(each["day"]) + half for each in data["days"]]
    top.bar(
        at,
        [each["records"] for each in data["days"]],
        width=0.8,
        facecolor="white",
        edgecolor=BLACK,
        hatch="////",
        linewidth=0.8,
    )
    frame(top, y="records a day", title="Records by day", grid="y")
    moments = [datetime.fromisoformat(each["at"]) for each in data["marks"]]
    largest = max(each["records"] for each in data["marks"])
    sizes = [8 + 60 * each["records"] / largest for each in data["marks"]]
    if lines:
        bottom.scatter(
            moments,
            [each["line"] for each in data["marks"]],
            s=sizes,
            marker="|",
            color=BLUE,
            linewidths=1.3,
        )
        bottom.set_yticks(range(len(lines)), lines, fontsize=7)
        bottom.set_ylim(len(lines) - 0.4, -0.6)
        frame(
            bottom,
            x="UTC",
            title="When there were records, account by account (first seen on top)",
            grid="both",
        )
    else:
        bottom.scatter(
            [each.replace(hour=12, minute=0) for each in moments],
            [each.hour + each.minute / 60 for each in moments],
            s=sizes,
            marker="o",
            facecolor="#0072B299",
            edgecolor=BLACK,
            linewidths=0.5,
        )
        bottom.set_yticks([0, 6, 12, 18, 24])
        bottom.set_ylim(24.5, -1)
        frame(bottom, x="day", y="hour of the day (UTC)", title="When there were records, by hour", grid="y")
    dates(bottom)
