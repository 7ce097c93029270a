"""Following a chain: link by link from where the manifest says it stands, never by what exists.

Compaction frees names, and an owner that was overtaken may put a file under one of them. Such a file
exists and is not part of the lake. Only what is reached by ``next = last + 1`` is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from pipeline.errors import LakeError
from pipeline.lake.documents import readable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.lake.paths import Chain
    from pipeline.lake.store import Store


class Link(Protocol):
    """A segment or a roll-up."""

    @property
    def first_offset(self) -> int:
        """Where it begins; its name."""
        ...

    @property
    def next_offset(self) -> int:
        """Where the next one begins."""
        ...


L = TypeVar("L", bound=Link)


class ChainFollower(Generic[L]):
    """Walks one chain and remembers what it has walked, since links never change.

    Parameters
    ----------
    load
        Gives the link that begins at an offset, None if there is none (yet).
    """

    def __init__(self, load: Callable[[int], L | None]) -> None:
        self._load = load
        self._links: list[L] = []
        self._lock = RLock()

    def follow(self, start: int) -> tuple[L, ...]:
        """The links from ``start`` on, in order, as far as they go now."""
        with self._lock:
            if self._links and self._links[0].first_offset != start:
                # What compaction absorbed falls off in front; anything else is not this chain any more.
                self._links = [link for link in self._links if link.first_offset >= start]
                if self._links and self._links[0].first_offset != start:
                    self._links = []
            at = self._links[-1].next_offset if self._links else start
            while (link := self._load(at)) is not None:
                self._links.append(link)
                at = link.next_offset
            return tuple(self._links)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a chain began, declared once, at the first contact.

    ``replaces`` names the topic ids that an operator accepted as predecessors under the same name.
    """

    topic: str
    cluster_id: str
    start: int
    declared_at: str
    replaces: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """As `origin.json` says it."""
        return readable(
            {
                "format": 1,
                "topic": self.topic,
                "cluster_id": self.cluster_id,
                "start": self.start,
                "declared_at": self.declared_at,
                "replaces": list(self.replaces),
            }
        )


def read_origin(store: Store, chain: Chain) -> Origin | None:
    """Where a chain began, None if it never did.

    Raises
    ------
    LakeError
        The file is damaged.
    """
    data = store.read_bytes(chain.origin)
    if data is None:
        return None
    try:
        document = json.loads(data)
        return Origin(
            topic=document["topic"],
            cluster_id=document["cluster_id"],
            start=int(document["start"]),
            declared_at=document["declared_at"],
            replaces=tuple(document["replaces"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{store.path(chain.origin)} is damaged ({error!r}); restore it from a copy of the lake"
        raise LakeError(msg) from error
