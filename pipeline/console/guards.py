"""What stands before every page: known hosts only, bounded bodies, headers that keep browsers from doing harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pipeline.console.app import Console
    from pipeline.console.settings import ConsoleSettings

MOST_BODY = 1 << 20

# Nothing is loaded from anywhere but here, nothing inline runs or styles, nobody frames us.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def host_of(header: str) -> str:
    """The name in a Host header or an origin's authority, without port, lower case."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


class Guards:
    """The middleware around everything; also what a server is given.

    Parameters
    ----------
    console
        What the pages behind it share, for whoever starts and stops it.
    """

    def __init__(self, app: ASGIApp, settings: ConsoleSettings, console: Console) -> None:
        self._app, self._settings = app, settings
        self.console = console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse foreign hosts and large bodies; add headers to every answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if "cache-control" not in headers:
                    headers["cache-control"] = "no-store"
                if self._settings.secure_cookies:
                    headers["strict-transport-security"] = "max-age=31536000"
            await send(message)

        headers = Headers(scope=scope)
        # A page elsewhere could point its own name at this machine and read what comes back.
        if host_of(headers.get("host", "")) not in self._settings.hosts:
            refused = PlainTextResponse(
                "This console does not answer to that name; --allow-host adds one.\n", 421
            )
            await refused(scope, receive, with_headers)
            return
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MOST_BODY:
            await PlainTextResponse("The request is too large.\n", 413)(scope, receive, with_headers)
            return
        await self._app(scope, _bounded(receive), with_headers)


def _bounded(receive: Receive) -> Receive:
    """A receiver that gives up on bodies without a length that go on and on."""
    taken = 0

    async def receive_some() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > MOST_BODY:
                return {"type": "http.disconnect"}
        return message

    return receive_some
