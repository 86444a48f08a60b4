"""Tests of `personalab.replies`."""

from __future__ import annotations

import json
import multiprocessing

import pytest

from personalab import replies
from personalab.errors import ProviderError, RequestError
from personalab.replies import Replies

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
