"""Names in the lake: where the files of a chain, a run, a table lie."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.errors import LakeError

SEGMENTS = "segments"
ROLLUPS = "rollups"
RUNS = "runs"
TABLES = "tables"
ALERTS = "alerts"
INDICATORS = "indicators"
DOCUMENTS = (ALERTS, INDICATORS)
"""Folders of small JSON files that are part of what readers see and of no manifest's tables: put once, never changed."""
MANIFESTS = "manifest"
PARAMETERS = "parameters"
LAKE_FILE = "lake.json"
ORIGIN_FILE = "origin.json"

_TOPIC_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")


@dataclass(frozen=True, slots=True, order=True)
class Chain:
    """One partition of one topic (by id, not by name), or one file: the unit that has an order."""

    topic_id: str
    partition: int

    def __post_init__(self) -> None:
        if not _TOPIC_ID.fullmatch(self.topic_id):
            msg = f"topic id {self.topic_id!r} cannot name a folder; letters, digits, '_' and '-' only, at most 80"
            raise LakeError(msg)
        if not 0 <= self.partition < 100_000:
            msg = f"partition {self.partition} of topic id {self.topic_id}: partitions run from 0 to 99999"
            raise LakeError(msg)

    @property
    def key(self) -> str:
        """``<topic_id>/<partition>``: its name in manifests and offset vectors."""
        return f"{self.topic_id}/{self.partition}"

    @classmethod
    def parse(cls, key: str) -> Chain:
        """The chain of a key.

        Examples
        --------
        >>> Chain.parse("abc/3").partition
        3
        """
        topic_id, _, partition = key.rpartition("/")
        return cls(topic_id, int(partition))

    @property
    def is_file(self) -> bool:
        """Whether this chain is a file's: its topic id is the digest of its content."""
        return self.topic_id.startswith("file-")

    @property
    def folder(self) -> str:
        """``<topic_id>/<partition, 5 digits>``."""
        return f"{self.topic_id}/{self.partition:05d}"

    @property
    def origin(self) -> str:
        """Key of the file that says where the chain began."""
        return f"{SEGMENTS}/{self.folder}/{ORIGIN_FILE}"

    def segment(self, first_offset: int) -> str:
        """Key of the segment that begins at an offset."""
        return f"{SEGMENTS}/{self.folder}/{first_offset:020d}.parquet"

    def rollup(self, first_offset: int) -> str:
        """Key of the light half of a roll-up, its commit."""
        return f"{ROLLUPS}/{self.folder}/{first_offset:020d}.windows.parquet"

    def heavy(self, first_offset: int, writer: str) -> str:
        """Key of the heavy half of a roll-up; names its writer, since losers of the race have one too."""
        return f"{ROLLUPS}/{self.folder}/{first_offset:020d}-{writer}.profiles.parquet"


def manifest_key(number: int) -> str:
    """Key of a manifest."""
    return f"{MANIFESTS}/{number:010d}.json"


def run_folder(run_id: str, date: str) -> str:
    """Folder of one date of one run."""
    return f"{RUNS}/{run_id}/date={date}"
