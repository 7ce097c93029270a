"""Identifiers hashed for one recipient: HMAC-SHA-256 under a secret that the two sides share.

Without a salt every e-mail address or network could be tried; with one salt for all, recipients could join what they got.
Whoever has the secret can try all identifiers: it protects against everybody else.
"""

from __future__ import annotations

import hashlib
import hmac
import stat
import warnings
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.records.pseudonyms import KeyFileWarning

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("account", "network", "payment", "user agent")
MIN_BYTES, MAX_BYTES = 32, 4096


class RecipientKey:
    """The secret shared with one recipient.

    Parameters
    ----------
    secret
        At least 32 bytes.

    Raises
    ------
    UsageError
        The secret is shorter.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < MIN_BYTES:
            msg = (
                f"the recipient's key has {len(secret)} bytes, at least {MIN_BYTES} are needed; make one with "
                "`head -c 32 /dev/urandom > key` and share it with this recipient alone"
            )
            raise UsageError(msg)
        self._secret = secret
        self.fingerprint = self._digest("fingerprint", "")[:16]

    @classmethod
    def from_file(cls, path: Path) -> RecipientKey:
        """The bytes of a file, as they are.

        Raises
        ------
        UsageError
            The file cannot be read, or is no key by its size.

        Warns
        -----
        KeyFileWarning
            Others than the owner may read it.
        """
        try:
            status = path.stat()
            secret = b"" if status.st_size > MAX_BYTES else path.read_bytes()
        except OSError as error:
            msg = f"the recipient's key {path} cannot be read ({error.strerror}); name a file of random bytes"
            raise UsageError(msg) from error
        if status.st_size > MAX_BYTES:
            msg = f"{path} has {status.st_size} bytes; a recipient's key has {MIN_BYTES} to {MAX_BYTES}"
            raise UsageError(msg)
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            warnings.warn(
                f"{path} has mode {stat.S_IMODE(status.st_mode):04o}: others can use the key; run `chmod 600 {path}`",
                KeyFileWarning,
                stacklevel=2,
            )
        try:
            return cls(secret)
        except UsageError as error:
            msg = f"{path}: {error.message}"
            raise UsageError(msg) from None

    def hash(self, kind: str, value: str) -> str:
        """64 hexadecimal digits for one identifier; the same value of another kind gives others."""
        return self._digest(kind, value)

    def _digest(self, kind: str, value: str) -> str:
        # The kind cannot hold a zero byte, so no two pairs give one text.
        message = kind.encode() + b"\0" + value.encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()
