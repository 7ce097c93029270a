"""Processes for the test of snapshots: one lands, one compacts and sweeps, until they are told to stop.

Arguments: ``land`` or ``compact``, folder of the lake. Each round trip on stdout is one action done.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from lake_support import NEVER, decoded, engine, make_lander, make_records

from pipeline.clock import SystemClock
from pipeline.errors import ChainMoved, LakeError
from pipeline.lake import Lake
from pipeline.lake.compaction import compact
from pipeline.lake.sweep import sweep

STEP = 20


def main() -> None:
    lake = Lake.open(sys.argv[2], clock=SystemClock())
    lander = make_lander(lake, settings=NEVER) if sys.argv[1] == "land" else None
    print("ready", flush=True)
    sys.stdin.readline()
    rounds = 0
    stop = Path(sys.argv[2]) / "stop"
    while not stop.exists():
        rounds += 1
        try:
            if lander is not None:
                first = lander.next_offset
                lander.accept(decoded(make_records(STEP, seed=rounds, first=first)), first, first + STEP)
                lander.land()
                if rounds % 5 == 0:
                    lander.roll_up()
            else:
                compact(lake, engine(), scope="touched" if rounds % 3 == 0 else "tail")
                sweep(lake, 0.3)
        except (ChainMoved, LakeError):
            if lander is not None:
                lander.reload()
    print(rounds, flush=True)


main()
