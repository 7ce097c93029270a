from __future__ import annotations

import json
import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import UsageError
from pipeline.records.decode import RecordDecoder
from pipeline.records.encode import encode_arrow
from pipeline.records.key_files import KeyFileWarning
from pipeline.records.pseudonyms import PREFIXES, Pseudonyms
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPACE = EmbeddingSpace("toy", 16)
KEY = bytes(range(32))
GOLDEN = "a_wa7oeimurmyqzhbp4uvvmptxka"


def test_form_and_stability() -> None:
    one, again = Pseudonyms(KEY), Pseudonyms(KEY)
    seen = set()
    for field, prefix in PREFIXES.items():
        name = one.one(field, "acme")
        assert re.fullmatch(prefix + "[a-z2-7]{26}", name)
        assert name == again.one(field, "acme") == one.one(field, "acme")
        seen.add(name[2:])
    assert len(seen) == len(PREFIXES), "each field has its own sub-key"
    # Written down: a new version must give the same names, or a lake falls apart.
    assert one.one("account_id", "acme") == GOLDEN
    assert Pseudonyms(KEY + b"\n").one("account_id", "acme") != GOLDEN


def test_fingerprint_names_the_key_and_nothing_else() -> None:
    assert Pseudonyms(KEY).fingerprint == Pseudonyms(KEY).fingerprint
    assert Pseudonyms(KEY).fingerprint != Pseudonyms(KEY[::-1]).fingerprint
    assert re.fullmatch("[0-9a-f]{32}", Pseudonyms(KEY).fingerprint)
    assert KEY.hex()[:16] not in Pseudonyms(KEY).fingerprint


def test_key_files(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(UsageError, match=r"key cannot be read .*name a file"):
        Pseudonyms.from_file(path)
    path.write_bytes(b"short")
    path.chmod(0o600)
    with pytest.raises(UsageError, match="has 5 bytes, at least 32 are needed; make one"):
        Pseudonyms.from_file(path)
    path.write_bytes(bytes(5000))
    with pytest.raises(UsageError, match="has 5000 bytes"):
        Pseudonyms.from_file(path)
    path.write_bytes(KEY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Pseudonyms.from_file(path).fingerprint == Pseudonyms(KEY).fingerprint
    path.chmod(0o640)
    with pytest.warns(KeyFileWarning, match=r"mode 0640.*chmod 600"):
        Pseudonyms.from_file(path)


def test_columns_keep_nulls_and_slices() -> None:
    names = Pseudonyms(KEY)
    values = pa.array(["x", "b", None, "a", "b"]).slice(1)
    got = names.column("account_id", values).to_pylist()
    assert got == [
        names.one("account_id", "b"),
        None,
        names.one("account_id", "a"),
        names.one("account_id", "b"),
    ]


def test_the_cache_is_bounded_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.records.pseudonyms._CACHE_ENTRIES", 10)
    names = Pseudonyms(KEY)
    values = [str(i) for i in range(100)]
    first = [names.one("account_id", value) for value in values]
    assert len(names._caches["account_id"]) <= 10
    assert [names.one("account_id", value) for value in values] == first


def test_identifiers_are_replaced_everywhere(
    record: Callable[..., dict[str, Any]], table: Callable[..., pa.Table], decode: Callable[..., Any]
) -> None:
    names = Pseudonyms(KEY)
    decoder = RecordDecoder(SPACE, pseudonyms=names)
    identity = {field: f"secret-{field}" for field in PREFIXES}
    good = json.dumps(record(1, **identity)).encode()
    bad = json.dumps(record(2, **identity, input_tokens=-1)).encode()
    broken = bad[:-9]
    rows = table(2)
    for field in PREFIXES:
        rows = rows.set_column(rows.column_names.index(field), field, pa.array(["", f"secret-{field}"]))
    decoded = decode([good, bad, broken, encode_arrow(rows), b"\xff\xff\xff\xff" + b"secret"], decoder)
    for field in PREFIXES:
        assert decoded.records[field].to_pylist() == [names.one(field, f"secret-{field}")] * 2
    wrong = [
        record(3, account_id=["secret"]),
        record(3, account_id="secret" * 100),
        record(3, payment_id=424242),
        record(
            3, input_tokens=-1, someone="secret", **{"user.id": "secret", "note": {"account_id": "secret"}}
        ),
        {
            "user.id": "secret",
            "gen_ai.x": 1,
            "attributes": [{"key": "user.id", "value": {"stringValue": "secret"}}],
        },
    ]
    for adapter in ("native", "auto"):
        other = RecordDecoder(SPACE, pseudonyms=names, adapter=adapter)
        more = decode([json.dumps(fields).encode() for fields in wrong], other).rejected
        assert len(more) == len(wrong)
        for row in more.to_pylist() + decoded.rejected.to_pylist():
            assert b"secret" not in row["raw"]
            assert "secret" not in row["detail"]
            assert b"424242" not in row["raw"]
            assert "424242" not in row["detail"]
    raws = dict(zip(decoded.rejected["offset"].to_pylist(), decoded.rejected["raw"].to_pylist(), strict=True))
    assert json.loads(raws[101])["account_id"] == names.one("account_id", "secret-account_id")
    assert raws[102] == raws[104] == b""


def test_hashes_are_mixed_under_the_key(
    record: Callable[..., dict[str, Any]], decode: Callable[..., Any]
) -> None:
    value = json.dumps(record(1, prompt_hash=5)).encode()
    mixed = {
        decode([value], RecordDecoder(SPACE, pseudonyms=p)).records["prompt_hash"][0].as_py()
        for p in (None, Pseudonyms(KEY), Pseudonyms(KEY[::-1]))
    }
    assert len(mixed) == 3
    assert np.uint64(5) not in mixed
