"""What is handed to others: accounts found attacking and what they were operated with, hashed for one recipient."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.indicators.objects import (
    EXTENSION,
    OBSERVABLE,
    SCHEMA,
    TLP,
    identifier_class,
    object_id,
    seconds,
    stix,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.indicators.hashing import RecipientKey

    Row = Mapping[str, Any]

DEFINED = "2026-01-01T00:00:00.000Z"
"""When what never changes was made: the kind of observable, and names."""

SURE = {"verdict": 90, "alert": 60}
"""Confidence (0 to 100) in what people decided, and in what only a detector said."""

KIND_FACTOR = {"account": 1.0, "payment": 0.8, "network": 0.6, "user agent": 0.4}
"""How much of it is left for things that may be handed on, rented or copied."""


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """How a bundle is made.

    Parameters
    ----------
    producer
        Who shares it.
    tlp
        ``clear``, ``green``, ``amber`` or ``red``: how far the recipient may hand it on.
    valid_days
        Days after an identifier was last seen that it is worth looking for.
    most_elsewhere
        Networks, payments and programs that more accounts than this use beside those that are exported stay at home.

    Raises
    ------
    UsageError
        A value makes no sense.
    """

    producer: str
    tlp: str = "amber"
    valid_days: int = 90
    most_elsewhere: int = 0

    def __post_init__(self) -> None:
        if self.tlp not in TLP:
            msg = f"TLP is {self.tlp!r}; it has to be one of {', '.join(TLP)}"
            raise UsageError(msg)
        if not self.producer.strip():
            msg = "a bundle has to say who shares it"
            raise UsageError(msg)
        if self.valid_days < 1 or self.most_elsewhere < 0:
            msg = f"{self.valid_days} days, {self.most_elsewhere} accounts elsewhere: at least 1 and 0"
            raise UsageError(msg)


def export_bundle(rows: Iterable[Row], key: RecipientKey, settings: ExportSettings) -> str:
    """A STIX 2.1 bundle as JSON text; equal rows, key and settings give equal text.

    Parameters
    ----------
    rows
        Of the playbook `identifiers_to_export`.
    key
        Shared with the recipient.
    """
    return _Exporter(key, settings).bundle(rows)


class _Exporter:
    def __init__(self, key: RecipientKey, settings: ExportSettings) -> None:
        self._stix, self._key, self._settings = stix(), key, settings
        self._label = f"salt:{key.fingerprint}"
        self._objects: dict[str, Any] = {}

    def bundle(self, rows: Iterable[Row]) -> str:
        accounts: defaultdict[str, list[Row]] = defaultdict(list)
        for row in rows:
            if row["kind"] == "account" or row["accounts_elsewhere"] <= self._settings.most_elsewhere:
                accounts[row["account_id"]].append(row)
        if accounts:
            self._marking()
            self._definition()
            producer = self._producer()
            campaigns = self._campaigns(accounts, producer)
            for _, each in sorted(accounts.items()):
                self._account(each, producer, campaigns)
        objects = [self._objects[name] for name in sorted(self._objects)]
        whole = self._stix.Bundle(
            id=object_id("bundle", self._key.fingerprint, sorted(self._objects), self._settings.tlp),
            objects=objects,
            allow_custom=True,
        )
        return str(whole.serialize(pretty=True)) + "\n"

    def _add(self, made: Any) -> str:
        return str(self._objects.setdefault(made["id"], made)["id"])

    def _common(self, rows: Iterable[Row], producer: str) -> dict[str, Any]:
        """Times, creator and marking of what these rows say.

        One id keeps its `created`, and another content has another `modified`: an account that was seen again has moved both
        `last_seen` and what is said of it.
        """
        rows = list(rows)
        first = min(row["first_seen"] for row in rows)
        return {
            "created": seconds(first),
            "modified": seconds(max(first, *(max(row["based_at"], row["last_seen"]) for row in rows))),
            "created_by_ref": producer,
            "object_marking_refs": [TLP[self._settings.tlp]],
        }

    def _id(self, kind: str, *about: object) -> str:
        # Who says it and how far it may go is part of what an object says: with others it is another object.
        return object_id(kind, self._settings.producer, self._settings.tlp, *about)

    def _marking(self) -> None:
        """The marking itself, as the standard has it, so that nothing in the bundle refers to nothing."""
        # The library still knows TLP:CLEAR by its former name.
        name = {"clear": "white"}.get(self._settings.tlp, self._settings.tlp)
        self._add(getattr(self._stix, f"TLP_{name.upper()}"))

    def _producer(self) -> str:
        return self._add(
            self._stix.Identity(
                id=self._id("identity"),
                name=self._settings.producer,
                identity_class="organization",
                created=DEFINED,
                modified=DEFINED,
                object_marking_refs=[TLP[self._settings.tlp]],
            )
        )

    def _definition(self) -> None:
        """The kind of observable, the same in every bundle whoever makes it."""
        fixed = {"created": DEFINED, "modified": DEFINED, "object_marking_refs": [TLP["clear"]]}
        author = self._add(
            self._stix.Identity(
                id=object_id("identity", "distillwatch", "software"),
                name="distillwatch",
                identity_class="system",
                **fixed,
            )
        )
        self._add(
            self._stix.ExtensionDefinition(
                id=EXTENSION,
                name="hashed identifier",
                description=(
                    f"The observable {OBSERVABLE}: HMAC-SHA-256 over kind, a zero byte and the identifier, under a secret "
                    "that sender and recipient share."
                ),
                schema=SCHEMA,
                version="1.0.0",
                extension_types=["new-sco"],
                created_by_ref=author,
                **fixed,
            )
        )

    def _campaigns(self, accounts: Mapping[str, list[Row]], producer: str) -> dict[str, str]:
        grouped: defaultdict[str, list[Row]] = defaultdict(list)
        for each in accounts.values():
            if each[0]["campaign"]:
                grouped[each[0]["campaign"]] += each
        return {name: self._campaign(name, rows, producer) for name, rows in sorted(grouped.items())}

    def _campaign(self, name: str, rows: list[Row], producer: str) -> str:
        hashed = self._key.hash("campaign", name)
        members = {row["account_id"] for row in rows}
        return self._add(
            self._stix.Campaign(
                id=self._id("campaign", hashed),
                name=f"distillation campaign {hashed[:12]}",
                description=f"{len(members)} accounts that look operated together harvest a model's outputs.",
                objective="training a copy of a model from its outputs",
                first_seen=seconds(min(row["first_seen"] for row in rows)),
                last_seen=seconds(max(row["last_seen"] for row in rows)),
                confidence=_confidence(rows[0], "account"),
                labels=["distillation-attack", self._label],
                **self._common(rows, producer),
            )
        )

    def _account(self, rows: list[Row], producer: str, campaigns: Mapping[str, str]) -> None:
        whole = next(row for row in rows if row["kind"] == "account")
        observables = {self._observable(row): row for row in rows}
        owner = self._key.hash("account", whole["account_id"])
        observed = self._add(
            self._stix.ObservedData(
                id=self._id("observed-data", owner, sorted(observables)),
                first_observed=seconds(whole["first_seen"]),
                last_observed=seconds(whole["last_seen"]),
                number_observed=min(int(whole["records"]), 999_999_999),
                object_refs=sorted(observables),
                allow_custom=True,
                labels=[self._label],
                **self._common(rows, producer),
            )
        )
        for row in rows:
            indicator = self._indicator(row, producer)
            self._relate(indicator, "based-on", observed, row, producer)
            if row["campaign"]:
                self._relate(indicator, "indicates", campaigns[row["campaign"]], row, producer)

    def _observable(self, row: Row) -> str:
        hashed = self._key.hash(row["kind"], row["value"])
        return self._add(
            identifier_class(self._stix)(
                kind=row["kind"], hmac_sha256=hashed, object_marking_refs=[TLP[self._settings.tlp]]
            )
        )

    def _indicator(self, row: Row, producer: str) -> str:
        hashed = self._key.hash(row["kind"], row["value"])
        ends = row["last_seen"] + timedelta(days=self._settings.valid_days)
        return self._add(
            self._stix.Indicator(
                # What several accounts share is said once for each: they may have been decided differently.
                id=self._id(
                    "indicator",
                    self._settings.valid_days,
                    hashed,
                    self._key.hash("account", row["account_id"]),
                ),
                name=f"{row['kind']} of an account that harvests a model's outputs",
                description=(
                    "People decided that the account attacks."
                    if row["basis"] == "verdict"
                    else "A detector raised an alert; nobody has decided yet."
                ),
                indicator_types=["malicious-activity" if row["basis"] == "verdict" else "anomalous-activity"],
                pattern=pattern(row["kind"], hashed),
                pattern_type="stix",
                valid_from=seconds(row["first_seen"]),
                valid_until=seconds(ends),
                confidence=_confidence(row, row["kind"]),
                labels=["distillation-attack", self._label],
                **self._common([row], producer),
            )
        )

    def _relate(self, source: str, kind: str, target: str, row: Row, producer: str) -> None:
        self._add(
            self._stix.Relationship(
                id=self._id("relationship", source, kind, target),
                relationship_type=kind,
                source_ref=source,
                target_ref=target,
                **self._common([row], producer),
            )
        )


def pattern(kind: str, hashed: str) -> str:
    """The STIX pattern of one hashed identifier."""
    return f"[{OBSERVABLE}:kind = '{kind}' AND {OBSERVABLE}:hmac_sha256 = '{hashed}']"


def _confidence(row: Row, kind: str) -> int:
    return round(SURE[row["basis"]] * KIND_FACTOR[kind])
