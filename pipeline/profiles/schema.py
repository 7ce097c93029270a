"""What a profile is made of, and how it lies in Arrow tables. Column order is part of the format."""

from __future__ import annotations

import pyarrow as pa

from pipeline.kernels.distinct import SKETCH
from pipeline.kernels.histograms import HASH_BUCKETS, LOG2_BUCKETS

TOPICS = 256
"""Centroids of a codebook, C."""

PROJECTED = 32
"""Dimensions of the projection behind `moment`, k."""

MOMENT_CELLS = PROJECTED * (PROJECTED + 1) // 2
"""Numbers in the packed lower triangle."""

FEATURES = 256
"""Random Fourier features behind `kernel_mean`, D."""

LIGHT_FIELDS = (
    "records",
    "input_tokens",
    "output_tokens",
    "embedding_norm2",
    "reasoning_requested",
    "logprobs",
    "multiple_choices",
    "streamed",
    "errors",
    "refusals",
    "other_language",
)
RECORDS = LIGHT_FIELDS.index("records")
COUNTERS = [number for number, name in enumerate(LIGHT_FIELDS) if not name.endswith("_tokens")]
"""Columns of the light fields that can never be negative."""

EMBEDDING_NORM2 = LIGHT_FIELDS.index("embedding_norm2")

ASKABLE_FIELDS = {
    "topic_count": TOPICS,
    "input_tokens_histogram": LOG2_BUCKETS,
    "output_tokens_histogram": LOG2_BUCKETS,
    "latency_histogram": LOG2_BUCKETS,
    "minute_histogram": 60,
    "hour_histogram": 24,
    "sampling_hashed_count": HASH_BUCKETS,
    "template_hashed_count": HASH_BUCKETS,
    "system_prompt_hashed_count": HASH_BUCKETS,
    "client_network_hashed_count": HASH_BUCKETS,
    "user_agent_hashed_count": HASH_BUCKETS,
    "model_hashed_count": HASH_BUCKETS,
}


def _offsets() -> dict[str, int]:
    offsets, offset = {}, 0
    for name, size in ASKABLE_FIELDS.items():
        offsets[name] = offset
        offset += size
    return offsets


CELL_OFFSETS = _offsets()
"""Where each askable field begins in a row of cells."""

CELLS = sum(ASKABLE_FIELDS.values())
"""All askable fields side by side."""

DISTINCT_FIELDS = ("prompt_distinct", "template_distinct", "client_network_distinct")

HEAVY_MIN_RECORDS = 8
"""Below this a heavy row costs more than the records it comes from, so it is not landed."""

PROFILE_BYTES_KEY = b"distillwatch."
NARROW_FIELDS = ("embedding_sum", "kernel_mean")
"""Heavy fields whose width (int32 or int64) the file metadata names, as ``distillwatch.<field>``."""

_BUCKETS = pa.list_(pa.struct([pa.field("bucket", pa.int32()), pa.field("count", pa.int64())]))

_KEY_FIELDS = (
    pa.field("account_id", pa.string(), nullable=False),
    pa.field("window_start", pa.timestamp("us"), nullable=False),
)

WINDOWS_SCHEMA = pa.schema(
    [
        *_KEY_FIELDS,
        *(pa.field(name, pa.int64(), nullable=False) for name in LIGHT_FIELDS),
        *(pa.field(name, _BUCKETS, nullable=False) for name in ASKABLE_FIELDS),
    ]
)
"""Light and askable parts, a row for every account and window."""

PROFILES_SCHEMA = pa.schema(
    [
        *_KEY_FIELDS,
        pa.field("records", pa.int64(), nullable=False),
        pa.field("embedding_sum", pa.binary(), nullable=False),
        pa.field("moment", pa.binary(), nullable=False),
        pa.field("kernel_mean", pa.binary(), nullable=False),
        *(pa.field(name, pa.binary(), nullable=False) for name in DISTINCT_FIELDS),
    ]
)
"""Heavy parts, a row for every account and window with enough records."""

__all__ = [
    "ASKABLE_FIELDS",
    "CELLS",
    "CELL_OFFSETS",
    "COUNTERS",
    "DISTINCT_FIELDS",
    "EMBEDDING_NORM2",
    "FEATURES",
    "HEAVY_MIN_RECORDS",
    "LIGHT_FIELDS",
    "MOMENT_CELLS",
    "NARROW_FIELDS",
    "PROFILES_SCHEMA",
    "PROFILE_BYTES_KEY",
    "PROJECTED",
    "RECORDS",
    "SKETCH",
    "TOPICS",
    "WINDOWS_SCHEMA",
]
