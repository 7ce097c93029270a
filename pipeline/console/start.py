"""Starting the server: the first user, the warnings that belong to it, the socket."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import uvicorn

from pipeline.console.app import create_app
from pipeline.errors import DistillwatchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.console.settings import ConsoleSettings


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises
    ------
    DistillwatchError
        Somebody else listens there, or there is no such address here.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    place = socket.socket(family, socket.SOCK_STREAM)
    try:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind((host, port))
        place.listen(128)
    except OSError as error:
        place.close()
        msg = f"cannot listen on {host} port {port} ({error.strerror}); choose another with --host and --port"
        raise DistillwatchError(msg) from error
    return place


def serve(settings: ConsoleSettings, first_user: str, *, say: Callable[[str], None]) -> None:
    """Serve until interrupted.

    Parameters
    ----------
    first_user
        Who is added, as approver, when nobody is known yet.
    say
        Takes what the one who starts it should know.
    """
    app = create_app(settings)
    place = listening(settings.host, settings.port)
    users = app.console.users
    if not users.every() and settings.proxy_header is None:
        token = users.add(first_user, "approver")
        say(f"first start: {first_user} was added as approver. The token, shown this once:\n\n  {token}\n")
    if not settings.is_local:
        say(
            f"warning: it listens on {settings.host}, where others can reach it. "
            + (
                "Cookies and tokens travel unencrypted unless a proxy in front speaks https (then add --secure-cookies)."
                if not settings.secure_cookies
                else "Make sure that only the proxy can."
            )
        )
    if settings.weaker_guard:
        say("warning: --weaker-guard: queries run unconfined where the kernel cannot confine them.")
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    say(f"console: http://{host}:{place.getsockname()[1]}/  (Ctrl-C ends it)")
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        # Who asks is decided by the address of the connection, never by what a header says of it.
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    try:
        server.run(sockets=[place])
    finally:
        app.console.close()
        place.close()
