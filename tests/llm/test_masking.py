"""Tests of `personalab.llm.masking`, and that a run leaves no key behind."""

from __future__ import annotations

import base64
import json
import traceback
from urllib.parse import quote, quote_plus

import nbformat
import pytest
from pydantic import BaseModel

from personalab import llm
from personalab.errors import ProviderError
from personalab.llm import replies
from personalab.llm.endpoint import Place
from personalab.llm.masking import masked, masked_in_errors
from tests.executed import executed
from tests.fluent import fluent
from tests.server import Answer, Server, error

KEY = "sk-se+cret/0123456789=abcdef"
FORMS = {
    "plain": KEY,
    "address": quote(KEY, safe=""),
    "form": quote_plus(KEY),
    "json": json.dumps(KEY)[1:-1],
    "base64": base64.b64encode(KEY.encode()).decode(),
    "in base64": base64.b64encode(f"Bearer {KEY}".encode()).decode(),
    "in base64 of a name": base64.urlsafe_b64encode(f"user:{KEY}:".encode()).decode(),
    "in base64 of a letter": base64.urlsafe_b64encode(f"u:{KEY}@x".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_key_is_masked_in_each_form(form):
    """Whatever stands around it stays."""
    told = masked(f"before {form} after", KEY)
    assert (told[:7], told[-6:]) == ("before ", " after")
    assert "[key]" in told
    assert len(told) < 45


@pytest.mark.parametrize("placeholder", ["", "k", "EMPTY", "ollama", "none"])
def test_a_word_is_no_secret(placeholder):
    """Local servers want any key, and the word that is given as one may be said."""
    assert masked("an EMPTY room, k or none, says ollama", placeholder) == "an EMPTY room, k or none, says ollama"


def test_a_key_that_is_not_the_one_in_use_is_masked_in_errors():
    """Also where the server has shortened it."""
    assert masked_in_errors("no such key: sk-ab***yz. Bearer xyz", "") == "no such key: [key] [key]"


def test_a_place_shows_neither_key_nor_password():
    """Its repr is what ends up in tracebacks that show variables."""
    place = Place("http://user:password@host:8000/v1", "m", KEY)
    assert repr(place) == "Place('m' at host:8000)"


class Person(BaseModel):
    """Someone."""

    name: str


ECHO = [
    "import logging, os, sys, traceback",
    "logging.basicConfig(level=logging.DEBUG, filename='log.txt', force=True)\n"
    "import httpx2, httpcore2, instructor, openai\n"
    "for name in list(logging.root.manager.loggerDict): logging.getLogger(name).setLevel(logging.DEBUG)",
    "import personalab as lab\npop = lab.generate('street musicians', 4, seed=1)\npop",
    "pop.save('out')\nlab.freeze('study.jsonl')\nprint(repr(pop), pop.usage)\npop.usage",
    "try:\n    lab.generate('bakers', 2, seed=1)\nexcept lab.PersonalabError as caught:\n    error = caught\n"
    "    get_ipython().showtraceback()",
    "shown = traceback.TracebackException.from_exception(error, capture_locals=True)\nprint(*shown.format())",
    "def chain(error):\n"
    "    while error:\n"
    "        yield repr(error), str(error), repr(vars(error)), getattr(error, '__notes__', None)\n"
    "        error = error.__cause__ or error.__context__\n"
    "print(list(chain(error)), error.answer)",
    "from personalab import llm\nconnection = llm.connect('openai/m')\nprint(connection, vars(connection))",
    "os.environ['OPENAI_API_KEY'] += '\\nand more'\n"
    "try:\n    lab.infer('x', model='openai/n')\nexcept lab.PersonalabError as error:\n"
    "    print(*traceback.TracebackException.from_exception(error, capture_locals=True).format())",
]


def _echoing(server):
    """Repeat the header in a failure's text, in the answers, in their headers; in the end in one that lasts."""

    def script(request, number):
        told = server.headers[number - 1]["authorization"]
        every = " ".join([told, *(base64.b64encode(text.encode()).decode() for text in (KEY, told)), quote(KEY, "")])
        echo = {"X-Echo": every}
        if "bakers" in json.dumps(request):
            return error(403, f"not with {every}", headers=echo, authorization=every)
        if number == 2:
            return error(500, f"failed for {every}", headers=echo)
        answer = json.loads(fluent(request))
        if "tagline" in answer:
            answer["tagline"] += f" {every}"
        return Answer(json.dumps(answer), headers=echo)

    return script


def test_a_run_leaves_no_key_behind(monkeypatch, tmp_path):
    """Replies, files, log, output, tracebacks with their variables and a notebook, of a server that repeats the key."""
    server = Server()
    server.script = _echoing(server)
    with server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("PERSONALAB_BACKOFF", "0.001")
        nbformat.write(executed(ECHO, tmp_path), tmp_path / "notebook.ipynb")
    files = {path.relative_to(tmp_path): path.read_text("utf-8") for path in tmp_path.rglob("*") if path.is_file()}
    assert {"log.txt", "notebook.ipynb", "study.jsonl"} < {str(name) for name in files}
    assert "[key]" in files[next(name for name in files if name.name == "population.json")]
    assert len(server.requests) > 6
    left = [(str(name), form) for name, text in files.items() for form in FORMS.values() if form in text]
    assert left == []


@pytest.mark.parametrize("password", ["pass+word/0123", "sesame"])
def test_a_password_in_the_address_is_masked_like_a_key(serve, monkeypatch, password):
    """In answers, in errors with their variables and in the log, as it is, quoted, or in the header that holds it."""
    server = serve()
    before = f"ada:{quote(password, safe='')}"
    header = f"Basic {base64.b64encode(f'ada:{password}'.encode()).decode()}"
    address = server.base_url.replace("//", f"//{before}@")
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    every = f"{header} at {address} of ada:{password}"
    asked = [{"role": "user", "content": "who"}]
    server.script = lambda *_: json.dumps({"name": every})
    told = [llm.run(llm.connect("openai/m").ask(asked, Person)).name]
    assert server.headers[0]["authorization"] == header
    server.script = lambda *_: error(403, f"not with {every}", authorization=every)
    with pytest.raises(ProviderError) as caught:
        llm.run(llm.connect("openai/n").ask(asked, Person))
    told += traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
    told += [str(caught.value), *(path.read_text("utf-8") for path in replies.current().path.iterdir())]
    # the test's own variables stand in its frame
    left = [text for text in told if "test_masking.py" not in text for form in (header[6:], before) if form in text]
    assert "[key]" in told[0]
    assert left == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_nothing_is_sent_on_to_another_server(serve, status):
    """A redirect gets neither the key nor the prompts, and is an error that names where it leads."""
    with Server() as other:
        server = serve(lambda *_: Answer("", status=status, headers={"Location": f"{other.base_url}/chat/completions"}))
        with pytest.raises(ProviderError, match=f"wants the request sent on to 127.0.0.1 .HTTP {status}") as caught:
            llm.run(llm.connect("openai/m").ask([{"role": "user", "content": "who"}], Person))
        assert (other.requests, len(server.requests)) == ([], 1)
    assert caught.value.category == "config_error"
    assert "OPENAI_BASE_URL" in caught.value.__notes__[0]
