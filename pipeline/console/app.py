"""The console put together: state, queries, templates, routes, and who may use which."""

from __future__ import annotations

import logging
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import anyio.to_thread
import jinja2
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from pipeline.assembly import open_lake
from pipeline.clock import Clock, SystemClock
from pipeline.console import formats
from pipeline.console.assets import Assets
from pipeline.console.entrance import Attempts, Entrance, Refused, check_form
from pipeline.console.guards import Guards
from pipeline.console.page import Page, data_island
from pipeline.console.pages import ROUTES
from pipeline.console.pages.login import LOGIN_ROUTES
from pipeline.console.queries import Queries, said
from pipeline.console.state import Cases, Database, Users
from pipeline.console.verdict_flow import Forbidden, VerdictFlow
from pipeline.counted import counted
from pipeline.errors import DistillwatchError, QueryFailed, QueryKilled, RetryLater, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request

    from pipeline.console.routes import Handler, PageRoute
    from pipeline.console.settings import ConsoleSettings
    from pipeline.console.state.users import Session

LOG = logging.getLogger("distillwatch.console")


@dataclass
class Console:
    """Everything that pages share."""

    settings: ConsoleSettings
    clock: Clock

    @cached_property
    def database(self) -> Database:
        """The state file."""
        return Database(self.settings.state_file)

    @cached_property
    def users(self) -> Users:
        """Who may come in."""
        return Users(self.database, self.clock)

    @cached_property
    def cases(self) -> Cases:
        """Cases and proposals."""
        return Cases(self.database, self.clock)

    @cached_property
    def flow(self) -> VerdictFlow:
        """From proposals to verdicts in the lake."""
        return VerdictFlow(self.cases, lambda: open_lake(self.settings.lake, clock=self.clock), self.clock)

    @cached_property
    def queries(self) -> Queries:
        """Answers from the lake."""
        return Queries(self.settings, self.clock)

    @cached_property
    def entrance(self) -> Entrance:
        """Who asks."""
        return Entrance(self.settings, self.users)

    @cached_property
    def attempts(self) -> Attempts:
        """Of logging in."""
        return Attempts(self.clock)

    @cached_property
    def assets(self) -> Assets:
        """Style, scripts, charts."""
        return Assets()

    @cached_property
    def templates(self) -> jinja2.Environment:
        """Escaping everywhere; a name that is not there is an error, not an empty place."""
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("pipeline.console", "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters.update(
            number=formats.number,
            share=formats.share,
            when=formats.when,
            ago=formats.ago,
            brief=formats.brief,
            cell=formats.cell,
            plural=counted,
            ticks=formats.ticks,
            island=lambda value: Markup(data_island(value)),  # noqa: S704 -- escaped by `data_island`
        )
        environment.globals.update(
            asset=self.assets.url,
            DECISIONS=formats.DECISIONS,
            VERDICTS=formats.VERDICTS,
            NOTHING=formats.NOTHING,
        )
        return environment

    def render(self, template: str, page: Page | None, **values: Any) -> str:
        """A page's text."""
        return self.templates.get_template(template).render(page=page, **values)

    def close(self) -> None:
        """End every session over the lake."""
        if "queries" in self.__dict__:
            self.queries.close()


def create_app(settings: ConsoleSettings, clock: Clock | None = None) -> Guards:
    """The application: the console's pages behind its guards.

    Raises
    ------
    UsageError
        There is no lake.
    DistillwatchError
        The state file cannot be used.
    """
    clock = clock or SystemClock()
    open_lake(settings.lake, clock=clock)
    # From here on whole paths: that is how messages can be told where the lake's is, and it stays if the folder changes.
    console = Console(
        replace(settings, lake=settings.lake.absolute(), state=settings.state and settings.state.absolute()),
        clock,
    )
    # What was approved when the program stopped is written before anybody looks.
    console.flow.finish()
    console.users.secret("csrf")

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await anyio.to_thread.run_sync(console.queries.warm)
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(console.close)

    routes: list[BaseRoute] = [
        Route("/static/{name:path}", console.assets.respond, name="static"),
        Route("/health", _health),
    ]
    routes += [
        Route(path, _open_door(console, handler), methods=methods) for path, handler, methods in LOGIN_ROUTES
    ]
    routes += [Route(each.path, _guarded(console, each), methods=[each.method]) for each in ROUTES]
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={
            HTTPException: _http_error(console),
            Refused: _refused(console),
            RetryLater: _trouble(console, 503, "Busy"),
            DistillwatchError: _trouble(console, 500, "That did not work"),
            Exception: _fault(console),
        },
    )
    # Around all of it and not one of its middlewares: the page of a fault is sent from outside of those.
    return Guards(app, console.settings, console)


def _guarded(console: Console, route: PageRoute) -> Callable[[Request], Any]:
    """A route that lets in who may come in, and changes nothing that did not come from our own forms."""

    async def endpoint(request: Request) -> Response:
        session = await anyio.to_thread.run_sync(console.entrance.session, request)
        if session is None:
            return _to_login(console, request, route)
        if not session.user.may(route.role):
            msg = f"This takes the role {route.role}; {session.user.name} is {session.user.role}."
            raise Refused(msg)
        form: dict[str, str] = {}
        if route.method == "POST":
            form = await read_form(request)
            check_form(request, session, form)
        return await anyio.to_thread.run_sync(_answer, console, request, session, form, route.handler)

    return endpoint


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, each once; files are not taken."""
    async with request.form(max_files=0, max_fields=200) as data:
        return {name: value for name, value in data.items() if isinstance(value, str)}


def _answer(
    console: Console, request: Request, session: Session, form: dict[str, str], handler: Handler
) -> Response:
    page = Page(console, request, session, form)
    try:
        return handler(page)
    except Forbidden as error:
        return _problem(page, 403, "Not allowed", page.said(error))
    except UsageError as error:
        return _problem(page, 400, "That cannot be", page.said(error))
    except (QueryFailed, QueryKilled) as error:
        return _problem(page, 422, "The lake did not answer", page.said(error))
    except RetryLater as error:
        return _problem(page, 503, "Busy", page.said(error))


def _problem(page: Page, status: int, title: str, text: str) -> Response:
    # The banner asks the lake; an error page must not depend on what has just failed.
    page.__dict__.setdefault("freshness", {"problem": None, "quiet": True})
    if status == 400 and "manifest" in page.request.query_params:
        page.__dict__["manifest"] = None
    return page.render("problem.html", status=status, title=title, text=text)


def _to_login(console: Console, request: Request, route: PageRoute) -> Response:
    if route.method == "POST":
        return PlainTextResponse("Log in first.\n", 401)
    if request.headers.get("hx-request"):
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    query = urlencode([(name, value) for name, value in parse_qsl(request.url.query) if name != "run"])
    here = request.url.path + (f"?{query}" if query else "")
    if request.headers.get("sec-fetch-site") == "cross-site" and console.settings.proxy_header is None:
        # The cookie is for requests from our own pages only. A link from elsewhere comes without it; the page that
        # it leads to asks again, now as one of ours. Nothing runs by that: what runs was taken from the address.
        return HTMLResponse(console.render("bounce.html", None, here=here))
    return RedirectResponse(f"/login?{urlencode({'next': here})}", status_code=303)


def _open_door(console: Console, handler: Callable[..., Any]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        form = await read_form(request) if request.method == "POST" else {}
        response: Response = await anyio.to_thread.run_sync(handler, console, request, form)
        return response

    return endpoint


async def _health(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


def _plain_problem(console: Console, status: int, title: str, text: str) -> Response:
    return HTMLResponse(
        console.render("problem_plain.html", None, status=status, title=title, text=text), status_code=status
    )


def _http_error(console: Console) -> Callable[[Request, Exception], Any]:
    titles = {404: "Nothing here", 405: "Not that way", 400: "That cannot be"}

    async def handler(_request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        title = titles.get(status, "That did not work")
        return _plain_problem(console, status, title, f"The server answered {status}.")

    return handler


def _refused(console: Console) -> Callable[[Request, Exception], Any]:
    async def handler(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return _plain_problem(console, error.status, "Not allowed", error.reason)

    return handler


def _trouble(console: Console, status: int, title: str) -> Callable[[Request, Exception], Any]:
    """What is wrong has words of its own: the lake or the state file, not the program."""

    async def handler(request: Request, error: Exception) -> Response:
        assert isinstance(error, DistillwatchError)
        LOG.error("%s %s: %s", request.method, request.url.path, error.message)
        return _plain_problem(console, status, title, said(error, console.settings))

    return handler


def _fault(console: Console) -> Callable[[Request, Exception], Any]:
    async def handler(request: Request, error: Exception) -> Response:
        # What went wrong is for the log; the page has a number under which it is found there.
        number = secrets.token_hex(4)
        LOG.error("fault %s at %s %s", number, request.method, request.url.path, exc_info=error)
        text = f"The fault has the number {number}; the server's log says more."
        return _plain_problem(console, 500, "Something broke", text)

    return handler
