"""Keyed pseudonyms for the identifiers of people and organisations, and the key of the content hashes.

One key file, one lake: the same identifier gets the same pseudonym in streaming, batch and replay, and nobody
without the key can get from one to the other, not even by trying all identifiers. From the file's bytes one
sub-key for each purpose is derived, so a hash says nothing about a pseudonym.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.records.key_files import check_length, read_key

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHAT = "pseudonym key"
PREFIXES: Mapping[str, str] = {
    "account_id": "a_",
    "organization_id": "o_",
    "payment_id": "p_",
    "client_network": "n_",
}
_DIGEST_BYTES = 16  # 26 characters of base32; two of 2**40 accounts meet with probability 2**-49
_CACHE_ENTRIES = 1 << 16


class Pseudonyms:
    """Pseudonyms under one secret key.

    Parameters
    ----------
    secret
        At least 32 bytes.

    Raises
    ------
    UsageError
        If the secret is shorter.
    """

    def __init__(self, secret: bytes) -> None:
        check_length(secret, _WHAT)
        self._master = hashlib.blake2b(secret, digest_size=64, person=b"dw-pseudonym-key").digest()
        self._states = {
            name: hashlib.blake2b(digest_size=_DIGEST_BYTES, key=self._derive(f"field:{name}"))
            for name in PREFIXES
        }
        self._caches: dict[str, dict[str, str]] = {name: {} for name in PREFIXES}
        self.hash_key = self._derive("hashes")
        self.fingerprint = self._derive("fingerprint")[:16].hex()

    @classmethod
    def from_file(cls, path: str | Path) -> Pseudonyms:
        """Pseudonyms under the bytes of a key file, as they are (a final newline counts).

        Raises
        ------
        UsageError
            If the file cannot be read, is too short, or is no key file by its size.

        Warns
        -----
        KeyFileWarning
            If others than the owner may read it.
        """
        return cls(read_key(Path(path), _WHAT))

    def one(self, field: str, value: str) -> str:
        """The pseudonym of one value of a field in `PREFIXES`.

        It is the prefix and 26 lower-case base32 characters of keyed BLAKE2b-128 over the value's UTF-8.
        """
        cache = self._caches[field]
        known = cache.get(value)
        if known is None:
            state = self._states[field].copy()
            state.update(value.encode("utf-8", "surrogatepass"))
            known = PREFIXES[field] + base64.b32encode(state.digest()).decode().rstrip("=").lower()
            if len(cache) >= _CACHE_ENTRIES:
                cache.clear()  # forgetting all is bounded work; the next values fill it again
            cache[value] = known
        return known

    def column(self, field: str, values: pa.Array) -> pa.Array:
        """Pseudonyms of a string column, each distinct value once; nulls stay."""
        encoded = values.dictionary_encode()
        names = pa.array([self.one(field, value) for value in encoded.dictionary.to_pylist()], pa.string())
        return names.take(encoded.indices)

    def _derive(self, purpose: str) -> bytes:
        # `person` holds 16 bytes, so the purpose is digested first and no two can be cut to the same.
        person = hashlib.blake2b(purpose.encode(), digest_size=16).digest()
        return hashlib.blake2b(key=self._master, person=person, digest_size=32).digest()
