"""Landlock by its three system calls: what a process and its descendants may do to files, for ever.

Linux 5.13 and later. Nothing of it needs a privilege and nothing of it can be taken back. The numbers of the calls
are the same on every architecture that Linux added since 2011 or that counts like it: x86-64, aarch64, riscv64.

References
----------
https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1
_SET_NO_NEW_PRIVS = 38

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_FILE_RIGHTS = EXECUTE | READ_FILE
# How many of the file-system rights each version of the interface knows: the first 13 came at once.
_RIGHTS_OF_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NETWORK = 0b11  # bind and connect over TCP
_SCOPES = 0b11  # abstract sockets of others, signals to others


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    result: int = _library().syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def abi() -> int:
    """Version of Landlock in this kernel; 0 when there is none, or none that may be used."""
    if not sys.platform.startswith("linux"):
        return 0
    try:
        return _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
    except OSError:
        return 0


def why_missing() -> str:
    """Why `abi` gives 0, in words."""
    if not sys.platform.startswith("linux"):
        return f"Landlock is a part of Linux and this is {sys.platform}"
    try:
        _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))
    except OSError as error:
        if error.errno == errno.ENOSYS:
            return "this kernel has no Landlock (it came with Linux 5.13), or a container's filter hides it"
        if error.errno == errno.EOPNOTSUPP:
            return "Landlock is built into this kernel but off: add it to the boot parameter lsm="
        return f"Landlock does not answer: {error.strerror}"
    return "Landlock is there"


def restrict(readable: Iterable[str | os.PathLike[str]]) -> int:
    """From here on this process reads beneath these files and folders, and does nothing else to any file.

    Opening for writing, creating, removing, renaming and truncating are refused everywhere; so are TCP connections
    (from version 4 on), and signals and abstract sockets of processes outside (from version 6 on). What is open
    already stays open. Only the calling thread is restricted and what it starts afterwards: call it before there
    are others.

    Parameters
    ----------
    readable
        Those that do not exist are left out.

    Returns
    -------
    int
        The version of the interface.

    Raises
    ------
    OSError
        Landlock is missing or refused the rules.
    """
    version = abi()
    if version == 0:
        raise OSError(errno.ENOSYS, why_missing())
    rights = (1 << _RIGHTS_OF_ABI[min(version, 5)]) - 1
    fields = [rights]
    if version >= 4:
        fields.append(_NETWORK)
    if version >= 6:
        fields.append(_SCOPES)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = _call(
        _CREATE_RULESET,
        ctypes.create_string_buffer(attributes, len(attributes)),
        ctypes.c_size_t(len(attributes)),
        ctypes.c_uint32(0),
    )
    try:
        for path in readable:
            _allow(ruleset, path)
        if _library().prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    return version


def _allow(ruleset: int, path: str | os.PathLike[str]) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rights = _FILE_RIGHTS | READ_DIR
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            # A right that only folders have is an error on a file.
            rights = _FILE_RIGHTS
        # The kernel's structure is packed: 8 bytes of rights, 4 of file descriptor.
        rule = struct.pack("=Qi", rights, place)
        _call(
            _ADD_RULE,
            ctypes.c_int(ruleset),
            ctypes.c_int(_RULE_PATH_BENEATH),
            ctypes.create_string_buffer(rule, len(rule)),
            ctypes.c_uint32(0),
        )
    finally:
        os.close(place)
