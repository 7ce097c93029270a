"""Immutable files under names that are taken at most once.

`put_if_absent` is the one atomic step of the whole lake. Locally it is a hard link: written in full under a
temporary name, forced to disk, linked to the final name, the folder forced to disk. Creating the final name
with ``O_EXCL`` would not do: a crash would leave a torn file under it. On an object store the same promise
is a conditional PUT (``If-None-Match: *``).
"""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

TEMPORARY = "tmp"


class Store(Protocol):
    """What the lake asks of the place its files lie in. Keys are relative, with ``/``."""

    @property
    def root(self) -> Path:
        """Folder that readers (pyarrow, DuckDB) open files in."""
        ...

    def temporary(self) -> Path:
        """A new name under ``tmp/``; the caller writes it, then hands it to `put_file`."""
        ...

    def put_file(self, temporary: Path, key: str) -> bool:
        """Publish a written temporary file under ``key`` unless that name is taken.

        Returns whether this call took the name. The temporary file is gone afterwards either way. On
        return the outcome is durable, whoever won. An exception leaves the outcome unknown: the file may
        have been published, and the caller has to look who holds the name.
        """
        ...

    def put_bytes(self, data: bytes, key: str) -> bool:
        """As `put_file`, for a small file."""
        ...

    def read_bytes(self, key: str) -> bytes | None:
        """Content of a file, None if there is none."""
        ...

    def exists(self, key: str) -> bool:
        """Whether the name is taken."""
        ...

    def names(self, folder: str) -> list[str]:
        """Sorted names in a folder, without the folder; none if there is no such folder."""
        ...

    def modified(self, key: str) -> float | None:
        """Seconds since 1970 of the last write or `touch`, None if there is no such file."""
        ...

    def touch(self, key: str) -> None:
        """Make a file young again, so that a sweep leaves it alone."""
        ...

    def delete(self, key: str) -> None:
        """Free a name; no error if it is free."""
        ...

    def move(self, key: str, aside: str) -> bool:
        """Give a file another name, which nobody has; False if there is no such file."""
        ...

    def put_back(self, aside: str, key: str) -> None:
        """Undo a `move`, unless the name is taken again. ``aside`` is gone afterwards; it may be gone before."""
        ...

    def path(self, key: str) -> Path:
        """Where readers find a file."""
        ...

    def remove_folder(self, folder: str) -> None:
        """Remove a folder if it is empty; nothing where folders are only prefixes."""
        ...


class LocalStore:
    """A lake in a local folder (ext4, xfs, overlayfs, tmpfs: whatever has hard links).

    Parameters
    ----------
    root
        Folder of the lake; made when something is put.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        """Folder of the lake."""
        return self._root

    def path(self, key: str) -> Path:
        """Where readers find a file."""
        return self._root / key

    def temporary(self) -> Path:
        """A new name under ``tmp/``, on the same file system as everything else."""
        folder = self._root / TEMPORARY
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{os.getpid()}-{uuid.uuid4().hex}"

    def put_file(self, temporary: Path, key: str) -> bool:
        """Publish a written temporary file under ``key`` unless that name is taken."""
        final = self._root / key
        try:
            self._sync_file(temporary)
            self._make_folder(final.parent)
            try:
                self._link(temporary, final)
            except FileExistsError:
                won = False
            else:
                won = True
            # Also after a lost race: the winner may have died between its link and its sync, and the
            # caller will build on that name being taken.
            self._sync_folder(final.parent)
        except OSError:
            # A full disk is refused over and over again: do not fill it further with what is written anew.
            with suppress(OSError):
                temporary.unlink()
            raise
        self._unlink(temporary)
        return won

    def put_bytes(self, data: bytes, key: str) -> bool:
        """As `put_file`, for a small file."""
        temporary = self.temporary()
        try:
            temporary.write_bytes(data)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        return self.put_file(temporary, key)

    def read_bytes(self, key: str) -> bytes | None:
        """Content of a file, None if there is none."""
        try:
            return (self._root / key).read_bytes()
        except FileNotFoundError:
            return None

    def exists(self, key: str) -> bool:
        """Whether the name is taken."""
        return (self._root / key).exists()

    def names(self, folder: str) -> list[str]:
        """Sorted names in a folder."""
        try:
            with os.scandir(self._root / folder) as entries:
                return sorted(entry.name for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def modified(self, key: str) -> float | None:
        """Seconds since 1970 of the last write or `touch`."""
        try:
            return (self._root / key).stat().st_mtime
        except FileNotFoundError:
            return None

    def touch(self, key: str) -> None:
        """Make a file young again."""
        os.utime(self._root / key)

    def delete(self, key: str) -> None:
        """Free a name."""
        self._unlink(self._root / key)

    def move(self, key: str, aside: str) -> bool:
        """Give a file another name, which nobody has; False if there is no such file."""
        self._make_folder((self._root / aside).parent)
        try:
            self._rename(self._root / key, self._root / aside)
        except FileNotFoundError:
            return False
        return True

    def put_back(self, aside: str, key: str) -> None:
        """Undo a `move`, unless the name is taken again."""
        # Not `put_file`, which gives up what it cannot publish.
        final = self._root / key
        self._make_folder(final.parent)
        try:
            self._link(self._root / aside, final)
        except FileExistsError:
            pass
        except FileNotFoundError:
            return
        self._sync_folder(final.parent)
        self._unlink(self._root / aside)

    def remove_folder(self, folder: str) -> None:
        """Remove a folder if it is empty."""
        with suppress(OSError):
            (self._root / folder).rmdir()

    def _make_folder(self, folder: Path) -> None:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for new in reversed(missing):
            new.mkdir(exist_ok=True)
            # A file is as durable as the entries on the way to it.
            self._sync_folder(new.parent)

    # One method per step on the disk, so that tests can break each of them.

    def _sync_file(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _link(self, source: Path, target: Path) -> None:
        os.link(source, target)

    def _rename(self, source: Path, target: Path) -> None:
        source.rename(target)

    def _sync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)
