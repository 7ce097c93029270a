"""Security settings from a properties file, as the clients that ship with Kafka read it.

The keys of Java clients and those of librdkafka are both understood; the result fits kafka-python and
aiokafka alike. A key that is not understood is an error: a security setting that is silently left out
is worse than none.
"""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI")

_CREDENTIAL = re.compile(r"""(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s;]+))""")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_SEPARATOR = re.compile(r"(?<!\\)(?:\\\\)*(\s*[=:]\s*|\s+)")
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}


def read_properties(path: Path) -> dict[str, str]:
    """Keys and values of a `.properties` file: comments, continued lines and escapes as in Java.

    Raises
    ------
    UsageError
        When the file cannot be read; the message names it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        msg = f"the properties file {path} cannot be read: {error.strerror}"
        raise UsageError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"the properties file {path} is not UTF-8 text (byte {error.start})"
        raise UsageError(msg) from error
    found: dict[str, str] = {}
    for line in _logical_lines(text):
        match = _SEPARATOR.search(line)
        key, value = (line[: match.start(1)], line[match.end(1) :]) if match else (line, "")
        found[_unescape(key)] = _unescape(value).rstrip()
    return found


def security_from_file(path: Path | None) -> dict[str, Any]:
    """Security arguments for kafka-python's and aiokafka's clients; none without a file.

    Raises
    ------
    UsageError
        For an unknown key or value, naming key and file; for a Java key store, with the way to convert it.
    """
    return {} if path is None else security_from_properties(read_properties(path), path)


def security_from_properties(properties: dict[str, str], path: Path) -> dict[str, Any]:
    """Like `security_from_file`, for properties already read; `path` is for messages and relative files."""
    unknown = sorted(set(properties) - set(_KEYS))
    if unknown:
        msg = f"{path}: the key {unknown[0]!r} is not understood; known are {', '.join(sorted(_KEYS))}"
        raise UsageError(msg)
    values = {_KEYS[key]: (key, value) for key, value in properties.items()}

    def text(name: str) -> str | None:
        return values[name][1] if name in values else None

    protocol = (text("protocol") or "PLAINTEXT").upper()
    _one_of(path, "security.protocol", protocol, PROTOCOLS)
    security: dict[str, Any] = {"security_protocol": protocol}
    if protocol.startswith("SASL"):
        security |= _sasl(path, text)
    if protocol.endswith("SSL"):
        security["ssl_context"] = _tls(path, text)
    return security


def _sasl(path: Path, text: Callable[[str], str | None]) -> dict[str, Any]:
    mechanism = (text("mechanism") or "GSSAPI").upper()
    _one_of(path, "sasl.mechanism", mechanism, MECHANISMS)
    security: dict[str, Any] = {"sasl_mechanism": mechanism}
    if mechanism == "GSSAPI":
        security["sasl_kerberos_service_name"] = text("service") or "kafka"
        return security
    # ScramLoginModule required username="…" password="…";
    jaas = {
        match[1]: next(part for part in match.groups()[1:] if part is not None)
        for match in _CREDENTIAL.finditer(text("jaas") or "")
    }
    user = text("username") or jaas.get("username")
    secret = text("password") or jaas.get("password")
    if user is None or secret is None:
        msg = f"{path}: sasl.mechanism {mechanism} needs a user and a password: set sasl.jaas.config (or sasl.username and sasl.password)"
        raise UsageError(msg)
    return security | {"sasl_plain_username": _unescape(user), "sasl_plain_password": _unescape(secret)}


def _tls(path: Path, text: Callable[[str], str | None]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authorities = text("truststore")
    if authorities is not None:
        context = ssl.create_default_context(cafile=str(_pem(path, "ssl.truststore.location", authorities)))
    # Java's rule: an empty algorithm switches the comparison of names off, not the check of the chain.
    context.check_hostname = (text("identification") if text("identification") is not None else "https") != ""
    certificate = text("keystore")
    if certificate is not None:
        key = text("key")
        try:
            context.load_cert_chain(
                _pem(path, "ssl.keystore.location", certificate),
                None if key is None else _pem(path, "ssl.key.location", key),
                text("key_password") or text("keystore_password"),
            )
        except ssl.SSLError as error:
            msg = f"{path}: certificate and key in {certificate} do not load: {error}"
            raise UsageError(msg) from error
    return context


def _pem(path: Path, key: str, value: str) -> Path:
    file = path.parent / value
    try:
        start = file.read_bytes()[:65_536]
    except OSError as error:
        msg = f"{path}: {key} names {value}, which cannot be read: {error.strerror}"
        raise UsageError(msg) from error
    if b"-----BEGIN" not in start:
        msg = (
            f"{path}: {key} names {value}, which is not PEM; convert a Java key store with "
            "`keytool -importkeystore -deststoretype PKCS12` and `openssl pkcs12 -nodes`"
        )
        raise UsageError(msg)
    return file


def _one_of(path: Path, key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        msg = f"{path}: {key} is {value!r}; it must be one of {', '.join(allowed)}"
        raise UsageError(msg)


def _logical_lines(text: str) -> list[str]:
    lines: list[str] = []
    open_line = ""
    for raw in text.splitlines():
        line = raw.lstrip()
        if not open_line and (not line or line[0] in "#!"):
            continue
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2:
            open_line += line[:-1]
            continue
        lines.append(open_line + line)
        open_line = ""
    return [*lines, open_line] if open_line else lines


def _unescape(text: str) -> str:
    def plain(match: re.Match[str]) -> str:
        what = match[1]
        return chr(int(what[1:], 16)) if len(what) == 5 else _LETTERS.get(what, what)

    return _ESCAPE.sub(plain, text)


# What each key means to us; several spellings of one thing are Java's, then librdkafka's.
_KEYS = {
    "security.protocol": "protocol",
    "sasl.mechanism": "mechanism",
    "sasl.mechanisms": "mechanism",
    "sasl.jaas.config": "jaas",
    "sasl.username": "username",
    "sasl.password": "password",
    "sasl.kerberos.service.name": "service",
    "ssl.truststore.location": "truststore",
    "ssl.truststore.type": "truststore_type",
    "ssl.ca.location": "truststore",
    "ssl.keystore.location": "keystore",
    "ssl.keystore.type": "keystore_type",
    "ssl.keystore.password": "keystore_password",
    "ssl.certificate.location": "keystore",
    "ssl.key.location": "key",
    "ssl.key.password": "key_password",
    "ssl.endpoint.identification.algorithm": "identification",
}
