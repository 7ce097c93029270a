"""Evaluation worlds: the simulator's kinds with roles, shares, habits and sizes drawn anew, and kinds it does not know.

What a world varies and `pipeline.simulate` does not: the source behind every role (`corpora.deal`), the shares of the
benign kinds, habits of each kind as a whole, sizes of pools, numbers of records, dilution, and metadata (there or not).
Kinds and surroundings beyond the simulator's, so that nothing can be fitted to them, are in `beyond`.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.evaluate import beyond, edits, unseen
from pipeline.evaluate.corpora import Deal, deal, dealt_topics, load_topics, niche_name
from pipeline.evaluate.groups import with_fleets
from pipeline.records.schema import OPTIONAL_FIELDS
from pipeline.simulate.kinds import ATTACKS, BENIGN, DEFAULT_KINDS
from pipeline.simulate.records import Traffic
from pipeline.simulate.world import WorldSettings, allot, build_world

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.simulate.kinds import Catalogue
    from pipeline.simulate.labels import Label
    from pipeline.simulate.world import World

END = datetime(2026, 1, 12, tzinfo=UTC)
SIZES = (50, 100, 200, 500, 1500)
DILUTIONS = (0.05, 0.10, 0.25, 0.50)
BASE_RATES = (0.0, 0.001, 0.01, 0.06)
SPECIALISTS = ("coding_agent", "tutoring", "tool_user", "document_job")
SHARE_SPREAD = 0.5
# The simulator makes so many times the benign accounts of the world, so that shares can be drawn from them.
SPARE = 2.0
FEWEST_RECORDS, MOST_RECORDS = 20, 4000
# What a record without metadata still has.
BARE = ("request_id", "account_id", "event_time", "embedding")


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """What kind of world.

    Parameters
    ----------
    accounts
        In all.
    records
        Mean records of an account, where ``sizes`` is empty.
    attack_share
        Share of the accounts that attack.
    days
        Length of the period.
    sizes
        Numbers of records; each account has one of them. Empty: log-normal, as the kind of account has it.
    dilutions
        Shares of the harvest in a diluted account's records; each has one of them.
    metadata
        False: only the required fields are sent.
    data
        Folder with embeddings of real prompts; None: the shipped topic figures.
    harvested
        Sources that attackers harvest; empty: drawn.
    without_sources, without_kinds
        Left out: content that nobody sends, kinds of account that are not there.
    attacks
        Only these kinds attack; empty: all.
    beyond
        With the kinds and campuses that `pipeline.simulate` does not know.
    wide_specialists
        Specialists work on all topics of their sources, as widely as a harvest does.
    thin_hydras
        Hydra accounts have 12 to 45 records each: none can be judged alone.
    fleet_share
        Share of the benign accounts that are in a fleet (`groups`): tenants of one application, workers that share a
        job, a lab's accounts. They do the same and mostly share networks, payment, agents and parameters.
    """

    accounts: int = 3000
    records: int = 160
    seed: int = 1
    attack_share: float = 0.03
    days: float = 10.0
    sizes: tuple[int, ...] = ()
    dilutions: tuple[float, ...] = DILUTIONS
    metadata: bool = True
    data: Path | None = None
    harvested: tuple[str, ...] = ()
    without_sources: tuple[str, ...] = ()
    without_kinds: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()
    beyond: bool = True
    wide_specialists: bool = False
    thin_hydras: bool = False
    fleet_share: float = 0.0
    unseen: bool = False

    def __post_init__(self) -> None:
        if self.accounts < 20:
            msg = f"accounts is {self.accounts}; a world to be judged has at least 20"
            raise UsageError(msg)
        if not 0 <= self.attack_share <= 0.5:
            msg = f"attack_share is {self.attack_share}; a share of the accounts between 0 and .5 attacks"
            raise UsageError(msg)


@dataclass(frozen=True, slots=True)
class Truth:
    """What one account of a world is.

    ``kind`` is its class (benign) or its attack; ``specialist``: benign, and works on content that is harvested in
    this world; ``campus``: benign, and shares networks and payment with many others; ``fleet``: benign, and one of
    several that do the same; ``sources`` are the corpora behind its prompts.
    """

    account_id: str
    kind: str
    attack: bool
    campaign: str | None
    records: int
    attack_records: int
    sources: tuple[str, ...]
    specialist: bool
    campus: bool = False
    fleet: bool = False


@dataclass(frozen=True, slots=True)
class EvaluationWorld:
    """A world ready to be generated: ``truth[i]`` is about ``world.account_ids[i]``."""

    settings: EvaluationSettings
    world: World
    dealt: Deal
    truth: tuple[Truth, ...]

    @property
    def records(self) -> int:
        """Records in all."""
        return int(self.world.counts.sum())

    def tables(self) -> Iterator[pa.Table]:
        """Records in order of event time, in the record contract's columns, null where nothing is sent."""
        traffic = Traffic(self.world, END)
        for table in traffic:
            yield table if self.settings.metadata else without_metadata(table)


def without_metadata(table: pa.Table) -> pa.Table:
    """Only the required fields; the others are null."""
    for field in OPTIONAL_FIELDS:
        place = table.schema.get_field_index(field.name)
        table = table.set_column(place, field, pa.nulls(table.num_rows, field.type))
    return table


def build_evaluation_world(
    settings: EvaluationSettings, catalogue: Catalogue = DEFAULT_KINDS
) -> EvaluationWorld:
    """Build a world: a function of its settings, and of the kinds (default: the simulator's)."""
    rng = random.Random(f"evaluate {settings.seed}")  # noqa: S311 - traffic, not secrets
    topics = load_topics(settings.data)
    sources = [name for name in topics.sources if name not in settings.without_sources]
    unknown = {*settings.harvested, *settings.without_sources} - set(topics.sources)
    if unknown or not sources:
        msg = f"no prompts of {', '.join(sorted(unknown)) or 'any source'}; there are {', '.join(topics.sources)}"
        raise UsageError(msg)
    dealt = deal(sources, rng, settings.harvested)
    attacking = round(settings.accounts * settings.attack_share)
    benign = settings.accounts - attacking
    pool = math.ceil(SPARE * benign)
    # Enough attackers that every wanted share of every kind can be drawn.
    spare = max(150, 4 * attacking) if attacking else 0
    world = build_world(
        WorldSettings(
            records=(pool + spare) * settings.records,
            accounts=pool + spare,
            seed=settings.seed,
            attack_share=spare / (pool + spare),
            days=settings.days,
        ),
        dealt_topics(topics, dealt),
        catalogue,
    )
    chosen = np.array(
        sorted(
            _choose_benign(world, settings, benign, rng) + _choose_attacks(world, settings, attacking, rng)
        ),
        np.int64,
    )
    world = edits.keep_accounts(world, chosen)
    kinds = [_first_kind(label) for label in world.labels]
    campus: frozenset[int] = frozenset()
    if settings.beyond:
        world = beyond.scatter_hydras(world, kinds, rng, catalogue)
        world, campus = beyond.found_campuses(world, kinds, rng)
    world, ratio = edits.shift_habits(world, rng)
    world, niche = _niches(world, dealt, kinds, rng)
    if settings.beyond:
        world, ratio = beyond.turn_kinds(world, kinds, ratio, rng)
    if settings.unseen:
        world, ratio = unseen.turn_unseen(world, kinds, ratio, rng)
    if settings.wide_specialists:
        mine = [i for i, label in enumerate(world.labels) if label.kind in SPECIALISTS]
        world = beyond.widen(world, mine)
    shares = {i: rng.choice(settings.dilutions) for i, kind in enumerate(kinds) if kind == "diluted"}
    for i, share in shares.items():
        kinds[i] = f"diluted_{round(100 * share):02d}"
    totals = _totals(world, settings, rng)
    if settings.thin_hydras:
        totals = beyond.thin_out(totals, kinds, rng)
    world = edits.resize_pools(edits.resize(world, totals, shares), ratio)
    made = EvaluationWorld(settings, world, dealt, _truth(world, dealt, kinds, niche, campus))
    return with_fleets(made, settings.fleet_share) if settings.fleet_share else made


def _first_kind(label: Label) -> str:
    if label.kind == "hydra" and len(label.streams) > 1:
        return "hydra_covered"
    if label.kind == "careful_harvest" and label.streams[0] == "chat_like_harvest":
        return "chat_like_harvest"
    return label.kind


def _spread(shares: dict[str, float], rng: random.Random) -> dict[str, float]:
    return {name: share * math.exp(rng.gauss(0.0, SHARE_SPREAD)) for name, share in shares.items()}


def _choose_benign(world: World, settings: EvaluationSettings, count: int, rng: random.Random) -> list[int]:
    there: dict[str, list[int]] = {}
    for i, label in enumerate(world.labels):
        if not label.attack and label.kind not in settings.without_kinds:
            there.setdefault(label.kind, []).append(i)
    if not there:
        msg = f"every benign kind is left out ({', '.join(settings.without_kinds)}); keep one"
        raise UsageError(msg)
    wanted = allot(_spread({name: BENIGN[name].share for name in there}, rng), count)
    chosen = [i for name, each in there.items() for i in rng.sample(each, min(wanted[name], len(each)))]
    # Where a kind has too few, chat and the rest fill up.
    left = sorted({i for each in there.values() for i in each} - set(chosen))
    return chosen + rng.sample(left, min(count - len(chosen), len(left)))


def _choose_attacks(world: World, settings: EvaluationSettings, count: int, rng: random.Random) -> list[int]:
    """Attackers by shares drawn for this world; a hydra comes in whole, or as much of it as there is room for."""
    there: dict[str, list[list[int]]] = {}
    campaigns: dict[str, list[int]] = {}
    for i, label in enumerate(world.labels):
        kind = _first_kind(label)
        wanted = not settings.attacks or kind in settings.attacks or label.kind in settings.attacks
        if not label.attack or not wanted or {kind, label.kind} & set(settings.without_kinds):
            continue
        if label.campaign is None:
            there.setdefault(kind, []).append([i])
        elif label.campaign in campaigns:
            campaigns[label.campaign].append(i)
        else:
            there.setdefault("hydra", []).append(campaigns.setdefault(label.campaign, [i]))
    if not count:
        return []
    if not there:
        msg = f"none of the kinds that may attack is there; there are {', '.join(ATTACKS)}, chat_like_harvest, hydra_covered"
        raise UsageError(msg)
    shares = {name: ATTACKS[name].share if name in ATTACKS else 0.08 for name in there}
    chosen: list[int] = []
    for name, number in allot(_spread(shares, rng), count).items():
        groups = rng.sample(there[name], len(there[name]))
        members = [i for group in groups for i in group]
        chosen += members[:number]
    left = sorted({i for each in there.values() for group in each for i in group} - set(chosen))
    return chosen + rng.sample(left, min(count - len(chosen), len(left)))


def _totals(world: World, settings: EvaluationSettings, rng: random.Random) -> NDArray[np.int64]:
    """Records of each account."""
    if settings.sizes:
        return np.array([rng.choice(settings.sizes) for _ in world.account_ids], np.int64)
    natural = np.bincount(world.account, world.counts, len(world.account_ids))
    scale = settings.records / natural.mean()
    return np.asarray(np.clip(np.rint(natural * scale), FEWEST_RECORDS, MOST_RECORDS), np.int64)


def _niches(
    world: World, dealt: Deal, kinds: Sequence[str], rng: random.Random
) -> tuple[World, dict[int, tuple[str, ...]]]:
    """Half of the niche accounts send what nobody else sends; returns their sources by account."""
    found: dict[int, tuple[str, ...]] = {}
    streams = edits.streams_of(world)
    for account, kind in enumerate(kinds):
        if kind != "niche" or not dealt.niche or rng.random() < 0.5:
            continue
        source = rng.choice(dealt.niche)
        components = world.topics.components(niche_name(source))
        few = np.array(rng.sample(list(components), min(rng.randint(1, 3), len(components))))
        world = edits.add_mixture(world, [int(streams[account][0])], few, 1.0 / (1 + np.arange(len(few))))
        found[account] = (source,)
    return world, found


def _truth(
    world: World,
    dealt: Deal,
    kinds: Sequence[str],
    niche: dict[int, tuple[str, ...]],
    campus: frozenset[int],
) -> tuple[Truth, ...]:
    harvested = set(dealt.harvested)
    attacking = {name for kind in ATTACKS.values() for name in kind.main}
    found = []
    for i, (label, streams) in enumerate(zip(world.labels, edits.streams_of(world), strict=True)):
        sources = niche.get(i) or tuple(sorted({dealt.played.get(name, name) for name in label.sources}))
        bad = sum(int(world.counts[s]) for s in streams if world.streams[s].kind in attacking)
        found.append(
            Truth(
                account_id=label.account_id,
                kind=kinds[i],
                attack=label.attack,
                campaign=label.campaign,
                records=int(world.counts[streams].sum()),
                attack_records=bad if label.attack else 0,
                sources=sources,
                specialist=label.kind in SPECIALISTS and bool(harvested & set(sources)),
                campus=i in campus,
            )
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Split:
    """One thing left out: worlds to fit on lack it, in worlds to judge in it is what attackers use."""

    name: str
    fit: EvaluationSettings
    judge: EvaluationSettings


def leave_one_source_out(settings: EvaluationSettings) -> list[Split]:
    """For each source: fit without it, judge where it is harvested."""
    return [
        Split(
            source,
            replace(settings, without_sources=(source,), beyond=False, unseen=False),
            replace(settings, harvested=(source,)),
        )
        for source in load_topics(settings.data).sources
    ]


def leave_one_kind_out(settings: EvaluationSettings) -> list[Split]:
    """For each kind of attack and each benign kind: fit without it, judge where it is (the only attack)."""
    attacks = [
        Split(
            kind,
            replace(settings, without_kinds=(kind,), beyond=False, unseen=False),
            replace(settings, attacks=(kind,)),
        )
        for kind in (*ATTACKS, "chat_like_harvest")
    ]
    benign = [
        Split(kind, replace(settings, without_kinds=(kind,), beyond=False, unseen=False), settings)
        for kind in BENIGN
    ]
    return attacks + benign
