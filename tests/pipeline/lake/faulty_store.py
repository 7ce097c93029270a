"""A store that breaks, dies or lets somebody else act at a chosen step on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.lake.store import LocalStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Died(BaseException):
    """The process is gone: nothing of it runs any more."""


class FaultyStore(LocalStore):
    """Calls ``self.fault(step)`` before and after each step; what that raises happens there.

    ``plan`` maps the number of a step, counted from the last `arm`, to what happens at it.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.plan: dict[int, Callable[[], None]] = {}
        self.steps = 0
        self.dead = False

    def arm(self, step: int, action: Callable[[], None]) -> None:
        self.steps = 0
        self.plan = {step: action}

    def disarm(self) -> None:
        self.plan = {}

    def die(self) -> None:
        self.dead = True
        raise Died

    def point(self) -> None:
        if self.dead:
            raise Died
        self.steps += 1
        action = self.plan.pop(self.steps, None)
        if action is not None:
            action()

    def _around(self, step: Callable[..., Any], *arguments: Any) -> Any:
        self.point()
        result = step(*arguments)
        self.point()
        return result

    def _sync_file(self, path: Path) -> None:
        self._around(super()._sync_file, path)

    def _link(self, source: Path, target: Path) -> None:
        self._around(super()._link, source, target)

    def _sync_folder(self, folder: Path) -> None:
        self._around(super()._sync_folder, folder)

    def _rename(self, source: Path, target: Path) -> None:
        self._around(super()._rename, source, target)

    def _unlink(self, path: Path) -> None:
        self._around(super()._unlink, path)

    def exists(self, key: str) -> bool:
        return self._around(super().exists, key)

    def read_bytes(self, key: str) -> bytes | None:
        return self._around(super().read_bytes, key)

    def names(self, folder: str) -> list[str]:
        return self._around(super().names, folder)

    def path(self, key: str) -> Path:
        # Opened by the reader of a footer: a step like the others.
        return self._around(super().path, key)
