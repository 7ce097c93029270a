"""What an alert about a group says: the numbers it was judged by, strongest first, in sentences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pipeline.clusters.group_signals import GROUP_SIGNALS
from pipeline.clusters.judge import JUDGED, SUM
from pipeline.signals import SIGNALS
from pipeline.signals.words import in_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.clusters.find import Cluster
    from pipeline.detectors.base import Judgement
    from pipeline.signals import SignalTable

SENTENCES = 5
WORTH = 0.1
CALIBRATION = (
    "The p-value is that of benign groups with as sure ties, which the same procedure found in simulated worlds; that this lake's benign "
    "groups are like those is assumed."
)
LIMITS = (
    "Evidence, not proof: tenants of one application, workers that share a job out, or a laboratory can look like this. "
    "Look at the records and ask who pays before acting."
)


def group_evidence(
    clusters: Sequence[Cluster], sums: SignalTable, judgement: Judgement, row: int
) -> dict[str, Any]:
    """JSON-ready evidence about one group: every number it was judged by, sentences, and what is not held against it.

    Parameters
    ----------
    clusters, sums, judgement
        From `find_and_judge_clusters`.
    row
        Which of them.
    """
    cluster = clusters[row]
    signals: list[dict[str, Any]] = []
    for name in JUDGED:
        part = float(judgement.contributions[name][row])
        own = name.removeprefix(SUM)
        if name == own:
            value, rank = cluster.numbers[name], math.nan
            words, units = GROUP_SIGNALS[name].says, "of the group"
        else:
            value, rank = float(sums.columns[own][row]), float(judgement.ranks[own][row])
            words, units = "", SIGNALS[own].units
        sentence = SIGNALS[own].sentence(value) if not words else in_words(words, value)
        signals.append(
            {
                "signal": name,
                "value": None if math.isnan(value) else value,
                "units": units,
                "rank": None if math.isnan(rank) else rank,
                "contribution": part,
                "direction": "for" if part > 0 else "against" if part < 0 else "neither",
                "sentence": None if math.isnan(value) else _sentence(sentence, rank, part),
            }
        )
    signals.sort(key=lambda each: (-each["contribution"], each["signal"]))
    for_it = [each for each in signals if each["contribution"] >= WORTH and each["sentence"]]
    against = [each for each in signals[::-1] if each["contribution"] <= -WORTH and each["sentence"]]
    return {
        "members": len(cluster.members),
        "shared": list(cluster.shared),
        "links": sum(cluster.links) // 2,
        "sentences": [each["sentence"] for each in for_it[:SENTENCES]],
        "against": [each["sentence"] for each in against[:3]],
        "signals": [{key: each[key] for key in each if key != "sentence"} for each in signals],
        "not_held_against": {
            name: None if math.isnan(cluster.numbers[name]) else cluster.numbers[name]
            for name in GROUP_SIGNALS
            if name not in JUDGED
        },
        "calibration": CALIBRATION,
        "limits": LIMITS,
    }


def _sentence(words: str, rank: float, part: float) -> str:
    where = ""
    if not math.isnan(rank):
        where = (
            f", higher than {rank:.1%} of accounts"
            if rank >= 0.5
            else f", lower than {1 - rank:.1%} of accounts"
        )
    return f"All together: {words}{where} ({part:+.2f})."
