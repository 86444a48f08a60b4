"""Tests of `tests.loopback`, which other tests trust to count and to fail as it is told."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import jsonschema
import pytest

from personalab.inference.draft import Draft, conversation
from personalab.llm.schemas import response_format, strict_schema
from tests.llm.test_schemas import Draft as Odd
from tests.loopback import Loopback, content

SCHEMA = strict_schema(Draft)


def _asked(text, **options):
    return {"model": "m", "messages": [{"role": "user", "content": text}], **options}


def _post(server, asked):
    request = urllib.request.Request(
        f"{server.base_url}/chat/completions", json.dumps(asked).encode(), {"Authorization": "Bearer k"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.parametrize("bounded", [False, True])
def test_what_it_makes_up_is_valid(bounded):
    """Every instance fits the schema that was sent, and another question gives another one."""
    schema = strict_schema(Odd, bounded=bounded)
    told = {"response_format": response_format("Odd", schema)}
    answers = [content(_asked(f"number {n}", **told)) for n in range(20)]
    for answer in answers:
        jsonschema.validate(json.loads(answer), schema)
    assert len(set(answers)) == 20
    assert content(_asked("number 3", **told)) == answers[3]


def test_it_copies_an_example_that_fits():
    """A conversation that shows a sound draft gets a sound draft."""
    asked = {"model": "m", "messages": conversation("bakers"), "response_format": response_format("Draft", SCHEMA)}
    assert Draft.model_validate_json(content(asked)).domain == "street_musician"


def test_it_counts_what_it_answers():
    """Requests, answers and tokens are counted, and a request that was answered before is told apart."""
    with Loopback() as server:
        answers = [_post(server, _asked(text))[1] for text in ("who", "who", "why")]
        stats = server.stats()
    assert (stats.requests, stats.answers, stats.repeated) == (3, 3, 1)
    assert stats.completion_tokens == sum(answer["usage"]["completion_tokens"] for answer in answers)
    assert sum(second["answers"] for second in stats.seconds.values()) == 3


def test_the_same_seed_brings_the_same_faults_in_any_order():
    """A fault follows from the seed and the request, not from when it arrives."""
    asked = [_asked(f"number {n}") for n in range(60)]
    found = []
    for order in (asked, asked[::-1]):
        with Loopback(seed=5, busy=0.2, broken=0.2) as server:
            found.append({each["messages"][0]["content"]: _post(server, each)[0] for each in order})
            assert server.stats().faults["busy"] == list(found[-1].values()).count(429)
    assert found[0] == found[1]
    assert set(found[0].values()) == {200, 429, 500}


def test_it_can_be_changed_while_it_runs():
    """The first requests follow a list, and a change holds from the next request on."""
    with Loopback(first=("broken",)) as server:
        assert [_post(server, _asked("who"))[0] for _ in range(2)] == [500, 200]
        server.change(key="another")
        assert _post(server, _asked("who"))[0] == 401
        server.change(key=None, unsupported=["temperature"])
        assert _post(server, _asked("who", temperature=1))[1]["error"]["param"] == "temperature"
        assert server.requests()[-1]["temperature"] == 1
