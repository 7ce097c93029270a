"""Backends on which the same integers must come out, and records with every trap in them."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.backend import CudaTextBackend, CupyBackend, NumpyBackend, Sums, _cupy, cuda_source
from pipeline.parameters import Parameters
from pipeline.records.schema import record_schema
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.scoring import Scoring
    from pipeline.simulate.world import World

SHIM = """
#include <cmath>
#define __global__
struct Index { int x; };
static thread_local Index threadIdx, blockIdx, blockDim;
static inline unsigned long long atomicAdd(unsigned long long* place, unsigned long long value)
{ unsigned long long before = *place; *place += value; return before; }
"""

SIGNATURE = re.compile(r'extern "C" __global__ void (\w+)\(([^)]*)\)')


def _runner(name: str, declared: str) -> str:
    names = ", ".join(part.split()[-1].lstrip("*") for part in declared.split(","))
    return (
        f'extern "C" void run_{name}(int blocks, int threads, {declared})\n{{ blockDim.x = threads;\n'
        f"for (int b = 0; b < blocks; ++b) for (int t = 0; t < threads; ++t)\n"
        f"{{ blockIdx.x = b; threadIdx.x = t; {name}({names}); }} }}\n"
    )


@pytest.fixture(scope="session")
def cuda_text(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """The CUDA text compiled for the CPU: a launcher that runs its threads one after the other."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++")
    source = cuda_source()
    folder = tmp_path_factory.mktemp("cuda_text")
    text, library = folder / "profile.cpp", folder / "profile.so"
    text.write_text(SHIM + source + "".join(_runner(*match.groups()) for match in SIGNATURE.finditer(source)))
    # Signed overflow and out-of-range shifts and casts stop the process instead of passing unseen.
    checks = ["-fsanitize=undefined,float-cast-overflow", "-fsanitize-undefined-trap-on-error"]
    subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "-Wall", *checks, str(text), "-o", str(library)], check=True
    )
    loaded = ctypes.CDLL(str(library))

    def launch(name: str, blocks: int, threads: int, *arguments: Any) -> None:
        typed = []
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                assert argument.flags.c_contiguous
                typed.append(ctypes.c_void_p(argument.ctypes.data))
            else:
                typed.append(ctypes.c_int(argument))
        getattr(loaded, f"run_{name}")(ctypes.c_int(blocks), ctypes.c_int(threads), *typed)

    return launch


class ReadOnlyNumpy(NumpyBackend):
    """numpy that may not write to what it is given."""

    name = "numpy-readonly"

    def sums(self, q: np.ndarray, starts: np.ndarray, parameters: Parameters, out: Sums) -> None:
        q, starts = q.copy(), starts.copy()
        q.flags.writeable = starts.flags.writeable = False
        super().sums(q, starts, parameters, out)

    def heavy_sums(self, q: np.ndarray, starts: np.ndarray, parameters: Parameters, out: Sums) -> None:
        q, starts = q.copy(), starts.copy()
        q.flags.writeable = starts.flags.writeable = False
        super().heavy_sums(q, starts, parameters, out)


@pytest.fixture(params=["numpy", "numpy-readonly", "cuda-text", pytest.param("cupy", marks=pytest.mark.gpu)])
def backend(request: pytest.FixtureRequest) -> Any:
    """Every backend; all of them must give the same integers."""
    if request.param == "numpy":
        return NumpyBackend()
    if request.param == "numpy-readonly":
        return ReadOnlyNumpy()
    if request.param == "cuda-text":
        return CudaTextBackend(np, request.getfixturevalue("cuda_text"))
    if _cupy() is None:
        if request.config.getoption("--fail-missing-gpu"):
            pytest.fail("no CUDA device")
        pytest.skip("no CUDA device")
    return CupyBackend()


def grid_vectors(rng: np.random.Generator, n: int, space: EmbeddingSpace) -> np.ndarray:
    """Random unit vectors on the grid, int8[n, d]."""
    x = rng.normal(size=(n, space.dimension))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    # In few dimensions a coordinate can leave the grid; what is left is shorter, never longer.
    return np.clip(np.rint(x * space.scale), -127, 127).astype(np.int8)


SMALL = EmbeddingSpace("small", 8)


@pytest.fixture(scope="session")
def small_parameters() -> Parameters:
    """Parameters of a space of 8 dimensions, for tests that only need something quick."""
    return Parameters.generate(SMALL)


TRAPS: dict[str, list[Any]] = {
    "model": ["m-1", "m-2", None, ""],
    "input_tokens": [0, 1, 2, 3, 1023, 1024, 2**31, 2**40, None],
    "output_tokens": [-1, 0, 7, 8, None],
    "temperature": [0.0, 0.7, 0.70001, 1.0, float("nan"), float("inf"), 1e300, None],
    "top_p": [0.9, 1.0, None],
    "max_tokens": [1, 4096, None],
    "choice_count": [0, 1, 2, None],
    "logprobs": [True, False, None],
    "stream": [True, False, None],
    "reasoning_requested": [True, False, None],
    "prompt_hash": [0, 1, 2**64 - 2, 2**64 - 1, 2**63, None],
    "template_hash": [5, 2**64 - 1, None],
    "system_prompt_hash": [64, 2**64 - 1, None],
    "language": ["en", "EN-us", "en_GB", "de", "zh-Hant", "", None],
    "client_network": ["10.0.0.0/24", "10.0.1.0/24", "netz-\u00e4", None],
    "user_agent": ["ua/1", "ua/2", None],
    "status": [
        "ok",
        "Error",
        "TIMEOUT",
        "failure",
        "429",
        "503",
        "200",
        "4xx",
        "refused",
        "content_filter",
        None,
    ],
    "latency_ms": [0, 1, 250, None],
}


def make_rows(
    rng: np.random.Generator,
    n: int,
    *,
    space: EmbeddingSpace = SMALL,
    accounts: tuple[str, ...] = ("a", "b", "b\t", "\u00e9", "z", "\U0001f600", "\uffff"),
    hours: int = 3,
    distinct_hashes: bool = False,
) -> list[dict[str, Any]]:
    """Decoded records as dictionaries, with nulls and edge values in every optional column."""
    vectors = grid_vectors(rng, n, space)
    start = 1_760_000_400_000_000
    rows = []
    for number in range(n):
        row: dict[str, Any] = {
            "topic_id": "t",
            "topic": "t",
            "partition": 0,
            "offset": number,
            "row": 0,
            "request_id": f"r-{number}",
            "account_id": accounts[int(rng.integers(len(accounts)))],
            "event_time": start + int(rng.integers(hours * 3600 * 10**6)),
            "embedding": vectors[number].tobytes(),
        }
        for name, values in TRAPS.items():
            row[name] = values[int(rng.integers(len(values)))]
        if distinct_hashes:
            row["prompt_hash"] = int(rng.integers(2**64, dtype=np.uint64))
        rows.append(row)
    return rows


def make_table(rows: list[dict[str, Any]], space: EmbeddingSpace = SMALL) -> pa.Table:
    """The same records as a table of the record schema."""
    schema = record_schema(space)
    return pa.table(
        [pa.array([row.get(field.name) for row in rows], field.type) for field in schema], schema=schema
    )


@pytest.fixture(scope="session")
def vectors_of() -> Callable[..., np.ndarray]:
    """`grid_vectors`: (rng, n, space) -> int8[n, d]."""
    return grid_vectors


@pytest.fixture(scope="session")
def rows_of() -> Callable[..., list[dict[str, Any]]]:
    """`make_rows`: (rng, n, ...) -> records as dictionaries."""
    return make_rows


@pytest.fixture(scope="session")
def table_of() -> Callable[..., pa.Table]:
    """`make_table`: (rows, space) -> table."""
    return make_table


@pytest.fixture(scope="session")
def fresh_sums() -> Callable[..., Sums]:
    """(n, groups, d) -> `Sums` filled with rubbish, because a backend must overwrite all of it."""

    def make(n: int, groups: int, d: int) -> Sums:
        sizes = {"topic": (n,), "norm2": (n,), "embedding_sum": (groups, d)}
        sizes |= {"moment": (groups, 528), "kernel_mean": (groups, 256)}
        return Sums(**{name: np.full(size, -7, dtype=np.int64) for name, size in sizes.items()})

    return make


@dataclass(frozen=True)
class ScoredLake:
    """A simulated lake with a planted hydra, scored as any lake is, and who in it is what."""

    root: Path
    world: World
    scoring: Scoring


@pytest.fixture(scope="session")
def scored_lake(tmp_path_factory: pytest.TempPathFactory) -> ScoredLake:
    """120 accounts, made once; work on copies, or read only."""
    import pyarrow.parquet as pq

    from pipeline.assembly import engine_for, open_or_create_lake
    from pipeline.clock import ManualClock
    from pipeline.ingest import ingest_file
    from pipeline.landing import LandingSettings
    from pipeline.records.decode import RecordDecoder
    from pipeline.scoring import score_lake
    from pipeline.simulate.records import Traffic
    from pipeline.simulate.world import WorldSettings, build_world

    folder = tmp_path_factory.mktemp("scored")
    world = build_world(WorldSettings(records=12_000, accounts=120, seed=5, attack_share=0.15, days=4))
    log = folder / "log.parquet"
    pq.write_table(pa.concat_tables(Traffic(world, datetime(2026, 1, 12, tzinfo=UTC))), log)
    clock = ManualClock(datetime(2026, 1, 20, 9, 30, tzinfo=UTC))
    lake = open_or_create_lake(folder / "lake", clock=clock)
    engine = engine_for(lake, "numpy")
    ingest_file(
        lake,
        engine,
        RecordDecoder(lake.config.space, adapter="native"),
        log,
        clock=clock,
        settings=LandingSettings(segment_seconds=float("inf"), roll_up_seconds=float("inf")),
    )
    return ScoredLake(folder / "lake", world, score_lake(lake, lake.snapshot(), engine, clock, fdr=0.2))
