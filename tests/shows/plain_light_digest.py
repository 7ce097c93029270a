"""The light fields of every profile, recomputed from JSON messages by plain Python: an independent reference.

It shares no code with distillwatch: no numpy, no Arrow, no decoder, no kernel.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def light_digest(messages: Iterable[bytes], window_seconds: int = 3600) -> str:
    windows: dict[tuple[bytes, int], list[int]] = {}
    for message in messages:
        r = json.loads(message)
        moment = datetime.fromisoformat(r["event_time"])
        delta = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH
        micros = (delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds
        q = [b - 256 if b > 127 else b for b in base64.b64decode(r["embedding"])]
        status = str(r.get("status") or "").lower()
        is_code = status.isdigit() and len(status) == 3 and status[0] in "45"
        language = (r.get("language") or "en").lower().replace("_", "-").split("-")[0]
        values = [
            1,
            r.get("input_tokens") or 0,
            r.get("output_tokens") or 0,
            sum(v * v for v in q),
            int(r.get("reasoning_requested") is True),
            int(r.get("logprobs") is True),
            int((r.get("choice_count") or 0) > 1),
            int(r.get("stream") is True),
            int(status in {"error", "failure", "timeout"} or is_code),
            int(status in {"refused", "refusal", "content_filter"}),
            int(language != "en"),
        ]
        key = (r["account_id"].encode(), micros - micros % (window_seconds * 1_000_000))
        row = windows.setdefault(key, [0] * len(values))
        for i, value in enumerate(values):
            row[i] += value
    digest = hashlib.blake2b(digest_size=32)
    for (account, start), row in sorted(windows.items()):
        digest.update(account + f"\t{start}\t".encode() + "\t".join(map(str, row)).encode() + b"\n")
    return digest.hexdigest()
