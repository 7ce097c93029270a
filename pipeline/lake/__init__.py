"""The lake: landed segments, roll-ups, compacted runs and result tables in a folder of immutable files."""

from pipeline.lake.lake import Lake
from pipeline.lake.manifest import Manifest, TableFile
from pipeline.lake.paths import Chain
from pipeline.lake.rollups import Rollup
from pipeline.lake.segments import Segment
from pipeline.lake.snapshot import Snapshot

__all__ = ["Chain", "Lake", "Manifest", "Rollup", "Segment", "Snapshot", "TableFile"]
