"""What one fetch of one partition brings: the unit that Faust hands over here instead of single records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class FetchedBatch:
    """Consecutive records of one partition, raw.

    Attributes
    ----------
    topic, partition
        Where they come from.
    epoch
        Counts the seeks of this partition. A batch of an older epoch was fetched before the last seek took
        effect and is ignored.
    first_offset, next_offset
        The range of offsets this batch accounts for, ``[first_offset, next_offset)``: the consumer's position
        before and after the fetch. It may hold more offsets than records: transaction markers and what
        compaction removed have offsets and are never handed out.
    offsets
        int64[n], ascending.
    timestamps
        int64[n], milliseconds since 1970: the broker's append time where the topic is configured so.
    values
        n message values as they came; None is a tombstone of a compacted topic.
    bytes
        Sum of the values' lengths.
    highwater
        End of the partition's log when this was fetched, -1 when the broker did not say.
    jumped
        Kafka's client moved its position by itself, as it does when the log no longer reaches back to it. Such a
        batch is empty; the partition has to be looked at and sought.
    """

    topic: str
    partition: int
    epoch: int
    first_offset: int
    next_offset: int
    offsets: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]
    values: Sequence[bytes | None]
    bytes: int
    highwater: int
    jumped: bool = False

    def __len__(self) -> int:
        return len(self.values)

    @property
    def skips_first(self) -> bool:
        """Whether offsets at the beginning of the range brought no record.

        That is how a log whose beginning was deleted looks, too: the caller compares with the log start.
        """
        return self.first_offset < (int(self.offsets[0]) if len(self.values) else self.next_offset)
