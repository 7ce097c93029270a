"""What all detectors did on all worlds, side by side: figures as JSON, and as tables for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.evaluate.figures import (
    Estimate,
    area,
    benign_tail,
    over_seeds,
    queue_precision,
    queue_recall,
    share_over_seeds,
    threshold_per_class,
)
from pipeline.evaluate.leak import BOUND

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from rich.console import Console

    from pipeline.evaluate.leak import Leak
    from pipeline.evaluate.product import Judged, Outcome

FPR = 0.01
TOPS = (0.01, 0.02, 0.05)
FIRST = 50
# Of a campaign's members that must be found for it to be found.
CAMPAIGN_SHARE = 0.2
SIZE_EDGES = (50, 100, 200, 500, 1500)


def summarise(worlds: Sequence[Judged]) -> dict[str, Any]:
    """Every figure of every detector, as one JSON object."""
    names = list(worlds[0].outcomes)
    enough = [world.enough for world in worlds]
    return {
        "worlds": [_world(world) for world in worlds],
        "counts": {
            "benign": _kind_counts(worlds, enough, attack=False),
            "attacks": _kind_counts(worlds, enough, attack=True),
        },
        "detectors": {name: _detector(worlds, name) for name in names},
        "groups": {
            label: {name: _group([w for w in worlds if w.label == label], name) for name in names}
            for label in dict.fromkeys(world.label for world in worlds)
        },
    }


def _world(world: Judged) -> dict[str, Any]:
    s = world.settings
    return {
        "seed": s.seed,
        "accounts": len(world.truth),
        "records": world.records,
        "attackers": int(world.attack.sum()),
        "attackers_with_too_few_records": int((world.attack & ~world.enough).sum()),
        "harvested": list(world.harvested),
        "metadata": s.metadata,
        "prompts": "simulated" if s.data is None else "real",
        "sizes": list(s.sizes),
        "left_out": [*s.attacks],
        "days": s.days,
        "group": world.label,
    }


def _kind_counts(
    worlds: Sequence[Judged], enough: Sequence[NDArray[np.bool_]], *, attack: bool
) -> dict[str, int]:
    count: dict[str, int] = {}
    for world, able in zip(worlds, enough, strict=True):
        for each, good in zip(world.truth, able, strict=True):
            if each.attack == attack and good:
                count[each.kind] = count.get(each.kind, 0) + 1
                if each.specialist:
                    count["specialists"] = count.get("specialists", 0) + 1
    return dict(sorted(count.items()))


def _detector(worlds: Sequence[Judged], name: str) -> dict[str, Any]:
    outcomes = [world.outcomes[name] for world in worlds]
    tails = [tail_of(o.score, w, w.enough) for o, w in zip(outcomes, worlds, strict=True)]
    at_fpr = [tail <= FPR for tail in tails]
    benign = [w.enough & ~w.attack for w in worlds]
    classes = np.concatenate([_kinds(w)[keep] for w, keep in zip(worlds, benign, strict=True)])
    per_class = threshold_per_class(
        np.concatenate([tail[keep] for tail, keep in zip(tails, benign, strict=True)]), classes, FPR
    )
    at_class = [tail <= per_class for tail in tails]
    out: dict[str, Any] = {
        "auc": over_seeds([area_of(o, w) for o, w in zip(outcomes, worlds, strict=True)]),
        "recall_in_top": {
            str(share): over_seeds(
                [queue_recall(o.score, w.attack, share) for o, w in zip(outcomes, worlds, strict=True)]
            )
            for share in TOPS
        },
        f"precision_of_first_{FIRST}": over_seeds(
            [queue_precision(o.score, w.attack, FIRST) for o, w in zip(outcomes, worlds, strict=True)]
        ),
        "at_fpr": _rates(worlds, at_fpr),
        "at_fpr_in_every_class": {"threshold": per_class, **_rates(worlds, at_class)},
        "detection_by_records": _by_size(worlds, at_fpr),
        "campaigns_at_fpr": _campaigns(worlds, at_fpr),
        "looks": _looks(worlds, outcomes),
        "seconds": over_seeds([]).to_json() | {"value": float(np.mean([o.seconds for o in outcomes]))},
    }
    if all(o.listed is not None for o in outcomes):
        listed = [o.listed for o in outcomes if o.listed is not None]
        either = [a | o.by_cluster for a, o in zip(listed, outcomes, strict=True) if o.by_cluster is not None]
        out["alert_list"] = {
            **_rates(worlds, listed),
            "false_discovery": over_seeds([_fdp(a, w) for a, w in zip(listed, worlds, strict=True)]),
            "worst_false_discovery": max(_fdp(a, w) for a, w in zip(listed, worlds, strict=True)),
            "worlds_that_accuse": share_over_seeds(
                [(int((a & ~w.attack).any()), 1) for a, w in zip(listed, worlds, strict=True)]
            ),
            "listed": int(sum(a.sum() for a in listed)),
            "campaigns": _campaigns(worlds, either),
        }
        out["alert_list_with_clusters"] = _rates(worlds, either)
        out["clusters"] = _clusters(worlds, outcomes)
    plain: dict[str, Any] = _plain(out)
    return plain


def _group(worlds: Sequence[Judged], name: str) -> dict[str, Any]:
    """The figures by which groups of worlds (a base rate, a left-out source) are compared."""
    full = _detector(worlds, name)
    at_fpr = full["at_fpr"]
    out = {
        "worlds": len(worlds),
        "attackers": sum(int((w.attack & w.enough).sum()) for w in worlds),
        "auc": full["auc"],
        "detection": at_fpr["detection"]["all"],
        "specialists": at_fpr["false_positives"]["specialists"],
        "recall_in_top": full["recall_in_top"],
    }
    if "alert_list" in full:
        listed = full["alert_list"]
        out["alert_list"] = {
            key: listed[key]
            for key in ("listed", "false_discovery", "worst_false_discovery", "worlds_that_accuse")
        } | {
            "detection": listed["detection"]["all"],
            "false_positives": listed["false_positives"]["all"],
            "specialists": listed["false_positives"]["specialists"],
        }
    return out


def tail_of(score: NDArray[np.float64], world: Judged, among: NDArray[np.bool_]) -> NDArray[np.float64]:
    """`benign_tail` among some accounts; 1 for the others."""
    out = np.ones(len(score))
    if (among & ~world.attack).any():
        out[among] = benign_tail(score[among], world.attack[among])
    return out


def area_of(outcome: Outcome, world: Judged) -> float:
    """Area under the curve over the accounts with records enough."""
    score = np.where(np.isnan(outcome.score), -np.inf, outcome.score)
    return area(score[world.enough], world.attack[world.enough])


def _kinds(world: Judged) -> NDArray[np.object_]:
    return np.array([each.kind for each in world.truth], object)


def _rates(worlds: Sequence[Judged], found: Sequence[NDArray[np.bool_]]) -> dict[str, Any]:
    """Accused accounts of each benign class, found accounts of each attack; with at least `MIN_RECORDS` records."""

    def rate(choose: Callable[[Judged], NDArray[np.bool_]]) -> Estimate:
        rows = [choose(world) & world.enough for world in worlds]
        return share_over_seeds([(int(f[r].sum()), int(r.sum())) for f, r in zip(found, rows, strict=True)])

    def of_kind(name: str) -> Callable[[Judged], NDArray[np.bool_]]:
        return lambda world: _kinds(world) == name

    benign = sorted({each.kind for world in worlds for each in world.truth if not each.attack})
    attacks = sorted({each.kind for world in worlds for each in world.truth if each.attack})
    return {
        "false_positives": {
            "all": rate(lambda world: ~world.attack),
            "specialists": rate(lambda world: np.array([each.specialist for each in world.truth], bool)),
            **{name: rate(of_kind(name)) for name in benign},
        },
        "detection": {
            "all": rate(lambda world: world.attack),
            **{name: rate(of_kind(name)) for name in attacks},
        },
    }


def _fdp(listed: NDArray[np.bool_], world: Judged) -> float:
    return float((listed & ~world.attack).sum() / max(1, listed.sum()))


def _by_size(worlds: Sequence[Judged], found: Sequence[NDArray[np.bool_]]) -> dict[str, Estimate]:
    """Detection of accounts with so many records, up to the next step."""
    out = {}
    for low, high in zip(SIZE_EDGES, (*SIZE_EDGES[1:], math.inf), strict=True):
        counts = []
        for world, f in zip(worlds, found, strict=True):
            rows = np.array([e.attack and low <= e.records < high for e in world.truth], bool)
            counts.append((int(f[rows].sum()), int(rows.sum())))
        out[str(low)] = share_over_seeds(counts)
    return out


def _campaigns(worlds: Sequence[Judged], found: Sequence[NDArray[np.bool_]]) -> Estimate:
    """Campaigns of at least five accounts of which a fifth is found."""
    counts = []
    for world, f in zip(worlds, found, strict=True):
        members: dict[str, list[int]] = {}
        for i, each in enumerate(world.truth):
            if each.campaign is not None:
                members.setdefault(each.campaign, []).append(i)
        large = [rows for rows in members.values() if len(rows) >= 5]
        counts.append((sum(bool(f[rows].mean() >= CAMPAIGN_SHARE) for rows in large), len(large)))
    return share_over_seeds(counts)


def _clusters(worlds: Sequence[Judged], outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Clusters in the alert list: of attackers (more than half of the members), of others."""
    bad = benign = 0
    for world, outcome in zip(worlds, outcomes, strict=True):
        attackers = {each.account_id for each in world.truth if each.attack}
        for cluster in outcome.clusters:
            if 2 * len(attackers & set(cluster)) > len(cluster):
                bad += 1
            else:
                benign += 1
    return {"attacking": bad, "benign": benign}


def _looks(worlds: Sequence[Judged], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Detection at `FPR` by the first n records, and records until half of the attackers were found at some look.

    At each look the accounts that have as many records are judged among each other.
    """
    looks = sorted({look for outcome in outcomes for look in outcome.looks})
    at_look: dict[str, Estimate] = {}
    first = [np.full(len(world.truth), math.inf) for world in worlds]
    for look in looks:
        counts = []
        for k, (world, outcome) in enumerate(zip(worlds, outcomes, strict=True)):
            there = np.array([each.records >= look for each in world.truth], bool)
            score = outcome.looks.get(look)
            if score is None or not (there & ~world.attack).any():
                counts.append((0, 0))
                continue
            found = tail_of(score, world, there) <= FPR
            first[k] = np.where(found & np.isinf(first[k]), look, first[k])
            rows = there & world.attack
            counts.append((int(found[rows].sum()), int(rows.sum())))
        at_look[str(look)] = share_over_seeds(counts)
    when = np.concatenate([f[w.attack & w.enough] for f, w in zip(first, worlds, strict=True)])
    found_share = float(np.isfinite(when).mean()) if len(when) else math.nan
    reached = float(np.median(when[np.isfinite(when)])) if np.isfinite(when).any() else math.nan
    return {
        "detection": at_look,
        "found_at_any": found_share,
        "median_records_of_those_found": reached,
        "listed_at_any": _listed_at_any(worlds, outcomes),
    }


def _listed_at_any(worlds: Sequence[Judged], outcomes: Sequence[Outcome]) -> dict[str, Any] | None:
    """Who was in the alert list at one look or more, each look a list of its own: what looking often costs."""
    if not all(outcome.looks_listed for outcome in outcomes):
        return None
    ever = [np.any(list(outcome.looks_listed.values()), axis=0) for outcome in outcomes]
    rates = _rates(worlds, ever)
    return {
        "detection": rates["detection"]["all"],
        "false_positives": rates["false_positives"]["all"],
        "false_discovery": over_seeds([_fdp(e, w) for e, w in zip(ever, worlds, strict=True)]),
    }


def _plain(value: Any) -> Any:
    """Estimates as JSON objects, NaN and infinity as null."""
    if isinstance(value, Estimate):
        return value.to_json()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def percent(estimate: dict[str, Any] | None) -> str:
    """A share and its interval, in per cent."""
    if not estimate or estimate.get("value") is None or estimate.get("of") == 0:
        return "-"
    value, low, high = (100 * estimate[key] for key in ("value", "low", "high"))
    if value == 0:
        return "0"  # how sure that is, n says; the interval is in the JSON
    digits = 1 if value < 10 else 0
    return f"{value:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def print_report(summary: dict[str, Any], console: Console) -> None:
    """Tables, all detectors side by side; per cent, with 95 % intervals over worlds in brackets."""
    detectors = summary["detectors"]
    worlds = summary["worlds"]
    console.print(
        f"{len(worlds)} worlds, seeds {worlds[0]['seed']}-{worlds[-1]['seed']}; "
        f"{sum(w['records'] for w in worlds):,} records, {sum(w['accounts'] for w in worlds):,} accounts, "
        f"{sum(w['attackers'] for w in worlds):,} attackers (of them "
        f"{sum(w['attackers_with_too_few_records'] for w in worlds)} with fewer than 50 records); {worlds[0]['prompts']} prompts; "
        f"harvested: {'; '.join(' + '.join(w['harvested']) for w in worlds)}"
    )
    listing = {f"{name}, its list": d["alert_list"] for name, d in detectors.items() if "alert_list" in d}
    listing |= {
        f"{name}, clusters too": d["alert_list_with_clusters"]
        for name, d in detectors.items()
        if "alert_list" in d
    }
    at_fpr = {name: d["at_fpr"] for name, d in detectors.items()}
    counts = summary["counts"]
    _rate_table(console, "Benign accounts accused, %", "false_positives", listing | at_fpr, counts["benign"])
    _rate_table(
        console,
        "Attackers found, % (own list; others at 1 % of the benign accounts accused)",
        "detection",
        listing | at_fpr,
        counts["attacks"],
    )
    strict = {name: d["at_fpr_in_every_class"] for name, d in detectors.items()}
    _rate_table(
        console,
        "Attackers found, %, with no benign class accused above 1 %",
        "detection",
        strict,
        counts["attacks"],
    )
    _queue_table(console, detectors)
    _looks_table(console, detectors)
    if len(summary["groups"]) > 1:
        _group_table(console, summary["groups"])


def _group_table(console: Console, groups: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(title="By group of worlds, %", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    names = ("AUC", "found at 1 %", "specialists at 1 %", "list: found", "list: accused", "list: specialists")
    for name in (
        "group",
        "worlds",
        "attackers",
        "detector",
        *names,
        "false discoveries",
        "worst",
        "accusing worlds",
    ):
        table.add_column(name, justify="left" if name in {"group", "detector"} else "right")
    for label, detectors in groups.items():
        for name, d in detectors.items():
            listed = d.get("alert_list")
            table.add_row(
                label,
                str(d["worlds"]),
                str(d["attackers"]),
                name,
                *(percent(d[key]) for key in ("auc", "detection", "specialists")),
                *(
                    percent(listed[key]) if listed else "-"
                    for key in ("detection", "false_positives", "specialists", "false_discovery")
                ),
                f"{100 * listed['worst_false_discovery']:.0f}" if listed else "-",
                f"{listed['worlds_that_accuse']['count']} of {d['worlds']}" if listed else "-",
            )
    console.print(table)


def _rate_table(
    console: Console, title: str, part: str, columns: dict[str, Any], counts: dict[str, int]
) -> None:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("kind")
    table.add_column("n", justify="right")
    for name in columns:
        table.add_column(name, justify="right")
    rows = list(next(iter(columns.values()))[part])
    for row in rows:
        total = columns[next(iter(columns))][part][row].get("of") or counts.get(row, 0)
        table.add_row(row, f"{total:,}", *(percent(each[part][row]) for each in columns.values()))
    console.print(table)


def _queue_table(console: Console, detectors: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(title="The queue, %", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (
        "detector",
        "AUC",
        *(f"in top {share:.0%}" for share in TOPS),
        f"first {FIRST}",
        "campaigns",
        "false discoveries",
        "worst",
        "s a world",
    ):
        table.add_column(name, justify="left" if name == "detector" else "right")
    for name, d in detectors.items():
        listed = d.get("alert_list")
        worst = listed and listed["worst_false_discovery"]
        table.add_row(
            name,
            percent(d["auc"]),
            *(percent(d["recall_in_top"][str(share)]) for share in TOPS),
            percent(d[f"precision_of_first_{FIRST}"]),
            percent(listed["campaigns"] if listed else d["campaigns_at_fpr"]),
            percent(listed["false_discovery"]) if listed else "-",
            f"{100 * worst:.0f}" if worst is not None else "-",
            f"{d['seconds']['value']:.1f}",
        )
    console.print(table)


def _looks_table(console: Console, detectors: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    looks = sorted({look for d in detectors.values() for look in d["looks"]["detection"]}, key=int)
    sizes = [str(edge) for edge in SIZE_EDGES]
    table = Table(
        title="Attackers found at 1 % of the benign accounts accused, %: by how many records they have, by their first records",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in (
        "detector",
        *(f"has {size}+" for size in sizes),
        *(f"first {look}" for look in looks),
        *(["median records", "ever listed: found", "accused", "false discoveries"] if looks else []),
    ):
        table.add_column(name, justify="left" if name == "detector" else "right")
    for name, d in detectors.items():
        half = d["looks"]["median_records_of_those_found"]
        table.add_row(
            name,
            *(percent(d["detection_by_records"][size]) for size in sizes),
            *(percent(d["looks"]["detection"].get(look)) for look in looks),
            *([f"{half:.0f}" if half is not None else "-"] if looks else []),
            *(_ever(d["looks"]["listed_at_any"]) if looks else []),
        )
    console.print(table)


def _ever(listed: dict[str, Any] | None) -> list[str]:
    names = ("detection", "false_positives", "false_discovery")
    return [percent(listed[name]) if listed else "-" for name in names]


def print_labrai(found: dict[str, Any], console: Console) -> None:
    """One table per window size: false-positive rate, then detection at each mix."""
    from rich import box
    from rich.table import Table

    for size, detectors in found["table"].items():
        table = Table(
            title=f"LabRAI's protocol, windows of {size} records, {found['pairs']} pairs, {len(found['seeds'])} seeds: windows alarmed, %",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        groups = list(next(iter(detectors.values())))
        for name in ("detector", *groups):
            table.add_column(name, justify="left" if name == "detector" else "right")
        for name, each in detectors.items():
            table.add_row(name, *(percent(each[group]) for group in groups))
        console.print(table)


def print_leaks(leaks: Sequence[Leak], console: Console, most: int = 15) -> None:
    """The worst numbers, and the verdict."""
    from rich import box
    from rich.table import Table

    table = Table(
        title="What separates most by itself", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for name in ("number", "kind", "area", "attackers have"):
        table.add_column(name, justify="right" if name == "area" else "left")
    for leak in leaks[:most]:
        table.add_row(leak.what, leak.kind, f"{leak.area:.3f}", "more" if leak.higher else "less")
    console.print(table)
    failing = [leak.what for leak in leaks if leak.fails]
    fields = sum(leak.kind == "field" for leak in leaks)
    verdict = f"LEAK: {', '.join(failing)}" if failing else "no leak"
    console.print(f"{verdict}; {fields} numbers of fields and {len(leaks) - fields} signals, bound {BOUND}")
