"""Who asked what: one JSON object per line, each with the hash of the line before it.

A line's hash is the SHA-256 of the line without it, as canonical JSON. A changed line does not fit its own hash, or,
when that was rewritten too, the next line's. The last line has no next one: its number and hash stand in a second
file, ``<name>.head``. A record whose end does not fit that file is not written on, because the next line would
take the place of what is missing. Whoever can write both files can shorten both, and whoever can write the whole file
can make it up anew; against them a hash helps that was kept elsewhere (`verify` prints it, case files contain it).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.clock import Clock, SystemClock
from pipeline.errors import DistillwatchError, VerificationFailed
from pipeline.sandbox.frames import pack

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BEGINNING = "0" * 64
_TAIL = 1 << 16


class AuditBroken(VerificationFailed):
    """A line of the record was changed, removed or inserted.

    Parameters
    ----------
    line
        The first line that is wrong, from 1.
    """

    def __init__(self, line: int, message: str) -> None:
        self.line = line
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Verified:
    """A record that is whole: its lines and the hash of the last one."""

    lines: int
    head: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. ``document`` holds everything in it, its hash too."""

    document: Mapping[str, Any]

    @property
    def hash(self) -> str:
        """Its hash, by which case files and answers name it."""
        return str(self.document["hash"])

    @property
    def number(self) -> int:
        """Its line, from 1."""
        return int(self.document["n"])


class AuditLog:
    """An append-only record in a file that any number of processes write at once.

    ``head`` is the file beside it that holds the last line's number and hash.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        self.path = Path(path)
        self.head = self.path.with_name(self.path.name + ".head")
        self._clock = clock or SystemClock()

    def asked(
        self,
        *,
        who: str,
        case: str | None,
        sql: str,
        parameters: Mapping[str, object],
        manifest: int,
        **about: object,
    ) -> Entry:
        """Record a query before it runs. On the disk when this returns."""
        values = {name: pack(name, value) for name, value in parameters.items()}
        return self._append(
            {
                "event": "asked",
                "who": who,
                "case": case,
                "sql": sql,
                "parameters": values,
                "manifest": manifest,
                **about,
            }
        )

    def ended(
        self,
        entry: Entry,
        *,
        outcome: str,
        rows: int | None = None,
        milliseconds: float | None = None,
        **about: object,
    ) -> Entry:
        """Record what became of it: ``answered``, ``refused``, ``failed`` or ``killed: <reason>``."""
        return self._append(
            {
                "event": "ended",
                "of": entry.hash,
                "outcome": outcome,
                "rows": rows,
                "milliseconds": None if milliseconds is None else round(milliseconds, 3),
                **about,
            }
        )

    def note(self, event: str, **about: object) -> Entry:
        """Record something else that belongs here: an export, a login, a verdict."""
        return self._append({"event": event, **about})

    def _append(self, document: dict[str, object]) -> Entry:
        try:
            with self._locked() as place:
                return self._write(place, document)
        except OSError as error:
            msg = (
                f"no query runs without a record, and {self.path} cannot be written ({error.strerror}); "
                "name another file with --audit FILE"
            )
            raise DistillwatchError(msg) from error

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        place = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(place, fcntl.LOCK_EX)
            yield place
        finally:
            os.close(place)

    def _write(self, place: int, document: dict[str, object]) -> Entry:
        found, torn = _last(place)
        last: Mapping[str, Any] | None = found
        self._compare_head(last)
        if torn:
            # A writer died within its line, before its query ran. What it left is said and taken away.
            os.ftruncate(place, os.fstat(place).st_size - len(torn))
            repaired = {"event": "repaired", "bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
            last = self._put(place, last, repaired).document
        return self._put(place, last, document)

    def _compare_head(self, last: Mapping[str, Any] | None) -> None:
        """Refuse to go on where lines are missing at the end: writing there would wipe away that they are."""
        try:
            kept = _kept(self)
        except AuditBroken as error:
            msg = f"{error.message}; {self._way_out}"
            raise DistillwatchError(msg) from error
        number = int(last["n"]) if last else 0
        # A writer that died between line and head leaves the head one line behind, or, at the first line, none.
        if kept is None and number > 1:
            msg = f"{self.head} is missing: whether lines after {number} were removed cannot be told; {self._way_out}"
            raise DistillwatchError(msg)
        if kept is not None and kept[0] > number:
            lines = f"lines {number + 1} to {kept[0]} were" if kept[0] > number + 1 else f"line {kept[0]} was"
            msg = f"{self.path} ends at line {number} and had {kept[0]}: {lines} removed; {self._way_out}"
            raise DistillwatchError(msg)
        if kept is not None and last is not None and kept[0] == number and kept[1] != last["hash"]:
            msg = f"{self.path}, line {number} is not the one that was written: {self.head.name} has another hash; {self._way_out}"
            raise DistillwatchError(msg)

    @property
    def _way_out(self) -> str:
        return (
            "no query runs without a record: put both files back as they were, or keep them as evidence elsewhere "
            "and the next query begins a new record (or name another with --audit FILE)"
        )

    def _put(self, place: int, last: Mapping[str, Any] | None, document: dict[str, object]) -> Entry:
        whole: dict[str, object] = {
            "n": int(last["n"]) + 1 if last else 1,
            "at": self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "previous": last["hash"] if last else BEGINNING,
            **document,
        }
        whole["hash"] = digest(whole)
        data = _canonical(whole) + b"\n"
        size = os.fstat(place).st_size
        try:
            _write_all(place, data)
            os.fsync(place)
        except OSError:
            # Half a line is not left for whoever checks; what cannot be taken away is said by the next writer.
            with suppress(OSError):
                os.ftruncate(place, size)
            raise
        self._write_head(whole)
        return Entry(whole)

    def _write_head(self, last: Mapping[str, object]) -> None:
        data = _canonical({"n": last["n"], "hash": last["hash"]}) + b"\n"
        place = os.open(self.head, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            new = os.fstat(place).st_size == 0
            os.pwrite(place, data, 0)
            os.ftruncate(place, len(data))
            if new:
                # An older head is no harm after the machine's power went; an empty one would be.
                os.fsync(place)
        finally:
            os.close(place)

    def entries(self) -> Iterator[Entry]:
        """Every line, oldest first. Not verified.

        Raises
        ------
        AuditBroken
            A line is no JSON object.
        """
        for number, line in enumerate(self.lines(), 1):
            yield Entry(_parsed(self.path, number, line))

    def __iter__(self) -> Iterator[Entry]:
        return self.entries()

    def lines(self, size: int | None = None) -> Iterator[bytes]:
        """The file's lines as they are, up to so many bytes."""
        if self.path.exists():
            with self.path.open("rb") as file:
                for line in file:
                    if size is not None and size <= 0:
                        return
                    yield line if size is None else line[:size]
                    size = None if size is None else size - len(line)

    def standing(self) -> tuple[tuple[int, str] | None, int]:
        """The head (number and hash of the last line) and the record's size, at a moment when nobody writes."""
        try:
            place = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return _kept(self), 0
        try:
            fcntl.flock(place, fcntl.LOCK_SH)
            return _kept(self), os.fstat(place).st_size
        finally:
            os.close(place)

    def verify(self, *, head: str | None = None) -> Verified:
        """Check every line.

        Parameters
        ----------
        head
            A hash that was kept elsewhere: some line has to have it.

        Raises
        ------
        AuditBroken
            Names the first line that is wrong.
        """
        return verify(self.path, head=head)


def verify(path: str | os.PathLike[str], *, head: str | None = None) -> Verified:
    """Check every line of a record; see `AuditLog.verify`."""
    log = AuditLog(path)
    kept, size = log.standing()
    previous, count, seen = BEGINNING, 0, {BEGINNING}
    for number, line in enumerate(log.lines(size), 1):
        document = _parsed(log.path, number, line)
        if document.get("hash") != digest(document):
            raise AuditBroken(number, f"{log.path}, line {number} was changed: it does not fit its hash")
        if document.get("previous") != previous or document.get("n") != number:
            raise _misplaced(log.path, number, document, previous)
        previous, count = str(document["hash"]), number
        seen.add(previous)
        if kept is not None and kept[0] == number and kept[1] != previous:
            msg = f"{log.path}, line {number} was changed and its hash rewritten: {log.head.name} has another one"
            raise AuditBroken(number, msg)
    if kept is not None and kept[0] > count:
        msg = f"{log.path} ends at line {count} and had {kept[0]}: line {count + 1} was removed, and all after it"
        raise AuditBroken(count + 1, msg)
    if kept is None and count:
        msg = f"{log.head} is missing: whether lines after {count} were removed cannot be told"
        raise AuditBroken(count + 1, msg)
    if head is not None and head not in seen:
        msg = f"no line of {log.path} has the hash {head}: lines were removed after it was noted, or the file was made up anew"
        raise AuditBroken(count + 1, msg)
    return Verified(count, previous)


def _misplaced(path: Path, number: int, document: Mapping[str, Any], previous: str) -> AuditBroken:
    n = document.get("n")
    if isinstance(n, int) and n > number:
        lines = f"line {number} was" if n == number + 1 else f"lines {number} to {n - 1} were"
        return AuditBroken(number, f"{path}: {lines} removed; what stands there is line {n}")
    if n == number and document.get("previous") != previous:
        what = (
            f"line {number - 1} was changed and its hash rewritten"
            if number > 1
            else "lines before it were removed"
        )
        return AuditBroken(max(1, number - 1), f"{path}: {what}; line {number} names another line before it")
    return AuditBroken(
        number, f"{path}, line {number} was inserted or moved: it says of itself that it is line {n}"
    )


def digest(document: Mapping[str, object]) -> str:
    """Hash of a line: over everything in it but the hash."""
    return hashlib.sha256(_canonical({k: v for k, v in document.items() if k != "hash"})).hexdigest()


def _write_all(place: int, data: bytes) -> None:
    """One write, so that lines of several writers never mix; where it is short, the disk is full."""
    if os.write(place, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _canonical(document: Mapping[str, object]) -> bytes:
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str
    ).encode()


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise AuditBroken(
            number, f"{path}, line {number} is not complete: whoever wrote it died, or it was cut"
        )
    try:
        document = json.loads(line)
    except ValueError:
        document = None
    # One text per line, so that nothing hides in blanks, doubled keys or another order.
    if not isinstance(document, dict) or _canonical(document) + b"\n" != line:
        raise AuditBroken(number, f"{path}, line {number} was changed: it is not as it is written here")
    return document


def _kept(log: AuditLog) -> tuple[int, str] | None:
    try:
        data = log.head.read_bytes()
        # A writer died, or the disk was full, between making the file and filling it.
        if not data:
            return None
        document = json.loads(data)
        return int(document["n"]), str(document["hash"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise AuditBroken(1, f"{log.head} cannot be read ({error!r}): it was changed") from error


def _last(place: int) -> tuple[dict[str, Any] | None, bytes]:
    """The last whole line, and what stands behind it without an end."""
    size = os.fstat(place).st_size
    tail, start = b"", size
    while start and tail.rstrip(b"\n").count(b"\n") < 2:
        begin = max(0, start - _TAIL)
        tail = os.pread(place, start - begin, begin) + tail
        start = begin
    whole, newline, torn = tail.rpartition(b"\n")
    if not newline:
        return None, torn
    line = whole.rpartition(b"\n")[2]
    try:
        document: dict[str, Any] = json.loads(line)
        return {"n": int(document["n"]), "hash": str(document["hash"])}, torn
    except (ValueError, KeyError, TypeError) as error:
        msg = f"the record's last line is damaged ({error!r}); `distillwatch audit verify` says where"
        raise DistillwatchError(msg) from error
