"""Users, their roles, their tokens and their sessions. What opens a door is kept as a hash only."""

from __future__ import annotations

import hashlib
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pipeline.errors import RetryLater, UsageError
from pipeline.times import to_text

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from pipeline.clock import Clock
    from pipeline.console.state.database import Database

ROLES = ("viewer", "investigator", "approver")
"""Each may do what the one before it may."""

IDLE = timedelta(hours=8)
LONGEST = timedelta(days=7)
_TOUCH = timedelta(minutes=1)
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,119}$")
PREFIX = "dw_"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may come in."""

    name: str
    role: str

    def may(self, role: str) -> bool:
        """Whether this user's role covers what ``role`` may do."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True, slots=True)
class Session:
    """A user who came in, and the secret that forms of this session carry."""

    user: User
    csrf: str


def hashed(secret: str) -> str:
    """What is kept of a secret. It has 256 random bits: a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Users:
    """The users in a state file."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def _now(self) -> datetime:
        return self._clock.now().replace(tzinfo=None)

    def _text(self) -> str:
        return str(to_text(self._now()))

    def add(self, name: str, role: str, *, token: bool = True) -> str | None:
        """A new user, and the token, which nobody can read again.

        Raises
        ------
        UsageError
            The name or the role cannot be, or the user is there already.
        """
        if not _NAME.fullmatch(name):
            msg = f"user name {name!r}: use letters, digits and . _ @ + -, beginning with a letter or digit"
            raise UsageError(msg)
        _check_role(role)
        with self._database.write() as connection:
            if connection.execute("select 1 from users where name = ?", (name,)).fetchone():
                msg = f"there is a user {name!r} already; `distillwatch console user token {name}` gives a new token"
                raise UsageError(msg)
            connection.execute(
                "insert into users (name, role, created_at) values (?, ?, ?)", (name, role, self._text())
            )
            self._event(connection, name, "added", role)
            return self._token(connection, name) if token else None

    def token(self, name: str) -> str:
        """A new token of a user; earlier ones and open sessions end."""
        with self._database.write() as connection:
            self._known(connection, name)
            self._revoke(connection, name)
            return self._token(connection, name)

    def set_role(self, name: str, role: str) -> None:
        """Another role; it counts from the user's next request on."""
        _check_role(role)
        with self._database.write() as connection:
            self._known(connection, name)
            connection.execute("update users set role = ? where name = ?", (role, name))
            self._event(connection, name, "role", role)

    def disable(self, name: str) -> None:
        """Close the door: tokens and sessions end, what the user did stays."""
        with self._database.write() as connection:
            self._known(connection, name)
            self._revoke(connection, name)
            connection.execute("update users set disabled_at = ? where name = ?", (self._text(), name))
            self._event(connection, name, "disabled", "")

    def every(self) -> list[dict[str, object]]:
        """All users, by name."""
        with self._database.read() as connection:
            return [
                dict(row)
                for row in connection.execute(
                    "select name, role, created_at, disabled_at, (select count(*) from tokens where user_name = name "
                    "and revoked_at is null) as tokens from users order by name"
                )
            ]

    def _known(self, connection: sqlite3.Connection, name: str) -> None:
        if not connection.execute("select 1 from users where name = ?", (name,)).fetchone():
            msg = f"there is no user {name!r}; `distillwatch console user list` names them"
            raise UsageError(msg)

    def _token(self, connection: sqlite3.Connection, name: str) -> str:
        token = PREFIX + secrets.token_urlsafe(32)
        connection.execute(
            "insert into tokens (hash, user_name, created_at) values (?, ?, ?)",
            (hashed(token), name, self._text()),
        )
        self._event(connection, name, "token", "")
        return token

    def _revoke(self, connection: sqlite3.Connection, name: str) -> None:
        now = self._text()
        found = connection.execute(
            "update tokens set revoked_at = ? where user_name = ? and revoked_at is null", (now, name)
        )
        if found.rowcount:
            self._event(connection, name, "revoked", "")
        connection.execute(
            "update sessions set ended_at = ? where user_name = ? and ended_at is null", (now, name)
        )

    def _event(self, connection: sqlite3.Connection, name: str, what: str, detail: str) -> None:
        connection.execute(
            "insert into user_events (at, user_name, what, detail) values (?, ?, ?, ?)",
            (self._text(), name, what, detail),
        )

    def named(self, name: str) -> User | None:
        """The user of this name who may come in."""
        with self._database.read() as connection:
            row = connection.execute(
                "select name, role from users where name = ? and disabled_at is null", (name,)
            ).fetchone()
        return None if row is None else User(row["name"], row["role"])

    def log_in(self, token: str) -> str | None:
        """The secret of a new session, for the user whose token this is; None: nobody's."""
        with self._database.write() as connection:
            row = connection.execute(
                "select users.name from tokens join users on users.name = tokens.user_name "
                "where tokens.hash = ? and tokens.revoked_at is null and users.disabled_at is null",
                (hashed(token.strip()),),
            ).fetchone()
            if row is None:
                return None
            secret, now = secrets.token_urlsafe(32), self._text()
            connection.execute(
                "insert into sessions (hash, user_name, csrf, created_at, seen_at) values (?, ?, ?, ?, ?)",
                (hashed(secret), row["name"], secrets.token_urlsafe(32), now, now),
            )
            return secret

    def session(self, secret: str) -> Session | None:
        """The session of this secret, if it is open and neither idle nor old."""
        now = self._now()
        with self._database.read() as connection:
            row = connection.execute(
                "select users.name, users.role, sessions.csrf, sessions.created_at, sessions.seen_at "
                "from sessions join users on users.name = sessions.user_name "
                "where sessions.hash = ? and sessions.ended_at is null and users.disabled_at is null",
                (hashed(secret),),
            ).fetchone()
        if row is None:
            return None
        if row["seen_at"] <= str(to_text(now - IDLE)) or row["created_at"] <= str(to_text(now - LONGEST)):
            return None
        if row["seen_at"] <= str(to_text(now - _TOUCH)):
            # A page that only reads does not fail because another program writes.
            with suppress(RetryLater), self._database.write() as connection:
                connection.execute(
                    "update sessions set seen_at = ? where hash = ?", (to_text(now), hashed(secret))
                )
        return Session(User(row["name"], row["role"]), row["csrf"])

    def log_out(self, secret: str) -> None:
        """End a session."""
        with self._database.write() as connection:
            connection.execute(
                "update sessions set ended_at = ? where hash = ? and ended_at is null",
                (self._text(), hashed(secret)),
            )

    def secret(self, name: str) -> bytes:
        """A secret of this installation, made on first use: 32 random bytes."""
        with self._database.write() as connection:
            connection.execute(
                "insert or ignore into secrets (name, value) values (?, ?)", (name, secrets.token_bytes(32))
            )
            value: bytes = connection.execute("select value from secrets where name = ?", (name,)).fetchone()[
                0
            ]
            return value


def _check_role(role: str) -> None:
    if role not in ROLES:
        msg = f"there is no role {role!r}; there are {', '.join(ROLES)}"
        raise UsageError(msg)
