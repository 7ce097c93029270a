"""What every test may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.kafka.broker import EmbeddedKafka


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for Kafka is an integration test, whether it says so or not."""
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def kafka() -> Iterator[EmbeddedKafka]:
    """One real Kafka for the whole session, started by the first test that asks. Use topics of your own."""
    from pipeline.kafka.broker import EmbeddedKafka

    with EmbeddedKafka() as broker:
        yield broker
