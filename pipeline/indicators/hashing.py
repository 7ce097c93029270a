"""Identifiers hashed for one recipient: HMAC-SHA-256 under a secret that the two sides share.

Without a salt every e-mail address or network could be tried; with one salt for all, recipients could join what they got.
Whoever has the secret can try all identifiers: it protects against everybody else.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from pipeline.records.key_files import check_length, read_key

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("account", "network", "payment", "user agent")
_WHAT = "recipient's key"


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
        check_length(secret, _WHAT)
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
        return cls(read_key(path, _WHAT))

    def hash(self, kind: str, value: str) -> str:
        """64 hexadecimal digits for one identifier; the same value of another kind gives others."""
        return self._digest(kind, value)

    def _digest(self, kind: str, value: str) -> str:
        # The kind cannot hold a zero byte, so no two pairs give one text.
        message = kind.encode() + b"\0" + value.encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()
