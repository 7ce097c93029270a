"""A world: companies, campaigns, accounts and their streams, as arrays that the generator reads.

Everything here costs memory in proportion to the number of streams, never of records.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import UsageError
from pipeline.simulate import mixing
from pipeline.simulate.catalogue import LANGUAGES, PLACES
from pipeline.simulate.content import Topics, default_topics
from pipeline.simulate.habits import NUMBERS, SLOTS, Stream, Surroundings, draw_stream, some_agents
from pipeline.simulate.kinds import (
    DEFAULT_KINDS,
    FIRST_ATTACKS,
    ROLES,
    AccountKind,
    Catalogue,
    StreamKind,
)
from pipeline.simulate.labels import Label

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# Public corpora: whoever walks through one in order meets the same prompts as others who do.
_PUBLIC = 0x9B11C
_TABLE = 256  # entries of a mixture's component table
POPULAR_NETWORKS = 80  # clouds, carriers and VPNs that everybody may use


@dataclass(frozen=True, slots=True)
class WorldSettings:
    """What kind of world.

    Parameters
    ----------
    records
        Records in all, exactly.
    accounts
        Accounts in all.
    seed
        Same seed, same world, same records.
    attack_share
        Share of the accounts that attack, 0 to 1.
    days
        Length of the period.
    randomise
        Let any source play any role (harvested, chatted about, evaluated on) and vary the shares of the kinds.
    plain_harvests
        No careful harvests: every harvest by a single account is as plain as the public reports describe it.
    """

    records: int = 100_000
    accounts: int = 400
    seed: int = 1
    attack_share: float = 0.05
    days: float = 7.0
    randomise: bool = False
    plain_harvests: bool = False

    def __post_init__(self) -> None:
        for name, value, low in (("records", self.records, 1), ("accounts", self.accounts, 1)):
            if value < low:
                msg = f"{name} is {value}; it must be at least {low}"
                raise UsageError(msg)
        if self.records < self.accounts:
            msg = (
                f"{self.records} records do not go round {self.accounts} accounts; ask for at least one each"
            )
            raise UsageError(msg)
        if not 0 <= self.attack_share <= 1:
            msg = f"attack_share is {self.attack_share}; it is a share between 0 and 1"
            raise UsageError(msg)
        if not 0.25 <= self.days <= 3650:
            msg = f"days is {self.days}; a period has between 0.25 and 3650 days"
            raise UsageError(msg)


@dataclass(slots=True)
class World:
    """Accounts and streams as arrays; build it with `build_world`.

    ``number[name]`` is float64[S] per stream; ``networks``, ``agents``, ``combos`` are int32[S, SLOTS];
    ``mixtures`` int16[M, 256] holds component numbers; ``counts`` int64[S] are the records of each stream.
    """

    settings: WorldSettings
    topics: Topics
    account_ids: list[str]
    organization_ids: list[str | None]
    payment_ids: list[str | None]
    labels: list[Label]
    streams: list[Stream]
    account: NDArray[np.int64]
    counts: NDArray[np.int64]
    number: dict[str, NDArray[np.float64]]
    networks: NDArray[np.int32]
    agents: NDArray[np.int32]
    combos: NDArray[np.int32]
    languages: NDArray[np.int32]
    mixture: NDArray[np.int64]
    mixtures: NDArray[np.int16]
    pool: NDArray[np.uint64]
    pool_size: NDArray[np.float64]
    pool_start: NDArray[np.int64]
    word: NDArray[np.uint64]


@dataclass(slots=True)
class _Builder:
    settings: WorldSettings
    topics: Topics
    rng: random.Random
    roles: dict[str, dict[str, float]]
    catalogue: Catalogue
    streams: list[Stream] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    campaigns: list[str | None] = field(default_factory=list)
    organizations: list[str | None] = field(default_factory=list)
    payments: list[str | None] = field(default_factory=list)
    mixtures: list[NDArray[np.int16]] = field(default_factory=list)
    mixture_sources: list[tuple[str, ...]] = field(default_factory=list)
    public: dict[str, int] = field(default_factory=dict)

    def word(self) -> int:
        return self.rng.getrandbits(63)

    def token(self, prefix: str) -> str:
        return f"{prefix}_{self.rng.getrandbits(48):012x}"

    def surroundings(self, size: int) -> Surroundings:
        """Networks, agents, language and place of a company (or person) with this many accounts."""
        rng = self.rng
        country, offset, languages = rng.choice(PLACES)
        own = [rng.randrange(1 << 22) for _ in range(rng.randint(1, 2 + size))]
        popular = [rng.randrange(POPULAR_NETWORKS) for _ in range(rng.randint(0, 5))]
        main, other = (LANGUAGES.index(language) for language in languages)
        english = LANGUAGES.index("en")
        if rng.random() < 0.6 and main != english:
            main, other = english, main
        return Surroundings(
            networks=own + popular,
            agents=some_agents(rng, rng.randint(1, 4)),
            languages=(main, other),
            offset_hours=offset,
            country=country,
            asn=rng.randrange(3000, 60000),
        )

    def mixture(self, kind: StreamKind) -> int:
        """A table of components for one stream; returns its number."""
        rng, topics = self.rng, self.topics
        weights = self.roles[kind.role]
        sources: list[str] = []
        while len(sources) < min(rng.randint(*kind.sources), len(weights)):
            choice = rng.choices(list(weights), list(weights.values()))[0]
            if choice not in sources:
                sources.append(choice)
        chosen, share = [], []
        evenness = rng.uniform(*kind.evenness)
        for source in sources:
            components = topics.components(source)
            own = topics.weight[components].astype(np.float64) ** (1 - evenness)
            low, high = kind.region
            if high:
                kept = np.array(
                    rng.sample(range(len(components)), min(rng.randint(low, high), len(components)))
                )
                # A region: few topics, the first ones far more often than the last.
                own = own[kept] / (1 + np.arange(len(kept))) ** rng.uniform(0.3, 1.2)
                components = components[kept]
            chosen.append(components)
            share.append(own / own.sum() * rng.uniform(0.5, 2.0))
        return self.add_mixture(np.concatenate(chosen), np.concatenate(share), tuple(sources))

    def stream(self, name: str, account: int, weight: float, around: Surroundings) -> Stream:
        kind = self.catalogue.streams[name]
        stream = draw_stream(self.rng, kind, around, name=name, account=account, weight=weight)
        stream.mixture = self.mixture(kind)
        public = stream.values["sequential"] and kind.role in {"evaluation", "harvest", "reasoning"}
        # Half of them walk through a published corpus in its own order, and so meet each other's prompts.
        if public and self.rng.random() < 0.5:
            source = self.mixture_sources[stream.mixture][0]
            stream.mixture = self.public_mixture(source)
            stream.pool = int(mixing.mix(_PUBLIC, self.topics.sources.index(source))) >> 1
            stream.pool_start = self.rng.choice((0, 0, self.rng.randrange(6000)))
        else:
            stream.pool = self.word()
        return stream

    def public_mixture(self, source: str) -> int:
        """The table of a source as it was published."""
        if source not in self.public:
            components = self.topics.components(source)
            self.public[source] = self.add_mixture(components, self.topics.weight[components], (source,))
        return self.public[source]

    def add_mixture(
        self, component: NDArray[np.int64], weight: NDArray[np.floating], sources: tuple[str, ...]
    ) -> int:
        edges = np.cumsum(weight / weight.sum())
        place = np.searchsorted(edges, (np.arange(_TABLE) + 0.5) / _TABLE)
        self.mixtures.append(component[np.minimum(place, len(component) - 1)].astype(np.int16))
        self.mixture_sources.append(sources)
        return len(self.mixtures) - 1

    def account(
        self, name: str, kind: AccountKind, around: Surroundings, template: Stream | None = None
    ) -> None:
        """One account with its streams; ``template`` is the campaign's stream that a hydra shares."""
        rng = self.rng
        account = len(self.kinds)
        total = rng.lognormvariate(np.log(kind.records[0]), kind.records[1])
        covers = rng.randint(*kind.covers) if kind.cover and rng.random() < kind.cover_probability else 0
        share = rng.choice(kind.main_share) if covers else 1.0
        main = self.stream(rng.choice(kind.main), account, total * share, around)
        if template is not None:
            # Members of a hydra split one job: its mixture, parameters and pool, each its own part of the pool.
            main.mixture, main.pool, main.combos = template.mixture, template.pool, template.combos
            main.kind, main.pool_ratio = template.kind, max(main.pool_ratio, 1.0)
            main.pool_start = template.pool_start + account * 50_000
            shared = (
                "sequential",
                "answers",
                "choices",
                "wrapper",
                "template_mode",
                "templates",
                "system_prompts",
            )
            main.values.update({key: template.values[key] for key in shared})
        self.streams.append(main)
        for part in (rng.random() + 0.1 for _ in range(covers)):
            self.streams.append(self.stream(rng.choice(kind.cover), account, part, around))
        cover_sum = (
            sum(stream.weight for stream in self.streams[len(self.streams) - covers :]) if covers else 0.0
        )
        for stream in self.streams[len(self.streams) - covers :] if covers else ():
            stream.weight *= total * (1 - share) / cover_sum
        self.kinds.append(name)


def allot(shares: dict[str, float], total: int, first: tuple[str, ...] = ()) -> dict[str, int]:
    """Whole numbers in proportion to shares (largest remainders), the ``first`` ones at least once each.

    Examples
    --------
    >>> allot({"a": 0.7, "b": 0.3}, 5)
    {'a': 4, 'b': 1}
    >>> allot({"a": 0.9, "b": 0.1}, 2, first=("b",))
    {'a': 1, 'b': 1}
    """
    counts = {name: int(name in first) for name in shares}
    while sum(counts.values()) > total:
        counts[next(name for name in reversed(shares) if counts[name])] -= 1
    whole = sum(shares.values())
    while sum(counts.values()) < total:
        counts[max(shares, key=lambda name: shares[name] / whole * total - counts[name])] += 1
    return counts


def _roles(settings: WorldSettings, topics: Topics, rng: random.Random) -> dict[str, dict[str, float]]:
    known = {
        role: {s: w for s, w in weights.items() if s in topics.sources} for role, weights in ROLES.items()
    }
    if not settings.randomise:
        return known
    names = list(topics.sources)
    shuffled = dict(zip(names, rng.sample(names, len(names)), strict=True))
    return {role: {shuffled[s]: w for s, w in weights.items()} for role, weights in known.items()}


def _shares(build: _Builder, kinds: Mapping[str, AccountKind]) -> dict[str, float]:
    spread = 0.7 if build.settings.randomise else 0.0
    return {name: kind.share * math.exp(build.rng.gauss(0.0, 1.0) * spread) for name, kind in kinds.items()}


def _benign(build: _Builder, count: int) -> None:
    shares = {name: kind.share for name, kind in build.catalogue.benign.items()}
    names = [name for name, n in allot(shares, count).items() for _ in range(n)]
    build.rng.shuffle(names)
    while names:
        # Companies, labs and campuses: several accounts with shared networks and payment.
        size = 1 if build.rng.random() < 0.6 else build.rng.randint(2, 12)
        around = build.surroundings(size)
        organization = build.token("org") if size > 1 or build.rng.random() < 0.4 else None
        payments = [build.token("pay") for _ in range(1 + size // 6)]
        for _ in range(min(size, len(names))):
            name = names.pop()
            build.account(name, build.catalogue.benign[name], around)
            build.organizations.append(organization)
            build.payments.append(build.rng.choice(payments) if build.rng.random() < 0.9 else None)
            build.campaigns.append(None)


def _attacks(build: _Builder, count: int) -> None:
    rng = build.rng
    shares = _shares(build, build.catalogue.attacks)
    if build.settings.plain_harvests:
        shares["harvest"] += shares.pop("careful_harvest")
    wanted = allot(shares, count, FIRST_ATTACKS)
    for name, total in wanted.items():
        kind, left = build.catalogue.attacks[name], total
        while left:
            size = min(left, rng.randint(12, 60)) if name == "hydra" else 1
            around = build.surroundings(1)
            template, campaign = None, None
            payments = [build.token("pay") for _ in range(1 + size // rng.randint(2, 6))]
            if name == "hydra":
                campaign = build.token("campaign")
                # Spread over clouds and resold lines: some networks are the operator's, some everybody's.
                around.networks = [rng.randrange(1 << 22) for _ in range(3 + size // 3)]
                around.networks += [rng.randrange(POPULAR_NETWORKS) for _ in range(8)]
                around.agents = some_agents(rng, 5)
                template = build.stream(rng.choice(kind.main), -1, 0.0, around)
            for _ in range(size):
                build.account(name, kind, around, template)
                build.organizations.append(build.token("org") if rng.random() < 0.4 else None)
                build.payments.append(rng.choice(payments) if rng.random() < 0.9 else None)
                build.campaigns.append(campaign)
            left -= size


def build_world(
    settings: WorldSettings, topics: Topics | None = None, catalogue: Catalogue = DEFAULT_KINDS
) -> World:
    """Accounts, streams and labels of a world; nothing is generated yet.

    Parameters
    ----------
    topics
        Where prompts lie; default: the shipped figures.
    catalogue
        The kinds of account and stream. Names of attacking streams are those of `DEFAULT_KINDS`.
    """
    topics = topics or default_topics()
    rng = random.Random(settings.seed)  # noqa: S311 - traffic, not secrets
    build = _Builder(settings, topics, rng, _roles(settings, topics, rng), catalogue)
    attacking = round(settings.accounts * settings.attack_share)
    _benign(build, settings.accounts - attacking)
    _attacks(build, attacking)
    counts = _counts(build)
    ids = [
        f"acct_{int(word) & 0xFFFF_FFFF_FFFF:012x}"
        for word in mixing.mix(np.arange(len(build.kinds)), settings.seed)
    ]
    streams = build.streams
    return World(
        settings=settings,
        topics=topics,
        account_ids=ids,
        organization_ids=build.organizations,
        payment_ids=build.payments,
        labels=_labels(build, ids, counts),
        streams=streams,
        account=np.array([stream.account for stream in streams], np.int64),
        counts=counts,
        number={name: np.array([stream.values[name] for stream in streams]) for name in NUMBERS},
        networks=np.array([stream.networks for stream in streams], np.int32).reshape(-1, SLOTS),
        agents=np.array([stream.agents for stream in streams], np.int32).reshape(-1, SLOTS),
        combos=np.array([stream.combos for stream in streams], np.int32).reshape(-1, SLOTS),
        languages=np.array([stream.languages for stream in streams], np.int32).reshape(-1, 2),
        mixture=np.array([stream.mixture for stream in streams], np.int64),
        mixtures=np.array(build.mixtures, np.int16).reshape(-1, _TABLE),
        pool=np.array([stream.pool for stream in streams], np.uint64),
        pool_size=np.maximum(1.0, np.ceil(counts * np.array([stream.pool_ratio for stream in streams]))),
        pool_start=np.array([stream.pool_start for stream in streams], np.int64),
        word=mixing.mix(np.arange(len(streams)), settings.seed, 0x57),
    )


def _counts(build: _Builder) -> NDArray[np.int64]:
    """Records of each stream: in proportion to weight, one at least per account, exactly the wanted total."""
    weight = np.array([stream.weight for stream in build.streams])
    account = np.array([stream.account for stream in build.streams])
    first = np.unique(account, return_index=True)[1]
    counts = np.zeros(len(weight), np.int64)
    counts[first] = 1
    spare = build.settings.records - len(first)
    ideal = weight / weight.sum() * spare
    counts += np.floor(ideal).astype(np.int64)
    left = build.settings.records - int(counts.sum())
    counts[np.argsort(np.floor(ideal) - ideal, kind="stable")[:left]] += 1
    return counts


def _labels(build: _Builder, ids: list[str], counts: NDArray[np.int64]) -> list[Label]:
    mine: list[list[int]] = [[] for _ in ids]
    for number, stream in enumerate(build.streams):
        mine[stream.account].append(number)
    attacking = {name for kind in build.catalogue.attacks.values() for name in kind.main}
    labels = []
    for account, numbers in enumerate(mine):
        attack = build.kinds[account] in build.catalogue.attacks
        sources = {source for i in numbers for source in build.mixture_sources[build.streams[i].mixture]}
        bad = sum(int(counts[i]) for i in numbers if build.streams[i].kind in attacking) if attack else 0
        labels.append(
            Label(
                account_id=ids[account],
                kind=build.kinds[account],
                attack=attack,
                campaign=build.campaigns[account],
                records=sum(int(counts[i]) for i in numbers),
                attack_records=bad,
                sources=tuple(sorted(sources)),
                streams=tuple(build.streams[i].kind for i in numbers),
            )
        )
    return labels
