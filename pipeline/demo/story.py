"""What the demo tells: who was attacking, what was found and why, and where to go from here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from pipeline.alerts import Alert
    from pipeline.simulate.labels import Label

HARVESTS = ("harvest", "reasoning_harvest")
"""One account that harvests alone: what the demo must find."""

WHAT = {
    "harvest": "one account walks through a corpus and keeps the answers",
    "reasoning_harvest": "one account asks for the reasoning behind finished answers",
    "careful_harvest": "a harvest that imitates ordinary use",
    "diluted": "a harvest hidden in ordinary requests of the same account",
    "hydra": "a harvest spread thinly over many accounts of one operator",
    "slow_drip": "a few requests a day, for as long as it takes",
    "pivot": "moves to a new model as soon as it is released",
}

TOP_FIVE = "select account_id, records, score, p_value from account_scores order by score desc limit 5"
BAR = 28
QUEUE = 20
"""What an investigator looks at first: so many accounts of the queue are shown, and count as seen."""


@dataclass(frozen=True, slots=True)
class Queue:
    """An investigator's queue: subjects by score, the highest first."""

    account: list[str]
    score: list[float]
    p_value: list[float]
    records: list[int]

    def rank(self, account: str) -> int | None:
        """Place of an account, from 1; None if it has no score."""
        return self.account.index(account) + 1 if account in self.account else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Alerts held against the truth."""

    labels: Mapping[str, Label]
    alerts: Sequence[Alert]
    queue: Queue

    @property
    def accused(self) -> dict[str, Alert]:
        """Accounts that an alert names, alone or as a member of a cluster; an alert of its own first."""
        found: dict[str, Alert] = {}
        for alert in sorted(self.alerts, key=lambda a: a.subject_kind):
            for member in alert.members:
                found.setdefault(member, alert)
        return found

    @property
    def planted(self) -> list[Label]:
        """The single-account harvests."""
        return [label for label in self.labels.values() if label.attack and label.kind in HARVESTS]

    @property
    def missed(self) -> list[Label]:
        """Single-account harvests that no alert names and that do not stand among the first of the queue."""
        return [
            label
            for label in self.planted
            if label.account_id not in self.accused and not self.is_first(label.account_id)
        ]

    def is_first(self, account: str) -> bool:
        """Whether an account stands among the first `QUEUE`."""
        return (self.queue.rank(account) or QUEUE + 1) <= QUEUE


def tell(console: Console, outcome: Outcome, lake: Path) -> None:
    """Print the whole story."""
    _attackers(console, outcome)
    _queue(console, outcome)
    _why(console, outcome)
    _accusations(console, outcome)
    _next(console, outcome, lake)


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, style="bold"))


def _attackers(console: Console, outcome: Outcome) -> None:
    _heading(console, "Who was attacking (only the simulator knows)")
    accused = outcome.accused
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("attack")
    table.add_column("accounts", justify="right")
    table.add_column("records", justify="right")
    table.add_column("in the list", justify="right")
    table.add_column(f"or in the first {QUEUE}", justify="right")
    table.add_column("what it does", overflow="fold")
    for kind, what in WHAT.items():
        mine = [label for label in outcome.labels.values() if label.attack and label.kind == kind]
        if not mine:
            continue
        listed = sum(label.account_id in accused for label in mine)
        found = sum(label.account_id in accused or outcome.is_first(label.account_id) for label in mine)
        good = found == len(mine)
        table.add_row(
            Text(kind, style="bold" if kind in HARVESTS else ""),
            f"{len(mine):,}",
            f"{sum(label.records for label in mine):,}",
            f"{listed} of {len(mine)}",
            Text(f"{found} of {len(mine)}", style="green" if good else "yellow"),
            what,
        )
    console.print(table)


def _queue(console: Console, outcome: Outcome) -> None:
    _heading(console, "What distillwatch saw: the top of the queue, and what these accounts really are")
    queue = outcome.queue
    top = queue.score[:QUEUE]
    if not top:
        console.print("No account has records enough for a score.")
        return
    low, high = min(0.0, *top), max(top)
    accused = outcome.accused
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("#", "account", "records", "score", "", "p-value", "alert", "really"):
        table.add_column(
            name, justify="right" if name in {"#", "records", "score", "p-value"} else "left", no_wrap=True
        )
    for place, (account, score) in enumerate(zip(queue.account, top, strict=False), 1):
        label = outcome.labels[account]
        width = round(BAR * (score - low) / (high - low)) if high > low else 0
        style = "red" if label.attack else "blue"
        alert = accused.get(account)
        said = "" if alert is None else "account" if alert.subject_kind == "account" else "in a cluster"
        table.add_row(
            str(place),
            account,
            f"{queue.records[place - 1]:,}",
            f"{score:.2f}",
            Text("█" * width, style=style),
            f"{queue.p_value[place - 1]:.1e}",
            Text(said, style="bold"),
            Text(f"{'attack' if label.attack else 'benign'}: {label.kind}", style=style),
        )
    console.print(table)


def _why(console: Console, outcome: Outcome) -> None:
    _heading(console, "Why: the evidence of two alerts")
    shown = [
        outcome.accused[label.account_id] for label in outcome.planted if label.account_id in outcome.accused
    ]
    for alert in (shown or list(outcome.alerts))[:2]:
        console.print(
            Text.assemble(
                (alert.subject_id, "bold"),
                f"  {_number(alert.evidence, 'records')} records, p = {alert.p_value:.1e}",
            )
        )
        for sentence in alert.evidence.get("sentences", [])[:4]:
            console.print(Text(f"  + {sentence}"))
        for sentence in alert.evidence.get("against", [])[:1]:
            console.print(Text(f"  - {sentence}"))
        for name in ("benign_explanation", "look_at"):
            sentence = (alert.evidence.get(name) or {}).get("sentence")
            if sentence:
                console.print(Text(f"  = {sentence}"))
    if not outcome.alerts:
        console.print("No alert was raised.")


def _number(evidence: Mapping[str, Any], name: str) -> str:
    value = evidence.get(name)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _accusations(console: Console, outcome: Outcome) -> None:
    _heading(console, "Who was accused wrongly")
    benign = Counter(label.kind for label in outcome.labels.values() if not label.attack)
    wrong = Counter(outcome.labels[a].kind for a in outcome.accused if not outcome.labels[a].attack)
    if wrong:
        named = ", ".join(f"{count} of {benign[kind]} {kind}" for kind, count in wrong.most_common())
        console.print(f"{sum(wrong.values())} of {benign.total()} benign accounts: {named}.")
    else:
        console.print(f"None of the {benign.total()} benign accounts.")
    console.print(
        "An alert is where a person starts to look, not a verdict. Attacks that imitate ordinary use, hide in it or take "
        "their time are half found at best, and researchers on the same content are accused wrongly most."
    )


def _next(console: Console, outcome: Outcome, lake: Path) -> None:
    _heading(console, "Where it is, and what to try next")
    account = next(
        (label.account_id for label in outcome.planted if label.account_id in outcome.accused),
        outcome.queue.account[0] if outcome.queue.account else "ACCOUNT",
    )
    console.print(
        f"The lake is in {lake}. It is a folder of Parquet files; nothing else is needed to read it."
    )
    program = program_name()
    commands = [
        f'{program} sql --lake {lake} -c "{TOP_FIVE}"',
        f"{program} sql --lake {lake} why_flagged --param account_id={account}",
        f"{program} case --lake {lake} {account} --out case.html",
        f"{program} console --lake {lake}",
        f"{program} verify --lake {lake} --all",
    ]
    own = outcome.accused.get(account)
    if own is not None:
        commands.append(f"{program} verify --lake {lake} --alert {own.alert_id}")
    for command in commands:
        # Unwrapped, so that it can be copied.
        console.print(Text(f"  {command}"), soft_wrap=True)


def program_name() -> str:
    """How this program is called from here: by name if it is on the path, else by its file."""
    import shutil
    import sys

    own = Path(sys.executable).with_name("distillwatch")
    if shutil.which("distillwatch") == str(own) or not own.exists():
        return "distillwatch"
    try:
        return str(own.relative_to(Path.cwd()))
    except ValueError:
        return str(own)
