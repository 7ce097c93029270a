"""One digest of all profiles, independent of how they were landed and of how they are handed over."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import UsageError
from pipeline.kernels.distinct import PADDING

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.profiles.table import Profiles

_HEAVY = ("embedding_sum", "moment", "kernel_mean")
_INT32 = 2**31


class Digester:
    """Digest of key-ordered disjoint blocks of profiles, fed one by one in bounded memory.

    The *light* digest is easy to reproduce elsewhere: BLAKE2b-256 over one line per key in key order,
    ``account_id``, ``window_start`` in microseconds, the eleven light fields, separated by tabs, each line ended
    by a newline, UTF-8.

    The full digest hashes every field as a stream of its own, so that neither blocks nor their sizes show:
    zeros of the cells and padding of the sketches are left out behind counts, and heavy rows whose numbers fit
    are written as int32, with a flag. Its value is BLAKE2b-256 over the parameters' fingerprint and, by name,
    the streams' digests.

    Parameters
    ----------
    light_only
        Leave everything but the light digest out.
    heavy_from
        Leave the heavy part of rows with fewer records out: a digest of what is landed, the same for profiles that
        have those parts and for profiles made for landing without them.
    """

    def __init__(self, *, light_only: bool = False, heavy_from: int = 0) -> None:
        self._light_only = light_only
        self._heavy_from = heavy_from
        self._light = hashlib.blake2b(digest_size=32)
        self._streams: dict[str, Any] = {}
        self._fingerprint = ""
        self._last: tuple[bytes, int] | None = None
        self.rows = 0

    def update(self, profiles: Profiles) -> None:
        """Add a block; its keys must all come after those added before.

        Raises
        ------
        UsageError
            Keys are not in order.
        SpaceMismatch
            The block was made with other parameters.
        """
        if not self._fingerprint:
            self._fingerprint = profiles.parameters.fingerprint
            self._parameters = profiles.parameters
        self._parameters.require_same(profiles.parameters)
        if len(profiles) == 0:
            return
        names = [str(name).encode() for name in profiles.account_id]
        windows = profiles.window_start.tolist()
        self._check_order(names, windows)
        self.rows += len(names)
        self._light.update(
            b"".join(
                b"%b\t%d\t%b\n" % (name, window, "\t".join(map(str, row)).encode())
                for name, window, row in zip(names, windows, profiles.light.tolist(), strict=True)
            )
        )
        if self._light_only:
            return
        # An account may contain a tab: the lengths make the lines unambiguous.
        self._feed("account_bytes", np.fromiter(map(len, names), dtype="<i4", count=len(names)))
        self._feed_cells(profiles.cells)
        thick = profiles.take(profiles.records >= self._heavy_from) if self._heavy_from else profiles
        thick.require_whole()
        for name in _HEAVY:
            self._feed_rows(name, getattr(thick, name))
        real = thick.hashes != PADDING
        self._feed("distinct_sizes", real.sum(axis=2).astype("<i4"))
        self._feed("distinct", thick.hashes[real].astype("<u8", copy=False))

    def hexdigest(self) -> str:
        """Digest of everything fed so far, 64 hex digits."""
        if self._light_only:
            msg = "this digester was asked for the light digest only"
            raise UsageError(msg)
        whole = hashlib.blake2b(digest_size=32, person=b"dw-profiles", salt=b"%d" % self._heavy_from)
        if self.rows:
            whole.update(f"{self._fingerprint}\n{self.rows}\n{self.light_hexdigest()}\n".encode())
        for name in sorted(self._streams):
            whole.update(f"{name} {self._streams[name].hexdigest()}\n".encode())
        return whole.hexdigest()

    def light_hexdigest(self) -> str:
        """Digest of keys and light fields fed so far, 64 hex digits."""
        return self._light.hexdigest()

    def _check_order(self, names: list[bytes], windows: list[int]) -> None:
        for key in zip(names, windows, strict=True):
            if self._last is not None and key <= self._last:
                msg = (
                    f"profile of {key[0]!r} at {key[1]} came after {self._last[0]!r} at {self._last[1]}; "
                    "feed blocks in key order, each key once"
                )
                raise UsageError(msg)
            self._last = key

    def _feed(self, name: str, values: npt.NDArray[Any]) -> None:
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = hashlib.blake2b(digest_size=32)
        stream.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)

    def _feed_cells(self, cells: npt.NDArray[np.int64]) -> None:
        filled = cells != 0
        self._feed("cell_sizes", filled.sum(axis=1).astype("<i4"))
        index = np.flatnonzero(filled)
        self._feed("cell_index", (index % cells.shape[1]).astype("<i4"))
        self._feed("cell_count", cells.reshape(-1)[index].astype("<i8", copy=False))

    def _feed_rows(self, name: str, values: npt.NDArray[np.int64]) -> None:
        if len(values) == 0:
            return
        narrow = (values.min(axis=1) >= -_INT32) & (values.max(axis=1) < _INT32)
        self._feed(f"{name}_narrow", narrow.astype(np.uint8))
        if bool(narrow.all()):
            self._feed(f"{name}_int32", values.astype("<i4"))
            return
        self._feed(f"{name}_int32", values[narrow].astype("<i4"))
        self._feed(f"{name}_int64", values[~narrow].astype("<i8", copy=False))
