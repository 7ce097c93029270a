"""What an alert says: which signals drove it, in numbers and sentences, and what speaks against it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pipeline.signals.every import EVERY

if TYPE_CHECKING:
    from pipeline.detectors.base import Judgement
    from pipeline.detectors.reference import Reference
    from pipeline.signals import SignalTable

SENTENCES = 5
# Contributions below this many nats are not worth a sentence.
WORTH = 0.1


def evidence(table: SignalTable, judgement: Judgement, reference: Reference, row: int) -> dict[str, Any]:
    """JSON-ready evidence about one subject: every signal, strongest first, and sentences.

    Parameters
    ----------
    table, judgement
        Signals and judgement of several subjects.
    row
        Which of them.
    """
    signals: list[dict[str, Any]] = []
    for name, parts in judgement.contributions.items():
        value, rank = float(table.columns[name][row]), float(judgement.ranks[name][row])
        distribution = reference.signals.get(name)
        signals.append(
            {
                "signal": name,
                "value": None if math.isnan(value) else value,
                "units": EVERY[name].units,
                "rank": None if math.isnan(rank) else rank,
                "contribution": float(parts[row]),
                "direction": "for" if parts[row] > 0 else "against" if parts[row] < 0 else "neither",
                "median": distribution.median if distribution else None,
            }
        )
    signals.sort(key=lambda each: (-each["contribution"], each["signal"]))
    # That a signal has no value may count, but there is nothing to say of it.
    told = [each for each in signals if each["value"] is not None]
    return {
        "records": int(table.records[row]),
        "population": {"name": reference.name, "accounts": reference.accounts},
        "sentences": [_sentence(each) for each in told[:SENTENCES] if each["contribution"] >= WORTH],
        "against": [_sentence(each) for each in told[:-4:-1] if each["contribution"] <= -WORTH],
        "signals": signals,
        "limits": (
            "Evidence, not proof: research, evaluation and applications on the same content can look like this. "
            "Look at the records before acting."
        ),
    }


def _sentence(signal: dict[str, Any]) -> str:
    words = EVERY[signal["signal"]].sentence(signal["value"])
    rank = signal["rank"]
    where = f"higher than {rank:.1%} of accounts" if rank >= 0.5 else f"lower than {1 - rank:.1%} of accounts"
    return f"{words[0].upper()}{words[1:]}, {where} ({signal['contribution']:+.2f})."
