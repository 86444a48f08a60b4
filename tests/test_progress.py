"""What `personalab.progress` shows: one bar in terminals, nothing where nobody looks, and lines in the log."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import pty
import struct
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from personalab import llm, progress, replies
from personalab.llm import Count, Usage
from personalab.progress import Watch, bar
from tests.fluent import Fluent

USED = Usage({"personas": Count(3, 1_000, 234)}, prices=(1.0, 10.0))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """Show the bar from the first moment."""
    monkeypatch.setattr(progress, "DELAY", 0.0)


@pytest.fixture
def terminal(monkeypatch) -> Iterator[int]:
    """A terminal of 100 columns as standard error; gives what it shows to read."""
    shown, written = pty.openpty()
    fcntl.ioctl(written, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with os.fdopen(written, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        yield shown
    os.close(shown)


def _seen(terminal: int) -> str:
    sys.stderr.flush()
    return os.read(terminal, 1 << 16).decode()


def test_a_bar_tells_stage_people_tokens_money_and_time(terminal):
    """All that a waiting person wants to know stands on one line."""
    watch = Watch(lambda: USED, 10)
    with bar(watch) as tick:
        watch.begin("writing", 10)
        watch.advance()
        tick()
        line = _seen(terminal).split("\r")[-1]
    assert line.startswith("writing:  10%|")
    assert "| 1/10 [00:00<" in line
    assert line.endswith(", 1,234 tokens, cost 0.00334]")


def test_what_is_not_counted_has_no_share(terminal):
    """A blueprint is being inferred or is there; nothing in between is told."""
    watch = Watch(lambda: Usage({"blueprint": Count(1, 7, 3)}))
    with bar(watch) as tick:
        watch.begin("inferring the blueprint")
        tick()
        assert _seen(terminal).split("\r")[-1] == "inferring the blueprint [00:00, 10 tokens]"


@pytest.mark.parametrize("failure", [None, ValueError, KeyboardInterrupt])
def test_nothing_is_left_of_a_bar(terminal, failure):
    """However a run ends, the line is empty and the cursor at its beginning."""
    try:
        with bar(Watch(lambda: USED, 10)) as tick:
            tick()
            if failure:
                raise failure
    except (ValueError, KeyboardInterrupt):
        pass
    *_, line, after = _seen(terminal).split("\r")
    assert (line.strip(), after) == ("", "")


def test_where_nobody_looks_nothing_is_drawn(monkeypatch):
    """Standard error that goes into a file stays empty."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with bar(Watch(lambda: USED, 10)) as tick:
        tick()
    assert sys.stderr.getvalue() == ""


def test_a_replay_is_quiet(terminal, alone: Path):
    """There is nothing to wait for, and a notebook shall look the same each time."""
    alone.mkdir()
    with replies.use(alone, mode="replay"), bar(Watch.of(llm.connect(Fluent()), 2)) as tick:
        tick()
    sys.stderr.write(".")
    assert _seen(terminal) == "."


def test_the_log_tells_the_same_in_few_lines(caplog):
    """Each stage, and of many people every twentieth part."""
    watch = Watch(lambda: USED)
    with caplog.at_level(logging.INFO, "personalab"):
        watch.begin("writing", 1000)
        for _ in range(1000):
            watch.advance()
    assert caplog.messages[:2] == ["writing", "50 of 1000 personas written"]
    assert caplog.messages[-1] == "1000 of 1000 personas written"
    assert len(caplog.messages) == 1 + 20
