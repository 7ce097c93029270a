"""Whatever bytes follow the mark of an Arrow stream: records or rejected rows come out, never a crash or an exception.

In a child process, because a fault inside the Arrow library would take the test runner with it.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

CHILD = r"""
import random, struct, sys, resource
import numpy as np, pyarrow as pa
from pipeline.records.decode import RecordDecoder
from pipeline.records.grid import quantise
from pipeline.records.ipc import write_stream
from pipeline.spaces import EmbeddingSpace

seed, examples = int(sys.argv[1]), int(sys.argv[2])
space = EmbeddingSpace("toy", 16)
rng = np.random.default_rng(seed)
x = rng.normal(size=(5, 16)).astype(np.float32)
q = quantise(x, space)
plain = pa.table({
    "request_id": [f"r{i}" for i in range(5)],
    "account_id": ["a", "b", "a", "ä", "c"],
    "event_time": pa.array([1_767_225_600_000_000 + i for i in range(5)], pa.timestamp("us")),
    "embedding": pa.array([row.tobytes() for row in q], pa.binary(16)),
    "input_tokens": pa.array([1, 2, None, 4, 5]),
    "temperature": pa.array([.1, .2, .3, None, 1.]),
    "stream": pa.array([True, None, False, True, True]),
    "prompt_hash": pa.array([1, 2, 3, 4, 5], pa.uint64()),
    "user_agent": ["x" * 300] * 5,
})
def with_(name, column):
    return plain.set_column(plain.column_names.index(name), name, column)
lists = pa.array(list(x), pa.list_(pa.float32()))
tables = [
    plain,
    with_("embedding", lists),
    with_("embedding", lists.cast(pa.large_list(pa.float32()))),
    with_("embedding", lists.cast(pa.list_(pa.float32(), 16))),
    with_("account_id", plain["account_id"].combine_chunks().dictionary_encode()),
    with_("account_id", plain["account_id"].cast(pa.string_view())),
    with_("account_id", plain["account_id"].cast(pa.large_string())),
    plain.append_column("stranger", pa.array([[{"a": [1]}]] * 5)),
    plain.append_column("prompt", pa.nulls(5)),
]
bases = [write_stream(t, c) for t in tables for c in (None, "zstd", "lz4")]
random.seed(seed)
numbers = [0, 1, -1, 7, 8, 2**7, 2**15, 2**16, 2**31 - 1, -2**31, 2**32, 2**62, 2**63 - 1, -2**63]

def mutate(base):
    value = bytearray(base)
    for _ in range(random.choice([1, 1, 1, 2, 3, 8])):
        kind, at = random.randrange(6), random.randrange(4, len(value))
        if kind == 0:
            value[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            value[at] = random.randrange(256)
        elif kind == 2:
            at -= at % 4
            number = random.choice(numbers)
            value[at : at + 8] = struct.pack("<q", number)
        elif kind == 3:
            at -= at % 4
            value[at : at + 4] = struct.pack("<I", random.choice(numbers) & 0xFFFFFFFF)
        elif kind == 4:
            other = random.choice(bases)
            length = random.randrange(1, 64)
            start = random.randrange(len(other))
            value[at : at + length] = other[start : start + length]
        else:
            del value[at : at + random.randrange(1, 16)]
        if len(value) < 8:
            break
    return bytes(value)

decoder = RecordDecoder(space)
at = {"topic_id": "T", "topic": "t", "partition": 0, "offsets": np.array([7])}
reasons = {}
for number in range(examples):
    value = mutate(random.choice(bases))
    try:
        decoded = decoder.decode_messages([value], **at)
        decoded.records.validate(full=True)
        decoded.rejected.validate(full=True)
        assert len(decoded.records) + len(decoded.rejected) >= 1
        assert set(decoded.records["offset"].to_pylist() + decoded.rejected["offset"].to_pylist()) == {7}
    except BaseException as error:
        print(number, value.hex(), file=sys.stderr)
        raise
    for reason in decoded.rejected["reason"].to_pylist() or ["-"]:
        reasons[reason] = reasons.get(reason, 0) + 1
print(reasons)
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1_500_000, "memory was not bounded"
"""


def run(seed: int, examples: int) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHILD, str(seed), str(examples)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stderr[-4000:]}"
    return done.stdout


def test_mutated_streams_are_rejected_rows_or_records() -> None:
    reasons = run(1, 1500)
    # The mutations reach past the header checks into the library and into single rows.
    for reason in ("'-'", "not_arrow", "arrow_bomb", "arrow_schema", "not_on_grid"):
        assert reason in reasons


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
def test_many_mutated_streams(seed: int) -> None:
    run(seed, 20_000)
