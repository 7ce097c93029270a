"""Logs from files to the lake, through the same decoder, landing and engine as the stream.

A file plays the partition and its rows play the offsets; the chain is named by the file's digest. So the
same file again adds nothing, an interrupted one goes on where its last segment ended, and a file that has
changed is a new chain.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pipeline.errors import ChainMoved
from pipeline.landing import LandingSettings, PartitionLander
from pipeline.records.files import decode_file, open_log

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.clock import Clock
    from pipeline.engine import Engine
    from pipeline.lake import Lake
    from pipeline.records.decode import RecordDecoder
    from pipeline.records.schema import Decoded

DEFAULT_BATCH_ROWS = 8192
ROLL_UP_ATTEMPTS = 10


class Progress(Protocol):
    """Told how far a file is; the command line draws it."""

    def __call__(self, done: int, total: int) -> None:
        """``done`` of ``total`` rows are decoded; ``total`` 0 means that the format does not say."""
        ...


@dataclass(slots=True)
class Ingested:
    """What became of one file."""

    path: Path
    topic_id: str
    rows: int = 0
    records: int = 0
    rejected: int = 0
    segments: int = 0
    already_landed: int = 0
    changed_from: str | None = None
    reasons: Counter[str] = field(default_factory=Counter)
    unknown_fields: Counter[str] = field(default_factory=Counter)

    def count(self, rows: int, decoded: Decoded) -> None:
        """Add what was decoded of so many rows."""
        self.rows += rows
        self.records += decoded.records.num_rows
        self.rejected += decoded.rejected.num_rows
        self.reasons.update(decoded.rejected.column("reason").to_pylist())
        self.unknown_fields.update(decoded.unknown_fields)

    def add(self, other: Ingested) -> None:
        """Add another count of the same file."""
        for name in ("rows", "records", "rejected", "segments", "reasons", "unknown_fields"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def ingest_file(
    lake: Lake,
    engine: Engine,
    decoder: RecordDecoder,
    path: Path,
    *,
    clock: Clock,
    settings: LandingSettings,
    batch_rows: int = DEFAULT_BATCH_ROWS,
    bound_by_now: bool = False,
    progress: Progress | None = None,
) -> Ingested:
    """Land one file and roll its windows up.

    Parameters
    ----------
    batch_rows
        Rows decoded at a time; changes memory and speed, never a result.
    bound_by_now
        Reject event times that lie more than the decoder's ``max_future_seconds`` ahead of the clock. A file has no
        append time; without this, a log from long ago is as good as today's.

    Raises
    ------
    UsageError
        The file cannot be read as what its name says.
    ChainMoved
        Compactions were published during every attempt to roll up; all rows are landed.
    """
    log = open_log(path)
    done = Ingested(path, log.topic_id)
    earlier = [t for t in lake.topic_ids(log.topic) if t != log.topic_id]
    done.changed_from = earlier[-1] if earlier else None
    lake.begin(log.topic_id, 0, topic=log.topic, start=0, cluster_id="files", clock=clock)
    lander = PartitionLander(
        lake,
        engine,
        topic=log.topic,
        topic_id=log.topic_id,
        partition=0,
        cluster_id="files",
        settings=settings,
        clock=clock,
    )
    done.already_landed = lander.next_offset
    now = int(clock.now().timestamp() * 1000) if bound_by_now else None
    while True:
        # Counted when landed: what another writer lands first is not ours.
        held = Ingested(path, log.topic_id)
        try:
            for first, after, decoded in decode_file(
                decoder, log, lander.next_offset, batch_rows, append_time=now
            ):
                lander.accept(decoded, first, after)
                held.count(after - first, decoded)
                if lander.due() is not None:
                    held = _land(lander, done, held)
                if lander.roll_up_due() is not None:
                    # The chain of records is not affected by a compaction that was first; windows may wait.
                    with suppress(ChainMoved):
                        lander.roll_up()
                if progress is not None:
                    progress(after, log.rows or 0)
            _land(lander, done, held)
            break
        except ChainMoved:
            # Landing lost to another writer of the same file, and the lander has read the head again.
            reached = done.already_landed + done.rows
            if lander.next_offset <= reached:
                raise
            done.already_landed += lander.next_offset - reached
    _roll_up(lander)
    return done


def _land(lander: PartitionLander, done: Ingested, held: Ingested) -> Ingested:
    """Land what is held and count it; gives a new count for what comes next."""
    if lander.land() is not None:
        held.segments = 1
    done.add(held)
    return Ingested(done.path, done.topic_id)


def _roll_up(lander: PartitionLander) -> None:
    """Roll up, again and again if a compaction takes away what is being rolled up.

    Raises
    ------
    ChainMoved
        It was taken away every time. All records are landed nevertheless.
    """
    for left in reversed(range(ROLL_UP_ATTEMPTS)):
        try:
            lander.roll_up()
        except ChainMoved:
            # The next attempt begins where the chain of roll-ups stands now.
            if not left:
                raise
        else:
            return
