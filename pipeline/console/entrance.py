"""Who is asking: a session's cookie, or what a trusted proxy says. And whether a form is one of ours."""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.console.state.users import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from pipeline.clock import Clock
    from pipeline.console.settings import ConsoleSettings
    from pipeline.console.state.users import Users

COOKIE = "distillwatch_session"
LOGIN_COOKIE = "distillwatch_login"
FIELD = "csrf"
HEADER = "x-csrf-token"


class Refused(Exception):
    """The request does not get in; ``reason`` may be shown."""

    def __init__(self, reason: str, *, status: int = 403) -> None:
        self.reason, self.status = reason, status
        super().__init__(reason)


@dataclass
class Entrance:
    """Finds the session of a request."""

    settings: ConsoleSettings
    users: Users

    def session(self, request: Request) -> Session | None:
        """Who asks; None: nobody yet.

        Raises
        ------
        Refused
            A header names somebody and does not come from the proxy, or the proxy names somebody we do not know.
        """
        header = self.settings.proxy_header
        if header is not None:
            return self._by_proxy(request, header)
        secret = request.cookies.get(COOKIE)
        return self.users.session(secret) if secret else None

    def _by_proxy(self, request: Request, header: str) -> Session | None:
        address = request.client.host if request.client else None
        if not self.settings.trusts(address):
            msg = "This console is reached through its proxy only."
            raise Refused(msg)
        names = request.headers.getlist(header)
        if not names:
            msg = "The proxy named nobody."
            raise Refused(msg, status=401)
        # Two of them: one may be the visitor's own.
        if len(names) > 1:
            msg = "The proxy named more than one user."
            raise Refused(msg)
        user = self.users.named(names[0].strip())
        if user is None:
            msg = "The proxy knows you; this console does not. Ask for: distillwatch console user add."
            raise Refused(msg)
        return Session(user, proxy_token(self.users.secret("csrf"), user.name))


def proxy_token(secret: bytes, name: str) -> str:
    """What forms carry for a user whom a proxy names: there is no session to keep one in."""
    return hmac.new(secret, f"csrf:{name}".encode(), hashlib.sha256).hexdigest()


def check_form(request: Request, session: Session, form: Mapping[str, str]) -> None:
    """Refuse a change that did not come from one of our own pages.

    Raises
    ------
    Refused
        The token is missing or another's, or the browser says that the form stood elsewhere.
    """
    check_origin(request)
    given = request.headers.get(HEADER) or form.get(FIELD, "")
    if not hmac.compare_digest(given.encode(), session.csrf.encode()):
        msg = "This form is from another session. Reload the page and send it again."
        raise Refused(msg)


def check_origin(request: Request) -> None:
    """Refuse what a browser says comes from another site.

    Raises
    ------
    Refused
        It does.
    """
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site")
    foreign = site is not None and site not in {"same-origin", "none"}
    if origin is not None:
        # Exactly, with the port: another program on this machine is another site.
        foreign = foreign or urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
    if foreign:
        msg = "This form was sent from another site."
        raise Refused(msg)


class Attempts:
    """How often somebody may try a token: a few times per address, and not too often in all.

    Parameters
    ----------
    each, together
        Failures in `seconds` from one address, and from all.
    """

    def __init__(self, clock: Clock, *, each: int = 10, together: int = 200, seconds: float = 300.0) -> None:
        self._clock, self._each, self._together, self._seconds = clock, each, together, seconds
        self._failures: deque[tuple[float, str]] = deque()

    def wait(self, address: str) -> int:
        """Seconds until this address may try again; 0: now."""
        now = self._clock.monotonic()
        while self._failures and now - self._failures[0][0] >= self._seconds:
            self._failures.popleft()
        own = [at for at, who in self._failures if who == address]
        for times, most in ((own, self._each), ([at for at, _ in self._failures], self._together)):
            if len(times) >= most:
                return max(1, round(times[-most] + self._seconds - now))
        return 0

    def failed(self, address: str) -> None:
        """Note a failure."""
        self._failures.append((self._clock.monotonic(), address))
