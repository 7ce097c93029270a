"""There is no Docker where these run, so the files are held against what they must agree with."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from pipeline.kafka import topics
from pipeline.kafka.jars import Lock
from pipeline.kafka.server import server_properties

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "infra" / "compose.yaml"


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]


def test_the_image_is_the_version_of_the_jars(services):
    assert services["broker"]["image"] == f"apache/kafka:{Lock.committed().kafka}"


def test_the_topics_come_from_the_table_and_no_figure_is_repeated(services):
    assert services["topics"]["command"] == ["topics", "apply", "--bootstrap-servers", "broker:9094"]
    text = COMPOSE.read_text(encoding="utf-8")
    assert [topic.name for topic in topics.defined() if topic.name in text] == []
    assert services["broker"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_a_single_node_is_set_up_like_the_embedded_one(services, tmp_path):
    settings = server_properties((1, 2), tmp_path)
    composed = {
        key.removeprefix("KAFKA_").lower().replace("_", "."): value
        for key, value in services["broker"]["environment"].items()
    }
    shared = [key for key in settings if "replication.factor" in key or "min.isr" in key] + [
        "group.initial.rebalance.delay.ms",
        "process.roles",
    ]
    assert len(shared) == 7
    assert {key: composed[key] for key in shared} == {key: settings[key] for key in shared}


def test_the_broker_is_published_on_loopback_only(services):
    assert all(port.startswith("127.0.0.1:") for port in services["broker"]["ports"])


def test_each_listener_has_a_protocol_and_each_dependency_exists(services):
    environment = services["broker"]["environment"]
    names = {part.split(":")[0] for part in environment["KAFKA_LISTENERS"].split(",")}
    assert names == {
        part.split(":")[0] for part in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    }
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        if "build" in service:
            folder = (COMPOSE.parent / service["build"]["context"]).resolve()
            assert folder == ROOT.resolve()
            assert (folder / service["build"]["dockerfile"]).is_file()


def test_one_uv_everywhere():
    bootstrap = re.search(r'^UV = "(.+)"', (ROOT / "tools" / "bootstrap.py").read_text(), re.MULTILINE)
    image = re.search(r"uv==(\S+)", (ROOT / "infra" / "images" / "app.Dockerfile").read_text())
    assert bootstrap[1] == image[1]


def test_the_image_installs_extras_that_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = re.findall(r"--extra (\S+)", (ROOT / "infra" / "images" / "app.Dockerfile").read_text())
    assert asked
    assert set(asked) <= set(extras)
