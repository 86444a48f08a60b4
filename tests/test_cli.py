"""What the command line promises: results on standard output, the rest on standard error, and three exit codes."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from personalab import Blueprint, cli, sample, start
from personalab.cli import main
from personalab.errors import ProviderError
from tests.fluent import fluent
from tests.server import Server, error

ROOT = Path(__file__).parents[1]
LEAGUE = str(ROOT / "data" / "blueprints" / "league-of-legends.json")
COMMANDS = ("generate", "infer", "sample", "report", "check", "jobs", "job")


@pytest.fixture(autouse=True)
def _alone(alone, tmp_path, monkeypatch):  # noqa: ARG001  # for its effect
    """Let each test start in a folder of its own, with no key, no server and no replies."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def serve(monkeypatch):
    """Start a server with a script, and let it be the model."""
    running = []

    def start(script=fluent):
        running.append(Server(script).__enter__())
        monkeypatch.setenv("OPENAI_BASE_URL", running[-1].base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_explains_itself(command, capsys):
    """Help names every command and option, with a sentence on what it does."""
    with pytest.raises(SystemExit) as caught:
        main([*filter(None, [command]), "--help"])
    told = capsys.readouterr().out
    assert caught.value.code == 0
    assert all(word in told for word in (["--json", f"personalab {command}"] if command else COMMANDS))


def test_generate_prints_people_and_writes_files(serve, capsys, tmp_path):
    """People are on standard output, what happened on standard error, files in the folder."""
    serve()
    assert main(["generate", "buskers", "--count", "3", "--seed", "1", "--out", "out"]) == 0
    told = capsys.readouterr()
    assert "p_03" in told.out
    assert "written to out" in told.err
    assert (tmp_path / "out" / "report.html").exists()


def test_json_is_all_that_stands_on_standard_output(serve, capsys):
    """What generate and infer print with --json is their result, whole."""
    serve()
    assert main(["generate", "buskers", "--count", "2", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["personas", "blueprint", "diversity", "marginals"]
    assert main(["infer", "buskers", "--json"]) == 0
    assert Blueprint.from_dict(json.loads(capsys.readouterr().out)).domain == "street_musician"


def test_infer_writes_a_blueprint_that_check_and_sample_take(serve, capsys):
    """One command's file is the next one's argument."""
    serve()
    assert main(["infer", "buskers", "--out", "bp.yaml"]) == 0
    assert main(["check", "bp.yaml"]) == 0
    assert main(["sample", "bp.yaml", "4", "--seed", "1", "--out", "people.csv"]) == 0
    assert main(["report", "people.csv", "bp.yaml"]) == 0
    assert "as close to the blueprint as 4 personas can be" in capsys.readouterr().out


def test_north_america_survives_a_csv(capsys, tmp_path):
    """A region called NA is no missing value on its way from sample to report."""
    assert main(["sample", LEAGUE, "20", "--seed", "1"]) == 0
    (tmp_path / "people.csv").write_text(capsys.readouterr().out, "utf-8-sig")
    assert main(["report", "people.csv", LEAGUE, "--json"]) == 0
    region = json.loads(capsys.readouterr().out)["marginals"][0]
    assert region["cells"][0] == {**region["cells"][0], "key": "NA", "achieved": 0.2}


def test_a_file_without_ids_loses_no_column(capsys, tmp_path):
    """The first column is a field like the others where it is not persona_id."""
    (tmp_path / "people.csv").write_text("rank\nGold\nSilver\n", "utf-8")
    assert main(["report", "people.csv", LEAGUE, "--json"]) == 0
    assert [row["attribute"] for row in json.loads(capsys.readouterr().out)["marginals"]] == ["rank"]


def test_sample_prints_what_json_prints(capsys):
    """CSV and JSON hold the same people, and JSON how they were drawn."""
    assert main(["sample", LEAGUE, "3", "--seed", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert main(["sample", LEAGUE, "3", "--seed", "5", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    rows = data.pop("rows")
    assert data == {"method": "balanced", "rounding": "unbiased", "seed": 5}
    assert [row["persona_id"] for row in rows] == [line.split(",")[0] for line in lines[1:]]


def test_sample_draws_as_it_is_told(capsys):
    """Method and rounding reach the draw, and the JSON says which they were."""
    told = ["--seed", "5", "--method", "quota", "--rounding", "unbiased", "--json"]
    assert main(["sample", LEAGUE, "30", *told]) == 0
    data = json.loads(capsys.readouterr().out)
    frame = sample(Blueprint.load(LEAGUE), 30, seed=5, method="quota", rounding="unbiased")
    assert (data["method"], data["rounding"]) == ("quota", "unbiased")
    assert [row["rank"] for row in data["rows"]] == frame["rank"].tolist()


def test_generate_draws_as_it_is_told(serve, tmp_path):
    """The method reaches the report that is written."""
    serve()
    assert main(["generate", "buskers", "--count", "3", "--seed", "1", "--method", "iid", "--out", "out"]) == 0
    assert "drawn iid, seed 1" in (tmp_path / "out" / "report.html").read_text("utf-8")


def _files(folder: Path) -> None:
    (folder / "folder.json").mkdir()
    (folder / "folder.csv").mkdir()
    os.mkfifo(folder / "pipe.csv")
    os.mkfifo(folder / "pipe.json")
    for name, text in {"empty.csv": "", "other.csv": "a,b\n1,2\n", "broken.json": "{", "list.yaml": "- 1\n"}.items():
        (folder / name).write_text(text)
    (folder / "bytes.csv").write_bytes(b"\xff\xfe\x00\x01" * 9)
    (folder / "bytes.json").write_bytes(b"\xff\xfe\x00\x01" * 9)


@pytest.mark.parametrize(
    ("call", "code"),
    [(["check", "absent.json"], 2), (["check", "folder.json"], 2), (["check", "empty.csv"], 2),
     (["check", "broken.json"], 1), (["check", "bytes.json"], 1), (["check", "list.yaml"], 1),
     (["sample", LEAGUE, "0"], 2), (["sample", LEAGUE, "-5"], 2), (["sample", LEAGUE, "3", "--seed", "-1"], 2),
     (["sample", LEAGUE, "3", "--out", "folder.csv"], 2), (["report", "absent.csv", LEAGUE], 2),
     (["report", "folder.csv", LEAGUE], 2), (["report", "empty.csv", LEAGUE], 2), (["report", "other.csv", LEAGUE], 2),
     (["report", "bytes.csv", LEAGUE], 2), (["generate", ""], 2), (["generate", "x", "--count", "0"], 2),
     (["generate", "x", "--grounding", "web"], 2), (["generate", "x", "--out", "empty.csv"], 2),
     (["generate", "x", "--seed", "-1"], 2), (["infer", " "], 2), (["infer", "x", "--out", "bp.txt"], 2),
     (["generate", "x", "--model", "nobody/knows"], 2), (["generate", "x", "--budget-tokens", "0"], 2),
     (["generate", "x", "--budget-cost", "1"], 2), (["infer", "x", "--prices=-1,2"], 2), (["job", "x"], 2),
     (["report", "pipe.csv", LEAGUE], 2), (["sample", LEAGUE, "3", "--out", "pipe.csv"], 2),
     (["sample", LEAGUE, "3", "--out", "/dev/full"], 2), (["sample", LEAGUE, "3", "--out", "x" * 300], 2),
     (["generate", "x", "--out", "/dev/full"], 2), (["generate", "x", "--out", "x" * 300], 2),
     (["generate", "x", "--out", "/proc/nowhere/out"], 2), (["infer", "x", "--out", "/proc/nowhere.json"], 2),
     (["infer", "x", "--out", "pipe.json"], 2), (["infer", "x", "--out", "x" * 300 + ".json"], 2),
     (["infer", "x", "--out", "empty.csv/bp.json"], 2), (["job", "../calls", "--resume"], 2),
     (["job", "8f2c1a7d-9e2b-4f42-9344-0df65f73e5d1", "--cancel"], 2)],
)  # fmt: skip
def test_a_wrong_call_is_a_sentence_and_a_code(serve, call, code, capsys, tmp_path):
    """No traceback, nothing on standard output, no file, no model asked: 2 for the call, 1 for what a file holds."""
    server = serve()
    _files(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(call) == code
    assert sorted(tmp_path.rglob("*")) == before
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert server.requests == []


@pytest.mark.parametrize(
    "call",
    [[], ["dance"], ["generate"], ["generate", "x", "--count", "many"], ["sample", LEAGUE],
     ["sample", LEAGUE, "3", "--method", "dice"], ["generate", "x", "--rounding", "up"],
     ["generate", "x", "--prices", "1"], ["generate", "x", "--prices", "a,b"], ["job", "x", "--wait", "--cancel"]],
)  # fmt: skip
def test_usage_errors_exit_with_two(call, capsys):
    """What argparse refuses has the same code."""
    with pytest.raises(SystemExit) as caught:
        main(call)
    assert caught.value.code == 2
    assert "usage: personalab" in capsys.readouterr().err


def test_a_failing_model_exits_with_one(serve, capsys):
    """The category's sentence and its hint are on standard error."""
    serve(lambda *_: error(401))
    assert main(["generate", "x", "--json"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "refused the key" in told.err
    assert "→ check the key" in told.err


def test_a_budget_that_is_used_up_exits_with_one(serve, capsys):
    """What is used, what the next call needs, and what to do."""
    server = serve()
    assert main(["generate", "x", "--count", "9", "--budget-cost", "0.0001", "--prices", "1,2"]) == 1
    told = capsys.readouterr()
    assert "of the budget's 0.0001" in told.err
    assert "→ " in told.err
    assert server.requests == []


def test_jobs_are_listed_looked_at_and_taken_up(serve, capsys):
    """A job that failed says so, exits with 1, and is finished with --resume; then its poll object holds the result."""
    server = serve(lambda request, number: fluent(request) if number <= 2 else error(401))
    job = start("buskers", 3, seed=1)
    with pytest.raises(ProviderError):
        job.wait()
    assert main(["jobs"]) == 0
    assert f"{job.id}  failed     buskers: " in capsys.readouterr().out
    assert main(["job", job.id, "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"id": job.id, "status": "failed", "error": "provider_error"}
    server.script = lambda request, _number: fluent(request)
    assert main(["job", job.id, "--resume", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert main(["job", job.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"id": job.id, "status": "succeeded", "result": result}


def test_a_blueprint_with_errors_exits_with_one(capsys, tmp_path):
    """Check prints what it found and fails when it is an error."""
    text = Path(LEAGUE).read_text("utf-8").replace('"Challenger"', '"Chalenger"', 1)
    (tmp_path / "bp.json").write_text(text, "utf-8")
    assert main(["check", "bp.json"]) == 1
    assert "Chalenger" in capsys.readouterr().out


def test_escape_sequences_do_not_reach_a_terminal(capsys, tmp_path):
    """What cannot be printed is spelt out, in errors and in JSON, which stays the same data."""
    text = Path(LEAGUE).read_text("utf-8").replace("preferred position", "\\u001b[2J\\u202ex")
    (tmp_path / "bp.json").write_text(text, "utf-8")
    assert main(["sample", "no\x1b[2Jfile.json", "1"]) == 2
    assert "\x1b" not in capsys.readouterr().err
    assert cli._plain("a\x1b\u202e\n\U000e0041é") == "a\\u001b\\u202e\n\\udb40\\udc41é"


FULL = [sys.executable, "-W", "error", "-m", "personalab", "sample", LEAGUE, "3", "--seed", "1"]


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize(
    ("to", "why"), [(">/dev/full", "standard output cannot be written: No space"), (">&-", "standard output is closed")]
)
def test_an_output_that_takes_nothing_is_said_so(form, to, why):
    """A sentence and the code 1, and Python has nothing to add."""
    words = shlex.join([*FULL, *form])
    ended = subprocess.run(["bash", "-c", f"{words} {to}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: {why}")
    assert "Exception" not in ended.stderr


def test_nobody_need_be_told(tmp_path):
    """With standard error closed or full, a command does what it is asked all the same."""
    for to in ("2>&-", "2>/dev/full"):
        words = shlex.join([*FULL, "--out", str(tmp_path / f"{len(to)}.csv")])
        assert subprocess.run(["bash", "-c", f"{words} {to}"], cwd=ROOT, check=False).returncode == 0
    assert len(list(tmp_path.iterdir())) == 2


def test_json_is_json_in_any_encoding(tmp_path):
    """What a pipe's encoding lacks is spelt as JSON spells it."""
    text = Path(LEAGUE).read_text("utf-8").replace('"NA"', '"Île-de-\\ud83d\\ude00"')
    (tmp_path / "bp.json").write_text(text, "utf-8")
    asked = [*FULL[:6], str(tmp_path / "bp.json"), "20", "--seed", "1", "--json"]
    told = set()
    for encoding in ("ascii", "latin-1", "utf-8", "cp1252"):
        env = {**os.environ, "PYTHONIOENCODING": encoding}
        ended = subprocess.run(asked, cwd=ROOT, env=env, capture_output=True, check=True)
        told.add(json.dumps(json.loads(ended.stdout.decode(encoding))))
    assert len(told) == 1
    assert "\\u00cele-de-\\ud83d\\ude00" in told.pop()


def test_formulas_are_escaped_on_request(capsys, tmp_path):
    """A value that a spreadsheet would run gets an apostrophe, printed or written."""
    text = Path(LEAGUE).read_text("utf-8").replace('"NA"', '"=1+1"')
    (tmp_path / "bp.json").write_text(text, "utf-8")
    assert main(["sample", "bp.json", "20", "--seed", "1", "--out", "kept.csv"]) == 0
    assert main(["sample", "bp.json", "20", "--seed", "1", "--out", "escaped.csv", "--formulas", "escape"]) == 0
    kept, escaped = (Path(f"{name}.csv").read_text("utf-8") for name in ("kept", "escaped"))
    assert "'=1+1" not in kept
    assert kept.replace("=1+1", "'=1+1") == escaped
    assert main(["report", "kept.csv", "bp.json"]) == 0
    assert "as close to the blueprint" in capsys.readouterr().out


def test_a_job_is_taken_up_with_the_model_it_had(serve, capsys):
    """A folder does not choose whom to ask; the command line says who would be, and takes a name and a budget."""
    server = serve(lambda request, number: fluent(request) if number <= 2 else error(401))
    job = start("buskers", 3, seed=1, model="openai/other")
    with pytest.raises(ProviderError):
        job.wait()
    server.script = lambda request, _number: fluent(request)
    assert main(["job", job.id, "--resume"]) == 2
    assert "'openai/other', and 'openai/gpt-5-mini' would be asked here" in capsys.readouterr().err
    assert main(["job", job.id, "--resume", "--model", "openai/other", "--budget-tokens", "9"]) == 2
    assert main(["job", job.id, "--resume", "--model", "openai/other", "--budget-tokens", "90000"]) == 0
    assert "p_03" in capsys.readouterr().out


def test_a_reader_that_has_seen_enough_is_no_error():
    """A closed pipe ends the command without a word."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-W", "error", "-m", "personalab", "sample", LEAGUE, "3", "--seed", "1"]
    ended = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_an_old_terminal_gets_what_it_can_show(tmp_path):
    """A character that the output's encoding lacks is spelt out instead of ending the run."""
    (tmp_path / "bp.yaml").write_text(
        "domain: 東京\norder: [side]\nfields:\n- name: side\n  kind: categorical\n"
        "  categorical: {weights: {頭: 0.5, 尾: 0.5}}\n",
        "utf-8",
    )
    command = [sys.executable, "-m", "personalab", "sample", str(tmp_path / "bp.yaml"), "2", "--seed", "1"]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert "\\u5c3e" in ended.stdout
