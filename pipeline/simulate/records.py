"""Fill in the records: from moments and habits to an Arrow table in the record contract's columns."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.records.schema import body_fields
from pipeline.simulate import prompts as prompt_module
from pipeline.simulate.catalogue import (
    COMBOS,
    LANGUAGES,
    MODELS,
    NEW_MODEL,
    STATUSES,
    USER_AGENTS,
    combo,
    network_name,
)
from pipeline.simulate.habits import FEW, FRESH, SLOTS
from pipeline.simulate.mixing import Words, below, mix, normal, uniform
from pipeline.simulate.timeline import batches
from pipeline.spaces import EmbeddingSpace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from numpy.typing import NDArray

    from pipeline.simulate.timeline import Moments
    from pipeline.simulate.world import World

BATCH_ROWS = 16_384
HOUR_US = 3_600_000_000
# When the new model is released, as a share of the period.
RELEASE = 0.5
_HEX = np.array([f"{value:02x}".encode() for value in range(256)], "S2")


def hex_strings(prefix: str, words: Words) -> pa.Array:
    """``prefix`` and 16 hexadecimal digits, as an Arrow string array."""
    digits = _HEX[words.astype(">u8").view(np.uint8).reshape(-1, 8)].reshape(-1, 8).view("S16").reshape(-1)
    lead = np.frombuffer(prefix.encode(), np.uint8)
    rows = np.empty((len(words), len(lead) + 16), np.uint8)
    rows[:, : len(lead)] = lead
    rows[:, len(lead) :] = digits.view(np.uint8).reshape(-1, 16)
    offsets = np.arange(len(words) + 1, dtype=np.int32) * rows.shape[1]
    return pa.StringArray.from_buffers(
        len(words), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(rows))
    )


@cache
def _combos() -> tuple[list[float | None], list[float | None], list[int | None]]:
    sets = [combo(number) for number in range(COMBOS)]
    return [c.temperature for c in sets], [c.top_p for c in sets], [c.max_tokens for c in sets]


@cache
def _combo_columns() -> tuple[pa.Array, pa.Array, pa.Array]:
    temperature, top_p, max_tokens = _combos()
    return (
        pa.array(temperature, pa.float64()),
        pa.array(top_p, pa.float64()),
        pa.array(max_tokens, pa.int64()),
    )


class Traffic:
    """The records of a world, batch after batch.

    Parameters
    ----------
    world
        From `build_world`.
    end
        The period's end (aware); every record lies before it.
    batch_rows
        Rows of each table but the last.
    """

    def __init__(self, world: World, end: datetime, batch_rows: int = BATCH_ROWS) -> None:
        self.world = world
        self.batch_rows = batch_rows
        self.space = EmbeddingSpace(dimension=world.topics.dimension)
        hours = max(1, round(world.settings.days * 24))
        end_us = int(end.timestamp() * 1_000_000)
        # Whole hours, so that the clocks of habits agree with those of the records.
        self.start_us = end_us // HOUR_US * HOUR_US - hours * HOUR_US
        # 1970-01-01 was a Thursday: three days after a Monday.
        self.start_hour = self.start_us // HOUR_US + 72
        self._account_ids = pa.array(world.account_ids, pa.string())
        self._organizations = pa.array(world.organization_ids, pa.string())
        self._payments = pa.array(world.payment_ids, pa.string())
        numbers = np.unique(world.networks)
        self._network_numbers = numbers
        self._networks = pa.array([network_name(int(number)) for number in numbers], pa.string())
        self._countries = pa.array([stream.country for stream in world.streams], pa.string())
        self._asns = pa.array([stream.asn for stream in world.streams], pa.int64())
        self._schema = pa.schema(body_fields(self.space))

    @property
    def schema(self) -> pa.Schema:
        """Columns of the tables: the record contract without positions."""
        return self._schema

    def __iter__(self) -> Iterator[pa.Table]:
        """Tables in order of event time; bounded memory."""
        for moments in batches(self.world, self.start_hour, self.batch_rows):
            yield self.table(moments)

    def table(self, moments: Moments) -> pa.Table:
        """The records of these moments."""
        world, stream = self.world, moments.stream
        number = {name: values[stream] for name, values in world.number.items()}
        key = mix(world.word[stream], moments.ordinal)
        prompts = prompt_module.choose(world, moments)
        vectors = prompt_module.embed(world, moments, prompts)
        account = pa.array(world.account[stream])
        sampling = pa.array(world.combos[stream, _slot(key, 0x01)])
        temperature, top_p, max_tokens = (column.take(sampling) for column in _combo_columns())
        reasoning = uniform(key, 0x02) < number["reasoning"]
        model = self._models(moments, number, key)
        limit = np.where(
            max_tokens.is_null(), 1 << 20, max_tokens.fill_null(1 << 20).to_numpy(zero_copy_only=False)
        )
        logs = number["output_log"] + number["output_sigma"] * normal(key, 0x03) + 0.5 * reasoning
        output = np.minimum(np.rint(np.exp(np.clip(logs, 0, 12))), limit).astype(np.int64)
        status = self._statuses(number, key)
        output = np.where(status == 0, output, np.where(status == 1, np.minimum(output, 60), 0))
        shape = world.topics.tokens[prompts.component].astype(np.float64)
        size = np.exp(np.clip(shape[:, 0] + shape[:, 1] * normal(prompts.prompt, 0x04), 0, 9))
        speed = np.array([speed for _, speed in MODELS])[model]
        latency = (180 + output * speed) * number["latency"] * np.exp(0.25 * normal(key, 0x05))
        language = np.where(
            uniform(prompts.prompt, 0x06) < number["other_language"],
            world.languages[stream, 1],
            world.languages[stream, 0],
        )
        network = np.searchsorted(self._network_numbers, world.networks[stream, _slot(moments.session, 0x07)])
        known = number["network_known"] > 0
        columns = {
            "request_id": hex_strings("req_", mix(key, world.settings.seed, 0x08)),
            "account_id": self._account_ids.take(account),
            "event_time": pa.array(self.start_us + moments.time).cast(pa.timestamp("us")),
            "embedding": pa.Array.from_buffers(
                pa.binary(self.space.dimension),
                len(moments),
                [None, pa.py_buffer(np.ascontiguousarray(vectors))],
            ),
            "embedding_model": _same(self.space.model, len(moments)),
            "model": _pick([name for name, _ in MODELS], model),
            "operation": _same("chat", len(moments)),
            "input_tokens": pa.array(np.rint(size + number["overhead"]).astype(np.int64)),
            "output_tokens": pa.array(output),
            "temperature": temperature,
            "top_p": top_p,
            "max_tokens": max_tokens,
            "choice_count": pa.array(number["choices"].astype(np.int64)),
            "logprobs": pa.array(uniform(key, 0x09) < number["logprobs"]),
            "stream": pa.array(uniform(key, 0x0A) < number["streaming"]),
            "reasoning_requested": pa.array(reasoning),
            "prompt_hash": pa.array(prompts.prompt),
            "template_hash": self._templates(moments, number, prompts),
            "system_prompt_hash": _known_words(
                mix(world.pool[stream], below(number["system_prompts"], moments.session, 0x0B), 0x0C),
                number["system_prompts"] > 0,
            ),
            "language": _pick(list(LANGUAGES), language),
            "client_network": _pick(self._networks, network, known),
            "asn": self._asns.take(pa.array(stream)),
            "country": self._countries.take(pa.array(stream)),
            "user_agent": _pick(list(USER_AGENTS), world.agents[stream, _slot(moments.session, 0x0D)]),
            "organization_id": self._organizations.take(account),
            "payment_id": self._payments.take(account),
            "status": _pick(list(STATUSES), status),
            "latency_ms": pa.array(np.rint(latency).astype(np.int64)),
        }
        return pa.table([columns[name] for name in self._schema.names], schema=self._schema)

    def _models(
        self, moments: Moments, number: dict[str, NDArray[np.float64]], key: Words
    ) -> NDArray[np.int64]:
        release = RELEASE * self.world.settings.days * 24 * HOUR_US
        out = moments.time >= release + number["adoption_delay"] * HOUR_US
        moved = out & (uniform(key, 0x0E) < number["adoption"])
        usual = np.where(uniform(key, 0x0F) < number["second_share"], number["second_model"], number["model"])
        return np.where(moved, NEW_MODEL, usual).astype(np.int64)

    @staticmethod
    def _statuses(number: dict[str, NDArray[np.float64]], key: Words) -> NDArray[np.int64]:
        draw = uniform(key, 0x10)
        refused = number["refusals"]
        failed = refused + number["errors"]
        timed_out = failed + 0.002
        return np.where(draw < refused, 1, np.where(draw < failed, 2, np.where(draw < timed_out, 3, 0)))

    def _templates(
        self, moments: Moments, number: dict[str, NDArray[np.float64]], prompts: prompt_module.Prompts
    ) -> pa.Array:
        few = mix(self.world.pool[moments.stream], below(number["templates"], prompts.prompt, 0x11), 0x12)
        fresh = mix(prompts.prompt, 0x13)
        mode = number["template_mode"]
        return _known_words(np.where(mode == FEW, few, fresh), (mode == FEW) | (mode == FRESH))


def _slot(words: Words, tag: int) -> NDArray[np.int64]:
    return (mix(words, tag) % np.uint64(SLOTS)).astype(np.int64)


def _known_words(words: Words, known: NDArray[np.bool_]) -> pa.Array:
    return pa.array(words, mask=~known)


def _pick(
    values: list[str] | pa.Array, index: NDArray[np.integer], known: NDArray[np.bool_] | None = None
) -> pa.Array:
    mask = None if known is None else ~known
    dictionary = values if isinstance(values, pa.Array) else pa.array(values, pa.string())
    return dictionary.take(pa.array(index, mask=mask))


def _same(value: str, count: int) -> pa.Array:
    return pa.array([value], pa.string()).take(pa.array(np.zeros(count, np.int8)))
