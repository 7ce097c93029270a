"""Grid embeddings of known sources, read from a folder of Parquet files, one file per source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UsageError
from pipeline.spaces import DEFAULT_MODEL, EmbeddingSpace

if TYPE_CHECKING:
    import numpy.typing as npt

DEFAULT_FOLDER = Path("../shared/data/embeddings")


@dataclass(frozen=True, slots=True)
class Corpus:
    """Embeddings of several sources: ``vectors`` int8[n, d], ``source`` int64[n] into ``names``."""

    space: EmbeddingSpace
    names: tuple[str, ...]
    vectors: npt.NDArray[np.int8]
    source: npt.NDArray[np.int64]

    def rows_of(self, name: str) -> npt.NDArray[np.int8]:
        """The vectors of one source, int8[m, d]."""
        rows: npt.NDArray[np.int8] = self.vectors[self.source == self.names.index(name)]
        return rows

    def balanced(self, cap: int) -> Corpus:
        """At most ``cap`` rows of each source, evenly spaced over its rows, so that none outweighs the rest."""
        kept = []
        for number in range(len(self.names)):
            rows = np.flatnonzero(self.source == number)
            if len(rows) > cap:
                rows = rows[(np.arange(cap) * len(rows)) // cap]
            kept.append(rows)
        index = np.concatenate(kept)
        return Corpus(self.space, self.names, self.vectors[index], self.source[index])


def read_corpus(folder: Path | str = DEFAULT_FOLDER, model: str = DEFAULT_MODEL) -> Corpus:
    """Read every ``*.parquet`` of a folder, in order of name; column ``embedding`` is fixed_size_binary(d).

    Raises
    ------
    UsageError
        The folder has no such file, a file has another type, or the files differ in dimension.
    """
    paths = sorted(Path(folder).glob("*.parquet"))
    if not paths:
        msg = f"{folder} has no Parquet files; name a folder with one file of embeddings per source"
        raise UsageError(msg)
    blocks = [_vectors(path) for path in paths]
    dimensions = sorted({block.shape[1] for block in blocks})
    if len(dimensions) > 1:
        msg = f"files of {folder} differ in dimension: {dimensions}; one folder holds one embedding space"
        raise UsageError(msg)
    source = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
    return Corpus(
        EmbeddingSpace(model, dimensions[0]),
        tuple(path.stem for path in paths),
        np.concatenate(blocks),
        source,
    )


def _vectors(path: Path) -> npt.NDArray[np.int8]:
    column = pq.read_table(path, columns=["embedding"]).column("embedding").combine_chunks()
    if not pa.types.is_fixed_size_binary(column.type) or column.null_count:
        msg = (
            f"{path}: column embedding is {column.type}; it must be fixed_size_binary(d) of int8 grid values"
        )
        raise UsageError(msg)
    width = column.type.byte_width
    values = np.frombuffer(column.buffers()[1], dtype=np.int8)
    return values[column.offset * width : (column.offset + len(column)) * width].reshape(-1, width)
