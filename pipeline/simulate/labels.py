"""The truth about a simulated world, kept beside its records and never in them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Label:
    """What one account really is.

    Parameters
    ----------
    account_id
        As in the records.
    kind
        A key of `pipeline.simulate.kinds.BENIGN` or ``ATTACKS``.
    attack
        Whether it attacks.
    campaign
        The hydra or operator it belongs to, or None.
    records
        Records of the account.
    attack_records
        Records of its attacking streams.
    sources
        Sources of its content, sorted.
    streams
        Kinds of its streams, in order.
    """

    account_id: str
    kind: str
    attack: bool
    campaign: str | None
    records: int
    attack_records: int
    sources: tuple[str, ...]
    streams: tuple[str, ...]


def write_labels(labels: Iterable[Label], path: Path) -> None:
    """One JSON object a line."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(label)) + "\n" for label in labels)


def read_labels(path: Path) -> list[Label]:
    """What `write_labels` wrote.

    Raises
    ------
    UsageError
        A line is not a label.
    """
    labels = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            value = json.loads(line)
            labels.append(
                Label(**{**value, "sources": tuple(value["sources"]), "streams": tuple(value["streams"])})
            )
        except (ValueError, TypeError, KeyError) as error:
            msg = f"{path}, line {number} is not a label ({error}); labels are written by `distillwatch simulate`"
            raise UsageError(msg) from error
    return labels
