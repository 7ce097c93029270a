"""Files on their way out: set aside under another name, so that they can come back until nobody can name them any more.

A file of a run or of a table may be named by the next manifest although no manifest named it for months: whoever
goes on with a compaction that was cut short, or writes equal rows, gets the same names. So a sweep cannot look, find
a file unnamed and delete it; between the two the file may have been published. Three rules make that impossible:

1. A sweep renames the file away; nothing lies under its name now.
2. Then it publishes the current manifest once more, under the next number. If that manifest names the file, the sweep puts
   it back, else it deletes what it set aside.
3. Who publishes a manifest that names files anew first looks whether each lies under its name (and fetches it
   back from the graveyard, or gives up), and looks again for every number that it tries.

Numbers are taken once, so the sweep's manifest and the publisher's have an order. Sweep first: the publisher's
number is a later one, it looked after that, hence after the renaming, and what it found under the name is another
link, which the sweep's deletion does not reach. Publisher first: the sweep's own manifest names the file, and it is put back.
No clock enters, and no matter how long either of them stalls.

Between its renaming and its putting back, a file that was published at that very moment is missing for some
milliseconds. If the sweep dies there, the publisher, which looks once more after its put, or the next sweep brings it back.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from pipeline.lake.store import TEMPORARY

if TYPE_CHECKING:
    from pipeline.lake.store import Store

_PREFIX = "swept-"


@dataclass(frozen=True, slots=True)
class Grave:
    """A file that was set aside: where it lies, and the name it had."""

    place: str
    key: str


def is_grave(name: str) -> bool:
    """Whether a name in ``tmp/`` is that of a file that was set aside."""
    return name.startswith(_PREFIX)


def bury(store: Store, key: str) -> bool:
    """Set a file aside; False if it is gone already."""
    return store.move(key, f"{TEMPORARY}/{_PREFIX}{uuid.uuid4().hex}-{quote(key, safe='')}")


def graves(store: Store) -> list[Grave]:
    """Everything that is set aside, by whichever sweep."""
    return [
        Grave(f"{TEMPORARY}/{name}", unquote(name.removeprefix(_PREFIX).partition("-")[2]))
        for name in store.names(TEMPORARY)
        if is_grave(name)
    ]


def recover(store: Store, key: str) -> bool:
    """Whether a file lies under its name, if need be after fetching it back."""
    if store.exists(key):
        return True
    for grave in graves(store):
        if grave.key == key:
            store.put_back(grave.place, key)
            with suppress(FileNotFoundError):
                store.touch(key)  # somebody wants it: no sweep is to take it again at once
    # Also when there was no grave: somebody else may have put it back meanwhile.
    return store.exists(key)
