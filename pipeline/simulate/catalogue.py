"""What habits choose from: models, sampling parameters, user agents, networks, languages, places."""

from __future__ import annotations

from dataclasses import dataclass

# (name, milliseconds per output token); the last one is released during the simulated period.
MODELS = (("aster-large-2", 22.0), ("aster-medium-2", 11.0), ("aster-small-2", 6.0), ("aster-large-3", 17.0))
NEW_MODEL = len(MODELS) - 1

USER_AGENTS = (
    *(f"python-sdk/{version}" for version in ("1.40.2", "1.52.0", "1.61.1", "1.66.0", "1.70.3")),
    *(f"node-sdk/{version}" for version in ("4.20.1", "4.38.0", "4.51.2", "4.60.0")),
    *(f"python-requests/{version}" for version in ("2.28.1", "2.31.0", "2.32.3")),
    *(f"python-httpx/{version}" for version in ("0.24.1", "0.25.2", "0.27.0")),
    *(f"langchain/{version}" for version in ("0.1.16", "0.2.5", "0.3.1")),
    *(f"litellm/{version}" for version in ("1.35.1", "1.44.7")),
    "curl/8.5.0",
    "go-http-client/2.0",
    "okhttp/4.12.0",
    "aiohttp/3.9.5",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)",
    "Mozilla/5.0 (X11; Linux x86_64)",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4)",
)

TEMPERATURES = (None, 0.0, 0.2, 0.3, 0.5, 0.7, 0.8, 1.0, 1.0)
TOP_PS = (None, None, None, 0.9, 0.95, 1.0, 1.0)
MAX_TOKENS = (None, 256, 512, 1024, 1024, 2048, 4096, 4096, 8192)
# Every set of sampling parameters has a number in [0, COMBOS).
COMBOS = len(TEMPERATURES) * len(TOP_PS) * len(MAX_TOKENS)

STATUSES = ("ok", "refused", "error", "timeout")

# (country, hours ahead of UTC, languages spoken there first)
PLACES = (
    ("US", -6, ("en", "es")),
    ("US", -8, ("en", "es")),
    ("GB", 0, ("en", "fr")),
    ("DE", 1, ("de", "en")),
    ("FR", 1, ("fr", "en")),
    ("BR", -3, ("pt", "en")),
    ("IN", 5, ("en", "hi")),
    ("SG", 8, ("en", "zh")),
    ("CN", 8, ("zh", "en")),
    ("JP", 9, ("ja", "en")),
    ("PL", 1, ("pl", "en")),
    ("KR", 9, ("ko", "en")),
)
LANGUAGES = tuple(sorted({language for _, _, languages in PLACES for language in languages}))


@dataclass(frozen=True, slots=True)
class Combo:
    """One set of sampling parameters."""

    temperature: float | None
    top_p: float | None
    max_tokens: int | None


def combo(number: int) -> Combo:
    """The set of sampling parameters with this number.

    Examples
    --------
    >>> combo(0), combo(COMBOS - 1).max_tokens
    (Combo(temperature=None, top_p=None, max_tokens=None), 8192)
    """
    rest, tokens = divmod(number, len(MAX_TOKENS))
    temperature, top_p = divmod(rest, len(TOP_PS))
    return Combo(TEMPERATURES[temperature], TOP_PS[top_p], MAX_TOKENS[tokens])


def network_name(number: int) -> str:
    """A /24 network; numbers below 2**22 give different names.

    Examples
    --------
    >>> network_name(0), network_name(70000)
    ('11.0.0.0/24', '12.17.112.0/24')
    """
    return f"{11 + (number >> 16) % 200}.{(number >> 8) & 255}.{number & 255}.0/24"
