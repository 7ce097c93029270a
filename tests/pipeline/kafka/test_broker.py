import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from pipeline.kafka import broker as broker_module
from pipeline.kafka import client
from pipeline.kafka.broker import BrokerFailed, EmbeddedKafka
from pipeline.kafka.ports import LOOPBACK, free_ports

pytestmark = pytest.mark.integration


def wait_for_end(pid, seconds=30):
    """Return when this process, which need not be a child of ours, has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(seconds)


def send(bootstrap, topic, values):
    producer = client.producer(bootstrap)
    for value in values:
        producer.send(topic, value, partition=0)
    producer.flush()
    producer.close()


def read(bootstrap, topic, first, stop):
    return [record.value for fetch in client.read_range(bootstrap, topic, 0, first, stop) for record in fetch]


def test_a_broker_starts_is_killed_restarts_with_its_data_and_leaves_nothing():
    kafka = EmbeddedKafka()
    with pytest.raises(BrokerFailed, match="not started"):
        _ = kafka.bootstrap_servers
    with kafka:
        address, folder, pid = kafka.bootstrap_servers, kafka.folder, kafka.pid
        assert address.startswith(f"{LOOPBACK}:")
        assert (kafka.log_dir / "server.log").stat().st_size > 0
        with client.connected(address) as admin:
            admin.create_topics(
                {"kept": {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True
            )
            cluster, topic = client.cluster_id(admin), client.topic_id(admin, "kept")
        send(address, "kept", [b"one", b"two"])

        kafka.kill()
        wait_for_end(pid)
        assert not kafka.running
        assert kafka.pid is None
        with pytest.raises(client.KafkaUnavailable, match="no Kafka listens"), client.connected(address):
            pass

        kafka.start()
        assert kafka.bootstrap_servers == address
        send(address, "kept", [b"three"])
        kafka.restart()
        assert kafka.bootstrap_servers == address
        with client.connected(address) as admin:
            assert (client.cluster_id(admin), client.topic_id(admin, "kept")) == (cluster, topic)
            assert client.log_ranges(admin, "kept") == {0: (0, 3)}
        assert read(address, "kept", 0, 3) == [b"one", b"two", b"three"]
        pid = kafka.pid
    wait_for_end(pid)
    assert not folder.exists()


def test_a_port_that_is_taken_meanwhile_is_not_the_end(monkeypatch, tmp_path):
    with socket.create_server((LOOPBACK, 0)) as squatter:
        taken = squatter.getsockname()[1]
        offers = iter([(free_ports(1)[0], taken), free_ports(2)])
        monkeypatch.setattr(broker_module, "free_ports", lambda count: next(offers))
        with EmbeddedKafka(tmp_path) as kafka:
            assert kafka.running
            log = (kafka.log_dir / "server.log").read_text()
    assert "Address already in use" in log
    assert next(offers, None) is None


def test_a_broker_that_cannot_start_names_its_log_and_quotes_it(tmp_path):
    with pytest.raises(BrokerFailed) as caught:
        EmbeddedKafka(tmp_path, properties={"num.network.threads": "none"}).start()
    assert str(tmp_path / "logs") in caught.value.message
    assert "num.network.threads" in caught.value.message
    assert "none" in caught.value.message


def test_it_dies_with_its_process_even_by_kill_9_and_cleans_up():
    script = """
        import os, signal
        from pipeline.kafka.broker import EmbeddedKafka
        kafka = EmbeddedKafka().start()
        print(os.getpid(), kafka._process.pid, kafka.pid, kafka.folder, flush=True)
        signal.pause()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    ) as child:
        us, watchdog, java, folder = child.stdout.readline().split()
        os.kill(int(us), signal.SIGKILL)
    wait_for_end(int(java))
    wait_for_end(int(watchdog))
    assert not Path(folder).exists()


def test_it_dies_when_its_watchdog_is_killed(tmp_path):
    kafka = EmbeddedKafka(tmp_path).start()
    pid = kafka.pid
    kafka._process.kill()
    wait_for_end(pid)
    kafka.stop()


def test_the_command_prints_its_address_makes_the_topics_and_ends_on_sigterm(tmp_path):
    command = [sys.executable, "-m", "pipeline.kafka.broker", "--topics", "--folder", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        address = child.stdout.readline().strip()
        with client.connected(address) as admin:
            assert "llm-api-logs" in admin.list_topics()
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0
    assert (tmp_path / "data" / "meta.properties").exists()


def test_a_login_from_a_properties_file_opens_a_broker_that_asks_for_one(tmp_path):
    path = tmp_path / "client.properties"
    path.write_text(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n"
        'sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="w" password="s";\n'
    )
    from pipeline.kafka.properties import security_from_file

    security = security_from_file(path)
    jaas = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="w" password="s" user_w="s";'
    properties = {
        "listener.security.protocol.map": "BROKER:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.broker.plain.sasl.jaas.config": jaas,
    }
    with EmbeddedKafka(tmp_path / "kafka", properties=properties, security=security) as kafka:
        with client.connected(kafka.bootstrap_servers, security) as admin:
            assert client.cluster_id(admin)
        wrong = {**security, "sasl_plain_password": "not it"}
        with (
            pytest.raises(client.KafkaUnavailable),
            client.connected(kafka.bootstrap_servers, wrong, answer_seconds=2),
        ):
            pass
