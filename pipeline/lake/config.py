"""`lake.json`: what every file of one lake has in common, decided once."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from pipeline.errors import LakeError
from pipeline.lake.documents import canonical, digest
from pipeline.spaces import EmbeddingSpace

FORMAT = 1
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class LakeConfig:
    """The fixed part of a lake.

    Parameters
    ----------
    space
        Embedding space of every record.
    window_seconds
        Length of a window; divides a day, so that no window lies in two dates.
    parameters
        Fingerprint of the kernel parameters of every profile.
    pseudonym_fingerprint
        Fingerprint of the pseudonym key; None: identifiers are landed as they came.
    """

    space: EmbeddingSpace
    window_seconds: int
    parameters: str
    pseudonym_fingerprint: str | None = None
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.window_seconds < 1 or DAY_SECONDS % self.window_seconds:
            msg = f"window length is {self.window_seconds} s; it has to divide a day (86400 s)"
            raise LakeError(msg)

    @property
    def fingerprint(self) -> str:
        """BLAKE2b-256 over the canonical form; in the metadata of every landed file."""
        return digest(canonical(self.to_document()))

    @property
    def window_microseconds(self) -> int:
        """Length of a window in the unit of timestamps."""
        return self.window_seconds * 1_000_000

    def to_document(self) -> dict[str, object]:
        """As `lake.json` says it."""
        return {
            "format": self.format,
            "space": asdict(self.space),
            "window_seconds": self.window_seconds,
            "parameters": self.parameters,
            "pseudonym_fingerprint": self.pseudonym_fingerprint,
        }

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> LakeConfig:
        """Read `lake.json`.

        Raises
        ------
        LakeError
            It is not one, or of a format that this version does not know.
        """
        try:
            document = json.loads(data)
            found = document["format"]
            if found != FORMAT:
                msg = f"{where} has lake format {found}; this version of distillwatch reads format {FORMAT}"
                raise LakeError(msg)
            return cls(
                space=EmbeddingSpace(**document["space"]),
                window_seconds=document["window_seconds"],
                parameters=document["parameters"],
                pseudonym_fingerprint=document["pseudonym_fingerprint"],
                format=found,
            )
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{where} does not describe a lake ({error!r}); is this the right folder?"
            raise LakeError(msg) from error
