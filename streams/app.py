"""The Faust app: its settings, its transport, its one topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import faust
from faust.serializers import codecs
from yarl import URL

from streams.transport import ChainTransport, Ledger

if TYPE_CHECKING:
    from streams.batches import FetchedBatch
    from streams.settings import WorkerSettings

# A batch is already what the agent wants: this codec returns its argument.
BATCH_CODEC = "distillwatch-batch"


class _PassThrough(codecs.Codec):  # type: ignore[misc]
    def _loads(self, s: FetchedBatch) -> FetchedBatch:
        return s

    def _dumps(self, s: Any) -> Any:
        return s


codecs.register(BATCH_CODEC, _PassThrough())


class WorkerApp(faust.App):  # type: ignore[misc]
    """Faust's app without its folder: there are no tables, so nothing is to appear where the worker was started."""

    def _create_directories(self) -> None:
        pass


def build_app(settings: WorkerSettings, ledger: Ledger) -> faust.App:
    """An app that hands each fetch of the topic over as one message.

    Nothing of Faust's own state is used: no tables, no changelogs, no leader topic, no exactly-once. Its
    settings come from ``settings`` alone, not from ``FAUST_…`` variables.
    """
    urls = [URL(f"kafka://{server.strip()}") for server in settings.bootstrap_servers.split(",")]
    app = WorkerApp(
        settings.group,
        env={},
        broker=urls,
        autodiscover=False,
        # Counts messages, and a message is a whole fetch: more than one waiting is memory without use.
        stream_buffer_maxsize=1,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        broker_commit_interval=settings.commit_seconds,
        broker_commit_every=None,
        broker_session_timeout=settings.session_seconds,
        broker_heartbeat_interval=min(3.0, settings.session_seconds / 3),
        broker_rebalance_timeout=60.0,
        broker_request_timeout=90.0,
        broker_max_poll_interval=300.0,
        topic_disable_leader=True,
        topic_allow_declare=False,
        producer_acks=-1,
        producer_linger=0.02,
        # A dead letter carries 16 KiB of the raw record at most.
        producer_max_request_size=1_000_000,
        store="memory://",
        web_enabled=True,
        web_bind=settings.web_host,
        web_host=settings.web_host,
        # 0 is refused here; `health.attach` binds the true one.
        web_port=settings.web_port or 1,
        worker_redirect_stdouts=False,
        debug=False,
    )
    app.transport = ChainTransport(urls, app, ledger=ledger, fetch=settings.fetch, security=settings.security)
    app.producer_transport = app.transport
    return app


def batch_topic(app: faust.App, name: str) -> Any:
    """The topic as this app sees it: keys are unused, values are `FetchedBatch`."""
    return app.topic(name, key_type=None, value_type=None, value_serializer=BATCH_CODEC, internal=False)
