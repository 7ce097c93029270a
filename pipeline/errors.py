"""Every error distillwatch raises on purpose: what was wrong, where, and the way out.

Two refusals are kept apart: `RetryLater` means "hand it to me again", `InvalidRecord` means
"this record will never be good, keep it as a dead letter".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where one record came from: a Kafka offset, or a row of a file.

    ``row`` counts the records inside one Kafka message (0 for a single JSON message). For a file,
    ``topic`` is its name, ``topic_id`` ``file-<digest>``, ``partition`` 0 and ``offset`` the row number.
    """

    topic: str
    partition: int
    offset: int
    row: int = 0
    topic_id: str = ""

    def __str__(self) -> str:
        if self.topic_id.startswith("file-"):
            return f"{self.topic}, row {self.offset}"
        inside = f", record {self.row} of the message" if self.row else ""
        return f"topic {self.topic}, partition {self.partition}, offset {self.offset}{inside}"


class DistillwatchError(Exception):
    """Base of all errors that a user may meet; the command line prints it without a traceback.

    Parameters
    ----------
    message
        What was wrong, naming the value, and the way out.
    position
        The record it concerns, when there is one.
    """

    def __init__(self, message: str, position: Position | None = None) -> None:
        self.message = message
        self.position = position
        super().__init__(message if position is None else f"{position}: {message}")


class RetryLater(DistillwatchError):
    """Nothing is wrong with the input; the receiver is busy. Hand over the same thing again."""


class UsageError(DistillwatchError):
    """The caller asked for something that cannot be: exit code 2 on the command line."""


class QueryFailed(DistillwatchError):
    """The statement is allowed and DuckDB could not run it: no such column, not SQL, out of its memory."""


class QueryKilled(DistillwatchError):
    """A query was ended from outside; its session is started anew by the next one.

    Parameters
    ----------
    reason
        ``time``, ``memory``, ``cancelled``, or how its process died.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class SandboxMissing(DistillwatchError):
    """The machine cannot confine queries, and nobody said that a weaker guard will do."""


class SpaceMismatch(DistillwatchError):
    """Vectors or profiles of different embedding spaces or parameters were brought together."""


class OutOfBounds(DistillwatchError):
    """A value left the range in which the integer arithmetic is exact."""


class LakeError(DistillwatchError):
    """The lake's files contradict each other or what was asked of them."""


class ChainMoved(LakeError):
    """Another writer landed this range first: drop the work, read the head again, go on from there."""


class LostRecords(LakeError):
    """Kafka no longer has records that the chain has not landed. Never passed over silently."""


class ForeignTopic(LakeError):
    """A topic of this name exists, but it is not the one whose records were landed before."""


class VerificationFailed(DistillwatchError):
    """`verify` or `replay` found a difference; exit code 1."""


class Reason(StrEnum):
    """Why a record was rejected. The words are part of the table contract (`dead_letters.reason`)."""

    NULL_VALUE = "null_value"
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    WRONG_ENCODING = "wrong_encoding"
    NOT_ARROW = "not_arrow"
    ARROW_BOMB = "arrow_bomb"
    ARROW_SCHEMA = "arrow_schema"
    MISSING_FIELD = "missing_field"
    EMPTY_ID = "empty_id"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    BAD_TIME = "bad_time"
    TIME_BEFORE_1970 = "time_before_1970"
    TIME_BEYOND_BOUND = "time_beyond_bound"
    TEXT_WITHOUT_EMBEDDING = "text_without_embedding"
    NO_EMBEDDING = "no_embedding"
    BAD_EMBEDDING = "bad_embedding"
    WRONG_DIMENSION = "wrong_dimension"
    OTHER_SPACE = "other_space"
    NOT_FINITE = "not_finite"
    ZERO_VECTOR = "zero_vector"
    NOT_ON_GRID = "not_on_grid"


class InvalidRecord(DistillwatchError):
    """A record that can never be landed as one; it becomes a dead letter with this reason."""

    def __init__(self, reason: Reason, message: str, position: Position | None = None) -> None:
        self.reason = reason
        super().__init__(message, position)
