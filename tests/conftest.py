"""What every test may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.kafka.broker import EmbeddedKafka


def pytest_addoption(parser: pytest.Parser) -> None:
    """The GPU job passes this, so that a skip for want of a device cannot look green."""
    parser.addoption(
        "--fail-missing-gpu", action="store_true", help="fail tests marked gpu where there is no device"
    )


TOGETHER = ("tests/sql", "tests/pipeline/sandbox", "tests/pipeline/casefile", "tests/pipeline/console")
"""Folders whose tests share a lake that takes long to make."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for Kafka is an integration test, whether it says so or not; what shares something runs together.

    Where tests run in several processes, one of them has the broker, and a shared lake is made once.
    """
    for item in items:
        file = item.location[0]
        group = next((folder for folder in TOGETHER if file.startswith(f"{folder}/")), file)
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.integration)
            group = "kafka"
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def kafka() -> Iterator[EmbeddedKafka]:
    """One real Kafka for the whole session, started by the first test that asks. Use topics of your own."""
    from pipeline.kafka.broker import EmbeddedKafka

    with EmbeddedKafka() as broker:
        yield broker
