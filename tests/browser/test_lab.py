"""In real JupyterLab, on real notebooks."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.lab import DARK, Lab
from tests.conftest import LEAGUE

START = f"import personalab as lab; bp = lab.Blueprint.load({str(LEAGUE)!r})"


def test_chart_is_drawn(lab: Lab) -> None:
    """A chart is drawn by JupyterLab itself, with no network."""
    lab.open(lab.server.write("chart.ipynb"), theme=DARK)
    lab.value(START)
    drawn = lab.run("lab.charts.marginals(lab.report(lab.sample(bp, 100, seed=7), bp))")
    expect(drawn.locator(".vega-embed").first).to_be_visible()
