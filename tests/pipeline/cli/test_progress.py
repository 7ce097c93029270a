import io
from datetime import UTC, datetime

from pipeline.cli.progress import PLAIN_SECONDS, reporter
from pipeline.clock import ManualClock


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_away_from_a_terminal_there_are_few_plain_lines_and_a_last_one():
    stream, clock = io.StringIO(), ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    clock.advance(1)
    with reporter("Landing", stream=stream, clock=clock) as advance:
        for done in range(1, 1001):
            advance(done, 1000, "file")
            clock.advance(PLAIN_SECONDS / 100)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Landing: 1 of 1,000 (file)"
    assert lines[-1] == "Landing: 1,000 of 1,000 (file)"
    assert len(lines) == 11
    assert "\x1b" not in stream.getvalue()


def test_work_that_was_done_already_is_quiet():
    for stream in (io.StringIO(), Terminal()):
        with reporter("Fetching", stream=stream):
            pass
        assert "Fetching" not in stream.getvalue()


def test_a_total_that_nobody_knows_is_left_out():
    stream = io.StringIO()
    with reporter("Reading", stream=stream) as advance:
        advance(5, 0)
    assert stream.getvalue() == "Reading: 5\n"


def test_on_a_terminal_there_is_a_bar():
    stream = Terminal()
    with reporter("Landing", stream=stream) as advance:
        advance(1, 2, "a")
        advance(2, 2, "b")
    assert "Landing" in stream.getvalue()
    assert "2/2" in stream.getvalue()
