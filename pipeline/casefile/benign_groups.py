"""What the lake says for and against the benign groups that look like a cluster."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pipeline.counted import counted
from pipeline.investigate.figures.words import listed

if TYPE_CHECKING:
    from pipeline.investigate import Case

THREE = (
    "Benign groups that look like clusters are tenants of one application or one company, workers that share a job out, and laboratories. "
    "What the lake says of that:"
)
OPEN = (
    "What it cannot say: whose the payments and organisations are, whether its accounts do the same thing for different people, and who "
    "decided what to ask. Ask that before a decision."
)


def benign_groups(case: Case) -> list[str]:
    """Sentences on payment and organisation, networks, shared prompts, and the classes of the accounts alone."""
    return [THREE, _who_pays(case), *_networks(case), *_prompts(case), *_classes(case), OPEN]


def _who_pays(case: Case) -> str:
    size = len(case.subject.accounts)
    said = []
    for kind, word in (("payment", "payment"), ("organization", "organisation")):
        rows = [row for row in case.rows("case_networks") if row["kind"] == kind]
        common = max((row["accounts"] for row in rows), default=0)
        if not rows:
            said.append(f"no {word} is named, or none by enough of its accounts to be listed")
        elif common == size:
            said.append(f"one {word} is common to all {size:,} of its accounts, as a company's would be")
        else:
            said.append(f"no {word} is common to more than {common:,} of its {size:,} accounts")
    return f"One company or application pays for its own accounts: {'; '.join(said)}."


def _networks(case: Case) -> list[str]:
    shared = [row for row in case.rows("case_networks") if row["kind"] == "network" and row["accounts"] > 1]
    if not shared:
        return []
    elsewhere = sum(bool(row["accounts_elsewhere"]) for row in shared)
    return [
        (
            f"Carriers, clouds and offices are shared by strangers: of {counted(len(shared), 'network')} listed that several of its accounts use, "
            f"{elsewhere} {'is' if elsewhere == 1 else 'are'} used by other accounts of the lake as well."
        )
    ]


def _prompts(case: Case) -> list[str]:
    rows = [row for row in case.rows("case_repeats") if row["kind"] == "prompt"]
    different, several = (sum(row[name] for row in rows) for name in ("different", "in_several_accounts"))
    if not different:
        return [
            "Its records carry no hash of a prompt, so whether its accounts send the same ones is not known."
        ]
    means = (
        "Tenants with common questions, evaluations and replays would share some; a list that is shared out has none in common, and neither "
        "have strangers."
        if several <= different / 100
        else "That is what tenants with common questions, evaluations and replays do as well; a list that is shared out has hardly any."
    )
    return [
        f"Of its {counted(different, 'different prompt')}, {several:,} ({several / different:.1%}) are in several of its accounts. {means}"
    ]


def _classes(case: Case) -> list[str]:
    rows = case.rows("case_accounts")
    found = Counter(row["benign_class"] for row in rows if row["benign_class"])
    alone = len(rows) - sum(found.values())
    if not found:
        return ["None of its accounts has enough records to be put into a benign class."]
    classes = listed(
        [
            f"«{name}» {number:,}"
            for name, number in sorted(found.items(), key=lambda each: (-each[1], each[0]))
        ]
    )
    rest = f"; {alone:,} have too few records for that" if alone else ""
    return [f"Alone its accounts were put into the benign classes {classes}{rest}."]
