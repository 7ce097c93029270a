"""A roll-up: the profiles of a contiguous run of segments, as a light and a heavy file.

The light file (``.windows.parquet``) is the commit: it is put last, under a name that only one writer can
take, and says which heavy file belongs to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import LakeError
from pipeline.lake.described import chain_and_rest, footer_if_there, to_document

if TYPE_CHECKING:
    from pipeline.lake.paths import Chain
    from pipeline.lake.store import Store

ROLLUP_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Rollup:
    """What a roll-up says of itself; ``records`` are those of the segments it sums up."""

    chain: Chain
    topic: str
    first_offset: int
    last_offset: int
    segments: int
    records: int
    windows: int
    heavy: str
    heavy_rows: int
    heavy_digest: str
    profiles_digest: str
    lake_fingerprint: str
    parameters: str
    window_seconds: int
    code: str
    writer: str
    created_at: str
    format: int = ROLLUP_FORMAT

    @property
    def next_offset(self) -> int:
        """Where the chain of roll-ups goes on."""
        return self.last_offset + 1

    @property
    def key(self) -> str:
        """Where its light file lies."""
        return self.chain.rollup(self.first_offset)

    def to_document(self) -> dict[str, Any]:
        """As the light file's metadata says it."""
        return to_document(self)

    @classmethod
    def from_document(cls, document: dict[str, Any], where: object) -> Rollup:
        """Read a light file's metadata.

        Raises
        ------
        LakeError
            The document is of another format or lacks something.
        """
        try:
            chain, rest = chain_and_rest(document, what="roll-up", wanted=ROLLUP_FORMAT, where=where)
            return cls(chain=chain, **rest)
        except (KeyError, TypeError) as error:
            msg = f"{where} is not a roll-up ({error!r}); delete it, it is rebuilt from the segments"
            raise LakeError(msg) from error


def read_rollup(store: Store, chain: Chain, first_offset: int) -> Rollup | None:
    """Metadata of the roll-up that begins at an offset, None if there is none.

    Raises
    ------
    LakeError
        The file under that name says that it is something else.
    """
    path = store.path(chain.rollup(first_offset))
    footer = footer_if_there(path)
    if footer is None:
        return None
    rollup = Rollup.from_document(footer.metadata, path)
    if (rollup.chain, rollup.first_offset) != (chain, first_offset) or rollup.last_offset < first_offset:
        msg = f"{path} says it begins at offset {rollup.first_offset} of chain {rollup.chain.key}; delete it"
        raise LakeError(msg)
    return rollup
