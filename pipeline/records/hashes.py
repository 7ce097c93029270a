"""Content hashes: the forms in which they may arrive, and their re-mixing with a key.

A producer's hash may be anything (a counter, a checksum, a 32-bit value); what follows counts on 64 uniform
bits. So each is passed through keyed BLAKE2b-64 before anything else sees it. 2**64-1 is the padding of the
smallest-hash lists and is mapped to 2**64-2.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

HASH_FIELDS = ("prompt_hash", "template_hash", "system_prompt_hash")
MAX_HASH = 2**64 - 1
PADDING = 2**64 - 1

# Without a key file: uniform, comparable between lakes, but whoever knows a prompt can look its hash up.
PUBLIC_KEY = b"distillwatch public hash key, v1"

_DECIMAL = re.compile(r"\d{1,20}", re.ASCII)
_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]{1,16}", re.ASCII)


def parse_hash(value: int | str) -> int:
    """An unsigned 64-bit hash from a number, a decimal text or a ``0x…`` text.

    Raises
    ------
    OverflowError
        If it is negative or needs more than 64 bits.
    ValueError
        If the text is neither decimal nor ``0x…`` (bare hexadecimal is refused: ``1234`` would be ambiguous).
    """
    if isinstance(value, str):
        if _DECIMAL.fullmatch(value):
            value = int(value)
        elif _HEXADECIMAL.fullmatch(value):
            value = int(value, 16)
        else:
            msg = "neither decimal nor 0x…"
            raise ValueError(msg)
    if not 0 <= value <= MAX_HASH:
        msg = "not in 0 … 2**64-1"
        raise OverflowError(msg)
    return value


class HashMixer:
    """Keyed BLAKE2b-64 of the three content hashes, each field under its own personalisation.

    Parameters
    ----------
    key
        16 to 64 bytes.
    """

    def __init__(self, key: bytes = PUBLIC_KEY) -> None:
        self._states: Mapping[str, hashlib.blake2b] = {
            name: hashlib.blake2b(digest_size=8, key=key, person=b"dw-" + name.encode()[:13])
            for name in HASH_FIELDS
        }

    def mix(self, name: str, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Mixed hashes of one field: uint64 ``[n]`` to uint64 ``[n]``, never 2**64-1."""
        distinct, inverse = np.unique(values, return_inverse=True)
        data = distinct.astype("<u8").tobytes()
        state = self._states[name]
        mixed = bytearray()
        for start in range(0, len(data), 8):
            one = state.copy()
            one.update(data[start : start + 8])
            mixed += one.digest()
        result = np.frombuffer(bytes(mixed), "<u8").astype(np.uint64)
        result = np.minimum(result, np.uint64(PADDING - 1))
        return result[inverse]

    def mix_one(self, name: str, value: int) -> int:
        """The plain form of `mix`."""
        state = self._states[name].copy()
        state.update(value.to_bytes(8, "little"))
        return min(int.from_bytes(state.digest(), "little"), PADDING - 1)
