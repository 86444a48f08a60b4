"""What `personalab.llm.progress` shows: one bar in terminals, nothing where nobody looks, and lines in the log."""

from __future__ import annotations

import contextlib
import fcntl
import io
import logging
import os
import pty
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from personalab import llm
from personalab.llm import Count, Usage, progress, replies
from personalab.llm.progress import Progress, bar
from tests.fluent import Fluent

END = "\N{END OF TRANSMISSION}"
USED = Usage({"personas": Count(3, 1_000, 234)}, prices=(1.0, 10.0))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """Show the bar from the first moment."""
    monkeypatch.setattr(progress, "DELAY", 0.0)


@contextlib.contextmanager
def _terminal() -> Iterator[Callable[[], str]]:
    """A terminal of 100 columns as standard error; gives what reads all that it has shown since the last time."""
    shown, written = pty.openpty()
    fcntl.ioctl(written, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))

    def seen() -> str:
        sys.stderr.write(END)  # what a terminal is sent arrives in pieces
        sys.stderr.flush()
        read = b""
        while not read.endswith(END.encode()):
            read += os.read(shown, 1 << 16)
        return read.decode().removesuffix(END)

    with os.fdopen(written, "w") as stream, contextlib.redirect_stderr(stream):
        yield seen
    os.close(shown)


def test_a_bar_tells_stage_people_tokens_money_and_time():
    """All that a waiting person wants to know stands on one line."""
    progress = Progress(lambda: USED, 10)
    with _terminal() as seen, bar(progress) as tick:
        progress.begin("writing", 10)
        progress.advance()
        tick()
        line = seen().split("\r")[-1]
    assert line.startswith("writing:  10%|")
    assert "| 1/10 [00:00<" in line
    assert line.endswith(", 1,234 tokens, cost 0.0033]")


def test_what_is_not_counted_has_no_share():
    """A blueprint is being inferred or is there; nothing in between is told."""
    progress = Progress(lambda: Usage({"blueprint": Count(1, 7, 3)}))
    with _terminal() as seen, bar(progress) as tick:
        progress.begin("inferring the blueprint")
        tick()
        assert seen().split("\r")[-1] == "inferring the blueprint [00:00, 10 tokens]"


@pytest.mark.parametrize("failure", [None, ValueError, KeyboardInterrupt])
def test_nothing_is_left_of_a_bar(failure):
    """However a run ends, the line is empty and the cursor at its beginning."""
    with _terminal() as seen:
        with contextlib.suppress(ValueError, KeyboardInterrupt), bar(Progress(lambda: USED, 10)) as tick:
            tick()
            if failure:
                raise failure
        *_, line, after = seen().split("\r")
    assert (line.strip(), after) == ("", "")


def test_where_nobody_looks_nothing_is_drawn():
    """Standard error that goes into a file stays empty."""
    with contextlib.redirect_stderr(io.StringIO()) as file, bar(Progress(lambda: USED, 10)) as tick:
        tick()
    assert file.getvalue() == ""


def test_a_replay_is_quiet(alone: Path):
    """There is nothing to wait for, and a notebook shall look the same each time."""
    with replies.use(alone, mode="replay"):
        connection = llm.connect(Fluent())
    with _terminal() as seen, bar(Progress.of(connection, 2)) as tick:
        tick()
        sys.stderr.write(".")
        assert seen() == "."


def test_the_log_tells_the_same_in_few_lines(caplog):
    """Each stage, and of many people every twentieth part."""
    progress = Progress(lambda: USED)
    with caplog.at_level(logging.INFO, "personalab"):
        progress.begin("writing", 1000)
        for _ in range(1000):
            progress.advance()
    assert caplog.messages[:2] == ["writing", "50 of 1000 personas written"]
    assert caplog.messages[-1] == "1000 of 1000 personas written"
    assert len(caplog.messages) == 1 + 20
