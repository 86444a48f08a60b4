"""A notebook with an editor in it where nothing runs: as a page without scripts, and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbconvert
import pytest
from nbformat import NotebookNode
from playwright.sync_api import Browser, Page, expect

from tests.browser.reading import faint
from tests.executed import EDITED, executed


@pytest.fixture(scope="module", params=[False, True], ids=["as shipped", "with widget state"])
def notebook(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    """A notebook whose form was edited after it was shown; with the state of its widgets as other tools may keep it."""
    return executed(EDITED, tmp_path_factory.mktemp("still"), has_widgets=request.param)


@pytest.fixture(params=["light", "dark"])
def paper(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A page that runs no script and reaches no other machine, though nbconvert's own frame names two libraries."""
    context = browser.new_context(java_script_enabled=False, offline=True, color_scheme=request.param)
    yield context.new_page()
    context.close()


def test_html_shows_the_last_state(notebook: NotebookNode, paper: Page, tmp_path: Path) -> None:
    """Converted to HTML and read without scripts or network, it shows what was changed, the table and the bars."""
    page = tmp_path / "page.html"
    page.write_text(nbconvert.HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    paper.goto(page.as_uri())
    still = paper.locator(".personalab-still")
    expect(still.get_by_text("0.25 → 0.4")).to_be_visible()
    expect(still.get_by_role("table").first).to_contain_text("Gold 40 %")
    bars = still.locator("[title^='Gold']").first
    expect(bars).to_be_visible()
    assert (bars.bounding_box() or {})["height"] > 10


def test_html_can_be_read(notebook: NotebookNode, page: Page, tmp_path: Path) -> None:
    """Every text of it stands out from the page."""
    file = tmp_path / "page.html"
    file.write_text(nbconvert.HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    page.context.set_offline(True)
    page.goto(file.as_uri())
    assert faint(page.locator(".personalab-still")) == []


def test_markdown_has_the_last_state(notebook: NotebookNode) -> None:
    """Converted to Markdown, it has what was changed and the table, with nothing to run and nothing to fetch."""
    text = nbconvert.MarkdownExporter().from_notebook_node(notebook)[0]
    assert "0.25 → 0.4" in text
    assert "<table" in text
    assert not re.search(r"<script|<iframe|<link|https?://", text)
