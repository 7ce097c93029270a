"""What all detectors did on all worlds, side by side, as JSON; `tables` prints it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.evaluate.curves import curves
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

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

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
                groups = (
                    ("specialists", each.specialist),
                    ("on a campus", each.campus),
                    ("in a fleet", each.fleet),
                )
                for group, there in groups:
                    if there:
                        count[group] = count.get(group, 0) + 1
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
        "detection_by_dilution": _by_dilution(worlds, at_fpr),
        "campaigns_at_fpr": _campaigns(worlds, at_fpr),
        "looks": _looks(worlds, outcomes),
        "curves": curves(worlds, outcomes),
        "seconds": over_seeds([]).to_json() | {"value": float(np.mean([o.seconds for o in outcomes]))},
    }
    if all(o.listed is not None for o in outcomes):
        listed = [o.listed for o in outcomes if o.listed is not None]
        either = [a | o.by_cluster for a, o in zip(listed, outcomes, strict=True) if o.by_cluster is not None]
        out["alert_list"] = {
            **_rates(worlds, listed),
            "false_discovery": over_seeds([fdp(a, w) for a, w in zip(listed, worlds, strict=True)]),
            "worst_false_discovery": max(fdp(a, w) for a, w in zip(listed, worlds, strict=True)),
            "worlds_that_accuse": share_over_seeds(
                [(int((a & ~w.attack).any()), 1) for a, w in zip(listed, worlds, strict=True)]
            ),
            "listed": int(sum(a.sum() for a in listed)),
            "campaigns": _campaigns(worlds, either),
            "detection_by_records": _by_size(worlds, listed),
            "detection_by_dilution": _by_dilution(worlds, listed),
        }
        out["alert_list_with_clusters"] = {
            **_rates(worlds, either),
            "false_discovery": over_seeds([fdp(a, w) for a, w in zip(either, worlds, strict=True)]),
            "members_with_too_few_records": _thin_members(worlds, either),
        }
        out["clusters"] = _clusters(worlds, outcomes)
    found: dict[str, Any] = plain(out)
    return found


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
            "on a campus": rate(lambda world: np.array([each.campus for each in world.truth], bool)),
            "in a fleet": rate(lambda world: np.array([each.fleet for each in world.truth], bool)),
            **{name: rate(of_kind(name)) for name in benign},
        },
        "detection": {
            "all": rate(lambda world: world.attack),
            **{name: rate(of_kind(name)) for name in attacks},
        },
    }


def fdp(listed: NDArray[np.bool_], world: Judged) -> float:
    """Share of benign accounts in a list; 0 for an empty one."""
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


def _by_dilution(worlds: Sequence[Judged], found: Sequence[NDArray[np.bool_]]) -> dict[str, Any]:
    """Detection of diluted accounts by the share of the harvest in them, in all and by how many records they have.

    Wherever they hide: members of a hydra with cover traffic count too, by what their records really hold.
    """
    steps = (0.0, 0.075, 0.175, 0.375, 0.75, 1.01)
    names = ("5 %", "10 %", "25 %", "50 %", "pure")
    out: dict[str, Any] = {}
    for name, low, high in zip(names, steps[:-1], steps[1:], strict=True):
        by_size: dict[str, Estimate] = {}
        for edge, least, most in (
            ("all", 50, math.inf),
            *((str(a), a, b) for a, b in zip(SIZE_EDGES, (*SIZE_EDGES[1:], math.inf), strict=True)),
        ):
            counts = []
            for world, f in zip(worlds, found, strict=True):
                rows = np.array(
                    [
                        e.attack and least <= e.records < most and low <= e.attack_records / e.records < high
                        for e in world.truth
                    ],
                    bool,
                )
                counts.append((int(f[rows].sum()), int(rows.sum())))
            by_size[edge] = share_over_seeds(counts)
        out[name] = by_size
    return out


def _thin_members(worlds: Sequence[Judged], found: Sequence[NDArray[np.bool_]]) -> Estimate:
    """Members of campaigns with too few records to be judged alone, that are found all the same."""
    counts = []
    for world, f in zip(worlds, found, strict=True):
        rows = np.array([each.campaign is not None for each in world.truth], bool) & ~world.enough
        counts.append((int(f[rows].sum()), int(rows.sum())))
    return share_over_seeds(counts)


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


def _clusters(worlds: Sequence[Judged], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Clusters in the alert list: of attackers (more than half of the members), of others, and whom those hold."""
    bad = benign = 0
    held: dict[str, int] = {}
    for world, outcome in zip(worlds, outcomes, strict=True):
        truth = {each.account_id: each for each in world.truth}
        for cluster in outcome.clusters:
            members = [truth[name] for name in cluster if name in truth]
            if 2 * sum(each.attack for each in members) > len(cluster):
                bad += 1
                continue
            benign += 1
            for each in members:
                if not each.attack:
                    held[each.kind] = held.get(each.kind, 0) + 1
    return {"attacking": bad, "benign": benign, "members_of_benign": dict(sorted(held.items()))}


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
    ever = when[np.isfinite(when)]
    quartiles = np.quantile(ever, (0.25, 0.5, 0.75), method="inverted_cdf") if len(ever) else [math.nan] * 3
    return {
        "detection": at_look,
        "found_at_any": found_share,
        "median_records_of_those_found": float(quartiles[1]),
        "quartiles_of_records_of_those_found": [float(quartiles[0]), float(quartiles[2])],
        "records_until_listed": _until_listed(worlds, outcomes),
        "listed_at_any": _listed_at_any(worlds, outcomes),
    }


def _until_listed(worlds: Sequence[Judged], outcomes: Sequence[Outcome]) -> dict[str, float] | None:
    """Quartiles of the records at which attackers were first in the list, over those that ever were."""
    if not all(outcome.looks_listed for outcome in outcomes):
        return None
    when: list[float] = []
    for world, outcome in zip(worlds, outcomes, strict=True):
        looks = sorted(outcome.looks_listed)
        table = np.stack([outcome.looks_listed[look] for look in looks])
        ever = table.any(axis=0) & world.attack
        when += [float(looks[place]) for place in table.argmax(axis=0)[ever]]
    if not when:
        return {"found": 0}
    low, middle, high = np.quantile(when, (0.25, 0.5, 0.75), method="inverted_cdf")
    return {
        "found": len(when),
        "lower_quartile": float(low),
        "median": float(middle),
        "upper_quartile": float(high),
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
        "false_discovery": over_seeds([fdp(e, w) for e, w in zip(ever, worlds, strict=True)]),
    }


def plain(value: Any) -> Any:
    """Estimates as JSON objects, NaN and infinity as null."""
    if isinstance(value, Estimate):
        return value.to_json()
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
