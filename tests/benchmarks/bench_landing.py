"""What landing costs: ``python tests/benchmarks/bench_landing.py [--records 65536] [--segments 4]``.

Prints wall and CPU seconds of `land` and `roll_up` on records of 384 dimensions, and of reading them back. The folder
decides what fsync costs; the share of a put is printed apart.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline" / "lake"))

from lake_support import NEVER, decoded, engine, make_lake, make_lander, make_records

from pipeline.lake.compaction import compact
from pipeline.lake.coverage import check_coverage
from pipeline.lake.reader import iter_profiles, read_profiles
from pipeline.lake.recompute import recompute
from pipeline.lake.store import LocalStore
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SPACE = EmbeddingSpace()


class TimedStore(LocalStore):
    seconds = 0.0

    def put_file(self, temporary: Path, key: str) -> bool:
        began = time.perf_counter()
        try:
            return super().put_file(temporary, key)
        finally:
            self.seconds += time.perf_counter() - began


@contextmanager
def timed(name: str, records: int, size: Callable[[], int] | None = None) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    line = f"{name:28} {wall:7.2f} s wall {cpu:7.2f} s CPU {records / wall:11,.0f} records/s {records / cpu:11,.0f} per CPU s"
    print(line + (f" {size() / wall / 1e6:8.1f} MB/s" if size else ""))


def main(arguments: Any) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=65_536)
    parser.add_argument("--segments", type=int, default=4)
    parser.add_argument("--accounts", type=int, default=500)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args(arguments)
    count = options.records
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        store = TimedStore(Path(folder))
        lake = make_lake(Path(folder), store=store, space=SPACE)
        lander = make_lander(lake, settings=NEVER)
        batches = [
            make_records(count, seed=n, first=n * count, space=SPACE, accounts=options.accounts, skew=0.01)
            for n in range(options.segments)
        ]
        total = count * options.segments
        for number, batch in enumerate(batches):
            lander.accept(decoded(batch), number * count, (number + 1) * count)
            store.seconds = 0.0
            with timed(
                "land", count, lambda: lake.store.path(lake.snapshot().segments[-1].key).stat().st_size
            ):
                lander.land()
            print(f"  of that put (fsync, link): {store.seconds:.3f} s")
        with timed("profiles alone", total):
            for batch in batches:
                engine(SPACE).profiles(batch)
        with timed("roll_up", total):
            rollup = lander.roll_up()
        print(f"  {rollup.windows} windows, {rollup.heavy_rows} heavy rows")
        snapshot = lake.snapshot()
        with timed("iter_profiles, rolled up", total):
            windows = sum(len(block) for block in iter_profiles(snapshot, engine(SPACE)))
        print(f"  {windows} windows")
        names = sorted(set(batches[0].column("account_id").to_pylist()))[:3]
        with timed("read_profiles, 3 accounts", total):
            read_profiles(snapshot, engine(SPACE), names)
        with timed("check_coverage", total):
            assert check_coverage(snapshot).holds
        with timed("recompute, all", total):
            assert not recompute(snapshot, engine(SPACE)).differences
        with timed("compact", total):
            compact(lake, engine(SPACE))
        with timed("iter_profiles, compacted", total):
            sum(len(block) for block in iter_profiles(lake.snapshot(), engine(SPACE)))


if __name__ == "__main__":
    main(sys.argv[1:])
