"""Who works on a job, and whether they still do.

A job's folder says which process owns it. On the same machine that process is looked up: it is gone when its number is
free, taken by a process that began at another time, or only waits to be buried. From another machine, as over a shared
drive, nothing but its heartbeat can be seen, so it counts as gone once it has been silent for a minute.
"""

from __future__ import annotations

import os
import platform
import time
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

SILENCE = 60.0  # seconds without a heartbeat after which an owner elsewhere is gone; clocks differ by less
PROC = Path("/proc")
Name = Annotated[str, Field(max_length=1_000)]
_DEAD = ("Z", "X")  # states of a process that has ended and was not yet waited for


class Owner(BaseModel):
    """A process.

    Attributes
    ----------
    host : str
        The machine's name, with what sets apart its starts and its containers, in which process numbers begin anew.
    pid : int
        The process's number.
    started : str
        When it began, as the machine counts it; empty where the machine does not tell.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    host: Name
    pid: Annotated[int, Field(ge=0, le=2**63)]
    started: Name = ""

    def is_alive(self, heard: float) -> bool:
        """Whether it still runs, or may do so, having been heard of at that time (seconds since 1970)."""
        if self.host == _host() and _started(os.getpid()):
            return _started(self.pid) == self.started
        return abs(time.time() - heard) <= SILENCE


def here() -> Owner:
    """The process that asks."""
    return Owner(host=_host(), pid=os.getpid(), started=_started(os.getpid()))


@lru_cache(maxsize=1)
def _host() -> str:
    boot = PROC / "sys" / "kernel" / "random" / "boot_id"
    space = PROC / "self" / "ns" / "pid"
    try:
        return f"{platform.node()} {boot.read_text('ascii').strip()} {os.readlink(space)}"
    except OSError:  # a system without /proc
        return platform.node()


def _started(pid: int) -> str:
    """When a process began, in the machine's ticks; empty where there is none, or the machine does not tell."""
    try:
        # The name stands in parentheses and may hold anything; the state and 19 further entries follow it.
        state, *others = (PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state in _DEAD else others[18]
