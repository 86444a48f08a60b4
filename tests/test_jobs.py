"""What `personalab.jobs` promises: populations in the background that anybody can look at, and nothing paid twice."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_async_kernel

from personalab import Budget, generate, get, jobs, start
from personalab.errors import ProviderError, RequestError
from personalab.jobs.folder import Folder
from personalab.jobs.owner import SILENCE, here
from personalab.llm import replies
from personalab.llm.background import loop
from tests.conftest import ROOT
from tests.fluent import Fluent, fluent
from tests.server import Answer, error

PROMPT = "street musicians in European cities"
NOWHERE = "3b1f8a52-6f0e-4c55-9d0b-2c7a4e9f1d60"  # the id of no job
SOON = 60  # seconds that a machine under load may need for what takes one


class Holding:
    """A script that answers well, but holds back some requests until it is released."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers
        self.arrived, self.released = threading.Event(), threading.Event()

    def __call__(self, request: dict[str, Any], number: int) -> str:
        """Answer, perhaps later."""
        if number in self.numbers:
            self.arrived.set()
            self.released.wait(SOON)
        return fluent(request)


@pytest.fixture
def hold(serve) -> Iterator[Callable[..., Holding]]:
    """Serve with a script that holds requests back, and let them go at the end."""
    scripts = []

    def start_(*numbers: int) -> Holding:
        scripts.append(Holding(*numbers))
        scripts[-1].server = serve(scripts[-1])
        return scripts[-1]

    yield start_
    for script in scripts:
        script.released.set()


def _elsewhere(code: str, **env: str) -> str:
    """What another process prints, which keeps its replies and jobs in the same place."""
    known = {"PERSONALAB_REPLIES": str(replies.current().path), "PYTHONPATH": str(ROOT), **env}
    command = [sys.executable, "-c", f"import json, personalab as lab\n{code}"]
    done = subprocess.run(command, env={**os.environ, **known}, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


# a job's life


def test_a_job_goes_from_pending_to_succeeded(hold):
    """What is told on the way is the contract's poll object, key for key, and the result is what `generate` gives."""
    script = hold(1, 3)
    job = start(PROMPT, 4, seed=1)
    first = job.to_dict()
    assert first["status"] in ("pending", "running")
    with pytest.raises(RequestError, match="no result yet"):
        _ = job.result
    assert script.arrived.wait(SOON)
    assert job.to_dict() == {"id": job.id, "status": "running", "progress": {"produced": 0, "total": 4}}
    script.released.set()
    population = job.wait()
    assert job.to_dict() == {"id": job.id, "status": "succeeded", "result": population.to_dict()}
    assert (job.status, job.progress, job.error) == ("succeeded", (4, 4), None)
    assert population == generate(PROMPT, 4, seed=1)


def test_a_job_tells_what_it_is_asked_for(serve):
    """People are drawn as asked, also through the job's folder."""
    serve(fluent)
    job = start(PROMPT, 5, seed=3, method="iid", rounding="unbiased")
    found = job.wait().report
    assert (found.n, found.seed, found.method, found.rounding) == (5, 3, "iid", "unbiased")


@pytest.mark.parametrize("wrong", [{"count": 0}, {"grounding": "web"}, {"model": "nobody/knows"}, {"budget": 0}])
def test_a_wrong_call_makes_no_job(serve, wrong):
    """What `generate` refuses is refused at once, and nothing is kept of it."""
    server = serve(fluent)
    with pytest.raises(RequestError):
        start(PROMPT, **wrong)
    assert (jobs.listed(), server.requests) == ([], [])


def test_a_job_is_shown_as_a_table_and_as_a_sentence(serve):
    """Id, status and progress; what a model or a prompt says is no markup."""
    serve(lambda *_: error(400, "so it is <b>not</b>"))
    job = start(PROMPT, 2)
    with pytest.raises(ProviderError):
        job.wait()
    shown = job._repr_mimebundle_()
    assert all(text in shown["text/html"] for text in (job.id, "failed", "0 of 2", "&lt;b&gt;"))
    assert shown["text/plain"] == repr(job) == f"Job({job.id!r}, {job.message!r})"


def test_jobs_are_listed_the_latest_first(serve):
    """All jobs beside the replies in use are found."""
    serve(fluent)
    made = [start(PROMPT, 1, seed=seed) for seed in (1, 2)]
    for job in made:
        job.wait()
    assert [job.id for job in jobs.listed()] == [job.id for job in reversed(made)]


def test_a_replay_asks_nothing(serve, alone):
    """With the replies of a run at hand a job needs no server."""
    server = serve(fluent)
    population = generate(PROMPT, 3, seed=1, model="openai/m")
    server.stop()
    with replies.use(alone, mode="replay"):
        assert start(PROMPT, 3, seed=1, model="openai/m").wait() == population


def test_a_job_can_be_awaited_where_a_loop_runs(hold):
    """The loop goes on meanwhile: what releases the answers runs in it."""
    script = hold(2)

    async def cell() -> Any:
        job = start(PROMPT, 3, seed=1)
        waiting = asyncio.ensure_future(_population(job))
        await asyncio.to_thread(script.arrived.wait, SOON)
        script.released.set()
        return await waiting

    assert len(asyncio.run(cell())) == 3


async def _population(job: Any) -> Any:
    return await job


def test_several_jobs_run_at_once(hold):
    """One that waits for its model holds up nobody."""
    script = hold(3)
    slow = start("slow", 2, seed=1)
    assert script.arrived.wait(SOON)
    assert len(start("fast", 2, seed=2).wait()) == 2
    assert slow.status == "running"


# by its id


def test_any_process_finds_a_job_by_its_id(hold):
    """Another process sees how far it is, reads who is written, waits for the result, and it is the same."""
    script = hold(3)
    job = start(PROMPT, 2, seed=1)
    assert script.arrived.wait(SOON)
    seen = f"job = lab.get({job.id!r})\nprint(json.dumps([job.status, len(job.partial), job.progress.total]))"
    assert json.loads(_elsewhere(seen)) == ["running", 1, 2]
    script.released.set()
    job.wait()
    told = _elsewhere(f"print(json.dumps(lab.get({job.id!r}).wait().to_dict()))")
    assert json.loads(told) == job.result.to_dict()


@pytest.mark.parametrize("id_", ["", "x", "../../etc", f"../{NOWHERE}", NOWHERE, None, 7, b"\x00"])
@pytest.mark.usefixtures("alone")
def test_what_is_no_job_is_not_found(id_):
    """An id is a UUID before it becomes a path; the error says where ids come from."""
    with pytest.raises(RequestError, match=r"no job") as caught:
        get(id_)
    assert caught.value.__notes__


HOSTILE = [
    ('"succeeded"', "7"),
    ('"prompt": "street musicians in European cities"', '"prompt": 7'),
    ('"count": 1', '"count": "y"'),
    ('"count": 1', '"count": -1'),
    ('"count": 1', '"count": true'),
    ('"count": 1', f'"count": {"9" * 4_000}'),
    ('"count": 1', f'"count": {"9" * 5_000}'),
    ('"count": 1', '"count": 1, "more": 2'),
    ('"count": 1', '"count": 10001'),
    ('"seed": 3', '"seed": -3'),
    ('"grounding": "off"', '"grounding": "web"'),
    ('"method": "iid"', '"method": "dice"'),
    ('"tokens": 90000', '"more": 1'),
    ('"tokens": 90000', '"tokens": -1'),
    ('"tokens": 90000', f'"tokens": {"9" * 4_000}'),
    ('"completion_tokens": ', '"completion_tokens": -'),
    ('"calls": 1', f'"calls": {"9" * 4_000}'),
    ('"produced": 1', '"produced": -1'),
    ('"attempt": 1', '"attempt": 0'),
    ('"attempt": 1', '"attempt": "../1"'),
    ('"created": 1', '"created": NaN, "x": 1'),
    ('"pid": ', '"pid": -'),
    ('"host": "', f'"host": "{"h" * 9_000}'),
    ('"id": "', '"id": "x'),
]


@pytest.fixture
def done(serve):
    """A job that has succeeded, as another process finds it; gives its folder."""
    serve(fluent)
    job = start(PROMPT, 1, seed=3, method="iid", budget=Budget(tokens=90_000))
    job.wait()
    jobs._attempts.clear()
    return job._folder.path


def test_a_folder_that_is_not_ours_is_said_so(done):
    """A state that `start` would not have written is an error in a sentence, and is not listed."""
    path = done / "state.json"
    state = path.read_text()
    for ours, theirs in HOSTILE:
        assert ours in state
        path.write_text(state.replace(ours, theirs, 1))
        with pytest.raises(RequestError, match="not what personalab writes"):
            _ = get(done.name).status
        assert jobs.listed() == []
    path.write_text("\ufeff" + state)
    assert get(done.name).status == "succeeded"


ODD = {
    "a link": lambda path: path.symlink_to(ROOT / "README.md"),
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_no_file_is_named_and_not_waited_for(done, what):
    """A link leads to a file of the reader's, and a pipe has no end."""
    for name in ("state.json", "blueprint.json", "people.json", "texts.jsonl"):
        (done / name).rename(done / "aside")
        ODD[what](done / name)
        with pytest.raises(RequestError, match=f"{name}' is {what}"):
            _ = get(done.name).result
        (done / name).rmdir() if what == "a folder" else (done / name).unlink()
        (done / "aside").rename(done / name)
    assert len(get(done.name).result) == 1


@pytest.mark.parametrize("what", ODD)
def test_nobody_claims_or_cancels_through_a_link(tmp_path, what):
    """What stands in a claim's place is refused by name, and a link leads to no new file."""
    folder = Folder(tmp_path)
    for name, write in {"claim-2": folder.claim, "cancel-1": folder.cancel}.items():
        if what == "a link":
            (tmp_path / name).symlink_to(tmp_path / "elsewhere")
        else:
            ODD[what](tmp_path / name)
        with pytest.raises(RequestError, match=f"{name}' is {what}"):
            write(1)
    assert not (tmp_path / "elsewhere").exists()


def test_a_job_s_folder_is_no_link(done, tmp_path):
    """Nor is it a way into another folder."""
    done.rename(tmp_path / "moved")
    done.symlink_to(tmp_path / "moved")
    with pytest.raises(RequestError, match="is a link, where a job's folder belongs"):
        get(done.name)


@pytest.mark.parametrize("name", ["people.json", "texts.jsonl"])
@pytest.mark.parametrize("text", [b"", b"{}", b"[" * 100_000, b'{"persona_id": "p_1", "round": 1e999, "texts": {}}'])
def test_a_result_whose_files_are_torn_is_none(serve, name, text):
    """A job that succeeded, and whose files are not whole any more, says so in a sentence."""
    serve(fluent)
    job = start(PROMPT, 1)
    job.wait()
    jobs._attempts.clear()
    (job._folder.path / name).write_bytes(text)
    with pytest.raises(RequestError, match="not whole"):
        _ = get(job.id).result


def test_a_folder_that_cannot_be_written_is_said_so(hold, caplog):
    """Whoever wants to end a job, or take it up, hears that there is no place; its owner says so once and goes on."""
    script = hold(2)
    job = start(PROMPT, 2, seed=1)
    assert script.arrived.wait(SOON)
    elsewhere = Folder(job._folder.path)

    async def barred() -> None:  # in the owner's own thread, so that it writes neither meanwhile nor a word of its own
        shutil.rmtree(job._folder.path)
        job._folder.path.write_text("in the way")
        for _ in range(2):
            job._held._write(stage="still at it")

    asyncio.run_coroutine_threadsafe(barred(), loop()).result(SOON)
    for claim in (elsewhere.cancel, elsewhere.claim):
        with pytest.raises(RequestError, match="cannot be written"):
            claim(1)
    assert caplog.text.count("cannot be written") == 1


PEOPLE = [
    ('"method":"iid"', '"method":"dice"'),
    ('"seed":3', f'"seed":{"9" * 4_000}'),
    ('"columns":{', '"columns":{"more":["x","y"],'),
    ('"age":[', '"age":[1e999,'),
    ('"age":[', '"age":[-'),
    ('"age":[', '"age":["x"],"rest":['),
    ('"age"', '"nobody"'),
]


def test_people_whom_the_blueprint_does_not_know_are_none(done):
    """A frame that was not drawn from the job's blueprint is no result."""
    path = done / "people.json"
    people = path.read_text()
    for ours, theirs in PEOPLE:
        assert ours in people
        path.write_text(people.replace(ours, theirs, 1))
        with pytest.raises(RequestError, match="not whole"):
            _ = get(done.name).result


def test_more_bytes_than_people_can_take_are_not_read(done, monkeypatch):
    """Nobody's memory is filled by a file."""
    monkeypatch.setattr("personalab.jobs.folder.LONGEST", 1_000)
    with (done / "people.json").open("ab") as file:
        file.write(b" " * 10_000)
    with pytest.raises(RequestError, match="not whole") as caught:
        _ = get(done.name).result
    assert "is larger than the" in str(caught.value.__cause__)


def test_texts_that_are_none_are_passed_over(done):
    """A line of a file is taken as a model's answer is, or not at all."""
    path = done / "texts.jsonl"
    line = json.loads(path.read_text().splitlines()[-1])
    for text in ("x" * 100_001, 7, None, ["x"]):
        path.write_text(json.dumps(line | {"texts": line["texts"] | {"tagline": text}}) + "\n")
        with pytest.raises(RequestError, match="not whole"):
            _ = get(done.name).result
    path.write_text(json.dumps(line | {"texts": line["texts"] | {"tagline": "a\x1b[2J\nb"}}) + "\n")
    assert get(done.name).result.frame["tagline"].tolist() == ["a[2J b"]


# whose key is it


@pytest.fixture
def failed(serve):
    """A job whose model refused the key, as another process finds it; gives its server, its folder and its state."""
    server = serve(lambda request, number: fluent(request) if number <= 2 else error(401))
    job = start(PROMPT, 3, seed=1)
    with pytest.raises(ProviderError):
        job.wait()
    jobs._attempts.clear()
    server.script = lambda request, _number: fluent(request)
    server.requests.clear()
    return server, job._folder


def test_a_folder_does_not_choose_the_model(failed):
    """Another one than would be asked here is named, and is asked only by who names it too."""
    server, folder = failed
    folder.write(folder.state().model_copy(update={"model": "openai/the-dearest"}))
    with pytest.raises(RequestError, match="with 'openai/the-dearest', and 'openai/gpt-5-mini' would be") as caught:
        get(folder.path.name, resume=True)
    assert "model=" in caught.value.__notes__[0]
    assert server.requests == []
    assert len(get(folder.path.name, resume=True, model="openai/the-dearest").wait()) == 3
    assert {request["model"] for request in server.requests} == {"the-dearest"}


def test_a_folder_does_not_choose_where_replies_are_kept(failed, tmp_path):
    """A place that is there, and is not in use, is named and left alone; one that is not there is passed over."""
    _server, folder = failed
    (tmp_path / "mine").mkdir()
    state = folder.state()
    folder.write(state.model_copy(update={"replies": str(tmp_path / "mine")}))
    with pytest.raises(RequestError, match=r"keeps its replies in .*mine'"):
        get(folder.path.name, resume=True)
    folder.write(state.model_copy(update={"replies": str(tmp_path / "elsewhere")}))
    assert len(get(folder.path.name, resume=True).wait()) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls", "jobs", "mine"]
    assert list((tmp_path / "mine").iterdir()) == []


def test_what_was_used_cannot_be_less_than_nothing(failed):
    """A negative count would lift the budget of whoever takes the job up."""
    _server, folder = failed
    state = json.loads((folder.path / "state.json").read_text())
    state["paid"]["personas"]["completion_tokens"] = -1_000_000
    (folder.path / "state.json").write_text(json.dumps(state))
    with pytest.raises(RequestError, match="not what personalab writes"):
        get(folder.path.name, resume=True, budget=Budget(tokens=10))


FULL = """
import resource, sys
import personalab as lab
resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))
job = lab.start(sys.argv[1], 40, seed=1, model="openai/m")
try:
    job.wait()
except lab.PersonalabError as error:
    print(type(error).__name__, job.error, error, type(error.__cause__.__cause__ or error.__cause__).__name__)
"""


def test_a_person_who_cannot_be_kept_is_said_so(serve):
    """A disk that is full ends the job with that, and not with what follows from it."""
    serve(fluent)
    generate(PROMPT, 40, seed=1, model="openai/m")  # so that nothing but the job's own files has to be written
    env = {**os.environ, "PERSONALAB_REPLIES": str(replies.current().path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", FULL, PROMPT]
    told = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert told.startswith("ProviderError config_error job ")
    assert "cannot be written: no room is left for a whole line" in told
    assert told.endswith("OSError\n")


# what goes wrong

FAULTS = {
    "wrong key": (error(401), "auth_error"),
    "broken": (error(500), "provider_error"),
    "refuses": (Answer(None, refusal="I cannot do that."), "content_refused"),
}


@pytest.mark.parametrize(("fault", "category"), FAULTS.values(), ids=FAULTS)
def test_a_failed_job_says_why_and_keeps_what_was_made(serve, fault, category):
    """A category to branch on, a sentence, the wire's own word, and a frame of those written."""
    serve(lambda request, number: fluent(request) if number <= 3 else fault)
    job = start(PROMPT, 6, seed=1)
    with pytest.raises(ProviderError) as caught:
        job.wait()
    assert caught.value.category == job.error == category
    assert job.to_dict() == {"id": job.id, "status": "failed", "error": "provider_error"}
    assert len(job.partial) == len(caught.value.partial) == job.progress.produced == 2
    told = _elsewhere(f"job = lab.get({job.id!r})\nprint(job.error, len(job.partial))\njob.result")
    assert told.startswith(f"{category} 2\n")
    assert "ProviderError" in told.splitlines()[-2] + told.splitlines()[-1]


def test_a_failed_job_is_taken_up_where_it_failed(serve):
    """Only those who were not written are asked for, under the same id."""
    server = serve(lambda request, number: fluent(request) if number <= 3 else error(401))
    job = start(PROMPT, 6, seed=1)
    with pytest.raises(ProviderError):
        job.wait()
    refused, server.script = len(server.requests), lambda request, _number: fluent(request)
    again = get(job.id, resume=True)
    assert again.wait() == generate(PROMPT, 6, seed=1, model="openai/gpt-5-mini")
    assert len(server.requests) - refused == 4
    assert (job.status, job.result) == ("succeeded", again.result)
    assert job.usage.total.calls == 7 == job.result.usage.total.calls


def test_a_job_that_goes_on_is_not_taken_up(hold):
    """Whoever tries is told that it is at work, and how to wait for it."""
    script = hold(2)
    job = start(PROMPT, 2)
    assert script.arrived.wait(SOON)
    with pytest.raises(RequestError, match="nothing to take up"):
        get(job.id, resume=True)
    script.released.set()
    job.wait()
    assert get(job.id, resume=True).status == "succeeded"


def test_of_two_who_take_a_job_up_one_does(serve):
    """The other one gets a sentence; nobody is written twice."""
    server = serve(lambda request, number: fluent(request) if number <= 2 else error(401))
    job = start(PROMPT, 5, seed=1)
    with pytest.raises(ProviderError):
        job.wait()
    refused, server.script = len(server.requests), lambda request, _number: fluent(request)
    code = f"""
import sys
try:
    sys.stdin.readline()
    print(len(lab.get({job.id!r}, resume=True).wait()))
except lab.PersonalabError as error:
    print(error)
"""
    env = {**os.environ, "PERSONALAB_REPLIES": str(replies.current().path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", "import personalab as lab" + code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": env}
    racers = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    told = [racer.communicate(timeout=2 * SOON)[0].strip() for racer in racers]
    assert "5" in told
    assert len(server.requests) - refused == 4
    assert [line for line in told if line != "5" and "take" not in line] == []


@pytest.mark.usefixtures("alone")
def test_an_object_has_to_be_given_again():
    """A model that no name brings back is asked for in a sentence."""

    class Failing(Fluent):
        def complete(self, *_asked: Any) -> str:
            raise ValueError

    job = start(PROMPT, 2, seed=1, model=Failing())
    with pytest.raises(ProviderError):
        job.wait()
    with pytest.raises(RequestError, match="an object") as caught:
        get(job.id, resume=True)
    assert caught.value.__notes__ == ["→ give it as model="]
    assert len(get(job.id, resume=True, model=Fluent()).wait()) == 2


def test_a_budget_is_the_job_s_and_not_the_attempt_s(serve):
    """What is used up is not used again by taking the job up; with a higher limit it goes on."""
    serve(fluent)
    job = start(PROMPT, 30, seed=1, budget=Budget(tokens=6000, prices=(1, 2)))
    with pytest.raises(ProviderError) as caught:
        job.wait()
    assert caught.value.category == job.error == "budget_exceeded"
    used = job.usage.total.tokens
    assert 0 < used <= 6000
    with pytest.raises(RequestError, match="has used"):
        get(job.id, resume=True, budget=Budget(tokens=used))
    assert len(get(job.id, resume=True, budget=Budget(tokens=100_000)).wait()) == 30
    assert job.usage.cost == job.result.usage.cost > 0


def test_a_torn_last_line_costs_one_person(serve):
    """What a killed process was writing is asked for again from the replies; the rest is as it was."""
    server = serve(lambda request, number: fluent(request) if number <= 4 else error(401))
    job = start(PROMPT, 5, seed=1)
    with pytest.raises(ProviderError):
        job.wait()
    texts = job._folder.path / "texts.jsonl"
    texts.write_bytes(texts.read_bytes()[:-9])
    server.script = lambda request, _number: fluent(request)
    population = get(job.id, resume=True).wait()
    jobs._attempts.clear()
    assert Folder(job._folder.path).roster(5).whole().equals(population.frame)
    assert population == generate(PROMPT, 5, seed=1)


# interrupted


def test_a_cancelled_job_ends_and_keeps_what_is_written(hold):
    """Nothing more is sent; it reads failed, and goes on from there when it is taken up."""
    script = hold(3)
    job = start(PROMPT, 4, seed=1)
    assert script.arrived.wait(SOON)
    sent = len(script.server.requests)
    job.cancel()
    with pytest.raises(ProviderError) as caught:
        job.wait()
    assert (caught.value.category, job.status, job.error) == ("cancelled", "failed", "cancelled")
    assert job.to_dict()["error"] == "cancelled"
    assert len(job.partial) == job.progress.produced
    assert len(script.server.requests) <= sent + 3  # those that were under way at once
    script.released.set()
    assert len(get(job.id, resume=True).wait()) == 4


def test_another_process_can_cancel_a_job(hold):
    """The owner finds the wish in the job's folder."""
    script = hold(2)
    job = start(PROMPT, 3, seed=1)
    assert script.arrived.wait(SOON)
    _elsewhere(f"lab.get({job.id!r}).cancel()")
    with pytest.raises(ProviderError):
        job.wait()
    assert job.error == "cancelled"


def test_a_job_that_another_takes_over_stops_without_a_word(hold):
    """An owner that was taken for dead, and is not, leaves the folder to who claimed it."""
    script = hold(2)
    job = start(PROMPT, 3, seed=1)
    assert script.arrived.wait(SOON)
    assert job._folder.claim(1) == 2
    attempt = job._attempt
    with pytest.raises(BaseException):  # noqa: B017, PT011  # cancelled, whichever way
        attempt.future.result(SOON)
    assert job._folder.state().status == "running"


def _killed(script: Holding) -> str:
    """Start a job in a process of its own, kill that when a request is held back, and give the job's id."""
    code = f"import personalab as lab, sys\nprint(lab.start({PROMPT!r}, 6, seed=1).id, flush=True)\nsys.stdin.read()"
    env = {**os.environ, "PERSONALAB_REPLIES": str(replies.current().path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        id_ = process.stdout.readline().strip()
        assert script.arrived.wait(SOON)
        process.send_signal(signal.SIGKILL)
    script.released.set()
    return id_


def test_the_job_of_a_killed_process_is_interrupted_and_pays_once(hold):
    """It reads failed at once from here; taking it up asks for what was under way or not begun, and nothing else."""
    script = hold(4)
    id_ = _killed(script)
    job = get(id_)
    assert (job.status, job.error, job.to_dict()["error"]) == ("failed", "interrupted", "interrupted")
    written, sent = len(job.partial), len(script.server.requests)
    with pytest.raises(ProviderError) as caught:
        _ = job.result
    assert len(caught.value.partial) == written
    assert len(get(id_, resume=True).wait()) == 6
    assert len(script.server.requests) - sent <= 6 - written
    assert len(script.server.requests) <= 1 + 6 + (sent - 1 - written)


def test_an_owner_is_told_from_another_with_its_number():
    """On this machine by when it began; from elsewhere only its silence tells."""
    mine, now = here(), time.time()
    assert mine.is_alive(0)
    assert not mine.model_copy(update={"started": "1"}).is_alive(now)
    assert not mine.model_copy(update={"pid": 2**22 + 1}).is_alive(now)
    elsewhere = mine.model_copy(update={"host": "another machine"})
    assert elsewhere.is_alive(now - SILENCE / 2)
    assert not elsewhere.is_alive(now - 2 * SILENCE)


def test_a_process_that_waits_to_be_buried_is_dead():
    """What was killed and not yet waited for, as a kernel below its server, works on nothing."""
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not here().model_copy(update={"pid": process.pid}).is_alive(time.time())


def test_no_key_is_in_any_file(hold, alone, monkeypatch):
    """Whatever a failed and a finished job leave behind holds no key."""
    script = hold()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-this-is-the-secret")
    start(PROMPT, 2, seed=1).wait()
    script.server.script = lambda *_: error(401, "Incorrect API key provided: sk-this-is-the-secret")
    with pytest.raises(ProviderError):
        start("others", 2).wait()
    files = [path for path in alone.parent.rglob("*") if path.is_file()]
    assert len(files) >= 6
    assert [path for path in files if b"this-is-the-secret" in path.read_bytes()] == []


# in a notebook


class Kernel:
    """A kernel as a notebook has it, whose cells are run one after the other."""

    def __init__(self, folder: Path) -> None:
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PERSONALAB_REPLIES": str(replies.current().path)}
        self._runner = asyncio.Runner()
        self.is_showing = threading.Event()
        options = {"kernel_name": "python3", "env": env, "cwd": str(folder), "stderr": subprocess.DEVNULL}
        self._manager, self._client = self._runner.run(start_new_async_kernel(**options))
        self.run("import asyncio, personalab as lab\nfrom personalab import progress\nprogress.DELAY = 0.0")

    def run(self, code: str, meanwhile: Callable[[], object] = lambda: None) -> list[Any]:
        """Run a cell; what it showed: texts, displays by their kind, and names of errors."""
        shown: list[Any] = []

        def see(message: dict[str, Any]) -> None:
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                shown.append(content["text"].strip())
            elif kind in ("display_data", "update_display_data", "execute_result"):
                shown.append((kind, content["data"]))
                self.is_showing.set()
            elif kind == "error":
                shown.append(content["ename"])

        during = threading.Thread(target=meanwhile)
        during.start()
        self._runner.run(self._client.execute_interactive(code, output_hook=see, timeout=2 * SOON))
        during.join()
        return shown

    def signal(self, number: int) -> None:
        """Interrupt it as the notebook's button does, or kill it as a machine does that runs out of memory."""
        os.kill(self._manager.provisioner.pid, number)

    def close(self) -> None:
        """Let go of it."""
        self._client.stop_channels()
        self._runner.run(self._manager.shutdown_kernel(now=True))
        self._manager.context.destroy()
        self._runner.close()


@pytest.fixture
def kernel(hold, tmp_path) -> Iterator[Kernel]:
    """A kernel whose model is the server that `hold` starts first."""
    hold.script = hold()
    started = Kernel(tmp_path)
    yield started
    started.close()


def _hold_next(script: Holding, n: int) -> None:
    """Hold back the n-th request from now on."""
    script.arrived.clear()
    script.released.clear()
    script.numbers = (len(script.server.requests) + n,)


def test_a_notebook_starts_polls_waits_and_awaits(kernel, hold):
    """Cells go on while a job runs; the bar is gone when it has ended; awaiting leaves the kernel's loop alive."""
    script = hold.script
    _hold_next(script, 3)
    kernel.run(f"job = lab.start({PROMPT!r}, 3, seed=1)")
    assert script.arrived.wait(SOON)
    assert kernel.run("print(job.status, job.progress.total)") == ["running 3"]
    shown = kernel.run("len(job.wait())", lambda: kernel.is_showing.wait(SOON) and script.released.set())
    assert [kind for kind, _ in shown] == ["display_data", "update_display_data", "execute_result"]
    assert [data for _, data in shown[1:]] == [{"text/plain": ""}, {"text/plain": "3"}]
    code = "asyncio.get_running_loop().call_soon(print, 'alive')\nprint(len(await lab.start('others', 2, seed=1)))"
    assert "".join(kernel.run(code)).replace("\n", "") == "alive2"


@pytest.mark.parametrize("cell", ["job.wait()", "await job", f"lab.generate({PROMPT!r}, 40, seed=1)"])
def test_an_interrupt_ends_what_a_cell_waits_for(kernel, hold, cell):
    """Nothing more is sent, what is written is kept, and the job reads cancelled."""
    script = hold.script
    _hold_next(script, 4)
    kernel.run(f"job = lab.start({PROMPT!r}, 40, seed=1)" if "job" in cell else "job = None")

    def interrupt() -> None:
        assert script.arrived.wait(SOON)
        kernel.signal(signal.SIGINT)

    assert kernel.run(cell, interrupt)[-1] in ("KeyboardInterrupt", "CancelledError")
    if "job" in cell:
        [told] = kernel.run(
            "job._attempt.ended()\nprint(job.status, job.error, len(job.partial) == job.progress.produced)"
        )
        assert told == "failed cancelled True"
    sent = len(script.server.requests)
    script.released.set()
    kernel.run(f"lab.start({PROMPT!r}, 1, seed=2).wait()")  # whatever were still under way would come in by then
    assert len(script.server.requests) <= sent + 1


def test_the_job_of_a_killed_kernel_is_taken_up_by_another(kernel, hold):
    """It reads interrupted at once from here, and goes on from what was written."""
    script = hold.script
    _hold_next(script, 5)
    [id_] = kernel.run(f"print(lab.start({PROMPT!r}, 6, seed=1).id)")
    assert script.arrived.wait(SOON)
    kernel.signal(signal.SIGKILL)
    script.released.set()
    job = get(id_)
    while job.status == "running":  # the system takes a moment to end a process
        pass
    assert (job.status, job.error) == ("failed", "interrupted")
    missing, sent = 6 - len(job.partial), len(script.server.requests)
    assert len(get(id_, resume=True).wait()) == 6
    assert len(script.server.requests) - sent <= missing
