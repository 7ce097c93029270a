"""Groups of accounts in evaluation worlds: honest fleets, and campaigns that share less than the simulator's do.

The simulator's companies are accounts of random kinds behind shared networks and payment, and its campaigns share
networks, payment, parameters and templates. In life there are honest fleets of accounts that do the same (one
application's tenants, workers that share a job out, a lab that runs one benchmark, a campus with one tutor), and
operators who give every account surroundings of its own. Both are needed to say which groups attack.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluate import edits
from pipeline.simulate.catalogue import COMBOS, USER_AGENTS
from pipeline.simulate.habits import SLOTS, slots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.evaluate.worlds import EvaluationWorld
    from pipeline.simulate.world import World

TENANTS = ("support_bot", "chat", "tutoring", "coding_agent", "tool_user")
SHARDS = ("batch_job", "document_job", "catalogue_job")
LABS = ("evaluation_harness", "researcher", "regression_suite")
ASPECTS = ("networks", "payment", "agents", "sampling", "templates")


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """How groups are drawn.

    Parameters
    ----------
    seed
        Of the groups alone; the world has its own.
    fleet_share
        Share of the benign accounts that are in a fleet, about.
    sizes
        (least, most) accounts of a fleet, log-uniform.
    alone
        Probability that a campaign's accounts share no surroundings at all; of the other campaigns each of `ASPECTS`
        is not shared with ``loose``.
    loose
        See ``alone``.
    thin
        Probability that a campaign's accounts send 20 to 45 records each.
    small
        Probability that a campaign has only 5 to 12 accounts.
    """

    seed: int = 1
    fleet_share: float = 0.12
    sizes: tuple[int, int] = (3, 30)
    alone: float = 0.4
    loose: float = 0.3
    thin: float = 0.25
    small: float = 0.25


AS_DRAWN = GroupSettings(fleet_share=0.0, alone=0.0, loose=0.0, thin=0.0, small=0.0)
"""No fleets, and campaigns as the world has them."""


@dataclass(frozen=True, slots=True)
class Grouped:
    """A world with groups.

    ``group`` names the fleet or campaign of each account that is in one; ``shared`` per campaign, which of `ASPECTS`
    its accounts share.
    """

    world: EvaluationWorld
    group: dict[str, str]
    shared: dict[str, tuple[str, ...]]


def with_groups(world: EvaluationWorld, settings: GroupSettings) -> Grouped:
    """The world with fleets made of its benign accounts, and its campaigns' surroundings drawn anew."""
    rng = random.Random(f"groups {settings.seed} {world.settings.seed}")  # noqa: S311 - traffic, not secrets
    world = _smaller_campaigns(world, settings, rng)
    inner, truth = world.world, list(world.truth)
    streams = edits.streams_of(inner)
    ratio = inner.pool_size / np.maximum(inner.counts, 1)
    totals = np.array([each.records for each in truth], np.int64)
    group: dict[str, str] = {each.account_id: each.campaign for each in truth if each.campaign}
    edit = _Edit(inner)
    for number, (leader, members) in enumerate(_fleets(world, settings, streams, rng)):
        kind, specialist = truth[leader].kind, truth[leader].specialist
        edit.fleet(leader, members, kind, streams, ratio, rng)
        scale, spread = totals[leader], rng.uniform(0.1, 1.0)
        for account in (leader, *members):
            totals[account] = min(4000, max(20, round(scale * math.exp(rng.gauss(0.0, spread)))))
            truth[account] = replace(
                truth[account], kind=kind, sources=truth[leader].sources, specialist=specialist
            )
            group[truth[account].account_id] = f"fleet_{number:03d}"
    shared = {}
    for campaign, accounts in sorted(_campaigns(world).items()):
        alone = rng.random() < settings.alone
        kept = tuple(name for name in ASPECTS if not alone and rng.random() >= settings.loose)
        shared[campaign] = kept
        edit.campaign(accounts, kept, streams, rng)
        if rng.random() < settings.thin:
            size, spread = rng.uniform(20, 45), rng.uniform(0.05, 0.4)
            for account in accounts:
                totals[account] = max(20, round(size * math.exp(rng.gauss(0.0, spread))))
    changed = edits.resize_pools(edits.resize(edit.world(), totals, {}), ratio)
    truth = [
        replace(
            each,
            records=int(changed.counts[mine].sum()),
            attack_records=round(each.attack_records / max(each.records, 1) * changed.counts[mine].sum()),
        )
        for each, mine in zip(truth, streams, strict=True)
    ]
    return Grouped(replace(world, world=changed, truth=tuple(truth)), group, shared)


def with_fleets(world: EvaluationWorld, share: float) -> EvaluationWorld:
    """The world with fleets made of about this share of its benign accounts; its campaigns stay as they are."""
    grouped = with_groups(world, replace(AS_DRAWN, seed=world.settings.seed, fleet_share=share))
    return replace(
        grouped.world,
        truth=tuple(
            replace(each, fleet=not each.attack and each.account_id in grouped.group)
            for each in grouped.world.truth
        ),
    )


def _campaigns(world: EvaluationWorld) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for i, each in enumerate(world.truth):
        if each.campaign:
            found.setdefault(each.campaign, []).append(i)
    return found


def _smaller_campaigns(
    world: EvaluationWorld, settings: GroupSettings, rng: random.Random
) -> EvaluationWorld:
    dropped: set[int] = set()
    for _, accounts in sorted(_campaigns(world).items()):
        if rng.random() < settings.small:
            dropped |= set(accounts[rng.randint(5, 12) :])
    kept = np.array([i for i in range(len(world.truth)) if i not in dropped], np.int64)
    return replace(
        world,
        world=edits.keep_accounts(world.world, kept),
        truth=tuple(world.truth[i] for i in kept),
    )


def _fleets(
    world: EvaluationWorld, settings: GroupSettings, streams: Sequence[np.ndarray], rng: random.Random
) -> list[tuple[int, list[int]]]:
    """Leaders and the accounts that become like them."""
    free = [
        i
        for i, each in enumerate(world.truth)
        if not each.attack and len(streams[i]) == 1 and each.kind in {*TENANTS, *SHARDS, *LABS}
    ]
    rng.shuffle(free)
    left = round(settings.fleet_share * sum(not each.attack for each in world.truth))
    by_sort = {
        sort: [i for i in free if world.truth[i].kind in sort] for sort in (TENANTS, TENANTS, SHARDS, LABS)
    }
    taken: set[int] = set()
    found = []
    while left > 0:
        low, high = settings.sizes
        size = round(math.exp(rng.uniform(math.log(low), math.log(high))))
        sort = rng.choice((TENANTS, TENANTS, SHARDS, LABS))
        leaders = [i for i in by_sort[sort] if i not in taken]
        if sort is TENANTS:
            # Half of the tenants' leaders would be chat, as most accounts are.
            kind = rng.choice(TENANTS)
            leaders = [i for i in leaders if world.truth[i].kind == kind]
        others = [i for i in free if i not in taken]
        if len(others) < size + 1:
            break
        left -= size
        if not leaders:
            continue
        leader = leaders[0]
        members = [i for i in others if i != leader][: size - 1]
        taken |= {leader, *members}
        found.append((leader, members))
    return found


class _Edit:
    """Arrays of a world that groups change."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._number = {name: values.copy() for name, values in world.number.items()}
        self._arrays = {
            name: getattr(world, name).copy()
            for name in ("networks", "agents", "combos", "mixture", "pool", "pool_start", "languages")
        }
        self._payments = list(world.payment_ids)
        self._organizations = list(world.organization_ids)

    def world(self) -> World:
        return replace(
            self._world,
            number=self._number,
            payment_ids=self._payments,
            organization_ids=self._organizations,
            **self._arrays,
        )

    def fleet(
        self,
        leader: int,
        members: Sequence[int],
        kind: str,
        streams: Sequence[np.ndarray],
        ratio: np.ndarray,
        rng: random.Random,
    ) -> None:
        """Make the members do what the leader does."""
        first = int(streams[leader][0])
        shards = kind in SHARDS
        lab = kind in LABS
        same_pool = shards or rng.random() < (0.9 if lab else 0.6)
        same_networks, same_payment = rng.random() < 0.65, rng.random() < 0.6
        same_combos, same_agents = rng.random() < 0.8, rng.random() < 0.6
        if shards and rng.random() < 0.7:
            self._number["sequential"][first] = 1.0
            # Workers that share a job out send each prompt once, or as often as the job says.
            ratio[first] = max(ratio[first], 1.0)
        for place, account in enumerate(members, start=1):
            stream = int(streams[account][0])
            for name, values in self._number.items():
                if name in {"first_day", "network_known", "answers", "choices"} or rng.random() < 0.1:
                    continue
                values[stream] = values[first]
            for name in ("answers", "choices"):
                self._number[name][stream] = self._number[name][first]
            self._arrays["mixture"][stream] = self._arrays["mixture"][first]
            ratio[stream] = ratio[first]
            if same_pool:
                self._arrays["pool"][stream] = self._arrays["pool"][first]
                self._arrays["pool_start"][stream] = self._arrays["pool_start"][first] + (
                    50_000 * place if shards else 0
                )
            if same_combos:
                self._arrays["combos"][stream] = self._arrays["combos"][first]
            if same_agents:
                self._arrays["agents"][stream] = self._arrays["agents"][first]
            if same_networks:
                self._arrays["networks"][stream] = self._arrays["networks"][first]
                self._number["network_known"][stream] = self._number["network_known"][first]
            if same_payment:
                self._payments[account] = self._payments[leader]
                self._organizations[account] = self._organizations[leader]

    def campaign(
        self,
        accounts: Sequence[int],
        shared: Sequence[str],
        streams: Sequence[np.ndarray],
        rng: random.Random,
    ) -> None:
        """Give every account of a campaign what it does not share."""
        for account in accounts:
            main = int(streams[account][0])
            for stream in streams[account].tolist():
                if "networks" not in shared:
                    own = [rng.randrange(1 << 22) for _ in range(rng.randint(1, 4))]
                    self._arrays["networks"][stream] = slots(rng, own)
                if "agents" not in shared:
                    own = [rng.randrange(len(USER_AGENTS)) for _ in range(rng.randint(1, 2))]
                    self._arrays["agents"][stream] = slots(rng, own)
            if "payment" not in shared:
                self._payments[account] = f"pay_{rng.getrandbits(48):012x}" if rng.random() < 0.9 else None
                self._organizations[account] = None
            if "sampling" not in shared:
                combos = [rng.randrange(COMBOS) for _ in range(rng.randint(1, 3))]
                self._arrays["combos"][main] = np.array(slots(rng, combos), np.int32)[:SLOTS]
            if "templates" not in shared:
                # Another pool word is other prompts, templates, system prompts and wrapper, on the same subjects.
                self._arrays["pool"][main] = rng.getrandbits(63)
                self._number["template_mode"][main] = float(rng.choice((0, 1, 2)))
                self._number["system_prompts"][main] = float(rng.randint(0, 2))
                self._number["wrapper"][main] = rng.uniform(0.0, 0.12)
