"""Scripts of others are what their packages hold, with their licences beside them."""

import hashlib
import json
from importlib import resources

FOLDER = resources.files("pipeline.console").joinpath("static", "vendor")
LISTED = json.loads(FOLDER.joinpath("vendor.json").read_text(encoding="utf-8"))


def test_every_file_is_the_one_that_was_taken():
    for each in LISTED:
        body = FOLDER.joinpath(each["file"]).read_bytes()
        assert hashlib.sha256(body).hexdigest() == each["sha256"], each["file"]
        assert len(body) == each["bytes"]
        assert each["version"].encode() in body, each["file"]


def test_nothing_else_lies_there():
    known = (
        {"vendor.json"}
        | {each["file"] for each in LISTED}
        | {name for each in LISTED for name in each["license_files"]}
    )
    assert {entry.name for entry in FOLDER.iterdir()} == known


def test_licences_are_there_and_say_so():
    for each in LISTED:
        assert each["license_files"]
        for name in each["license_files"]:
            assert len(FOLDER.joinpath(name).read_text(encoding="utf-8")) > 150


def test_it_stays_modest():
    assert sum(each["bytes"] for each in LISTED) < 1_700_000
