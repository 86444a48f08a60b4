"""What ``make notebooks`` passes over in stored outputs, besides what nbval itself and ``sanitize.cfg`` leave out."""

from __future__ import annotations

import pytest
from nbval.plugin import IPyNbFile

DRAWING = "image/svg+xml"


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Pass over drawings: how wide letters are, and so where all else stands, is up to the machine's fonts."""
    if isinstance(collector, IPyNbFile):
        collector.skip_compare = (*collector.skip_compare, DRAWING)
