"""A process that lands one partition from the chain's head to the end, telling each step on the disk.

It is killed by the test that started it. Arguments: folder of the lake, records in all, seed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent))

from faulty_store import FaultyStore
from lake_support import NEVER, TOPIC_ID, engine, make_lander, make_records, part

from pipeline.clock import SystemClock
from pipeline.errors import ChainMoved, LakeError
from pipeline.lake import Lake
from pipeline.lake.compaction import compact


class TellingStore(FaultyStore):
    def point(self) -> None:
        sys.stdout.write(".\n")
        sys.stdout.flush()


def main() -> None:
    folder, count, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    random = Random(seed)
    records = make_records(count, seed=9)
    lake = Lake.open(folder, store=TellingStore(folder), clock=SystemClock())
    lander = make_lander(lake, settings=NEVER)
    while lander.next_offset < count:
        low = lander.next_offset
        high = min(count, low + random.randrange(1, 120))
        try:
            lander.accept(part(records, low, high), low, high)
            if random.random() < 0.6:
                lander.land()
            if random.random() < 0.2:
                lander.roll_up()
            if random.random() < 0.1:
                compact(lake, engine(), scope=random.choice(["tail", "touched"]))
        except (ChainMoved, LakeError):
            lander.reload()
    while True:
        try:
            lander.close()
            break
        except ChainMoved:
            lander.reload()
    assert lake.head(TOPIC_ID, 0) == count
    print("done", flush=True)


main()
