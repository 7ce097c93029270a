"""A console that listens, and a Chromium that is there."""

from __future__ import annotations

import shutil
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from pipeline.console.start import listening

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def chromium() -> str | None:
    """Where a Chromium lies on this machine; None is downloaded."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def listening_console(app: Any) -> Iterator[str]:
    """Serve an application on a free port of this machine; gives its address."""
    place = listening("127.0.0.1", 0)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, proxy_headers=False, server_header=False
    )
    server = uvicorn.Server(config)
    # Signals belong to whoever runs the tests.
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{place.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        place.close()
