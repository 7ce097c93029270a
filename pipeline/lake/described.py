"""What segments and roll-ups have in common: a file of a chain that describes itself in its footer."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipeline.errors import LakeError
from pipeline.lake.parquet import read_footer
from pipeline.lake.paths import Chain

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.lake.parquet import Footer


def to_document(described: Any) -> dict[str, Any]:
    """A dataclass with a ``chain`` as the footer says it."""
    document = asdict(described)
    del document["chain"]
    return {"topic_id": described.chain.topic_id, "partition": described.chain.partition, **document}


def chain_and_rest(
    document: dict[str, Any], *, what: str, wanted: int, where: object
) -> tuple[Chain, dict[str, Any]]:
    """A footer's document as its chain and everything else.

    Raises
    ------
    LakeError
        It is of another format than ``wanted``.
    KeyError
        It lacks format or chain.
    """
    rest = dict(document)
    if rest["format"] != wanted:
        msg = f"{where} has {what} format {rest['format']}; this version reads format {wanted}"
        raise LakeError(msg)
    return Chain(rest.pop("topic_id"), rest.pop("partition")), rest


def footer_if_there(path: Path) -> Footer | None:
    """Footer of a file, None if there is no such file."""
    try:
        return read_footer(path)
    except FileNotFoundError:
        return None
