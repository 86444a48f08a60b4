"""Tests of `personalab.llm.replies`."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from personalab import llm
from personalab.errors import ProviderError, RequestError
from personalab.llm import replies, segments
from personalab.llm.replies import Replies
from tests.conftest import ROOT
from tests.server import Server, answer_well

REQUEST = {"model": "m", "messages": [{"role": "user", "content": "Grüße"}], "schema": {}, "sample": 0}
REPLY = {"content": "ja", "finish_reason": "stop", "refusal": None, "usage": {"prompt_tokens": 1}}


def _write_many(folder, name):
    store = Replies(folder)
    for number in range(200):
        store.put({"model": name, "sample": number}, {"content": "x" * 300})


def test_what_was_put_is_got_by_another_store(tmp_path):
    """A reply is found by whoever opens the same folder later."""
    Replies(tmp_path / "calls").put(REQUEST, REPLY)
    assert Replies(tmp_path / "calls", "replay").get(REQUEST) == REPLY


def test_nothing_is_made_before_the_first_reply(tmp_path):
    """Opening a store and looking into it leaves no trace."""
    assert Replies(tmp_path / "calls").get(REQUEST) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"sample": 1}, {"model": "n"}, {"temperature": 0.0}, {"schema": {"a": 1}}])
def test_whatever_decides_the_answer_decides_the_key(change):
    """Sample, model, sampling parameters and schema are part of the key."""
    assert replies.key({**REQUEST, **change}) != replies.key(REQUEST)


def test_the_key_ignores_order_and_absent_parameters():
    """A parameter left to the server is the same as one not mentioned."""
    turned = dict(reversed(REQUEST.items()))
    assert replies.key({**turned, "max_tokens": None}) == replies.key(REQUEST)


def test_the_key_outlives_an_upgrade_of_pydantic():
    """The version in pydantic's links, which a re-ask repeats, does not change the key."""
    texts = [f"wrong [type=int]\n see https://errors.pydantic.dev/2.{v}/v/int_parsing" for v in (9, 14)]
    first, second = ({**REQUEST, "messages": [{"role": "user", "content": text}]} for text in texts)
    assert replies.key(first) == replies.key(second)


def test_a_line_can_be_read_and_its_key_checked(tmp_path):
    """Each line tells the request in full, and its key is the hash of that request."""
    Replies(tmp_path / "study.jsonl").put(REQUEST, REPLY, by="openai/m")
    line = json.loads((tmp_path / "study.jsonl").read_text("utf-8"))
    assert line["key"] == replies.key(line["request"])
    assert (line["model"], line["by"], line["reply"]) == ("m", "openai/m", REPLY)
    assert line["created"].endswith("+00:00")


def test_a_torn_line_loses_one_reply(tmp_path):
    """The line that a killed process was writing is passed over, and the next one starts afresh."""
    path = tmp_path / "study.jsonl"
    Replies(path).put(REQUEST, REPLY)
    path.write_bytes(path.read_bytes() + '{"key": "ü'.encode()[:-1])
    Replies(path).put({**REQUEST, "sample": 1}, REPLY)
    store = Replies(path, "replay")
    assert len(store) == 2
    with pytest.raises(ProviderError, match="1 of its lines could not be read"):
        store.get({**REQUEST, "sample": 2})


def test_live_asks_again_and_the_newest_reply_wins(tmp_path):
    """In live, nothing is read; what is written replaces the older reply for later readers."""
    for content in ("ja", "nein", "doch"):
        live = Replies(tmp_path, "live")
        assert live.get(REQUEST) is None
        live.put(REQUEST, {"content": content})
    assert Replies(tmp_path).get(REQUEST) == {"content": "doch"}


def test_replay_neither_misses_silently_nor_writes(tmp_path):
    """In replay, a request without a reply is an error that says what to do, and nothing can be added."""
    store = Replies(tmp_path, "replay")
    with pytest.raises(ProviderError, match="replay asks no model") as caught:
        store.get(REQUEST)
    assert caught.value.category == "replay_miss"
    assert "auto" in caught.value.__notes__[0]
    with pytest.raises(RequestError, match="only read"):
        store.put(REQUEST, REPLY)


def test_the_note_of_a_file_is_kept(tmp_path):
    """A file may say in its first line where its replies come from."""
    path = tmp_path / "study.jsonl"
    path.write_text('{"note": "written by hand"}\n')
    Replies(path).put(REQUEST, REPLY)
    assert Replies(path).note == "written by hand"
    assert Replies(path).get(REQUEST) == REPLY


def test_processes_write_side_by_side(tmp_path):
    """Four processes that write at once lose nothing and have a file each."""
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(tmp_path, f"m{n}")) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(Replies(tmp_path)) == 800
    assert len(list(tmp_path.glob("*.jsonl"))) == 4


def test_processes_share_one_file(tmp_path):
    """Processes that append to the same file lose nothing."""
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "study.jsonl"
    writers = [context.Process(target=_write_many, args=(path, f"m{n}")) for n in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(Replies(path)) == 400


def test_use_lasts_as_long_as_its_with_statement(tmp_path):
    """The store in use before comes back."""
    before = replies.use(tmp_path / "a")
    with before:
        with replies.use(tmp_path / "b", "replay") as inner:
            assert replies.current() is inner
        assert replies.current() is before


def test_the_environment_gives_the_first_store(tmp_path, monkeypatch):
    """Path and mode can be set from outside."""
    monkeypatch.setenv("PERSONALAB_REPLIES", str(tmp_path / "calls"))
    monkeypatch.setenv("PERSONALAB_MODE", "live")
    store = replies.current()
    assert (store.path, store.mode) == (tmp_path / "calls", "live")
    assert store is replies.current()


def test_what_stands_in_the_place_of_a_file_is_not_written_through(tmp_path):
    """A link leads to a file that is not the store's, and stays as it is; a pipe is not waited for."""
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "mine")
    os.mkfifo(tmp_path / "pipe.jsonl")
    for name, what in (("link.jsonl", "a link"), ("pipe.jsonl", "a pipe")):
        with pytest.raises(RequestError, match=f"{name}' is {what}, where a file belongs"):
            Replies(tmp_path / name, "live").put(REQUEST, REPLY)
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_line_longer_than_any_of_ours_costs_no_memory(tmp_path, monkeypatch):
    """It is counted and passed over, also where it has no end; the replies around it are there."""
    monkeypatch.setattr(segments, "LONGEST", 1_000)
    path = tmp_path / "study.jsonl"
    path.write_bytes(b'{"key": "' + b"x" * 5_000 + b'"}\n')
    Replies(path).put(REQUEST, REPLY)
    with path.open("ab") as file:
        file.write(b'"' + b"x" * 1_999)
    store = Replies(path, "replay")
    assert store.get(REQUEST) == REPLY
    with pytest.raises(ProviderError, match="holds 1 replies; 2 of its lines could not be read"):
        store.get({**REQUEST, "sample": 1})


def test_a_byte_order_mark_is_read(tmp_path):
    """As an editor on Windows writes it."""
    path = tmp_path / "study.jsonl"
    Replies(path).put(REQUEST, REPLY)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert Replies(path, "replay").get(REQUEST) == REPLY


def test_a_mode_that_does_not_exist_is_refused(tmp_path):
    """The error lists the modes there are."""
    with pytest.raises(RequestError, match="'cached'") as caught:
        Replies(tmp_path, "cached")
    assert "auto, live, replay" in caught.value.__notes__[0]


def test_a_place_that_cannot_be_written_is_said_to_be(tmp_path):
    """A store below a file cannot be made, and the error says where."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cannot be kept"):
        Replies(tmp_path / "file" / "calls").put(REQUEST, REPLY)


def test_the_repr_is_the_call(tmp_path):
    """A store shows how it was opened."""
    assert repr(Replies(tmp_path)) == f"Replies({str(tmp_path)!r}, mode='auto')"


# what others write, and what cannot be read


def test_what_another_process_has_written_is_found(tmp_path):
    """A store that misses a reply looks at what was added to the files since, in new ones and in known ones."""
    store, other = Replies(tmp_path), Replies(tmp_path)
    for sample in range(3):
        request = {**REQUEST, "sample": sample}
        assert store.get(request) is None
        other.put(request, REPLY)
        assert store.get(request) == REPLY
    assert len(list(tmp_path.iterdir())) == 1


def test_a_line_that_is_being_written_is_read_once_it_is_whole(tmp_path):
    """Half of it is no reply yet, and no damage either once the rest has come."""
    path = tmp_path / "study.jsonl"
    Replies(path).put(REQUEST, REPLY)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    store = Replies(path)
    assert store.get(REQUEST) is None
    with path.open("ab") as file:
        file.write(whole[100:])
    assert store.get(REQUEST) == REPLY


def test_a_file_that_was_replaced_is_read_from_its_beginning(tmp_path):
    """As a checkout of another version does it."""
    path = tmp_path / "study.jsonl"
    store = Replies(path)
    store.put(REQUEST, REPLY)
    assert store.get({**REQUEST, "sample": 1}) is None
    Replies(tmp_path / "new.jsonl").put({**REQUEST, "sample": 1}, REPLY)
    (tmp_path / "new.jsonl").replace(path)
    assert store.get({**REQUEST, "sample": 1}) == REPLY


def test_a_last_line_without_its_end_is_read(tmp_path):
    """As editors leave it."""
    path = tmp_path / "study.jsonl"
    Replies(path).put(REQUEST, REPLY)
    path.write_bytes(path.read_bytes().rstrip())
    assert Replies(path, "replay").get(REQUEST) == REPLY


ODD = [b"3", b"[]", b"null", b'"note"', b"[" * 100_000, b'{"key": []}', b'{"key": "k", "reply": 7}',
       b'{"key": "k", "reply": {"content": 7}}', b'{"key": "k", "reply": {"n": ' + b"9" * 5_000 + b"}}",
       b"\0\xff", b"{}"]  # fmt: skip


@pytest.mark.parametrize("line", ODD, ids=range(len(ODD)))
def test_a_line_that_is_none_of_ours_is_passed_over(tmp_path, line):
    """Whatever it is, it is counted, and the replies around it are there."""
    path = tmp_path / "study.jsonl"
    path.write_bytes(line + b"\n")
    Replies(path).put(REQUEST, REPLY)
    store = Replies(path, "replay")
    assert store.get(REQUEST) == REPLY
    with pytest.raises(ProviderError, match="holds 1 replies; 1 of its lines could not be read"):
        store.get({**REQUEST, "sample": 1})


@pytest.mark.parametrize("mode", replies.MODES)
def test_what_cannot_be_read_is_said_to_be(tmp_path, mode):
    """A folder by a file's name, a link, a pipe, a device, alone and in a folder; a file by a folder's name."""
    (tmp_path / "calls" / "odd.jsonl").mkdir(parents=True)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "a.jsonl").symlink_to(ROOT / "README.md")
    (tmp_path / "pipes").mkdir()
    os.mkfifo(tmp_path / "pipes" / "a.jsonl")
    (tmp_path / "file").write_text("")
    folder, link, pipe = "it is a folder", "it is a link", "it is a pipe"
    odd = {"calls": folder, "calls/odd.jsonl": folder, "links": link, "links/a.jsonl": link, "pipes": pipe}
    for place, why in {**odd, "pipes/a.jsonl": pipe}.items():
        with pytest.raises(RequestError, match=f"cannot be read from .*: {why}") as caught:
            len(Replies(tmp_path / place, mode))
        assert "choose a folder, or a file whose name ends in .jsonl" in caught.value.__notes__[0]
    with pytest.raises(RequestError, match=r"cannot be read from .*file': Not a directory"):
        len(Replies(tmp_path / "file", mode))


FULL = """
import resource, sys
from personalab import errors
from personalab.llm import replies
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
store = replies.Replies(sys.argv[1])
try:
    for sample in range(9): store.put({"model": "m", "sample": sample}, {"content": "x" * 300})
except errors.RequestError as error:
    print(len(store), error)
"""


def _environment():
    return {**os.environ, "PYTHONPATH": str(Path(replies.__file__).parents[1])}


def test_a_disk_that_is_full_is_said_to_be(tmp_path):
    """Half a line is not taken for a reply, neither by who wrote it nor by who reads it."""
    place = tmp_path / "study.jsonl"
    run = [sys.executable, "-W", "error", "-c", FULL, str(place)]
    done = subprocess.run(run, env=_environment(), capture_output=True, text=True, check=True)
    kept, told = done.stdout.split(maxsplit=1)
    assert told.startswith(f"replies cannot be kept in {str(place)!r}: ")
    assert len(Replies(place)) == int(kept) > 0


# killed


class Person(BaseModel):
    """Someone."""

    name: str


def _ask_many(url, folder):
    os.environ |= {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "k", "PERSONALAB_CONCURRENCY": str(AT_ONCE)}
    os.environ |= {"PERSONALAB_REPLIES": str(folder)}
    connection = llm.connect("openai/m")

    async def ask_all():
        asked = ([{"role": "user", "content": f"number {n}"}] for n in range(CALLS))
        await asyncio.gather(*(connection.ask(messages, Person) for messages in asked))

    llm.run(ask_all())


CALLS, AT_ONCE = 120, 8


def test_a_run_that_is_killed_pays_twice_for_what_was_under_way_at_most(tmp_path):
    """After three kills in the midst of it the rest is asked for, and no more."""
    running, dice = [], random.Random(5)
    kills = {dice.randint(first, first + 10) for first in (10, 40, 70)}  # by the number of the request

    def script(request, number):
        if number in kills:
            running[-1].kill()
        return answer_well(request)

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["openai", "personalab.llm"])  # the slow part, once for all of them
    with Server(script) as server:
        while not running or running[-1].exitcode:
            running.append(context.Process(target=_ask_many, args=(server.base_url, tmp_path / "calls")))
            running[-1].start()
            running[-1].join()
    assert len(running) == 4
    assert len(Replies(tmp_path / "calls")) == CALLS
    assert 0 <= len(server.requests) - CALLS <= 3 * AT_ONCE
