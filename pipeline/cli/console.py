"""``distillwatch console``: the lake in a browser; and who may come in."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.output import Format, format_option, print_rows
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.console.state import Users

LAKE = click.Path(file_okay=False, path_type=Path)
STATE = click.Path(dir_okay=False, path_type=Path)
ROLES = ("viewer", "investigator", "approver")


def _lake(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--lake", "lake_path", type=LAKE, help="Folder of the lake.")(function)


def _state(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--state",
        "state",
        type=STATE,
        help="SQLite file of cases, notes, verdicts and users.  [default: console/state.sqlite in the lake]",
    )(function)


def _needs(error: ModuleNotFoundError) -> UsageError:
    msg = f"`distillwatch console` needs the package {error.name}, which is not installed: pip install 'distillwatch[investigate]'"
    return UsageError(msg)


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  distillwatch console --lake lake
  distillwatch console user add ana --role investigator --lake lake
  distillwatch console user add ben --role approver --lake lake
  distillwatch console --lake lake --host 10.0.0.4 --allow-host console.example.org \\
      --proxy-header X-Forwarded-User --trusted-proxy 10.0.0.2 --secure-cookies""",
)
@_lake
@_state
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: a free one.")
@click.option(
    "--allow-host", "allowed", multiple=True, metavar="NAME", help="Name under which browsers reach it."
)
@click.option(
    "--proxy-header",
    metavar="NAME",
    help="Header in which a proxy that logged people in names them, instead of tokens.",
)
@click.option(
    "--trusted-proxy",
    "proxies",
    multiple=True,
    metavar="ADDRESS",
    help="Whose word is taken for it: an address or a network. Requests from elsewhere are refused.",
)
@click.option("--secure-cookies", is_flag=True, help="Browsers reach it by https only.")
@click.option(
    "--sessions", type=click.IntRange(1, 32), default=2, show_default=True, help="Queries at a time."
)
@click.option(
    "--seconds", type=click.FloatRange(0.1), default=30.0, show_default=True, help="Limit of a query."
)
@click.option(
    "--memory",
    "megabytes",
    type=click.IntRange(64),
    default=2048,
    show_default=True,
    help="Limit of a query, MB.",
)
@click.option("--weaker-guard", is_flag=True, help="Go on where the kernel cannot confine queries.")
@click.pass_context
def command(
    context: click.Context,
    *,
    lake_path: Path | None,
    state: Path | None,
    host: str,
    port: int,
    allowed: tuple[str, ...],
    proxy_header: str | None,
    proxies: tuple[str, ...],
    secure_cookies: bool,
    sessions: int,
    seconds: float,
    megabytes: int,
    weaker_guard: bool,
) -> None:
    """Serve the console: queue, accounts, clusters, playbooks, SQL, cases and verdicts, in a browser.

    It listens on this machine only unless told otherwise. Nobody comes in without a token; the first one is made and
    printed at the first start.
    """
    context.obj = (lake_path, state)
    if context.invoked_subcommand is not None:
        return
    if lake_path is None:
        msg = "which lake? give its folder with --lake DIR"
        raise UsageError(msg)
    try:
        from pipeline.console.settings import ConsoleSettings
        from pipeline.console.start import serve
    except ModuleNotFoundError as error:
        raise _needs(error) from error

    serve(
        ConsoleSettings(
            lake=lake_path,
            state=state,
            host=host,
            port=port,
            allowed_hosts=allowed,
            proxy_header=proxy_header,
            trusted_proxies=proxies,
            secure_cookies=secure_cookies,
            children=sessions,
            seconds=seconds,
            memory_bytes=megabytes << 20,
            weaker_guard=weaker_guard,
        ),
        getpass.getuser(),
        say=lambda text: click.echo(text, err=True),
    )


@command.group("user")
def user() -> None:
    """Who may come in: add, list, give a new token, change a role, disable."""


def _users(context: click.Context, lake_path: Path | None, state: Path | None) -> Users:
    from pipeline.assembly import open_lake
    from pipeline.clock import SystemClock
    from pipeline.console.settings import ConsoleSettings
    from pipeline.console.state import Database, Users

    above: tuple[Path | None, Path | None] = context.obj or (None, None)
    lake_path, state = lake_path or above[0], state or above[1]
    clock = SystemClock()
    if state is None:
        if lake_path is None:
            msg = (
                "which console? give the lake's folder with --lake DIR, or the state's file with --state FILE"
            )
            raise UsageError(msg)
        open_lake(lake_path, clock=clock)
        state = ConsoleSettings(lake=lake_path).state_file
    return Users(Database(state), clock)


def _hand_over(name: str, token: str) -> None:
    click.echo(f"token of {name}; it is shown once and kept as a hash only:", err=True)
    click.echo(token)


@user.command("add")
@click.argument("name")
@click.option(
    "--role", type=click.Choice(ROLES), required=True, help="Each may do what the one before it may."
)
@click.option("--no-token", is_flag=True, help="A proxy logs this user in.")
@_lake
@_state
@click.pass_context
def add(
    context: click.Context,
    *,
    name: str,
    role: str,
    no_token: bool,
    lake_path: Path | None,
    state: Path | None,
) -> None:
    """Add NAME and print the token that lets them in."""
    token = _users(context, lake_path, state).add(name, role, token=not no_token)
    if token is None:
        click.echo(f"{name} is {role}; their proxy lets them in", err=True)
    else:
        _hand_over(name, token)


@user.command("token")
@click.argument("name")
@_lake
@_state
@click.pass_context
def token_(context: click.Context, *, name: str, lake_path: Path | None, state: Path | None) -> None:
    """Give NAME a new token; the old one and open sessions end."""
    _hand_over(name, _users(context, lake_path, state).token(name))


@user.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
@_lake
@_state
@click.pass_context
def role_(
    context: click.Context, *, name: str, role: str, lake_path: Path | None, state: Path | None
) -> None:
    """Change the role of NAME, from the next request on."""
    _users(context, lake_path, state).set_role(name, role)
    click.echo(f"{name} is {role} now", err=True)


@user.command("disable")
@click.argument("name")
@_lake
@_state
@click.pass_context
def disable(context: click.Context, *, name: str, lake_path: Path | None, state: Path | None) -> None:
    """Keep NAME out; what they did stays."""
    _users(context, lake_path, state).disable(name)
    click.echo(f"{name} is kept out", err=True)


@user.command("list")
@_lake
@_state
@format_option
@click.pass_context
def list_(context: click.Context, *, lake_path: Path | None, state: Path | None, format_: Format) -> None:
    """List the users."""
    rows = _users(context, lake_path, state).every()
    columns = ["name", "role", "tokens", "created_at", "disabled_at"]
    print_rows(columns, [tuple(row[name] for name in columns) for row in rows], format_)
