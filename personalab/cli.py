"""The command line: a thin front to the library.

``personalab generate | infer | sample | report | check | jobs | job``. What was asked for goes to standard output, as
text for people or with ``--json`` for machines; progress and errors go to standard error. The exit code is 0 when it
worked, 1 when it failed, and 2 when the call was wrong.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, get_args

from personalab.blueprint import validation
from personalab.blueprint.model import Blueprint
from personalab.errors import PersonalabError, RequestError
from personalab.llm.segments import oddity
from personalab.sampling.draw import Method, Rounding

if TYPE_CHECKING:
    from personalab.llm import Budget
    from personalab.population import Population

SHOWN = 10  # people that generate prints; the files have them all
GROUNDING_HELP = "off (default); web and research are not available yet"
SEED_HELP = "a number that fixes the draw"
METHOD_HELP = (
    "how people are drawn: balanced (exact counts, combined evenly; the default up to 20,000), quota (exact counts, "
    "combined by chance; the default beyond), iid (independent draws, for standard errors and tests)"
)
ROUNDING_HELP = (
    "how shares become counts: nearest (the default from 10 people on), or unbiased (right on average, for panels to "
    "be pooled; the default below)"
)
MODEL_HELP = (
    'which model: "openai/NAME", "ollama/NAME", "local", "local-small" or "local-tiny"; without it PERSONALAB_MODEL, '
    "else an OPENAI_API_KEY (OPENAI_BASE_URL names any compatible server), an Ollama here, the embedded model"
)
BETTER = (
    "better: set OPENAI_API_KEY (and OPENAI_BASE_URL for any compatible server), or start Ollama and name "
    '--model "ollama/NAME"'
)
PRICES_HELP = "what a million prompt tokens and a million completion tokens cost, such as 0.25,2"
OUT_HELP = "also write JSON, CSV, YAML, Markdown and an HTML report"
FORMULAS_HELP = "what becomes of texts in the CSV that a spreadsheet takes for a formula: keep (default), or escape"
BLUEPRINT_HELP = "a blueprint as .json, .yaml or .yml"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``personalab``; the process's own by default.

    Returns
    -------
    int
        0 worked, 1 failed, 2 wrong call.
    """
    args = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = args.run
    try:
        if sys.stdout is None:
            raise PersonalabError("standard output is closed", hint="let it lead somewhere, such as > /dev/null")
        code = run(args)
    except KeyboardInterrupt:
        _say("interrupted; what the model has answered is kept among the replies")
        return 1
    except BrokenPipeError:  # whoever read has seen enough
        return 1
    except PersonalabError as error:
        _say("\n".join([f"error: {error}", *getattr(error, "__notes__", ())]))
        return 2 if isinstance(error, RequestError) else 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="personalab",
        description="One sentence in, a population of believable personas out.",
        epilog="Exit codes: 0 worked, 1 failed, 2 wrong call.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    add = _command(commands, "generate", _generate, "go the whole way: infer, sample, write, report")
    add.add_argument("prompt", help="who the population is, in a sentence")
    add.add_argument("--count", type=int, default=1, metavar="N", help="how many personas (default 1)")
    add.add_argument("--grounding", default="off", metavar="LEVEL", help=GROUNDING_HELP)
    _add_draw(add)
    add.add_argument("--model", help=MODEL_HELP)
    _add_budget(add)
    _add_folder(add)

    add = _command(commands, "infer", _infer, "infer only the blueprint")
    add.add_argument("prompt", help="who the population is, in a sentence")
    add.add_argument("--grounding", default="off", metavar="LEVEL", help=GROUNDING_HELP)
    add.add_argument("--model", help=MODEL_HELP)
    _add_budget(add)
    add.add_argument("--out", type=Path, metavar="FILE", help="also write it here, as .json or .yaml by the ending")

    add = _command(commands, "sample", _sample, "draw a population from a blueprint; asks no model")
    add.add_argument("blueprint", type=Path, help=BLUEPRINT_HELP)
    add.add_argument("count", type=int, help="how many people")
    _add_draw(add)
    add.add_argument("--out", type=Path, metavar="FILE", help="write the CSV here instead of printing it")
    add.add_argument("--formulas", choices=("keep", "escape"), default="keep", help=FORMULAS_HELP)

    add = _command(commands, "report", _report, "compare a population with a blueprint; asks no model")
    add.add_argument("frame", type=Path, metavar="csv", help="a CSV file with a column a field")
    add.add_argument("blueprint", type=Path, help=BLUEPRINT_HELP)

    add = _command(commands, "check", _check, "say what is wrong or doubtful in a blueprint; asks no model")
    add.add_argument("blueprint", type=Path, help=BLUEPRINT_HELP)

    _command(commands, "jobs", _jobs, "list the populations that were started in the background")

    add = _command(commands, "job", _job, "say where such a job stands, or go on with it")
    add.add_argument("id", help="the job's id, as personalab jobs lists it")
    what = add.add_mutually_exclusive_group()
    what.add_argument("--wait", action="store_true", help="wait for it, and print the population")
    what.add_argument("--resume", action="store_true", help="take it up where it failed or was interrupted, and wait")
    what.add_argument("--cancel", action="store_true", help="have whoever works on it end; what is written is kept")
    add.add_argument("--model", help="with --resume: which model to ask, if not the one that is asked without a name")
    _add_budget(add)
    _add_folder(add)
    return parser


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    described = f"{text[0].upper()}{text[1:]}."
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=described)
    command.set_defaults(run=run)
    command.add_argument("--json", action="store_true", help="print JSON")
    return command


def _add_draw(command: argparse.ArgumentParser) -> None:
    """Let a command be told how people are drawn."""
    command.add_argument("--seed", type=int, metavar="N", help=SEED_HELP)
    command.add_argument("--method", choices=get_args(Method), help=METHOD_HELP)
    command.add_argument("--rounding", choices=get_args(Rounding), help=ROUNDING_HELP)


def _add_folder(command: argparse.ArgumentParser) -> None:
    """Let a command be told where to write a population."""
    command.add_argument("--out", type=Path, metavar="DIR", help=OUT_HELP)
    command.add_argument("--formulas", choices=("keep", "escape"), default="keep", help=FORMULAS_HELP)


def _add_budget(command: argparse.ArgumentParser) -> None:
    """Let a command be told how much it may use."""
    words = "use no more tokens, prompts and answers together"
    command.add_argument("--budget-tokens", type=int, metavar="N", help=words)
    command.add_argument(
        "--budget-cost", type=float, metavar="X", help="use no more money, in the currency of --prices"
    )
    command.add_argument("--prices", type=_prices, metavar="IN,OUT", help=PRICES_HELP)


def _prices(text: str) -> tuple[float, float]:
    try:
        prompt, answer = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not two numbers with a comma between them") from None
    return prompt, answer


def _budget(args: argparse.Namespace) -> Budget | None:
    from personalab.llm import Budget

    told = (args.budget_tokens, args.budget_cost, args.prices)
    return None if told == (None, None, None) else Budget(*told)


def _generate(args: argparse.Namespace) -> int:
    from personalab import llm
    from personalab.population import Request, generate

    Request(args.prompt, args.count, args.grounding, args.seed)
    budget = _budget(args)
    _check_folder(args.out)
    speaker = llm.connect(args.model, budget)
    _say(f"model: {speaker.description}")
    if speaker.is_small:
        _say(BETTER)
    _log_progress()
    population = generate(
        args.prompt,
        args.count,
        grounding=args.grounding,
        seed=args.seed,
        model=args.model,
        method=args.method,
        rounding=args.rounding,
        budget=budget,
    )
    return _population(args, population)


def _check_folder(folder: Path | None) -> None:
    """Refuse a folder that cannot be written, by trying, before anything is paid for; nothing of it stays."""
    if folder is None:
        return
    made: list[Path] = []
    try:
        if folder.exists() and not folder.is_dir():
            raise RequestError(f"{str(folder)!r} is no folder", hint="name a folder, which is made if need be")
        for each in reversed((folder, *folder.parents)):
            if not each.exists():
                each.mkdir()
                made.append(each)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        message = f"nothing can be written to {str(folder)!r}: {error.strerror}"
        raise RequestError(message, hint="name a folder that can be made and written to") from error
    finally:
        for each in reversed(made):
            each.rmdir()


def _check_file(file: Path | None) -> None:
    """Refuse a file that cannot be written, before anything is paid for."""
    if file is None:
        return
    try:
        what = oddity(file, follow=True)
    except OSError as error:
        message = f"{str(file)!r} cannot be written: {error.strerror}"
        raise RequestError(message, hint="name a file that can be made") from error
    if what:
        raise RequestError(f"{str(file)!r} is {what}", hint="name a file, which is made or replaced")
    _check_folder(file.parent)


def _log_progress() -> None:
    """Where no bar is drawn, let lines tell how far it is."""
    if sys.stderr is not None and not sys.stderr.isatty():
        logging.basicConfig(stream=sys.stderr, format="%(message)s")
        logging.getLogger("personalab").setLevel(logging.INFO)


def _population(args: argparse.Namespace, population: Population) -> int:
    """Write a population's files, if they are wanted, and print it."""
    if args.out:
        _say(f"written to {population.save(args.out, formulas=args.formulas)}{os.sep}")
    _print(args, population.to_dict, lambda: f"{population}\n\n{population.report.summary}\n\n{_people(population)}")
    return 0


def _people(population: Population) -> str:
    """The first few people, a line each."""
    frame = population.frame.head(SHOWN)
    lines = [f"{persona}  {row.get('name', '')}: {row['tagline']}" for persona, row in frame.iterrows()]
    more = len(population) - len(frame)
    return "\n".join([*lines, *([f"and {more} more; --out DIR writes them all, --json prints them"] if more else [])])


def _infer(args: argparse.Namespace) -> int:
    from personalab.inference import infer

    if args.out and args.out.suffix.lower() not in (".json", ".yaml", ".yml"):
        raise RequestError(f"{args.out.name!r} is neither JSON nor YAML by its ending", hint="name it .json or .yaml")
    _check_file(args.out)
    bp = infer(args.prompt, grounding=args.grounding, model=args.model, budget=_budget(args))
    if args.out:
        _say(f"written to {bp.save(args.out)}")
    _print(args, bp.to_dict, bp.to_yaml)
    return 0


def _sample(args: argparse.Namespace) -> int:
    from personalab.blueprint.files import write_whole
    from personalab.population import escaped
    from personalab.sampling.sample import sample

    bp = Blueprint.load(args.blueprint)
    _check_file(args.out)
    frame = sample(bp, args.count, seed=args.seed, method=args.method, rounding=args.rounding)

    def data() -> dict[str, Any]:
        rows = json.loads(frame.reset_index().to_json(orient="records", double_precision=15))
        return {**{key: frame.attrs[key] for key in ("method", "rounding", "seed")}, "rows": rows}

    def table() -> str:
        return (escaped(frame) if args.formulas == "escape" else frame).to_csv()

    if args.out:
        text = json.dumps(data(), indent=2, ensure_ascii=False) + "\n" if args.json else table()
        _say(f"written to {write_whole(args.out, text)}")
    else:
        _print(args, data, table)
    return 0


def _report(args: argparse.Namespace) -> int:
    import pandas as pd

    from personalab.reports.report import report

    bp = Blueprint.load(args.blueprint)
    try:
        if what := oddity(args.frame, follow=True):
            raise ValueError(f"it is {what}")
        # All text, and "NA" a text like others: the blueprint knows what is a number.
        frame = pd.read_csv(args.frame, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        hint = "give a CSV file as personalab sample writes it"
        raise RequestError(f"{str(args.frame)!r} cannot be read as CSV: {why}", hint=hint) from error
    frame = frame.set_index("persona_id") if "persona_id" in frame else frame
    found = report(frame, bp)
    _print(args, found.to_dict, lambda: str(found))
    return 0


def _check(args: argparse.Namespace) -> int:
    found = validation.validate(Blueprint.load(args.blueprint))
    rows = [{"level": f.level, "path": f.path, "reason": f.reason, "fix": f.fix} for f in found]
    _print(args, lambda: rows, lambda: "\n".join(map(str, found)) or "nothing to say: it is sound")
    return 1 if any(finding.level == "error" for finding in found) else 0


def _jobs(args: argparse.Namespace) -> int:
    from personalab.jobs import listed

    found = [{"id": job.id, "status": job.status, "prompt": job.prompt, "message": job.message} for job in listed()]
    lines = [f"{row['id']}  {row['status']:<9}  {row['prompt']}: {row['message']}" for row in found]
    _print(args, lambda: found, lambda: "\n".join(lines) or "no job was started here")
    return 0


def _job(args: argparse.Namespace) -> int:
    from personalab.jobs import get

    _check_folder(args.out)
    job = get(args.id, resume=args.resume, model=args.model, budget=_budget(args))
    if args.wait or args.resume:
        _log_progress()
        return _population(args, job.wait())
    if args.cancel:
        job.cancel()
    elif args.out:
        return _population(args, job.result)
    _print(args, job.to_dict, lambda: f"{job.id}  {job.status}: {job.message}")
    return 1 if job.status == "failed" else 0


def _print(args: argparse.Namespace, data: Callable[[], Any], text: Callable[[], str]) -> None:
    if args.json:  # an escaped character is the same JSON
        is_unicode = (sys.stdout.encoding or "utf-8").lower().replace("-", "") == "utf8"
        shown = _plain(json.dumps(data(), indent=2, ensure_ascii=not is_unicode))
    else:
        shown = _plain(text()) if sys.stdout.isatty() else text()
    try:
        _write(sys.stdout, shown)
        sys.stdout.flush()
    except OSError as error:
        # What is left over goes nowhere, or Python would complain of it when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        message = f"standard output cannot be written: {error.strerror}"
        raise PersonalabError(message, hint="make room there; what a model has answered is kept") from error


def _say(text: str) -> None:
    """Tell what happens, as far as there is somebody to tell it to."""
    if sys.stderr is not None:
        with suppress(OSError):
            _write(sys.stderr, _plain(text))


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.rstrip("\n").encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _plain(text: str) -> str:
    """Text that does nothing to a terminal: what cannot be printed is spelt out, as JSON spells it."""
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


if __name__ == "__main__":
    sys.exit(main())
