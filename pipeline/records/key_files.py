"""Secret keys in files: read whole, refused by size, told of when others can read them."""

from __future__ import annotations

import stat
import warnings
from typing import TYPE_CHECKING

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

MIN_KEY_BYTES = 32
MAX_KEY_BYTES = 4096


class KeyFileWarning(UserWarning):
    """The key file can be read by others than its owner."""


def read_key(path: Path, what: str) -> bytes:
    """The bytes of a key file, as they are (a final newline counts).

    Parameters
    ----------
    what
        What the key is called in messages, such as ``pseudonym key``.

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
        secret = path.read_bytes() if status.st_size <= MAX_KEY_BYTES else None
    except OSError as error:
        msg = f"the {what} file {path} cannot be read ({error.strerror}); name a file of random bytes"
        raise UsageError(msg) from error
    if secret is None:
        msg = f"{path} has {status.st_size} bytes; a {what} file has {MIN_KEY_BYTES} to {MAX_KEY_BYTES}"
        raise UsageError(msg)
    try:
        check_length(secret, what)
    except UsageError as error:
        msg = f"{path}: {error.message}"
        raise UsageError(msg) from None
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        warnings.warn(
            f"{path} has mode {stat.S_IMODE(status.st_mode):04o}: others can use the {what}; run `chmod 600 {path}`",
            KeyFileWarning,
            stacklevel=3,
        )
    return secret


def check_length(secret: bytes, what: str) -> None:
    """Refuse a secret that could be tried.

    Raises
    ------
    UsageError
        It has fewer than `MIN_KEY_BYTES`.
    """
    if len(secret) < MIN_KEY_BYTES:
        msg = (
            f"the {what} has {len(secret)} bytes, at least {MIN_KEY_BYTES} are needed; "
            "make one with `head -c 32 /dev/urandom > key`"
        )
        raise UsageError(msg)
