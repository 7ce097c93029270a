"""The names inside Faust that the transport overrides or reads must be there, and take what we give them."""

from __future__ import annotations

import importlib.metadata
import inspect
import tomllib
from pathlib import Path

import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.subscription_state import Assignment, SubscriptionState, TopicPartitionState
from faust.transport.consumer import Consumer, ThreadDelegateConsumer
from faust.transport.drivers import aiokafka as driver

from streams import app, transport

OVERRIDDEN = {
    transport.ChainConsumer: [
        "_getmany",
        "_to_message",
        "_new_consumer_thread",
        "highwater",
        "on_buffer_full",
        "on_buffer_drop",
        "perform_seek",
        "ack",
        "_add_gap",
        "_filter_tps_with_pending_acks",
        "_new_offset",
    ],
    app.WorkerApp: ["_create_directories"],
    transport.FetchThread: ["__post_init__", "_create_worker_consumer", "_commit", "verify_event_path"],
    transport.RebalanceListener: ["on_partitions_revoked"],
    transport.SecureProducer: ["_settings_auth"],
}


@pytest.mark.parametrize(
    ("ours", "name"), [(ours, name) for ours, names in OVERRIDDEN.items() for name in names]
)
def test_each_overridden_name_exists_with_the_same_parameters(ours: type, name: str) -> None:
    theirs = ours.__mro__[1]
    assert name in vars(ours), f"{ours.__name__} does not override {name}"
    before = list(inspect.signature(getattr(theirs, name)).parameters)
    after = list(inspect.signature(getattr(ours, name)).parameters)
    assert after == before
    assert inspect.iscoroutinefunction(getattr(theirs, name)) == inspect.iscoroutinefunction(
        getattr(ours, name)
    )


def test_nothing_else_is_overridden_unseen() -> None:
    for ours, names in OVERRIDDEN.items():
        theirs = ours.__mro__[1]
        functions = {n for n, v in vars(ours).items() if inspect.isfunction(v) and hasattr(theirs, n)}
        assert functions - {"__init__"} <= set(names)


def test_the_commit_goes_through_the_names_we_override() -> None:
    source = inspect.getsource(Consumer.force_commit) + inspect.getsource(Consumer._commit_tps)
    assert "_filter_tps_with_pending_acks" in source
    assert "_new_offset" in inspect.getsource(Consumer._filter_committable_offsets)
    assert "seek_to_committed" in inspect.getsource(Consumer.perform_seek)
    assert "_getmany" in inspect.getsource(Consumer._wait_next_records)


def test_nobody_else_seeks_to_what_is_committed() -> None:
    import faust

    root = Path(faust.__file__).parent
    callers = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for line in path.read_text().splitlines()
        if "seek_to_committed(" in line and "def " not in line
    }
    assert callers == {"transport/consumer.py", "transport/drivers/aiokafka.py"} or callers == {
        "transport/consumer.py"
    }


def test_the_internals_of_aiokafka_that_are_read() -> None:
    assert list(inspect.signature(Fetcher.fetched_records).parameters)[1:] == [
        "partitions",
        "timeout",
        "max_records",
    ]
    assert "_create_fetch_waiter" in inspect.getsource(Fetcher.fetched_records)
    assert hasattr(SubscriptionState, "fetch_context")
    assert isinstance(SubscriptionState.reassignment_in_progress, property)
    assert "state_value" in vars(Assignment)
    for name in ("position", "has_valid_position"):
        assert isinstance(vars(TopicPartitionState)[name], property)


def test_faust_is_pinned_to_what_is_installed() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    pins = project["project"]["optional-dependencies"]["streams"]
    assert f"faust-streaming=={importlib.metadata.version('faust-streaming')}" in pins


def test_the_consumer_is_what_the_driver_threads() -> None:
    assert issubclass(transport.ChainConsumer, ThreadDelegateConsumer)
    assert issubclass(transport.ChainTransport, driver.Transport)
