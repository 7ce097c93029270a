"""Which records of an account an investigator should read, and what they have in common.

A harvest diluted in other traffic is a part of the account; without one, the part is the whole account. Either way
the records that carry the evidence are those that look most like lines of a list, taken from as many topics as there
are, because a list is even.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import UsageError
from pipeline.signals.sequence.parts import part_of, record_terms
from pipeline.signals.sequence.parts_evidence import CHANNELS, channels

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from pipeline.signals.sequence import AccountSequence, Part

    Integers = NDArray[np.int64]

LIMIT = 20
"""Records named in an alert."""

COMMON = 0.5
"""A value is what a part has in common if so many of its records have it, and at most half of that share outside."""

PROPERTIES = {
    "template": "template_hash",
    "system_prompt": "system_prompt_hash",
    "sampling": "temperature",
    "model": "model",
    "agent": "user_agent",
    "network": "client_network",
    "reasoning": "reasoning_requested",
}
"""Property of a sequence, and the column that shows its value; sampling parameters show all of theirs."""

SAMPLING = ("temperature", "top_p", "max_tokens", "choice_count")


def carrying_records(records: AccountSequence, part: Part, limit: int = LIMIT) -> Integers:
    """Rows of the part's most telling records, int64[at most limit], the most telling first.

    In each topic the record that looks most like a line of a list comes first; all topics' first records come before
    any second. Ties go to the earlier record.

    Parameters
    ----------
    records
        The account.
    part
        From `pipeline.signals.sequence.part_of`.
    limit
        Rows wanted.
    """
    rows = np.flatnonzero(part.rows)
    terms = record_terms(channels(records))[rows]
    order = rows[np.lexsort((rows, -terms))]
    topics = records.topic[order]
    by_topic = np.argsort(topics, kind="stable")
    starts = np.flatnonzero(np.diff(topics[by_topic], prepend=topics[by_topic][:1] - 1))
    turn = np.empty(len(order), np.int64)
    turn[by_topic] = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    return order[np.argsort(turn, kind="stable")][:limit].astype(np.int64)


def records_to_look_at(rows: pa.Table, records: AccountSequence, limit: int = LIMIT) -> dict[str, Any]:
    """JSON-ready: the part, in numbers and a sentence, and the request ids to read.

    Parameters
    ----------
    rows
        The records that the sequence was read from, in its order, as `account_reads` gives them.
    records
        The account.
    limit
        Records named.

    Raises
    ------
    UsageError
        The table is not the one the sequence was read from.
    """
    if rows.num_rows != len(records):
        msg = f"{rows.num_rows} rows for a sequence of {len(records)} records; pass the rows that it was read from"
        raise UsageError(msg)
    part = part_of(records)
    common = _common(rows, records, part)
    per_record = channels(records)
    found = carrying_records(records, part, limit)
    return {
        "part": {
            "whole_account": part.is_whole,
            "found_by": part.by,
            "records": int(part.rows.sum()),
            "of": len(records),
            "prompts": len(np.unique(records.prompt[part.rows])),
            "topics": len(np.unique(records.topic[part.rows])),
            "log_odds": part.evidence,
            "bound": part.bound,
            "account_log_odds": part.account,
            "parts_compared": part.tried,
            "common": common,
            "inside": dict(part.inside),
            "outside": None if part.is_whole else dict(part.outside),
        },
        "sentence": _sentence(records, part, common),
        "records": [
            {
                "request_id": rows["request_id"][row].as_py(),
                "event_time": rows["event_time"][row].as_py().isoformat(),
                "row": row,
                **{name: round(float(per_record[row, CHANNELS.index(name)]), 6) for name in CHANNELS},
            }
            for row in found.tolist()
        ],
    }


def _common(rows: pa.Table, records: AccountSequence, part: Part) -> list[dict[str, Any]]:
    """Properties that most of the part's records share and few of the others, the most different first."""
    if part.is_whole:
        return []
    found = []
    for name, column in PROPERTIES.items():
        codes = records.code(name)
        values, first, counts = np.unique(codes[part.rows], return_index=True, return_counts=True)
        best = np.lexsort((first, -counts))[0]
        inside = float(counts[best] / part.rows.sum())
        outside = float((codes[~part.rows] == values[best]).mean())
        if inside < COMMON or outside > inside / 2:
            continue
        row = int(np.flatnonzero(part.rows)[first[best]])
        value: Any
        if name == "sampling":
            value = {field: _plain(rows[field][row].as_py()) for field in SAMPLING}
        else:
            value = _plain(rows[column][row].as_py())
        found.append({"property": name, "value": value, "inside": inside, "outside": outside})
    return sorted(found, key=lambda each: each["outside"] - each["inside"])


def _plain(value: object) -> object:
    """Hashes as text: not every reader of JSON keeps 64 bits."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 53:
        return f"{value:016x}"
    return value


def _number(value: float, style: str) -> str:
    return "unknown" if math.isnan(value) else format(value, style)


def _sentence(records: AccountSequence, part: Part, common: list[dict[str, Any]]) -> str:
    size, n = int(part.rows.sum()), len(records)
    prompts, topics = len(np.unique(records.prompt[part.rows])), len(np.unique(records.topic[part.rows]))
    inside, outside = part.inside, part.outside
    what = "All" if part.is_whole else f"{size} of"
    alike = ", ".join(each["property"].replace("_", " ") for each in common)
    with_what = f" that share {alike}" if alike else "" if part.is_whole else " that differ in content"

    def against(name: str, style: str) -> str:
        here = _number(inside[name], style)
        return here if part.is_whole else f"{here} (outside {_number(outside[name], style)})"

    return (
        f"{what} {n} records{with_what}: {prompts} different prompts on {topics} topics; two of them have one topic "
        f"with chance {against('one_topic', '.1%')}, {against('crowded', '.0%')} have another prompt near them, and "
        f"the nearest within an hour has cosine {against('near_in_time', '.2f')}."
    )
