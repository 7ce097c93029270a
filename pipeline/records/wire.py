"""The native JSON record as a msgspec Struct: what the fast path accepts, and nothing else.

A message that deviates in any way (an unknown field, a whole number written ``3.0``, another log format) is
refused here and goes to `pipeline.records.interpret`, which has the time to say what is wrong. Of a key that
occurs twice the last value counts, on both ways.
"""

from __future__ import annotations

import msgspec


# gc=False: a record holds no reference that could form a cycle, and the collector need not look.
class WireRecord(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One record as it travels; field names and meaning are the contract of the log."""

    request_id: str
    account_id: str
    event_time: str | int | float
    # msgspec turns the base64 text into bytes itself.
    embedding: bytes | list[float]
    embedding_model: str | None = None
    model: str | None = None
    operation: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    choice_count: int | None = None
    logprobs: bool | None = None
    stream: bool | None = None
    reasoning_requested: bool | None = None
    prompt_hash: int | str | None = None
    template_hash: int | str | None = None
    system_prompt_hash: int | str | None = None
    language: str | None = None
    client_network: str | None = None
    asn: int | None = None
    country: str | None = None
    user_agent: str | None = None
    organization_id: str | None = None
    payment_id: str | None = None
    status: str | int | None = None
    latency_ms: int | None = None


class LenientRecord(WireRecord, forbid_unknown_fields=False, gc=False):
    """The same, with unknown fields skipped: for messages whose only fault is a field too many."""


FIELDS: tuple[str, ...] = WireRecord.__struct_fields__
KNOWN = frozenset(FIELDS)
