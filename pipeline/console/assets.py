"""Style, scripts and charts: files of the program, served from memory under names that change with their contents."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from starlette.requests import Request

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    body: bytes
    media_type: str
    version: str


class Assets:
    """Every file under ``static`` that browsers ask for."""

    def __init__(self) -> None:
        self._files: dict[str, Asset] = {}
        self._collect(resources.files("pipeline.console").joinpath("static"), "")

    def _collect(self, folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            name = f"{prefix}{entry.name}"
            if entry.is_dir():
                self._collect(entry, f"{name}/")
                continue
            media_type = TYPES.get(f".{entry.name.rpartition('.')[2]}")
            if media_type is not None:
                body = entry.read_bytes()
                self._files[name] = Asset(body, media_type, hashlib.sha256(body).hexdigest()[:12])

    def url(self, name: str) -> str:
        """Address of a file."""
        return f"/static/{name}?v={self._files[name].version}"

    async def respond(self, request: Request) -> Response:
        """The file that is asked for. Names are looked up, never joined to a path."""
        asset = self._files.get(request.path_params["name"])
        if asset is None:
            return PlainTextResponse("There is no such file.\n", 404)
        kept = request.query_params.get("v") == asset.version
        return Response(
            asset.body,
            media_type=asset.media_type,
            headers={"cache-control": "public, max-age=31536000, immutable" if kept else "no-cache"},
        )
