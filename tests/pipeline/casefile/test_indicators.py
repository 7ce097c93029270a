"""Indicators: nobody is named to a third party, equal input gives equal bundles, and what comes in is mistrusted."""

from __future__ import annotations

import hashlib
import json
import random
import re
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("stix2", reason="needs the extra `investigate`")

from pipeline.cli.main import run
from pipeline.errors import UsageError
from pipeline.indicators import ExportSettings, RecipientKey, export_bundle, read_bundle
from pipeline.indicators.objects import EXTENSION, TLP, stix
from pipeline.warehouse import connect, playbook

if TYPE_CHECKING:
    from pathlib import Path

KEY = RecipientKey(b"k" * 32)
SETTINGS = ExportSettings("Example AI")
DAY = datetime(2026, 1, 10)


def row(account: str, kind: str, value: str, **more: Any) -> dict[str, Any]:
    return {
        "account_id": account, "basis": "verdict", "campaign": "cluster-1", "based_at": DAY.replace(day=12), "q_value": None, "p_value": 0.001,
        "kind": kind, "value": value, "records": 5, "first_seen": DAY, "last_seen": DAY.replace(day=11), "accounts_elsewhere": 0, **more,
    }  # fmt: skip


ROWS = [
    row("ann", "account", "ann"),
    row("ann", "network", "10.1.0.0/16"),
    row("ann", "user agent", "python-requests/2.28", accounts_elsewhere=40),
    row("bob", "account", "bob", basis="alert", campaign=None),
    row("bob", "payment", "pay-1", basis="alert", campaign=None),
]


def objects(bundle: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for each in json.loads(bundle)["objects"]:
        found.setdefault(each["type"], []).append(each)
    return found


def test_a_bundle_is_stix_and_the_same_for_the_same_input_in_any_order() -> None:
    bundle = export_bundle(ROWS, KEY, SETTINGS)
    assert export_bundle(list(reversed(ROWS)), KEY, SETTINGS) == bundle
    parsed = stix().parse(bundle, allow_custom=True)
    assert len(parsed["objects"]) == len({each["id"] for each in parsed["objects"]})
    kinds = objects(bundle)
    assert set(kinds) == {
        "identity", "extension-definition", "marking-definition", "campaign", "observed-data", "indicator", "relationship",
        "x-distillwatch-identifier",
    }  # fmt: skip
    assert len(kinds["indicator"]) == 4
    assert len(kinds["observed-data"]) == 2
    clear = {EXTENSION, *(each["id"] for each in kinds["identity"] if each["name"] == "distillwatch")}
    (marking,) = kinds["marking-definition"]
    assert (marking["id"], marking["name"]) == (TLP["amber"], "TLP:AMBER")
    for each in json.loads(bundle)["objects"]:
        if each["type"] != "marking-definition":
            assert each["object_marking_refs"] == [TLP["clear" if each["id"] in clear else "amber"]]


@pytest.mark.parametrize("tlp", list(TLP))
def test_a_bundle_holds_to_the_rules_of_the_standard(tlp: str) -> None:
    """Those of STIX 2.1 that concern what we make, beside the library's own strict reading."""
    from stix2patterns.validator import run_validator

    bundle = export_bundle(ROWS, KEY, ExportSettings("Example AI", tlp))
    document = json.loads(bundle)
    for each in document["objects"]:
        # The library lets observed data name a new kind of observable only if it is told to let anything through.
        stix().parse(each, allow_custom=each["type"] == "observed-data", version="2.1")
    assert set(document) == {"type", "id", "objects"}
    there = {each["id"] for each in document["objects"]}
    for each in document["objects"]:
        kind, _, number = each["id"].partition("--")
        assert kind == each["type"]
        assert uuid.UUID(number).variant == uuid.RFC_4122
        assert each["spec_version"] == "2.1"
        wanted = [each[name] for name in ("created_by_ref", "source_ref", "target_ref") if name in each]
        wanted += [*each.get("object_refs", []), *each.get("extensions", {})]
        assert set(wanted) <= there
        # A marking by another name is known to everybody by the standard.
        assert set(each.get("object_marking_refs", [])) <= there | {TLP["clear"]}
        times = [each[name] for name in ("created", "modified") if name in each]
        assert times == sorted(times)
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", time) for time in times)
        if each["type"] == "indicator":
            assert run_validator(each["pattern"], "2.1") == []
            assert each["valid_from"] < each["valid_until"]
        if each["type"] == "x-distillwatch-identifier":
            # An observable's id is UUIDv5 of what identifies it, in the standard's own namespace.
            named = json.dumps(
                {"hmac_sha256": each["hmac_sha256"], "kind": each["kind"]}, separators=(",", ":")
            )
            assert number == str(uuid.uuid5(uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7"), named))


def test_what_changes_under_one_id_is_a_later_version_of_it() -> None:
    """A receiver keeps the object with the latest `modified`: another content under the same one would be lost."""
    day = DAY.replace(day=20)
    later = [{**each, "last_seen": day, "records": 9} for each in ROWS]
    decided = [{**each, "basis": "verdict", "based_at": day} for each in ROWS]
    joined = [*ROWS, row("cid", "account", "cid", first_seen=DAY.replace(day=14), last_seen=day)]
    first = json.loads(export_bundle(ROWS, KEY, SETTINGS))["objects"]
    for rows, settings in (
        (later, SETTINGS),
        (decided, SETTINGS),
        (joined, SETTINGS),
        (ROWS, ExportSettings("Example AI", "green")),
        (ROWS, ExportSettings("Example AI", valid_days=9)),
        (ROWS, ExportSettings("Another AI")),
    ):
        second = {each["id"]: each for each in json.loads(export_bundle(rows, KEY, settings))["objects"]}
        for before in first:
            after = second.get(before["id"], before)
            if "modified" in before and before != after:
                assert before["created"] == after["created"]
                assert before["modified"] < after["modified"], before["type"]


def test_nobody_is_named_to_whoever_has_not_the_key() -> None:
    bundle = export_bundle(ROWS, KEY, SETTINGS)
    for value in ("ann", "bob", "10.1.0.0", "pay-1", "python-requests", "cluster-1"):
        assert not re.search(rf"\b{re.escape(value)}\b", bundle)
    assert KEY.hash("account", "ann") in bundle
    other = export_bundle(ROWS, RecipientKey(b"o" * 32), SETTINGS)
    shared = set(re.findall(r"[0-9a-f]{64}", bundle)) & set(re.findall(r"[0-9a-f]{64}", other))
    assert shared == set(), "two recipients could join what they got"


def test_hashes_are_hmac_and_the_kind_counts() -> None:
    import hmac

    assert KEY.hash("account", "ann") == hmac.new(b"k" * 32, b"account\0ann", hashlib.sha256).hexdigest()
    assert KEY.hash("network", "x") != KEY.hash("payment", "x")


def test_what_many_others_use_stays_at_home_unless_asked_for() -> None:
    common = KEY.hash("user agent", "python-requests/2.28")
    assert common not in export_bundle(ROWS, KEY, SETTINGS)
    assert common in export_bundle(ROWS, KEY, ExportSettings("Example AI", most_elsewhere=40))


def test_confidence_says_who_decided_and_how_firm_a_thing_is() -> None:
    kinds = objects(export_bundle(ROWS, KEY, SETTINGS))
    sure = {
        (each["name"].split(" of ")[0], each["description"][:6]): each["confidence"]
        for each in kinds["indicator"]
    }
    assert sure == {
        ("account", "People"): 90, ("network", "People"): 54, ("account", "A dete"): 60, ("payment", "A dete"): 48,
    }  # fmt: skip
    for each in kinds["indicator"]:
        assert each["valid_from"] == "2026-01-10T00:00:00Z"
        assert each["valid_until"] == "2026-04-11T00:00:00Z"
    (campaign,) = kinds["campaign"]
    ties = {(each["relationship_type"], each["target_ref"].split("--")[0]) for each in kinds["relationship"]}
    assert ties == {("based-on", "observed-data"), ("indicates", "campaign")}
    assert campaign["first_seen"] == "2026-01-10T00:00:00Z"


def test_reading_gives_back_what_was_shared() -> None:
    shared = read_bundle(export_bundle(ROWS, KEY, SETTINGS).encode(), KEY.fingerprint)
    assert (shared.sender, shared.tlp, shared.foreign) == ("Example AI", "amber", ())
    found = {(each.kind, each.hashed) for each in shared.indicators}
    assert found == {
        (r["kind"], KEY.hash(r["kind"], r["value"])) for r in ROWS if not r["accounts_elsewhere"]
    }
    assert {each.valid_from for each in shared.indicators} == {DAY}
    named = {
        each.campaign is not None for each in shared.indicators if each.hashed == KEY.hash("account", "ann")
    }
    assert named == {True}


def _altered(change: Any) -> bytes:
    document = json.loads(export_bundle(ROWS, KEY, SETTINGS))
    by_type = {each["type"]: each for each in document["objects"]}
    change(document, by_type)
    return json.dumps(document).encode()


def _without(kind: str, name: str) -> bytes:
    return _altered(lambda _, by_type: by_type[kind].pop(name))


def _with(kind: str, name: str, value: Any) -> bytes:
    return _altered(lambda _, by_type: by_type[kind].update({name: value}))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"not json", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no STIX bundle"),
        (b'{"type": "bundle", "objects": 3}', "'objects' have to be a list"),
        (b'{"type": "bundle", "objects": [7]}', r"object 1 \(without an id\) is no STIX"),
        (_without("indicator", "pattern"), r"\(indicator--.*\) is wrong: .*pattern"),
        (_with("indicator", "pattern", "[nonsense"), r"\(indicator--.*\) is wrong"),
        (_with("indicator", "confidence", 900), r"\(indicator--.*\) is wrong: confidence is 900"),
        (_with("indicator", "valid_until", "2020-01-01T00:00:00Z"), r"\(indicator--.*\) is wrong: .*valid_until"),
        (_with("campaign", "name", None), r"\(campaign--.*\)"),
        (_with("observed-data", "number_observed", "many"), r"\(observed-data--.*\) is wrong"),
        (_with("x-distillwatch-identifier", "hmac_sha256", "zz"), r"\(x-distillwatch-identifier--.*\) is wrong"),
        (_with("relationship", "target_ref", "campaign--00000000-0000-4000-8000-000000000000"), "relationship--.* refers to campaign--"),
        (_altered(lambda document, _: document["objects"].append(document["objects"][0])), "is in the bundle twice"),
        (_with("indicator", "labels", []), "hashed with key nobody knows"),
        (_with("indicator", "spec_version", "2.0"), "is no STIX 2.1 object"),
    ],
)  # fmt: skip
def test_a_wrong_bundle_is_refused_and_the_object_named(data: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_bundle(data, KEY.fingerprint)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for key, one in inside for each in _places(one, (*path, key)))]


def _said(data: bytes) -> str | None:
    """What is wrong with a bundle, in words; None: nothing."""
    try:
        read_bundle(data, KEY.fingerprint)
    except UsageError as error:
        return error.message
    return None


JUNK = (
    None,
    True,
    -1,
    10**400,
    1e308,
    "",
    "x",
    "\x00",
    "\ud800",
    [],
    [[]],
    {},
    {"a": 1},
    "2026-13-45T99:00:00Z",
    "[a:b = 'c']",
    "a" * 10_000,
)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_broken_in_a_bundle_ends_in_words_and_not_in_a_fault(seed: int) -> None:
    rng, whole = random.Random(seed), export_bundle(ROWS, KEY, SETTINGS)
    refused = 0
    for _ in range(25):
        document = json.loads(whole)
        *path, last = rng.choice([each for each in _places(document) if each])
        holder = document
        for key in path:
            holder = holder[key]
        if rng.random() < 0.3:
            del holder[last]
        else:
            holder[last] = rng.choice(JUNK)
        data = json.dumps(document).encode()
        if rng.random() < 0.2:
            data = data[: rng.randrange(len(data))]
        said = _said(data)
        # Whoever reads it can find the place, and is not buried.
        assert said is None or (re.search(r"object|bundle|--", said) and len(said) < 700)
        refused += said is not None
    assert refused


def test_another_partners_key_is_noticed() -> None:
    with pytest.raises(UsageError, match="name the key that you share with this sender"):
        read_bundle(export_bundle(ROWS, KEY, SETTINGS).encode(), RecipientKey(b"o" * 32).fingerprint)


def test_other_peoples_indicators_are_left_out_and_counted() -> None:
    data = _with("indicator", "pattern", "[ipv4-addr:value = '203.0.113.7']")
    shared = read_bundle(data, KEY.fingerprint)
    assert len(shared.foreign) == 1
    assert len(shared.indicators) == 3


@pytest.mark.parametrize(
    ("kept", "said"), [(True, "none of its 4 indicators is"), (False, "it has no indicator")]
)
def test_a_bundle_without_a_hashed_identifier_is_refused(kept: bool, said: str) -> None:
    bundle = json.loads(export_bundle(ROWS, KEY, SETTINGS))
    for each in bundle["objects"]:
        if each["type"] == "indicator":
            each["pattern"] = "[ipv4-addr:value = '203.0.113.7']"
    if not kept:
        lost = {each["id"] for each in bundle["objects"] if each["type"] == "indicator"}
        bundle["objects"] = [
            each
            for each in bundle["objects"]
            if not lost & {each["id"], each.get("source_ref"), each.get("target_ref")}
        ]
    with pytest.raises(UsageError, match=f"{said}.*indicators export"):
        read_bundle(json.dumps(bundle).encode(), KEY.fingerprint)


@pytest.mark.parametrize("size", [0, 31, 5000])
def test_a_file_that_is_no_key_is_refused(size: int, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"x" * size)
    file.chmod(0o600)
    with pytest.raises(UsageError, match=f"{size} bytes"):
        RecipientKey.from_file(file)


def tables_digest(lake: Path) -> str:
    """Of everything in the lake but the audit record and the imports."""
    state = hashlib.sha256()
    for path in sorted(lake.rglob("*")):
        if path.is_file() and path.relative_to(lake).parts[0] not in {"audit", "indicators", "tmp"}:
            state.update(str(path.relative_to(lake)).encode() + path.read_bytes())
    return state.hexdigest()


def test_round_trip_from_the_command_line(
    lake: Path, planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # type: ignore[no-untyped-def]
    key, bundle = tmp_path / "key", tmp_path / "bundle.json"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    common = ["--lake", str(lake), "--recipient-key", str(key), "--who", "tester"]
    export = ["indicators", "export", *common, "--producer", "Example AI", "--out", str(bundle)]
    assert run(export) == 2
    assert "nothing to export" in capsys.readouterr().err
    assert (
        run(
            [
                "verdict",
                "add",
                planted.cluster,
                "attack",
                "--lake",
                str(lake),
                "--reason",
                "hydra",
                "--owner",
                "t",
            ]
        )
        == 0
    )
    assert run(export) == 0
    assert f"{len(planted.members)} accounts, TLP:AMBER" in capsys.readouterr().out
    first = bundle.read_text()
    for member in planted.members:
        assert member not in first
    assert run(export) == 0
    assert bundle.read_text() == first
    before = tables_digest(lake)
    capsys.readouterr()
    assert run(["indicators", "import", str(bundle), *common]) == 0
    said = capsys.readouterr().out
    assert f"{len(planted.members)} accounts of this lake match; 0 indicators match nothing in it" in said
    # Marks are all that an import leaves: no table, manifest or record moved.
    assert tables_digest(lake) == before
    file = playbook("accounts_named_by_others")
    rows = connect(lake).execute(file.statement, file.bind({})).fetchall()
    assert {each[0] for each in rows} == set(planted.members)
    assert {each[3] for each in rows} == {"Example AI"}
    broken = tmp_path / "broken.json"
    broken.write_text(first.replace('"confidence": 90', '"confidence": 900', 1))
    assert run(["indicators", "import", str(broken), *common]) == 2
    assert "confidence" in capsys.readouterr().err
