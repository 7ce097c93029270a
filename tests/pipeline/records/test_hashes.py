from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records.hashes import PADDING, PUBLIC_KEY, HashMixer, parse_hash

HASHES = st.integers(0, 2**64 - 1)


@given(HASHES)
def test_all_forms_are_the_same_hash(value: int) -> None:
    forms = [value, str(value), hex(value), f"0X{value:X}", f"0x{value:016x}", f"{value:020d}"]
    assert {parse_hash(form) for form in forms} == {value}


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "deadbeef", "0x", "0x" + "f" * 17, "1e3", "+1", "-1", "1_0", "\u0661", "9" * 21]
)
def test_texts_that_are_none(text: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        parse_hash(text)


@pytest.mark.parametrize("value", [-1, 2**64, str(2**64), "18446744073709551616"])
def test_more_than_64_bits(value: int | str) -> None:
    with pytest.raises(OverflowError):
        parse_hash(value)


@given(st.lists(HASHES, max_size=20))
def test_mixing_is_keyed_blake2b_of_the_eight_bytes(values: list[int]) -> None:
    expected = [
        min(
            int.from_bytes(
                hashlib.blake2b(
                    v.to_bytes(8, "little"), digest_size=8, key=PUBLIC_KEY, person=b"dw-template_hash"
                ).digest(),
                "little",
            ),
            2**64 - 2,
        )
        for v in values
    ]
    mixer = HashMixer()
    assert mixer.mix("template_hash", np.array(values, np.uint64)).tolist() == expected
    assert [mixer.mix_one("template_hash", v) for v in values] == expected


def test_fields_and_keys_are_told_apart() -> None:
    one = np.array([7], np.uint64)
    names = ("prompt_hash", "template_hash", "system_prompt_hash")
    mixed = {int(HashMixer(key).mix(name, one)[0]) for key in (PUBLIC_KEY, b"k" * 32) for name in names}
    assert len(mixed) == 6


def test_the_padding_value_cannot_come_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class AllOnes:
        def copy(self) -> AllOnes:
            return self

        def update(self, data: bytes) -> None: ...

        def digest(self) -> bytes:
            return b"\xff" * 8

    mixer = HashMixer()
    monkeypatch.setattr(mixer, "_states", {"prompt_hash": AllOnes()})
    assert mixer.mix("prompt_hash", np.array([1], np.uint64)).tolist() == [PADDING - 1]
    assert mixer.mix_one("prompt_hash", 1) == PADDING - 1
