"""The door: a token in, a session's cookie out."""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from pipeline.console.entrance import COOKIE, FIELD, LOGIN_COOKIE, Refused, check_form, check_origin
from pipeline.console.state.users import LONGEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from pipeline.console.app import Console


def door(console: Console, request: Request, _form: Mapping[str, str]) -> Response:
    """The form. It carries a secret that its cookie carries too: nobody logs somebody else in."""
    return _show(console, request)


def _show(console: Console, request: Request, *, problem: str | None = None, status: int = 200) -> Response:
    known = request.cookies.get(LOGIN_COOKIE, "")
    token = known if len(known) == 43 else secrets.token_urlsafe(32)
    page = console.render(
        "login.html",
        None,
        csrf=token,
        problem=problem,
        next=local(request.query_params.get("next", "")),
        proxy=console.settings.proxy_header is not None,
    )
    response = HTMLResponse(page, status_code=status)
    response.set_cookie(
        LOGIN_COOKIE,
        token,
        httponly=True,
        samesite="strict",
        secure=console.settings.secure_cookies,
        path="/login",
    )
    return response


def enter(console: Console, request: Request, form: Mapping[str, str]) -> Response:
    """A token was sent."""
    if console.settings.proxy_header is not None:
        msg = "This console is entered through its proxy."
        raise Refused(msg)
    check_origin(request)
    kept = request.cookies.get(LOGIN_COOKIE, "")
    if not kept or not hmac.compare_digest(kept.encode(), form.get(FIELD, "").encode()):
        return _show(console, request, problem="The form was too old. Try again.", status=403)
    address = request.client.host if request.client else ""
    wait = console.attempts.wait(address)
    if wait:
        response = _show(
            console, request, problem=f"Too many attempts. Try again in {wait} seconds.", status=429
        )
        response.headers["retry-after"] = str(wait)
        return response
    secret = console.users.log_in(form.get("token", ""))
    if secret is None:
        console.attempts.failed(address)
        return _show(console, request, problem="That token does not open this door.", status=403)
    session = console.users.session(secret)
    assert session is not None
    console.queries.audit.note("login", who=session.user.name, address=address)
    response = RedirectResponse(local(form.get("next", "")), status_code=303)
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(LONGEST.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=console.settings.secure_cookies,
        path="/",
    )
    response.delete_cookie(LOGIN_COOKIE, path="/login")
    return response


def leave(console: Console, request: Request, form: Mapping[str, str]) -> Response:
    """The session ends."""
    secret = request.cookies.get(COOKIE)
    session = console.entrance.session(request)
    if session is None or secret is None:
        return RedirectResponse("/login", status_code=303)
    check_form(request, session, form)
    console.users.log_out(secret)
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(COOKIE, path="/")
    return response


def local(target: str) -> str:
    """An address here, whatever was asked for: nobody is sent elsewhere after logging in."""
    plain = target.startswith("/") and not target.startswith(("//", "/\\"))
    printable = all(character.isprintable() and character != "\\" for character in target)
    return target if plain and printable and not target.startswith("/login") else "/queue"


def home(_console: Console, _request: Request, _form: Mapping[str, str]) -> Response:
    """The beginning."""
    return RedirectResponse("/queue", status_code=303)


def robots(_console: Console, _request: Request, _form: Mapping[str, str]) -> Response:
    """Nothing here is for them."""
    return PlainTextResponse("User-agent: *\nDisallow: /\n")


LOGIN_ROUTES = (
    ("/", home, ["GET"]),
    ("/login", door, ["GET"]),
    ("/login", enter, ["POST"]),
    ("/logout", leave, ["POST"]),
    ("/robots.txt", robots, ["GET"]),
)
"""The only addresses that need no session."""
