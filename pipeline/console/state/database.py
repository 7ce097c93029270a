"""The SQLite file: opened, brought to the program's version, and written by one at a time."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import quote

from pipeline.errors import DistillwatchError, RetryLater

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
_WAIT_SECONDS = 10.0
# "dwcs": another program's file is not taken for ours.
APPLICATION_ID = 0x64776373


def migrations() -> list[tuple[int, str]]:
    """Number and SQL of every migration, in order; they count from 1 without a gap.

    Raises
    ------
    DistillwatchError
        A number is missing or twice.
    """
    folder = resources.files("pipeline.console.state").joinpath("migrations")
    found = sorted(
        (int(match.group(1)), entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if (match := _NAME.match(entry.name))
    )
    if [number for number, _ in found] != list(range(1, len(found) + 1)):
        msg = f"migrations of the console's state are numbered {[number for number, _ in found]}; they count from 1"
        raise DistillwatchError(msg)
    return found


class Database:
    """One file, in write-ahead mode; every operation has a connection of its own, so any thread may call.

    Parameters
    ----------
    path
        The file; made, readable by its owner only, when it is not there.

    Raises
    ------
    DistillwatchError
        It is no file of the console, or one of a later version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._alone():
                if not path.exists():
                    # Before SQLite makes it with the umask's rights.
                    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
                self._migrate()
        except sqlite3.DatabaseError as error:
            msg = f"{path} cannot be opened as the console's state ({error}); name another file with --state FILE"
            raise DistillwatchError(msg) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # Of consoles that start at once the others wait: SQLite does not wait when the mode of its journal changes. A
        # file beside it, because closing the database's own file would drop the locks that SQLite holds on it.
        place = os.open(
            self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(place, fcntl.LOCK_EX)
            yield
        finally:
            os.close(place)

    def _connect(self) -> sqlite3.Connection:
        # Never made here: where the file went away while the program runs, an empty one would take its place.
        place = f"file:{quote(str(self.path.absolute()))}?mode=rw"
        connection = sqlite3.connect(place, uri=True, timeout=_WAIT_SECONDS, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("pragma foreign_keys = on")
        connection.execute("pragma synchronous = full")
        connection.execute("pragma trusted_schema = off")
        return connection

    def _migrate(self) -> None:
        steps = migrations()
        connection = self._connect()
        try:
            connection.execute("pragma journal_mode = wal")
            connection.execute("begin immediate")
            version = int(connection.execute("pragma user_version").fetchone()[0])
            owner = int(connection.execute("pragma application_id").fetchone()[0])
            tables = connection.execute("select count(*) from sqlite_schema").fetchone()[0]
            if tables and owner != APPLICATION_ID:
                connection.execute("rollback")
                msg = f"{self.path} belongs to another program; name another file with --state FILE"
                raise DistillwatchError(msg)
            if version > len(steps):
                connection.execute("rollback")
                msg = (
                    f"{self.path} was written by a later version (its state is {version}, this program knows "
                    f"{len(steps)}); start that version, or name another file with --state FILE"
                )
                raise DistillwatchError(msg)
            for number, sql in steps[version:]:
                for statement in _statements(sql):
                    connection.execute(statement)
                connection.execute(f"pragma user_version = {number}")
            connection.execute(f"pragma application_id = {APPLICATION_ID}")
            connection.execute("commit")
        finally:
            connection.close()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one moment of the file.

        Raises
        ------
        RetryLater
            Another program keeps the file locked.
        DistillwatchError
            It is gone, damaged, or its disk is full.
        """
        with self._in_words():
            connection = self._connect()
            try:
                connection.execute("begin")
                yield connection
            finally:
                connection.close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it or nothing; others wait for it.

        Raises
        ------
        RetryLater, DistillwatchError
            As for `read`.
        sqlite3.IntegrityError
            A rule that the file itself holds.
        """
        with self._in_words():
            connection = self._connect()
            try:
                connection.execute("begin immediate")
                yield connection
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise
            finally:
                connection.close()

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                msg = "another program keeps the console's state file locked; nothing was changed, send it again in a moment"
                raise RetryLater(msg) from error
            msg = (
                f"the console's state file {self.path} cannot be used ({error}); nothing was changed. Put it back from a "
                "copy, or make room on its disk, then start the console again"
            )
            raise DistillwatchError(msg) from error


def _statements(sql: str) -> Iterator[str]:
    """The statements of a script one by one: `executescript` would commit our transaction first."""
    collected = ""
    for line in sql.splitlines(keepends=True):
        collected += line
        if sqlite3.complete_statement(collected):
            yield collected
            collected = ""
