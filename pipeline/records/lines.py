"""The lines of a plain or compressed file, in bounded memory whatever the file holds."""

from __future__ import annotations

import bz2
import gzip
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK = 1 << 20

GZIP_MAGIC = b"\x1f\x8b"
BZIP2_MAGIC = b"BZh"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

DAMAGED = (OSError, EOFError, zlib.error, pa.ArrowException)  # what the readers below raise on broken input


@dataclass(frozen=True, slots=True)
class LongLine:
    """A line over the limit: how it begins, and how long it is."""

    head: bytes
    length: int


@contextmanager
def open_bytes(path: Path) -> Iterator[Any]:
    """The file's bytes, decompressed; its first bytes say how, not its name."""
    with path.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        if magic.startswith(GZIP_MAGIC):
            with gzip.open(file, "rb") as stream:
                yield stream
        elif magic.startswith(BZIP2_MAGIC):
            with bz2.open(file, "rb") as stream:
                yield stream
        elif magic == ZSTD_MAGIC:
            with pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd") as stream:
                yield stream
        else:
            yield file


def read_lines(stream: Any, max_line_bytes: int, head_bytes: int) -> Iterator[bytes | LongLine]:
    r"""Lines without their end (``\n`` or ``\r\n``); a last line without one counts.

    Parameters
    ----------
    max_line_bytes
        Longer lines are not held; they come as `LongLine` with ``head_bytes`` of their beginning.
    """
    pending = b""
    long_length = 0  # of the long line being skipped, 0 when none is
    while chunk := stream.read(_CHUNK):
        *complete, rest = chunk.split(b"\n")
        for part in complete:
            if long_length:
                yield LongLine(pending, long_length + len(part))
                long_length = 0
            else:
                line = pending + part if pending else part
                yield _line(line, max_line_bytes, head_bytes)
            pending = b""
        if long_length:
            long_length += len(rest)
        else:
            pending = pending + rest if pending else rest
            # One byte of grace: the line may still turn out to end in \r.
            if len(pending) > max_line_bytes + 1:
                long_length = len(pending)
                pending = pending[:head_bytes]
    if long_length:
        yield LongLine(pending, long_length)
    elif pending:
        yield _line(pending, max_line_bytes, head_bytes)


def _line(line: bytes, max_line_bytes: int, head_bytes: int) -> bytes | LongLine:
    line = line.removesuffix(b"\r")
    return line if len(line) <= max_line_bytes else LongLine(line[:head_bytes], len(line))
