"""When the records happen: hour by hour, each stream after its own clock, in sessions.

A stream's records are shared out over the hours by drawing, hour after hour, a binomial part of what is left;
the whole schedule is never held, only what is left of each stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaincinv

from pipeline.simulate.mixing import Words, mix, uniform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pipeline.simulate.world import World

HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Moments:
    """Records to be filled in, in order of time.

    ``stream`` int64[n]; ``time`` int64[n], microseconds since the start of the period; ``ordinal`` int64[n], the
    how-manieth record of its stream; ``session`` uint64[n], a word for the session.
    """

    stream: NDArray[np.int64]
    time: NDArray[np.int64]
    ordinal: NDArray[np.int64]
    session: Words

    def __len__(self) -> int:
        return len(self.stream)

    def part(self, start: int, stop: int) -> Moments:
        """Rows start to stop."""
        cut = slice(start, stop)
        return Moments(self.stream[cut], self.time[cut], self.ordinal[cut], self.session[cut])

    @classmethod
    def joined(cls, parts: list[Moments]) -> Moments:
        """Several, one after the other."""
        return cls(
            np.concatenate([part.stream for part in parts]),
            np.concatenate([part.time for part in parts]),
            np.concatenate([part.ordinal for part in parts]),
            np.concatenate([part.session for part in parts]),
        )


def hours_of(days: float) -> int:
    """Whole hours of the period."""
    return max(1, round(days * 24))


def intensity(world: World, hour: int, start_hour: int) -> NDArray[np.float64]:
    """How active each stream is in this hour, up to a constant per stream.

    Parameters
    ----------
    hour
        Hours since the start of the period.
    start_hour
        Hours between Monday 00:00 UTC and the start of the period.
    """
    number = world.number
    total = hours_of(world.settings.days)
    first = np.floor(number["first_day"] * total)
    last = first + np.maximum(6, np.ceil(number["active_days"] * total))
    active = (hour >= np.minimum(first, total - 6)) & (hour < last)
    clock = (start_hour + hour) % 24
    apart = np.abs((clock + 0.5 - number["peak_hour"] + 12) % 24 - 12)
    day = np.exp(-0.5 * (apart / 3.5) ** 2) * np.where(
        ((start_hour + hour) // 24) % 7 >= 5, number["weekend"], 1.0
    )
    # 24 hours of `day` add up to about 8.8: so scaled, flatness is the share of round-the-clock traffic.
    level = number["flatness"] * 8.8 / 24 + (1 - number["flatness"]) * day
    gamma = (
        gammaincinv(number["burst"], np.clip(uniform(world.word, hour, 0x61), 1e-9, 1 - 1e-9))
        / number["burst"]
    )
    # Never quite zero while active, so that every record finds an hour.
    return np.where(active, level * gamma + 1e-6, 0.0)


def schedule(world: World, start_hour: int) -> Iterator[Moments]:
    """Hour by hour, the records of all streams, sorted by time (ties: stream, ordinal)."""
    rng = np.random.default_rng([world.settings.seed, 0x71])
    hours = hours_of(world.settings.days)
    ahead = np.zeros(len(world.counts))
    for hour in range(hours):
        ahead += intensity(world, hour, start_hour)
    left = world.counts.copy()
    done = np.zeros_like(left)
    for hour in range(hours):
        here = intensity(world, hour, start_hour)
        # The last active hour takes the rest whatever rounding left in `ahead`.
        share = np.where(ahead - here <= 1e-9 * here, 1.0, here / np.maximum(ahead, 1e-300))
        count = rng.binomial(left, np.clip(share, 0.0, 1.0))
        ahead -= here
        left -= count
        if count.any():
            yield _hour(world, hour, count, done)
        done += count
    if left.any():
        msg = f"{int(left.sum())} records found no hour; the period of {hours} hours is at fault"
        raise AssertionError(msg)


def _hour(world: World, hour: int, count: NDArray[np.int64], done: NDArray[np.int64]) -> Moments:
    stream = np.repeat(np.arange(len(count)), count)
    start = np.repeat(np.cumsum(count) - count, count)
    rank = np.arange(len(stream)) - start
    number = world.number
    length = number["session"][stream]
    part = np.floor(rank / length).astype(np.int64)
    session = mix(world.word[stream], hour, part, 0x62)
    inside = rank - np.ceil(part * length)
    gap = number["gap"][stream]
    here = count[stream]
    in_session = np.minimum(length, here - part * length)
    span = np.minimum(3599.0, in_session * gap)
    begins = uniform(session, 0x63) * (3599.0 - span)
    jitter = number["jitter"][stream]
    place = inside + 0.5 + jitter * (uniform(session, rank, 0x64) - 0.5)
    seconds = np.clip(begins + span * place / np.maximum(in_session, 1.0), 0.0, 3599.999)
    time = np.int64(hour) * HOUR_US + np.floor(seconds * 1e6).astype(np.int64)
    order = np.lexsort((rank, stream, time))
    # Ordinals follow time: the first record of the stream in this hour gets the next free number.
    by_stream = np.lexsort((rank, time, stream))
    ordinal = np.empty(len(stream), np.int64)
    ordinal[by_stream] = done[stream[by_stream]] + rank
    return Moments(stream[order], time[order], ordinal[order], session[order])


def batches(world: World, start_hour: int, rows: int) -> Iterator[Moments]:
    """The same records in parts of exactly ``rows`` (the last one may be smaller)."""
    held: list[Moments] = []
    count = 0
    for moments in schedule(world, start_hour):
        held.append(moments)
        count += len(moments)
        if count >= rows:
            whole = Moments.joined(held)
            for start in range(0, count - rows + 1, rows):
                yield whole.part(start, start + rows)
            rest = whole.part(count - count % rows, count)
            held, count = [rest], len(rest)
    if count:
        yield Moments.joined(held)
