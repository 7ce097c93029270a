"""Figures of a cluster of thousands of accounts: bounded, and honest about what is left out."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.investigate.asked import Asked
from pipeline.investigate.drawing import to_svg
from pipeline.investigate.figures import FIGURES, Sources
from pipeline.investigate.figures.graph import EDGES, NODES, drawn
from pipeline.investigate.figures.timeline import MARKS
from pipeline.investigate.projection import shipped_plane
from pipeline.investigate.subjects import CLUSTER, Subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.investigate.figures import Figure

ACCOUNTS = tuple(f"acct_{i:05d}" for i in range(2500))
MOST_DRAWN = 1_000_000
"""Bytes of one drawing."""


def edge(a: str, b: str, score: float, **more: Any) -> dict[str, Any]:
    return {
        "account_a": a, "account_b": b, "score": score, "shared_payments": 0, "shared_networks": 1, "cosine": 0.9, "overlap": 0.0,
        "expected_overlap": 0.2, "same_sampling": 1.0, "same_agents": 1.0, "synchrony": 0.1, **more,
    }  # fmt: skip


def timeline() -> list[dict[str, Any]]:
    rng, start = random.Random(1), datetime(2026, 1, 5)
    return [
        {"window_start": start + timedelta(hours=hour), "account_id": account, "records": rng.randint(1, 3)}
        for account in ACCOUNTS
        for hour in sorted(rng.sample(range(24 * 10), 25))
    ]


def edges() -> list[dict[str, Any]]:
    """Ten of each account, those of the last accounts the weakest; the last account has none."""
    rng, found = random.Random(2), {}
    for at, account in enumerate(ACCOUNTS[:-1]):
        for other in rng.sample(ACCOUNTS[:-1], 10):
            if other != account:
                a, b = sorted((account, other))
                found[a, b] = edge(a, b, 9 - at / 400 - rng.random())
    return sorted(found.values(), key=lambda row: (-row["score"], row["account_a"], row["account_b"]))


def networks() -> list[dict[str, Any]]:
    """As many as the playbook's limit lets through."""
    moment = datetime(2026, 1, 5)
    return [
        {
            "kind": "network", "value": f"10.0.{i}.0/24", "records": 9, "accounts": 70 - i, "accounts_elsewhere": 0,
            "first_seen": moment, "last_seen": moment,
        }
        for i in range(60)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def figure() -> Callable[[str], Figure]:
    """Makes one figure of a cluster of 2,500 accounts."""
    accounts = [{"account_id": each, "records": 30, "decision": "cannot_tell"} for each in ACCOUNTS]
    answers = {
        name: Asked.of(name, {"subject": "cluster-0"}, pa.Table.from_pylist(rows))
        for name, rows in {
            "case_timeline": timeline(),
            "case_edges": edges(),
            "case_networks": networks(),
            "case_accounts": accounts,
            "case_prompts": [{"request_id": f"r{i}", "account_id": ACCOUNTS[i]} for i in range(2000)],
            "case_benign_prompts": [{"account_id": "x"}],
        }.items()
    }
    vectors = np.random.default_rng(3).integers(-40, 40, (2000, 384)).astype(np.int8)
    sources = Sources(
        Subject(CLUSTER, "cluster-0", ACCOUNTS),
        answers,
        None,
        None,
        (),
        shipped_plane(),
        vectors,
        vectors[:60],
    )
    return lambda name: FIGURES[name](sources)


@pytest.mark.parametrize("name", ["timeline", "graph", "networks", "prompts"])
def test_a_drawing_stays_small(name: str, figure: Callable[[str], Figure]) -> None:
    made = figure(name)
    assert len(to_svg(made.draw(), "f", made.title, made.caption)) < MOST_DRAWN
    assert len(json.dumps(made.data)) < MOST_DRAWN


def test_windows_are_taken_together_and_none_is_lost(figure: Callable[[str], Figure]) -> None:
    made, rows = figure("timeline"), timeline()
    marks = made.data["marks"]
    assert len(marks) <= MARKS
    assert sum(each["records"] for each in marks) == sum(row["records"] for row in rows)
    assert made.data["lines"][-1] == "all others"
    others = sum(each["records"] for each in marks if each["line"] == len(made.data["lines"]) - 1)
    kept = Counter(row["account_id"] for row in rows for _ in range(row["records"])).most_common()[:40]
    assert others == sum(row["records"] for row in rows) - sum(records for _, records in kept)
    assert "the last line holds the other 2,460" in made.caption


def test_every_account_of_the_graph_has_its_strongest_edge_and_the_rest_is_counted(
    figure: Callable[[str], Figure],
) -> None:
    rows = edges()
    names, chosen = drawn(rows)
    assert len(names) == NODES
    assert NODES - 1 <= len(chosen) <= EDGES
    kept, lines = set(names), {(row["account_a"], row["account_b"]) for row in chosen}
    for name in names:
        best = next(r for r in rows if name in (r["account_a"], r["account_b"]) and kept >= {r["account_a"], r["account_b"]})  # fmt: skip
        assert (best["account_a"], best["account_b"]) in lines
    caption = figure("graph").caption
    tied = len({row["account_a"] for row in rows} | {row["account_b"] for row in rows})
    assert f"{len(rows):,} edges between {tied:,} accounts" in caption
    assert f"{len(ACCOUNTS) - tied} account" in caption
    assert f"{tied - NODES:,} accounts and {len(rows) - len(chosen):,} edges are left out" in caption


def test_an_account_with_weak_edges_alone_is_drawn_where_there_is_room() -> None:
    names = [f"a{i:02d}" for i in range(40)]
    strong = [edge(a, b, 9.0) for i, a in enumerate(names) for b in names[i + 1 :]]
    weak = edge("a00", "z", 0.1)
    assert len(strong) > EDGES
    found, chosen = drawn([*strong, weak])
    assert "z" in found
    assert weak in chosen


def test_a_shortfall_of_shared_prompts_counts_only_where_chance_would_hardly_give_it(
    figure: Callable[[str], Figure],
) -> None:
    from pipeline.investigate.figures.graph import _shared_prompts

    rows = [edge("a", "b", 1.0, expected_overlap=0.3), edge("a", "c", 1.0, expected_overlap=0.01)]
    assert "In 1 of them the shortfall is at least two standard errors" in _shared_prompts(rows)
    assert "it can be told" in figure("graph").caption


def test_what_a_limit_cut_is_no_count(figure: Callable[[str], Figure]) -> None:
    assert "several share at least 60 values" in figure("networks").caption


def test_newest_prompts_are_called_so(figure: Callable[[str], Figure]) -> None:
    caption = figure("prompts").caption
    assert "The newest 2,000 of the 75,000 prompts" in caption
    assert "every 2nd is drawn" in caption
    assert "of 60 prompts of unremarkable accounts" in caption
