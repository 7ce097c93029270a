"""A worker process ends when its parent does, however that ended."""

from __future__ import annotations

import os
from multiprocessing import parent_process
from threading import Thread


def end_with_parent() -> None:
    """Watch the parent from now on; initializer of pools.

    A pool's worker waits for work on a pipe whose other end it holds itself, so a parent that was killed leaves it waiting for
    ever, with all the memory that it has.
    """
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        # No clean-up: what it would report to is gone.
        os._exit(1)

    Thread(target=watch, name="end-with-parent", daemon=True).start()
