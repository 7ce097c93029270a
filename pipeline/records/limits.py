"""The bounds inside which a record is believed, in one place."""

from __future__ import annotations

from dataclasses import dataclass

MAX_ID_BYTES = 512  # longer ids are refused: cutting them could make two accounts one
MAX_TEXT_BYTES = (
    512  # longer descriptions are cut: an attacker chooses his user agent, and must not get out by it
)
MAX_COUNT = 2**40  # tokens, choices, milliseconds; sums over 2**23 records stay inside int64
MAX_ASN = 2**32 - 1
MAX_REAL = 1e9  # temperature and top_p; the engine multiplies them by 10,000
MAX_RAW_BYTES = 64 * 1024  # what is kept of a rejected message
MAX_UNKNOWN_NAMES = 64  # distinct names of unknown fields that are counted apart
MAX_NAME_CHARACTERS = 64
MAX_DETAIL_CHARACTERS = 600
OTHER_NAMES = "…"  # the rest of the unknown names are counted here

DEFAULT_MAX_FUTURE_SECONDS = 3600


DEFAULT_MAX_MESSAGE_BYTES = 1024 * 1024  # what Kafka itself allows by default
DEFAULT_MAX_ROWS = 65_536
DEFAULT_MAX_UNCOMPRESSED_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What one message may hold.

    Parameters
    ----------
    max_message_bytes
        Longer messages are rejected unread.
    max_rows
        Records in one Arrow message.
    max_uncompressed_bytes
        Bytes of all buffers of one Arrow message after decompression, as its own headers state them.
    """

    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    max_rows: int = DEFAULT_MAX_ROWS
    max_uncompressed_bytes: int = DEFAULT_MAX_UNCOMPRESSED_BYTES


def shorten(value: object, characters: int = 60) -> str:
    """``repr`` of a value for an error message, cut to a readable length."""
    text = repr(value[: characters * 2]) if isinstance(value, str | bytes) else repr(value)
    return text if len(text) <= characters else text[: characters - 1] + "…"


def cut(text: str, characters: int = 60) -> str:
    """A text for an error message, as it is but no longer than that."""
    return text if len(text) <= characters else text[: characters - 1] + "…"
