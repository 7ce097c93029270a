"""An account: what it is, why it was flagged, what it did, and beside what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.console import evidence, formats
from pipeline.console.grids import Grid, grid
from pipeline.console.routes import PageRoute
from pipeline.counted import counted
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response

    from pipeline.console.page import Page

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SIGNALS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Part:
    """A section that is fetched when it comes into sight: one playbook, shown as a table and maybe drawn."""

    name: str
    title: str
    playbook: str
    parameter: str = "account_id"
    lead: str = ""
    columns: Sequence[str] | None = None


PARTS = (
    Part(
        "parameters",
        "Parameters",
        "account_parameters",
        lead="Models and settings, the most used first.",
        columns=(
            "model",
            "records",
            "share",
            "temperature",
            "top_p",
            "max_tokens",
            "choice_count",
            "logprobs",
            "stream",
            "reasoning_requested",
            "system_prompts",
            "templates",
            "mean_output_tokens",
            "first_seen",
            "last_seen",
        ),
    ),
    Part(
        "repeats",
        "Repeats",
        "account_repeats",
        lead="How often the same prompt was sent again.",
        columns=(
            "times",
            "prompts",
            "records",
            "share_of_records",
            "median_hours_between_first_and_last",
            "example",
        ),
    ),
    Part("hours", "Hours", "account_hours", lead="Records by day of the week and hour, UTC."),
    Part(
        "networks",
        "Networks and payment",
        "account_networks",
        lead="Where it comes from and how it pays.",
    ),
    Part("shared", "Others on its networks or payment", "who_shares_networks_or_payment"),
    Part("similar", "Similar accounts", "similar_accounts", lead="Nearest in their signals."),
    Part(
        "alerts",
        "Alerts",
        "alerts_of_an_account",
        lead="Every alert on this account or on a cluster with it.",
    ),
    Part("scores", "Score over time", "scores_over_time"),
    Part("changes", "What changed", "what_changed"),
    Part(
        "verdicts", "Verdicts", "verdict_history", "subject_id", lead="What people decided, the newest first."
    ),
    Part(
        "provenance",
        "Provenance",
        "provenance_of_an_account",
        lead="Landed files with its records, and their digests.",
    ),
)
SIGNALS = Part(
    "signals",
    "Where it lies furthest out",
    "why_flagged",
    lead="Some account is always last: an end of the ranking is not guilt.",
    columns=(
        "signal",
        "in_words",
        "rank_in_lake",
        "signal_value",
        "lake_median",
        "reference_median",
        "accounts",
    ),
)
"""Fetched after the page: it ranks every signal of every account, and an account with an alert does without."""

_BY_NAME = {part.name: part for part in (*PARTS, SIGNALS)}


def no_such(page: Page, name: str) -> Response:
    """What every page of an account says of one that the lake does not know."""
    if not name:
        return page.to("/queue")
    return page.render(
        "problem.html",
        status=404,
        title="No such account",
        text=f"Nothing of an account {name!r} has landed in this lake"
        + (f" as of manifest {page.manifest}." if page.manifest is not None else "."),
    )


def missing(page: Page, name: str) -> Response | None:
    """The answer about an account that has not landed; None if it has. For pages that found nothing: it asks the lake."""
    return None if name and page.rows("account_summary", account_id=name) else no_such(page, name)


def account(page: Page) -> Response:
    """The page of one account."""
    name = page.exactly("id")
    found = page.rows("account_summary", account_id=name) if name else []
    if not found:
        return no_such(page, name)
    summary = found[0]
    timeline, timeline_problem = page.attempt(lambda: page.rows("account_timeline", account_id=name))
    alerts = [evidence.read(row) for row in page.rows("case_alerts", subject=name)]
    own = [each for each in alerts if each.subject_id == name]
    return page.render(
        "account.html",
        id=name,
        summary=summary,
        sentences=sentences(summary),
        alert=own[0] if own else None,
        cluster_alerts=[each for each in alerts if each.subject_kind == "cluster"],
        timeline=timeline or [],
        timeline_problem=timeline_problem,
        timeline_grid=_timeline_grid(page, name, timeline or []),
        parts=list(PARTS),
        cases=page.console.cases.every(subject=("account", name)),
    )


def sentences(row: dict[str, Any]) -> list[str]:
    """An account in words."""
    records = row["records"]
    said = [
        (
            f"{counted(records, 'record')} on {counted(row['active_days'], 'day')}, from "
            f"{formats.when(row['first_seen'])} to {formats.when(row['last_seen'])} UTC; "
            f"{formats.number(row['input_tokens'])} tokens in, {formats.number(row['output_tokens'])} out."
        )
    ]
    if row["prompts"]:
        said.append(
            f"{formats.share(row['prompts'] / records)} of its prompts are different, on "
            f"{counted(row['topics'], 'topic')}; the largest topic has {formats.share(row['top_topic_share'])} "
            f"and the next record would open a new one with probability {formats.share(row['unseen_topic_mass'])}."
        )
    asks = [
        f"{formats.share(row[key])} {words}"
        for key, words in (
            ("reasoning_share", "ask for the reasoning"),
            ("multiple_choices_share", "draw several answers"),
            ("logprobs_share", "ask for log-probabilities"),
        )
        if row[key]
    ]
    said.append(
        f"It uses {counted(row['models'], 'model')}"
        + (f", mostly {row['most_used_model']}" if row["most_used_model"] else "")
        + (
            f"; {', '.join(asks)}."
            if asks
            else "; no record asks for reasoning, several answers or log-probabilities."
        )
    )
    said.append(
        f"It comes from {counted(row['client_networks'], 'network')} in "
        f"{counted(row['countries'], 'country', 'countries')}, with "
        f"{counted(row['user_agents'], 'client program')} and {counted(row['payments'], 'payment')}."
    )
    return said


def _timeline_grid(page: Page, name: str, rows: list[dict[str, Any]]) -> Grid:
    def window(row: dict[str, Any]) -> str:
        return page.link("/account/records", id=name, since=row["window_start"], window="1")

    return grid(
        page,
        rows,
        caption="Windows",
        links={"window_start": window},
        most=1000,
        only=(
            "window_start",
            "records",
            "topics",
            "topic_entropy",
            "top_topic_share",
            "top_template_share",
            "network_buckets",
            "mean_input_tokens",
            "mean_output_tokens",
            "reasoning_share",
            "multiple_choices_share",
            "error_share",
            "refusal_share",
        ),
    )


def part(page: Page) -> Response:
    """One section: alone for htmx, as a page of its own otherwise."""
    name, wanted = page.exactly("id"), _BY_NAME.get(page.get("part"))
    if wanted is None:
        msg = f"there is no section {page.get('part')!r}; there are {', '.join(_BY_NAME)}"
        raise UsageError(msg)
    rows, problem = page.attempt(lambda: page.rows(wanted.playbook, **{wanted.parameter: name}))
    rows = rows or []
    bare = page.request.headers.get("hx-request") == "true"
    # A section of a page that is open already needs no second look.
    if not (rows or problem or bare) and (gone := missing(page, name)) is not None:
        return gone
    if wanted is SIGNALS:
        rows = [
            {
                **row,
                "signal": row["signal"].replace("_", " "),
                "in_words": evidence.sentence(row["signal"], row["signal_value"]),
            }
            for row in rows[:SIGNALS_SHOWN]
        ]
    return page.render(
        "account_part.html",
        bare=bare,
        id=name,
        part=wanted,
        problem=problem,
        rows=rows,
        week=_week(rows) if wanted.name == "hours" else None,
        grid=grid(
            page, rows, caption=wanted.title, only=wanted.columns, without=("combinations", "account_id")
        ),
    )


def _week(rows: list[dict[str, Any]]) -> list[tuple[str, list[tuple[int, float]]]]:
    """Days of the week, each with (records, part of the largest) of 24 hours."""
    counts = [[0] * 24 for _ in DAYS]
    for row in rows:
        if row["hour"] is not None and 0 <= row["hour"] < 24:
            counts[row["day_of_week"] - 1][row["hour"]] += row["records"]
    largest = max((value for day in counts for value in day), default=0) or 1
    return [
        (day, [(value, (value / largest) ** 0.5) for value in hours])
        for day, hours in zip(DAYS, counts, strict=True)
    ]


ROUTES = (PageRoute("/account", account), PageRoute("/account/part", part))
