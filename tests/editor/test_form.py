"""What `personalab.editor.form` promises: two comms, one answer a command, and a still that reads without a kernel."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from personalab import Blueprint, edit, sample, update
from personalab.editor.form import Form
from personalab.editor.state import CARDS, ROWS
from personalab.editor.widget import PARTS, css, module
from personalab.errors import RequestError
from tests.conftest import LEAGUE, ROOT

PATIENCE = 120.0  # seconds until a kernel on a busy machine is taken for dead
VIEW = "application/vnd.jupyter.widget-view+json"
OPEN = f"import personalab as lab; bp = lab.Blueprint.load({str(LEAGUE)!r}); form = lab.edit(bp, n=100, seed=7); form"
EVEN = dict.fromkeys(("NA", "EUW", "KR", "BR", "CN"), 0.2)
Messages = list[dict[str, Any]]


class Kernel:
    """A real kernel, and what it says to each request."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def run(self, code: str) -> Messages:
        """Run a cell."""
        return self._said(self._client.execute(code))

    def command(self, comm: str, content: dict[str, Any], method: str = "custom") -> Messages:
        """Send what a page sends."""
        message = self._client.session.msg(
            "comm_msg", {"comm_id": comm, "data": {"method": method, "content": content}}
        )
        self._client.shell_channel.send(message)
        return self._said(message["header"]["msg_id"])

    def _said(self, asked: str) -> Messages:
        """All messages that one request brought, but for the kernel's own signs of life."""
        said: Messages = []
        while True:
            message = self._client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != asked:
                continue
            if message["content"].get("execution_state") == "idle":
                return [each for each in said if each["msg_type"] not in ("status", "execute_input")]
            said.append(message)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """One kernel for all tests that need one."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))
    yield Kernel(client)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def kinds(messages: Messages) -> list[str]:
    """What kinds of messages there were."""
    return [each["msg_type"] for each in messages]


def opened(kernel: Kernel) -> tuple[str, Messages]:
    """Open the form; the widget's comm and all messages."""
    messages = kernel.run(OPEN)
    return [each for each in messages if each["msg_type"] == "comm_open"][-1]["content"]["comm_id"], messages


def test_a_form_opens_two_comms_and_two_outputs(kernel: Kernel) -> None:
    """Opening costs the widget and its layout; beside the view stands a still that can be refreshed."""
    _, messages = opened(kernel)
    assert kinds(messages) == ["comm_open", "comm_open", "display_data", "display_data"]
    view, still = (each["content"] for each in messages[-2:])
    assert set(view["data"]) == {VIEW, "text/plain"}
    assert set(still["data"]) == {"text/html", "text/plain"}
    assert still["transient"]["display_id"]


def test_a_view_s_text_says_what_it_holds(kernel: Kernel) -> None:
    """The text beside the widget is the same each time, holds no address, and points to the still below."""
    texts = [opened(kernel)[1][-2]["content"]["data"]["text/plain"] for _ in range(2)]
    assert texts[0] == texts[1]
    assert texts[0].startswith("Form(Blueprint('lol_player'")
    assert texts[0].endswith("n=100, seed=7, step 0 of 0, 0 changes), as it opened; its last state stands below")


def test_the_page_opens_with_the_state_as_it_is(kernel: Kernel) -> None:
    """The state travels when a page opens, and when one is reloaded, with what has been edited meanwhile."""
    comm, messages = opened(kernel)
    state = messages[1]["content"]["data"]["state"]
    assert state["state"]["names"][0] == "region"
    assert len(state["_esm"]) == len(module())
    kernel.command(comm, {"id": 1, "op": "set_weights", "field": "region", "when": None, "weights": EVEN})
    [again] = [each for each in kernel.command(comm, {}, "request_state") if each["msg_type"] == "comm_msg"]
    assert again["content"]["data"]["state"]["state"]["fields"]["region"]["base"]["weights"] == [0.2] * 5


def test_an_edit_is_answered_by_one_small_message(kernel: Kernel) -> None:
    """One command, one answer, no trait and no output beside it; an error is an answer too."""
    comm, _ = opened(kernel)
    edit = {"id": 1, "op": "set_weights", "field": "region", "when": None, "weights": EVEN}
    [message] = kernel.command(comm, edit)
    data = message["content"]["data"]
    assert (data["method"], data["content"]["ack"]) == ("custom", 1)
    assert len(json.dumps(message["content"])) < 6_000
    [refused] = kernel.command(comm, {"id": 2, "op": "explode"})
    assert "explode" in refused["content"]["data"]["content"]["refused"]["message"]


def test_the_still_is_refreshed_when_the_page_rests(kernel: Kernel) -> None:
    """At rest the stored output becomes what was edited, once, and is left alone when nothing has changed."""
    comm, messages = opened(kernel)
    place = messages[-1]["content"]["transient"]["display_id"]
    kernel.command(comm, {"id": 1, "op": "set_weights", "field": "region", "when": None, "weights": EVEN})
    rested = kernel.command(comm, {"id": 2, "op": "rest"})
    assert sorted(kinds(rested)) == ["comm_msg", "update_display_data"]
    [update_] = [each["content"] for each in rested if each["msg_type"] == "update_display_data"]
    assert update_["transient"]["display_id"] == place
    assert "fields.region.categorical.weights.EUW: 0.25 → 0.2" in update_["data"]["text/plain"]
    assert kinds(kernel.command(comm, {"id": 3, "op": "rest"})) == ["comm_msg"]


def test_python_s_edits_reach_the_page_and_the_still(kernel: Kernel) -> None:
    """What a cell does is told to the page without being asked."""
    comm, _ = opened(kernel)
    kernel.command(comm, {"id": 1, "op": "describe", "field": "region", "text": "where"})
    messages = kernel.run("form.undo()")
    assert sorted(kinds(messages)) == ["comm_msg"]  # the still had not been refreshed yet, and is as it opened
    assert messages[0]["content"]["data"]["content"]["patch"]["step"] == 0
    assert sorted(kinds(kernel.run("form.redo()"))) == ["comm_msg", "update_display_data"]


def test_several_forms_live_side_by_side(kernel: Kernel) -> None:
    """Each has its own comms; a command reaches its own form only."""
    first, _ = opened(kernel)
    kernel.run("one = form")
    second, _ = opened(kernel)
    assert first != second
    kernel.command(first, {"id": 1, "op": "describe", "field": "region", "text": "where"})
    [told] = kernel.run("(one.blueprint['region'].description, form.blueprint == bp)")
    assert told["content"]["data"]["text/plain"] == "('where', True)"


def test_a_model_works_while_the_page_lives(kernel: Kernel) -> None:
    """In a kernel texts are written in the background, and the page is told when they are there."""
    kernel.run("import time; from tests.fluent import Fluent")
    messages = kernel.run("form = lab.edit(bp, n=3, seed=7, model=Fluent()); form")
    comm = [each for each in messages if each["msg_type"] == "comm_open"][-1]["content"]["comm_id"]
    kernel.run(
        "from personalab import replies; import tempfile; store = replies.use(tempfile.mkdtemp()); store.__enter__()"
    )
    [told] = kernel.command(comm, {"id": 1, "op": "write"})
    assert told["content"]["data"]["content"]["patch"]["work"]["total"] == 3
    kernel.run("import asyncio\nwhile form._session.state()['work']:\n    await asyncio.sleep(0.05)")
    [count] = kernel.run("int(form.frame['backstory'].notna().sum())")
    assert count["content"]["data"]["text/plain"] == "3"


# ---- in plain Python ------------------------------------------------------------------------------------------------


@pytest.fixture
def form(league: Blueprint) -> Form:
    """A form of a hundred people."""
    return edit(league, n=100, seed=7)


def test_a_form_gives_values(form: Form, league: Blueprint) -> None:
    """What a form gives is a value: later edits, and changes made to a copy, leave it as it is."""
    frame, bp = form.frame, form.blueprint
    form.use(league.replace("region", weights=EVEN))
    assert frame.equals(sample(league, 100, seed=7))
    assert bp == form.start == league
    assert form.frame.equals(update(frame, league, form.blueprint))
    mine = form.frame
    mine["rank"] = "Iron"
    assert "Iron" not in set(form.frame["rank"])
    assert (form.n, form.seed, form.report.n, len(form.diff)) == (100, 7, 100, 4)


def test_a_form_is_driven_from_python(form: Form, league: Blueprint, tmp_path: Path) -> None:
    """Undo, redo, resample and save are methods; steps tell what was done."""
    form.use(league.replace("region", weights=EVEN))
    form.undo()
    assert form.blueprint == league
    form.redo()
    form.resample(seed=8)
    assert form.seed == 8
    assert form.steps == ("opened", "set from Python", "100 people, seed 8")
    assert Blueprint.load(form.save(tmp_path / "mine.yaml")) == form.blueprint
    with pytest.raises(RequestError, match="nothing to redo"):
        form.redo()


def test_a_form_prints_what_it_holds(form: Form) -> None:
    """The text names blueprint, people, step and the number of changes, and no address."""
    form.use(form.start.replace("region", description="where"))
    assert re.fullmatch(r"Form\(Blueprint\('lol_player'.*\), n=100, seed=7, step 1 of 1, 1 change\)", repr(form))
    assert repr(edit()) == "Form(None, step 0 of 0, 0 changes)"


def test_a_still_holds_fields_changes_and_report(form: Form, league: Blueprint) -> None:
    """In HTML and in text; what came from a model is text and never markup."""
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    form.use(league.replace("region", description=evil, weights=EVEN).replace(rationale=evil))
    still = form._still()
    assert still["text/html"].startswith('<div class="personalab-still">')
    assert "<script" not in still["text/html"]
    assert "<img" not in still["text/html"]
    for text in still.values():
        assert "Changes since it was opened" in text
        assert "region" in text
        assert "TVD" in text


def test_a_still_without_people_or_blueprint(league: Blueprint) -> None:
    """Without people there is no report; without a blueprint the still says so."""
    assert "TVD" not in edit(league)._still()["text/plain"]
    assert "no blueprint yet" in edit()._still()["text/html"]


def test_importing_and_editing_load_no_widget() -> None:
    """The widget's package is loaded when a form is first shown."""
    code = (
        f"import sys, personalab as lab; form = lab.edit({str(LEAGUE)!r}, n=10, seed=1); form.undo"
        "; print([name for name in ('anywidget', 'ipywidgets', 'IPython', 'openai') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_missing_extra_is_named(league: Blueprint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the widget's package the error says how to get it."""
    monkeypatch.setattr("personalab.editor.form.find_spec", lambda _: None)
    with pytest.raises(RequestError, match="anywidget") as caught:
        edit(league)
    assert caught.value.__notes__ == ["→ in a clone of the project: pip install -e '.[lab]'"]
    assert importlib.util.find_spec("anywidget") is not None


def test_the_page_turns_by_as_many_as_are_sent() -> None:
    """How many rows and cards stand on a page is the same on both sides."""
    sizes = dict(re.findall(r"^const (ROWS|CARDS) = (\d+);", module(), re.MULTILINE))
    assert sizes == {"ROWS": str(ROWS), "CARDS": str(CARDS)}


def test_the_front_end_is_one_module_without_requests() -> None:
    """All parts are joined in order, nothing is imported, and no address stands in code or styles but SVG's name."""
    code = module()
    assert code.count("export default") == 1
    assert [part for part in PARTS if not (ROOT / "personalab" / "editor" / "static" / f"{part}.js").exists()] == []
    addresses = set(re.findall(r"https?://[^\s\"'`)]+", code + css()))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"^\s*import\s|\bimport\(|\beval\(|innerHTML|@import|url\(", code + css(), re.MULTILINE)
