"""The kinds of account and of stream, as ranges from which each draws its habits.

A *stream* is one steady use (one application, one end user, one harvest); an account has one or more. The
ranges of benign and attacking kinds overlap on purpose: research and evaluation ask for reasoning, resellers
work round the clock, companies share networks and payment, specialists use the very content that is harvested,
some harvests draw four answers or imitate chat. `tests/simulate/test_leaks.py` holds that no single field tells
them apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Range = tuple[float, float]

# Which sources a role draws from, with weights. A world may shuffle them (`WorldSettings.randomise`).
ROLES: dict[str, dict[str, float]] = {
    "chat": {
        "open_assistant": 3,
        "arena_hard": 3,
        "self_instruct": 2,
        "gpteacher_roleplay": 2,
        "clinc150": 1,
        "gpteacher_codegen": 1,
        "gsm8k": 0.5,
    },
    "support": {"banking77": 3, "clinc150": 2},
    "assistant": {"snips": 3, "clinc150": 2},
    "evaluation": {"big_bench_hard": 3, "gsm8k": 2, "gorilla_tooluse": 1, "gpteacher_codegen": 1},
    "reasoning": {"gsm8k": 3, "big_bench_hard": 1},
    "coding": {"gpteacher_codegen": 2, "gorilla_tooluse": 1},
    "tools": {"gorilla_tooluse": 2, "snips": 1},
    "instructions": {"self_instruct": 1, "gpteacher_roleplay": 2, "gpteacher_codegen": 2, "arena_hard": 1},
    "documents": {"banking77": 1, "gpteacher_roleplay": 1, "self_instruct": 1, "big_bench_hard": 1},
    "harvest": {
        "gpteacher_codegen": 2,
        "gorilla_tooluse": 2,
        "gsm8k": 2,
        "self_instruct": 1,
        "big_bench_hard": 1,
    },
}


@dataclass(frozen=True, slots=True)
class StreamKind:
    """Ranges of one kind of stream. A pair is (low, high) of a uniform draw unless said otherwise.

    Parameters
    ----------
    role
        Key of `ROLES`.
    sources
        How many of the role's sources one stream uses.
    region
        How many components of a source it uses; 0 means all of them.
    evenness
        0: components by their own weight; 1: all alike.
    pool
        Size of its pool of prompts relative to its records (log-uniform); large means hardly any repeat.
    sequential
        Probability that it walks through its pool in order instead of picking by popularity.
    skew
        Popularity of pool entries: ``floor(pool * u ** skew)``.
    coherent
        Probability that a session stays near one place.
    retry
        Share of requests that repeat the one before.
    four_answers
        Probability that each prompt is sent several times (or asked with n > 1).
    wrapper
        Weight of a fixed text around the prompt, in the embedding.
    templates
        Probabilities of (no template known, a fresh one each time, a few); ``few`` is their number.
    system_prompts
        Probability that it has one to three system prompts.
    combos
        Number of sampling parameter sets.
    reasoning, streaming, logprobs, refusals, errors, other_language
        Shares of its records.
    flatness
        0: follows working hours; 1: the same at every hour.
    burst
        Gamma shape of hourly activity; small means few, strong bursts.
    days
        Share of the period in which it is active.
    session, gap
        Records per session (log-uniform) and seconds between them (log-uniform).
    networks, agents
        Number of client networks and of user agents.
    output_log
        Mean of the log of output tokens.
    overhead
        Input tokens beside the prompt.
    adoption
        Share of traffic that moves to a newly released model.
    """

    role: str
    sources: tuple[int, int] = (1, 1)
    region: tuple[int, int] = (0, 0)
    evenness: Range = (0.0, 0.3)
    pool: Range = (1.0, 10.0)
    sequential: float = 0.2
    skew: Range = (1.0, 2.0)
    coherent: float = 0.2
    retry: Range = (0.0, 0.05)
    four_answers: float = 0.05
    wrapper: Range = (0.0, 0.2)
    templates: tuple[float, float, float] = (0.2, 0.3, 0.5)
    few: tuple[int, int] = (1, 6)
    system_prompts: float = 0.7
    combos: tuple[int, int] = (1, 3)
    reasoning: Range = (0.0, 0.4)
    streaming: Range = (0.0, 1.0)
    logprobs: Range = (0.0, 0.02)
    refusals: Range = (0.0, 0.02)
    errors: Range = (0.0, 0.03)
    other_language: Range = (0.0, 0.1)
    flatness: Range = (0.1, 0.9)
    burst: Range = (0.3, 3.0)
    days: Range = (0.4, 1.0)
    session: Range = (2.0, 30.0)
    gap: Range = (2.0, 90.0)
    networks: tuple[int, int] = (1, 4)
    agents: tuple[int, int] = (1, 2)
    output_log: Range = (4.5, 6.5)
    overhead: Range = (0.0, 400.0)
    adoption: Range = (0.0, 0.8)


_chat = StreamKind(
    role="chat",
    sources=(2, 5),
    region=(4, 40),
    pool=(3, 60),
    sequential=0.0,
    skew=(1.0, 2.5),
    coherent=0.85,
    retry=(0.0, 0.15),
    four_answers=0.01,
    wrapper=(0.0, 0.05),
    templates=(0.4, 0.5, 0.1),
    system_prompts=0.4,
    combos=(1, 4),
    reasoning=(0.0, 0.5),
    streaming=(0.4, 1.0),
    refusals=(0.0, 0.04),
    other_language=(0.0, 0.5),
    flatness=(0.0, 0.5),
    burst=(0.15, 1.0),
    session=(3, 15),
    gap=(20, 200),
    networks=(1, 6),
    agents=(1, 3),
    overhead=(0, 800),
)
_support = StreamKind(
    role="support",
    region=(6, 60),
    pool=(0.15, 3),
    sequential=0.0,
    skew=(1.2, 3.0),
    coherent=0.3,
    retry=(0.0, 0.08),
    four_answers=0.0,
    wrapper=(0.05, 0.3),
    templates=(0.1, 0.2, 0.7),
    system_prompts=0.95,
    reasoning=(0.0, 0.2),
    flatness=(0.1, 0.9),
    burst=(0.8, 4.0),
    output_log=(4.0, 5.5),
    networks=(1, 6),
)
_batch = StreamKind(
    role="documents",
    region=(2, 30),
    evenness=(0.0, 0.8),
    pool=(0.7, 20),
    sequential=0.8,
    coherent=0.1,
    wrapper=(0.1, 0.4),
    templates=(0.1, 0.1, 0.8),
    few=(1, 4),
    system_prompts=0.8,
    combos=(1, 2),
    reasoning=(0.0, 0.7),
    streaming=(0.0, 0.3),
    flatness=(0.3, 1.0),
    burst=(0.1, 1.0),
    session=(10, 300),
    gap=(0.3, 15),
    networks=(1, 3),
    output_log=(3.0, 6.5),
)
_evaluation = StreamKind(
    role="evaluation",
    sources=(1, 3),
    region=(0, 0),
    evenness=(0.0, 1.0),
    pool=(0.15, 1.2),
    sequential=0.9,
    coherent=0.1,
    four_answers=0.35,
    wrapper=(0.0, 0.3),
    templates=(0.1, 0.1, 0.8),
    few=(1, 25),
    system_prompts=0.6,
    combos=(1, 3),
    reasoning=(0.0, 1.0),
    streaming=(0.0, 0.3),
    logprobs=(0.0, 0.4),
    flatness=(0.3, 1.0),
    burst=(0.05, 0.6),
    days=(0.1, 1.0),
    session=(20, 300),
    gap=(0.3, 15),
    output_log=(4.5, 7.0),
)
_agent = StreamKind(
    role="coding",
    sources=(1, 2),
    region=(3, 25),
    pool=(1.0, 15),
    sequential=0.1,
    skew=(1.0, 2.5),
    coherent=0.9,
    retry=(0.02, 0.2),
    wrapper=(0.05, 0.35),
    templates=(0.1, 0.3, 0.6),
    system_prompts=0.95,
    combos=(1, 3),
    reasoning=(0.1, 1.0),
    flatness=(0.0, 0.7),
    burst=(0.2, 1.5),
    session=(5, 60),
    gap=(3, 60),
    output_log=(5.0, 7.0),
    overhead=(200, 3000),
)
_tutoring = replace(
    _agent,
    role="reasoning",
    pool=(0.5, 10),
    skew=(1.2, 3.0),
    output_log=(4.8, 6.8),
    session=(3, 25),
    gap=(15, 120),
)
_tool_user = replace(
    _agent, role="tools", coherent=0.5, pool=(0.6, 12), session=(2, 20), reasoning=(0.0, 0.8)
)
_document = replace(_batch, role="harvest", region=(3, 25), pool=(0.8, 12), sequential=0.7)
_niche = StreamKind(
    role="chat", region=(1, 3), pool=(0.5, 20), coherent=0.4, reasoning=(0.0, 0.8), wrapper=(0.1, 0.5)
)
_researcher = StreamKind(
    role="harvest",
    sources=(1, 3),
    region=(0, 0),
    evenness=(0.0, 1.0),
    pool=(0.1, 3),
    sequential=0.6,
    coherent=0.2,
    four_answers=0.5,
    templates=(0.2, 0.2, 0.6),
    few=(1, 20),
    system_prompts=0.5,
    combos=(1, 8),
    reasoning=(0.3, 1.0),
    logprobs=(0.0, 0.5),
    flatness=(0.1, 0.9),
    burst=(0.1, 1.0),
    session=(5, 120),
    gap=(0.5, 60),
    output_log=(5.0, 7.2),
)
_harvest = StreamKind(
    role="harvest",
    sources=(1, 3),
    region=(0, 0),
    evenness=(0.3, 1.0),
    pool=(0.8, 30),
    sequential=0.9,
    coherent=0.1,
    retry=(0.0, 0.03),
    four_answers=0.25,
    wrapper=(0.0, 0.3),
    templates=(0.2, 0.2, 0.6),
    few=(1, 12),
    system_prompts=0.5,
    combos=(1, 3),
    reasoning=(0.0, 0.9),
    streaming=(0.0, 0.7),
    logprobs=(0.0, 0.1),
    refusals=(0.0, 0.04),
    other_language=(0.0, 0.3),
    flatness=(0.3, 1.0),
    burst=(0.2, 2.0),
    days=(0.2, 1.0),
    session=(5, 200),
    gap=(0.5, 60),
    networks=(1, 6),
    agents=(1, 3),
    output_log=(5.0, 7.2),
)
_reasoning_harvest = replace(
    _harvest,
    role="reasoning",
    reasoning=(0.4, 1.0),
    four_answers=0.4,
    other_language=(0.0, 0.5),
    output_log=(5.5, 7.3),
)
# What the public reports describe: a program that walks a corpus once, round the clock, asking for the reasoning.
_plain = replace(
    _harvest,
    sources=(2, 4),
    evenness=(0.8, 1.0),
    pool=(10, 30),
    sequential=1.0,
    coherent=0.0,
    retry=(0.0, 0.005),
    four_answers=0.0,
    wrapper=(0.0, 0.1),
    templates=(0.0, 0.0, 1.0),
    few=(1, 3),
    reasoning=(0.85, 1.0),
    combos=(1, 1),
    flatness=(0.9, 1.0),
    burst=(2.0, 4.0),
    days=(0.6, 1.0),
    session=(20, 100),
    networks=(2, 6),
    agents=(1, 2),
    output_log=(6.5, 7.3),
)
_drip = replace(
    _harvest, burst=(0.5, 4.0), days=(0.9, 1.0), session=(1, 6), gap=(30, 300), flatness=(0.2, 1.0)
)

STREAMS: dict[str, StreamKind] = {
    "chat": _chat,
    "support_bot": _support,
    "batch_job": _batch,
    "evaluation_harness": _evaluation,
    "coding_agent": _agent,
    "tutoring": _tutoring,
    "tool_user": _tool_user,
    "document_job": _document,
    "niche": _niche,
    "researcher": _researcher,
    "harvest": _harvest,
    "chat_like_harvest": replace(
        _harvest,
        coherent=0.8,
        session=(3, 15),
        gap=(20, 200),
        flatness=(0.0, 0.5),
        burst=(0.15, 1.0),
        streaming=(0.4, 1.0),
        templates=(0.4, 0.5, 0.1),
        retry=(0.0, 0.1),
    ),
    "reasoning_harvest": _reasoning_harvest,
    "plain_harvest": _plain,
    "plain_reasoning_harvest": replace(_plain, role="reasoning"),
    "drip": _drip,
    "pivot_harvest": replace(_harvest, adoption=(0.6, 1.0)),
}


@dataclass(frozen=True, slots=True)
class AccountKind:
    """One kind of account.

    Parameters
    ----------
    share
        Of its side (benign or attacking) of the accounts.
    records
        (median, sigma) of the log-normal number of records, before scaling to the wanted total.
    main
        Streams of which it has one (drawn from these).
    main_share
        Shares of its records in the main stream (one is drawn).
    cover
        Streams of which it has ``covers`` more.
    covers
        (low, high) of their number.
    cover_probability
        That it has any.
    """

    share: float
    records: tuple[float, float]
    main: tuple[str, ...]
    main_share: tuple[float, ...] = (0.5,)
    cover: tuple[str, ...] = ()
    covers: tuple[int, int] = (0, 0)
    cover_probability: float = 1.0


_EVERYDAY = ("chat", "chat", "support_bot", "coding_agent", "tutoring", "tool_user", "batch_job")

BENIGN: dict[str, AccountKind] = {
    "chat": AccountKind(0.40, (150, 1.0), ("chat",)),
    "support_bot": AccountKind(0.12, (400, 1.0), ("support_bot",)),
    "batch_job": AccountKind(0.10, (500, 1.1), ("batch_job",)),
    "evaluation_harness": AccountKind(0.06, (500, 1.0), ("evaluation_harness",)),
    "coding_agent": AccountKind(0.07, (350, 1.0), ("coding_agent",)),
    "tutoring": AccountKind(0.05, (300, 1.0), ("tutoring",)),
    "tool_user": AccountKind(0.04, (300, 1.0), ("tool_user",)),
    "document_job": AccountKind(0.04, (400, 1.0), ("document_job",)),
    "niche": AccountKind(0.05, (200, 1.0), ("niche",)),
    "reseller": AccountKind(0.03, (1200, 0.9), ("chat",), (0.08, 0.2), _EVERYDAY, (6, 24)),
    "researcher": AccountKind(0.04, (400, 1.0), ("researcher",)),
}

ATTACKS: dict[str, AccountKind] = {
    # The first two are as plain as the public reports describe them; the third has habits as others have.
    "harvest": AccountKind(0.15, (1000, 0.35), ("plain_harvest",)),
    "reasoning_harvest": AccountKind(0.12, (1000, 0.35), ("plain_reasoning_harvest",)),
    "careful_harvest": AccountKind(
        0.15, (600, 0.8), ("harvest", "harvest", "chat_like_harvest", "reasoning_harvest")
    ),
    "diluted": AccountKind(
        0.12, (1000, 0.8), ("harvest", "reasoning_harvest"), (0.1, 0.25, 0.5), ("chat", "support_bot"), (1, 3)
    ),
    "hydra": AccountKind(
        0.34,
        (180, 0.6),
        ("harvest", "reasoning_harvest"),
        (0.4, 0.6, 0.8),
        ("chat", "support_bot"),
        (1, 2),
        0.5,
    ),
    "slow_drip": AccountKind(0.07, (200, 0.5), ("drip",)),
    "pivot": AccountKind(0.07, (700, 0.8), ("pivot_harvest",)),
}

# A world with any attacker has these first: the demo's story needs them.
FIRST_ATTACKS = ("harvest", "reasoning_harvest")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The kinds that a world is made of: streams by name, and the accounts of both sides that have them."""

    streams: Mapping[str, StreamKind]
    benign: Mapping[str, AccountKind]
    attacks: Mapping[str, AccountKind]


DEFAULT_KINDS = Catalogue(STREAMS, BENIGN, ATTACKS)
