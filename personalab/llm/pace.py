"""How many requests may be under way at once, learnt from what becomes of them.

Nobody can look up what a server bears: it depends on the account, on the other users and on the hour. So it is
learnt from what becomes of the requests. The first one goes alone, because a wrong key or an empty account should
cost one request and not sixty. When it is answered the limit rises with every answer, as long as answers come about
as fast as the fastest one did, until refusals come in a cluster: then the limit falls to what the server had let
in, and from there it is felt out slowly. A refusal that comes alone delays its own request and nothing else.

A `Pace` is that rule and nothing besides, a value of counts and times that knows no clock and makes nobody wait.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Literal, NamedTuple

from personalab.llm.faults import backoff

Sign = Literal["busy", "broken", "silent"]

START = 24  # at once after the first answer, by the steps below; one that bears 8 refuses a tenth of 300 requests
STEP = 2  # more at once for every answer until the first congestion
NEAR = 0.75  # of the ceiling; below, the limit rises as it did at first
FEW = 24  # answers before a small limit rises; a refusal for each rise is then one in 25
CALMEST = 10  # doublings, after which it rises by steps
SLOW = 2.0  # times the fastest answer; one that took longer has waited in a queue
CLUSTER, PART, WINDOW = 4, 1 / 8, 0.5  # refusals, and part of the limit, within so many seconds: no coincidence
SHARE, RECENT = 0.2, 50  # of those that began when they did, or of so many last ones, that have to be refusals
BURST, SPELL = 8, 0.03  # more requests at once, and seconds until so many more: a refusal has come by then
RANGE = 512  # starts that are remembered


class Cut(NamedTuple):
    """When the limit was cut down, from what, and what it must not fall below for the same reason.

    Only one that follows an answer tells how many requests the server bears; without any it bears none.
    """

    when: float
    before: float
    floor: float
    is_telling: bool


class Pace:
    """The limit of requests under way, as it follows from what became of those before.

    Parameters
    ----------
    most : int
        The limit's own limit.
    is_known : bool
        Whether the server is known to bear that many.

    Attributes
    ----------
    limit : float
        How many may be under way.
    under_way : int
        How many are.
    ceiling : float
        Where refusals came in a cluster; infinite before the first time.
    has_answered : bool
        Whether there ever was an answer.
    opens : float
        The time before which no request may start.
    """

    def __init__(self, most: int, *, is_known: bool = False) -> None:
        self.most = most
        self.limit = float(most) if is_known else 1.0
        self.has_answered = is_known
        self.under_way = 0
        self.ceiling = math.inf
        self.opens = -math.inf
        self._reach = self.limit  # follows the limit in small steps
        self._stepped = -math.inf
        self._fastest = math.inf
        self._starts: deque[float] = deque(maxlen=RANGE)
        self._refusals: deque[tuple[float, float]] = deque(maxlen=RANGE)  # when, and when the request had begun
        self._fates: deque[bool] = deque(maxlen=RECENT)  # whether it was a refusal
        self._calm = 0  # rises in a row that no refusal has followed
        self._cut = Cut(-math.inf, self.limit, self.limit, False)
        self._in_vain = 0  # troubles in a row without an answer between them

    def next_start(self, now: float) -> float:
        """Say when a request may start.

        Parameters
        ----------
        now : float
            Seconds, as all times here on one clock that never goes back.

        Returns
        -------
        float
            At the latest now when there is room; infinite when one that is under way has to end before.
        """
        limit = min(self.limit, self.most)
        if self.under_way >= limit:
            return math.inf
        self._reach = min(limit, self._reach)
        if now >= self._stepped + SPELL and self._reach < limit:
            self._reach, self._stepped = min(limit, self._reach + BURST), now
        return max(self.opens, now if self.under_way < self._reach else self._stepped + SPELL)

    def start(self, now: float) -> None:
        """Count a request that starts.

        Parameters
        ----------
        now : float
            When it starts, which is what it has to be known by later.
        """
        self.under_way += 1
        self._starts.append(now)

    def end(self) -> None:
        """Count a request that has ended in a way that tells nothing of the server's state."""
        self.under_way -= 1

    def answered(self, now: float, began: float) -> None:
        """Take note of an answer.

        Parameters
        ----------
        now, began : float
            When it came, and when its request started.
        """
        was_full = self.under_way >= math.floor(min(self._reach, self.limit))
        self.under_way -= 1
        self._fates.append(False)
        self._in_vain = 0
        seconds = now - began
        self._fastest = min(self._fastest, seconds)
        if not self.has_answered:
            self.has_answered, self.limit = True, float(min(START, self.most))
        elif was_full and self.limit >= NEAR * self.ceiling:
            self._feel()
        elif was_full and seconds <= SLOW * self._fastest:
            self.limit += STEP
        self.limit = min(self.limit, float(self.most))

    def _feel(self) -> None:
        """Rise by one in twice as many answers as are let in at once, next time in half as many, as long as it is calm.

        So a limit that is right is seldom passed, and one that has become too low is soon left behind.
        """
        raised = self.limit + min(STEP, 2**self._calm / max(2 * self.limit, FEW))
        self._calm = min(CALMEST, self._calm + (math.floor(raised) > math.floor(self.limit)))
        self.limit = raised

    def refused(self, now: float, began: float, sign: Sign = "busy", wait: float = 0.0) -> None:
        """Take note of a refusal, or of another sign that the server has more than it bears.

        Parameters
        ----------
        now, began : float
            When it came, and when its request started.
        sign : {"busy", "broken", "silent"}
            The server said that it is asked too often; failed; did not answer in time.
        wait : float
            Seconds after which the server wants to be asked again.
        """
        self.under_way -= 1
        if not self.has_answered:  # nothing else is known to get through
            self._pause(now, wait)
        elif began < self._cut.when:
            self._correct()
        else:
            self._calm = 0
            self._fates.append(True)
            self._refusals.append((now, began))
            if self._is_congested(now):
                self._cut_down(now, sign, wait)
            elif sign == "busy" and self.limit >= self.ceiling:
                self.limit = max(1.0, self.limit - 1)

    def _is_congested(self, now: float) -> bool:
        """Whether refusals come in a cluster, not counting how long answers take, which refusals do not."""
        begun = [began for when, began in self._refusals if when > now - WINDOW]
        cluster = min(max(CLUSTER, PART * self.limit), math.floor(self.limit))
        among = sum(min(begun) <= start <= max(begun) for start in self._starts)
        if len(begun) >= cluster and len(begun) >= SHARE * among:
            return True
        return len(self._fates) == RECENT and sum(self._fates) > SHARE * RECENT

    def _cut_down(self, now: float, sign: Sign, wait: float) -> None:
        """Fall to what the server has let in, as far as one knows, or to what the last rise began from."""
        let_in = 0 if sign == "silent" else self.under_way
        before, parts = self.limit, 1 + STEP if math.isinf(self.ceiling) else 2
        floor = max(1.0, math.floor(before / parts))
        self.limit = self._reach = max(floor, min(before, let_in))
        self._cut = Cut(now, before, floor, is_telling=not self._in_vain)
        if self._cut.is_telling:
            self.ceiling = self.limit
        self._refusals.clear()
        self._fates.clear()
        self._pause(now, wait)

    def _correct(self) -> None:
        """Learn from the rest of a cluster that has led to a cut: one more that had not been let in."""
        is_outage = self.limit <= self._cut.floor  # hardly any were let in
        self.limit = max(self._cut.floor, self.limit - 1)
        if self._cut.is_telling:
            self.ceiling = self._cut.before if is_outage else min(self.ceiling, self.limit)

    def _pause(self, now: float, wait: float) -> None:
        """Let nothing start for a while; longer each time that no answer came since the last time."""
        own = backoff(self._in_vain) if self._in_vain else 0.0
        self._in_vain += 1
        self.opens = max(self.opens, now + max(wait, own))
