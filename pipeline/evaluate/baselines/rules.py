"""Sixteen rules with fixed weights, of the kind that Glasswally has: what a careful operator writes by hand.

Source: the open tool Glasswally (Rust) lists such signals with fixed weights; thresholds and weights here are ours, since
records hold no TLS fingerprints and no text: client software stands in for the former, the reasoning flag for
elicitation phrases. Each rule gives 0 to 1, ramping between two fixed values; the score is their weighted mean.
Sees: what its author thought of. Misses: everything else, and all of it without metadata. Accuses: resellers, evaluations
and companies whose accounts share networks and payment. Nothing is calibrated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluate.baselines.volume import busiest_hour

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pipeline.evaluate.accounts import Accounts

    Numbers = NDArray[np.float64]

_SCRIPTS = ("python-requests", "python-httpx", "aiohttp", "curl", "go-http-client")


class Rules:
    """Weighted mean of the rules, 0 to 1."""

    name = "rules"

    def score(self, accounts: Accounts, pool: NDArray[np.int8]) -> NDArray[np.float64]:
        """A rule without data gives 0, as such tools do."""
        del pool
        total = np.zeros(len(accounts))
        for weight, low, high, rule in RULES.values():
            value = rule(accounts)
            total += weight * np.nan_to_num(np.clip((value - low) / (high - low), 0.0, 1.0), nan=0.0)
        return total / sum(weight for weight, *_ in RULES.values())


def _share(column: str) -> Callable[[Accounts], Numbers]:
    return lambda accounts: accounts.means(accounts.numbers(column))


def _scripts(accounts: Accounts) -> Numbers:
    """Share of records from plain HTTP libraries (stands in for TLS and header fingerprints)."""
    agents = accounts.table["user_agent"].combine_chunks().dictionary_encode()
    plain = np.array([str(name).startswith(_SCRIPTS) for name in agents.dictionary.to_pylist()] + [False])
    return accounts.means(plain[accounts.codes("user_agent")].astype(np.float64))


def _shared_with(column: str) -> Callable[[Accounts], Numbers]:
    """Most other accounts that share a value of the column with the account."""

    def rule(accounts: Accounts) -> Numbers:
        codes, owner = accounts.codes(column), accounts.owner()
        pairs = np.unique(np.stack([owner, codes])[:, codes >= 0], axis=1)
        others = np.bincount(pairs[1]) - 1 if pairs.size else np.zeros(0, np.int64)
        out = np.zeros(len(accounts))
        np.maximum.at(out, pairs[0], others[pairs[1]].astype(np.float64))
        return out

    return rule


def _distinct(column: str, accounts: Accounts) -> Numbers:
    codes, owner = accounts.codes(column), accounts.owner()
    pairs = np.unique(np.stack([owner, codes])[:, codes >= 0], axis=1)
    return np.bincount(pairs[0], minlength=len(accounts)).astype(np.float64)


def _fresh_prompts(accounts: Accounts) -> Numbers:
    """Distinct prompts per record."""
    known = np.bincount(accounts.owner(), accounts.codes("prompt_hash") >= 0, len(accounts))
    return _distinct("prompt_hash", accounts) / np.where(known > 0, known, np.nan)


def _slots(accounts: Accounts) -> Numbers:
    """Log of distinct prompts per template."""
    templates = _distinct("template_hash", accounts)
    with np.errstate(divide="ignore"):
        return np.log(_distinct("prompt_hash", accounts)) - np.log(np.where(templates > 0, templates, np.nan))


def _one_combo(accounts: Accounts) -> Numbers:
    """Share of records without a change of temperature from the record before."""
    values = np.nan_to_num(accounts.numbers("temperature"), nan=-1.0)
    same = np.concatenate([[np.nan], (np.diff(values) == 0).astype(float)])
    same[accounts.bounds[:-1][accounts.records > 0]] = np.nan
    return accounts.means(same)


def _gaps(accounts: Accounts) -> Numbers:
    """Seconds between records, NaN at the first of each account, per row."""
    time = accounts.numbers("event_time") / 1e6
    gaps = np.concatenate([[np.nan], np.diff(time)])
    gaps[accounts.bounds[:-1][accounts.records > 0]] = np.nan
    return gaps


def _regular(accounts: Accounts) -> Numbers:
    """Regularity of gaps within sessions: 1 less their coefficient of variation."""
    gaps = np.where(_gaps(accounts) < 300, _gaps(accounts), np.nan)
    mean = accounts.means(gaps)
    spread = np.sqrt(np.maximum(0, accounts.means(gaps**2) - mean**2))
    return 1 - spread / np.maximum(mean, 1e-9)


def _round_the_clock(accounts: Accounts) -> Numbers:
    """Distinct hours of the day, over as many as so many records could fill."""
    hour = (accounts.numbers("event_time") // 3_600_000_000).astype(np.int64) % 24
    pairs = np.unique(np.stack([accounts.owner(), hour]), axis=1)
    hours = np.bincount(pairs[0], minlength=len(accounts))
    return hours / np.minimum(24, np.maximum(1, accounts.records))


def _pivot(accounts: Accounts) -> Numbers:
    """How much the share of the account's last model rose from its first half to its second."""
    codes, owner = accounts.codes("model"), accounts.owner()
    last = codes[np.maximum(accounts.bounds[1:] - 1, 0)]
    place = np.arange(len(codes)) - np.repeat(accounts.bounds[:-1], accounts.records)
    second = place >= np.repeat(accounts.records / 2, accounts.records)
    mine = (codes == last[owner]).astype(np.float64)
    return accounts.means(np.where(second, mine, np.nan)) - accounts.means(np.where(second, np.nan, mine))


def _jumps(accounts: Accounts) -> Numbers:
    """Mean cosine distance of a record to the one before (topic transitions)."""
    norms = np.sqrt(np.einsum("ij,ij->i", accounts.vectors, accounts.vectors, dtype=np.int64))
    cosine = np.full(len(accounts.vectors), np.nan)
    for start in range(1, len(cosine), 8192):
        rows = accounts.vectors[start - 1 : start + 8192].astype(np.float32)
        dots = np.einsum("ij,ij->i", rows[1:], rows[:-1])
        cosine[start : start + len(dots)] = dots / (
            norms[start : start + len(dots)] * norms[start - 1 : start - 1 + len(dots)]
        )
    cosine[accounts.bounds[:-1][accounts.records > 0]] = np.nan
    return accounts.means(1 - cosine)


def _output(accounts: Accounts) -> Numbers:
    """Log10 of all output tokens."""
    total = accounts.means(accounts.numbers("output_tokens")) * accounts.records
    return np.log10(np.where(total > 0, total, np.nan))


# Name: (weight, value that counts nothing, value that counts fully, rule).
RULES: dict[str, tuple[float, float, float, Callable[[Accounts], Numbers]]] = {
    "client software": (0.6, 0.5, 1.0, _scripts),
    "velocity": (1.0, 30.0, 300.0, busiest_hour),
    "elicitation of reasoning": (1.2, 0.3, 0.9, _share("reasoning_requested")),
    "shared payment": (1.0, 1.0, 6.0, _shared_with("payment_id")),
    "shared network": (0.8, 5.0, 60.0, _shared_with("client_network")),
    "shared system prompt": (0.8, 0.0, 3.0, _shared_with("system_prompt_hash")),
    "shared hosting": (0.3, 1.0, 6.0, _shared_with("asn")),
    "model pivot": (0.6, 0.3, 0.9, _pivot),
    "regular gaps": (0.6, 0.0, 0.6, _regular),
    "round the clock": (0.8, 0.5, 1.0, _round_the_clock),
    "token budget": (0.8, 5.0, 6.3, _output),
    "refusal probes": (0.5, 0.02, 0.1, lambda a: a.means(_is_refused(a))),
    "topic transitions": (0.6, 0.3, 0.8, _jumps),
    "fresh prompts": (0.8, 0.8, 1.0, _fresh_prompts),
    "slots of a template": (0.8, 2.0, 5.0, _slots),
    "constant parameters": (0.6, 0.7, 1.0, _one_combo),
}


def _is_refused(accounts: Accounts) -> Numbers:
    status = accounts.table["status"].combine_chunks().dictionary_encode()
    refused = np.array(
        [name in {"refused", "refusal", "content_filter"} for name in status.dictionary.to_pylist()] + [False]
    )
    return refused[accounts.codes("status")].astype(np.float64)
