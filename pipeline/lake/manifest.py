"""The manifest: which compacted files are live, up to where each chain is absorbed by them, and what lay outside.

Numbered files, put-if-absent; the highest number is current, no file is number 0 and says "nothing".
They are never removed, so a number is never used twice.

Format 1 did not say what lay outside (`Manifest.ends`); it is read and not written any more.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pipeline.errors import ChainMoved, LakeError
from pipeline.lake.documents import readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MANIFEST_FORMAT = 2
_READ_FORMATS = frozenset({1, MANIFEST_FORMAT})
RUN_KINDS = ("records", "dead_letters", "windows", "profiles")


@dataclass(frozen=True, slots=True)
class RunFile:
    """One file of a run: one kind, one date."""

    run_id: str
    date: str
    kind: str
    path: str
    rows: int
    bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Span:
    """A range of one chain that a run absorbed: what `verify` holds the run's rows against."""

    first_offset: int
    next_offset: int
    segments: int
    records: int
    rejected: int
    forgotten: int
    positions_digest: str
    run_id: str
    lost: tuple[tuple[int, int, str], ...] = ()

    @property
    def rows(self) -> int:
        """Records, rejected records and tombstones."""
        return self.records + self.rejected + self.forgotten


@dataclass(frozen=True, slots=True)
class TableFile:
    """One file of a result table."""

    path: str
    rows: int
    bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class End:
    """Where one chain ended when a manifest was published: what of it a view as of that manifest has outside the runs.

    ``landed`` and ``rolled_up`` are the next offsets of the two; ``digest`` is over what the segments and roll-ups up to
    there say of themselves, since a name that was swept can be taken again by another file.
    """

    landed: int
    rolled_up: int
    digest: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """One state of the lake's compacted part.

    ``absorbed`` is the offset vector: chain key to the offset where the chain goes on outside the runs.
    ``runs`` says per run id what it was made with; a run is live as long as a file of it is.
    ``forgotten`` lists rewritten files: the old and the new contents' digest. ``judged`` is the offset vector that the
    published scores were computed from; empty: nothing was scored yet. ``ends`` says where every chain ended when this
    was published, ``documents`` which files of `pipeline.lake.paths.DOCUMENTS` were there; both are None where nobody
    wrote it down (format 1, and number 0).
    """

    number: int = 0
    created_at: str = ""
    writer: str = ""
    absorbed: Mapping[str, int] = field(default_factory=dict)
    spans: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)
    runs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    files: tuple[RunFile, ...] = ()
    tables: Mapping[str, tuple[TableFile, ...]] = field(default_factory=dict)
    forgotten: tuple[Mapping[str, Any], ...] = ()
    judged: Mapping[str, int] = field(default_factory=dict)
    ends: Mapping[str, End] | None = None
    documents: tuple[str, ...] | None = None

    @property
    def inexact(self) -> str | None:
        """What a view as of this manifest does not have as it was, in a sentence; None: everything is as it was."""
        if self.ends is not None:
            return None
        return (
            f"manifest {self.number} does not say where the lake's data ended: its runs, scores and verdicts are as they "
            "were; records that no run had absorbed, live alerts and indicators are as they are now"
        )

    def with_tables(self, name: str, files: Iterable[TableFile], *, append: bool = False) -> Manifest:
        """The same with other files for a result table; ``append`` keeps those it has."""
        kept = self.tables.get(name, ()) if append else ()
        merged = {file.path: file for file in (*kept, *files)}
        return replace(self, tables={**self.tables, name: tuple(merged.values())})

    def with_run(
        self,
        run_id: str,
        *,
        about: Mapping[str, Any],
        files: Iterable[RunFile],
        spans: Mapping[str, Span],
        replaces: Iterable[str] = (),
    ) -> Manifest:
        """The same after a run: its files in, the files it replaces out, the vector moved to the ends of its spans.

        Raises
        ------
        ChainMoved
            A span does not begin where the chain stands, or a file to replace is not live: somebody else
            published in between, and the run holds rows twice or not at all.
        """
        gone = set(replaces)
        missing = gone - {file.path for file in self.files}
        if missing:
            msg = f"run {run_id} replaces {min(missing)}, which is not live any more; compact again"
            raise ChainMoved(msg)
        absorbed = dict(self.absorbed)
        all_spans = dict(self.spans)
        for key, span in spans.items():
            if key in absorbed and absorbed[key] != span.first_offset:
                msg = (
                    f"run {run_id} absorbs {key} from offset {span.first_offset}, but the chain is absorbed "
                    f"up to {absorbed[key]}; compact again"
                )
                raise ChainMoved(msg)
            absorbed[key] = span.next_offset
            all_spans[key] = (*all_spans.get(key, ()), span)
        live = (*(file for file in self.files if file.path not in gone), *files)
        used = Counter(file.run_id for file in live)
        runs = {name: value for name, value in {**self.runs, run_id: about}.items() if used[name]}
        return replace(self, absorbed=absorbed, spans=all_spans, runs=runs, files=live)

    def run_files(self, kind: str) -> tuple[RunFile, ...]:
        """The live files of one of `RUN_KINDS`."""
        return tuple(file for file in self.files if file.kind == kind)

    def keys(self) -> set[str]:
        """Every file it names."""
        return {file.path for file in self.files} | {
            file.path for files in self.tables.values() for file in files
        }

    def to_bytes(self) -> bytes:
        """As the file says it."""
        return readable({"format": MANIFEST_FORMAT, **asdict(self)})

    @classmethod
    def from_bytes(cls, data: bytes, where: object) -> Manifest:
        """Read a manifest.

        Raises
        ------
        LakeError
            It is damaged or of another format.
        """
        try:
            document = json.loads(data)
            if document["format"] not in _READ_FORMATS:
                msg = (
                    f"{where} has manifest format {document['format']}; this version reads "
                    f"{' and '.join(map(str, sorted(_READ_FORMATS)))}"
                )
                raise LakeError(msg)
            ends, documents = document.get("ends"), document.get("documents")
            return cls(
                number=document["number"],
                created_at=document["created_at"],
                writer=document["writer"],
                absorbed=document["absorbed"],
                spans={key: tuple(_span(one) for one in spans) for key, spans in document["spans"].items()},
                runs=document["runs"],
                files=tuple(RunFile(**one) for one in document["files"]),
                tables={
                    name: tuple(TableFile(**one) for one in files)
                    for name, files in document["tables"].items()
                },
                forgotten=tuple(document["forgotten"]),
                judged=document.get("judged", {}),
                ends=None if ends is None else {key: End(**one) for key, one in ends.items()},
                documents=None if documents is None else tuple(documents),
            )
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{where} is not a manifest ({error!r}); restore it from a copy of the lake"
            raise LakeError(msg) from error


def _span(document: dict[str, Any]) -> Span:
    lost = tuple((int(a), int(b), str(why)) for a, b, why in document.pop("lost"))
    return Span(**document, lost=lost)


def check_successor(old: Manifest, new: Manifest) -> None:
    """Refuse a manifest that would take something back.

    Raises
    ------
    LakeError
        A chain would go back behind what is absorbed: its rows would be counted twice.
    """
    for key, offset in old.absorbed.items():
        if new.absorbed.get(key, -1) < offset:
            msg = f"a manifest may not move chain {key} back from {offset} to {new.absorbed.get(key)}"
            raise LakeError(msg)
