"""The bounded sample of records that lake signals look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.signals.lake.base import SAMPLE, LakeAccounts, Sample
from pipeline.signals.sequence.base import spaced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def sample_of(tables: Sequence[pa.Table], dimension: int, size: int = SAMPLE) -> Sample:
    """Evenly spaced records of every account.

    Parameters
    ----------
    tables
        One per account, in the profiles' order, each sorted by (event time, request id); needs ``event_time``,
        ``embedding``, ``prompt_hash`` and ``model``. Empty tables are accounts without records.
    dimension
        Of the embedding space.
    size
        Records per account at most.
    """
    kept = [table.take(pa.array(spaced(np.arange(table.num_rows), size))) for table in tables]
    owner = np.repeat(np.arange(len(kept)), [table.num_rows for table in kept]).astype(np.int64)
    if len(owner) == 0:
        none = np.empty(0, np.int64)
        return Sample(none, np.empty((0, dimension), np.int8), none, none, none)
    columns = ["event_time", "embedding", "prompt_hash", "model"]
    table = pa.concat_tables([each.select(columns) for each in kept]).combine_chunks()
    data = b"".join(table["embedding"].to_pylist())
    vectors = np.frombuffer(data, np.int8).reshape(len(owner), dimension)
    time = table["event_time"].cast(pa.timestamp("us")).cast(pa.int64()).to_numpy().astype(np.int64)
    return Sample(owner, vectors, _codes(table["prompt_hash"]), _codes(table["model"]), time)


def unit(accounts: LakeAccounts, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Vectors of sampled rows as float32, for a product that is exact: grid vectors have one length but for rounding."""
    return accounts.sample.vectors[rows].astype(np.float32)


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    encoded = pa.concat_arrays(column.chunks).dictionary_encode()
    return np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
