"""What the embedded Kafka is told: for its Java, for its log, and for one node on one machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.kafka.ports import LOOPBACK

if TYPE_CHECKING:
    from pathlib import Path

# Startup counts more than peak speed here, and two cores and a laptop's memory must be enough.
JVM = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
)

LOGGING = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
# Prints every setting with its default at each start.
logger.config.name = org.apache.kafka.common.config.AbstractConfig
logger.config.level = warn
"""


def server_properties(ports: tuple[int, ...], data_dir: Path) -> dict[str, str]:
    """Properties of a KRaft node that is broker and controller.

    Parameters
    ----------
    ports
        For clients, and for the controller; both on loopback.
    data_dir
        Where its log segments lie.
    """
    client, controller = ports
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
        "listeners": f"BROKER://{LOOPBACK}:{client},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"BROKER://{LOOPBACK}:{client}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "BROKER",
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data_dir),
        # A topic that appears by a typing error would be landed from like a real one.
        "auto.create.topics.enable": "false",
        # One node: everything internal has one replica.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "4",
        # A group of one forms at once instead of waiting three seconds for company.
        "group.initial.rebalance.delay.ms": "0",
        # Tests ask for short sessions to see a takeover.
        "group.min.session.timeout.ms": "1000",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "num.recovery.threads.per.data.dir": "1",
        "log.cleaner.dedupe.buffer.size": str(4 << 20),
        # After a kill the node may register again only when its former self has timed out: 9 s by default.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
    }
