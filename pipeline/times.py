"""Event times as the tables hold them: microseconds since 1970, or naive UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
LAST = (datetime.max - _EPOCH) // timedelta(microseconds=1)


def moment(microseconds: int) -> datetime:
    """Naive UTC time; the last one that there is for whatever comes after it.

    A window that lies at the end of year 9999 ends in year 10000, which Python has not.

    Examples
    --------
    >>> moment(3_600_000_000).isoformat()
    '1970-01-01T01:00:00'
    """
    return _EPOCH + timedelta(microseconds=min(microseconds, LAST))


def to_text(time: datetime | None) -> str | None:
    """ISO 8601 with microseconds."""
    return None if time is None else time.isoformat(timespec="microseconds")


def from_text(value: datetime | str | None) -> datetime | None:
    """Naive UTC from text, from a naive time (taken for UTC) or from an aware one."""
    if value is None:
        return None
    time = datetime.fromisoformat(value) if isinstance(value, str) else value
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
