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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, get_args

from personalab.blueprint import validation
from personalab.blueprint.model import Blueprint
from personalab.errors import PersonalabError, RequestError
from personalab.sampling.draw import Method, Rounding

if TYPE_CHECKING:
    from personalab.population import Population

SHOWN = 10  # people that generate prints; the files have them all
GROUNDING_HELP = "off (default); web and research are not available yet"
SEED_HELP = "a number that fixes the draw"
METHOD_HELP = (
    "how people are drawn: balanced (exact counts, combined evenly; the default up to 20,000), quota (exact counts, "
    "combined by chance; the default beyond), iid (independent draws, for standard errors and tests)"
)
ROUNDING_HELP = "how shares become counts: nearest (default), or unbiased (right on average, for panels to be pooled)"
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
        code = run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        _say("interrupted; what the model has answered is kept among the replies")
        return 1
    except BrokenPipeError:  # whoever read has seen enough, and Python must not complain of it when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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
    add.add_argument("--out", type=Path, metavar="DIR", help=OUT_HELP)

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
    add.add_argument("--out", type=Path, metavar="DIR", help=OUT_HELP)
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
    command.add_argument("--rounding", choices=get_args(Rounding), default="nearest", help=ROUNDING_HELP)


def _add_budget(command: argparse.ArgumentParser) -> None:
    """Let a command be told how much it may use."""
    command.add_argument("--max-tokens", type=int, metavar="N", help="use no more tokens, prompts and answers together")
    command.add_argument("--max-cost", type=float, metavar="X", help="use no more money, in the currency of --prices")
    command.add_argument("--prices", type=_prices, metavar="IN,OUT", help=PRICES_HELP)


def _prices(text: str) -> tuple[float, float]:
    try:
        prompt, answer = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not two numbers with a comma between them") from None
    return prompt, answer


def _budget(args: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(args, name) for name in ("max_tokens", "max_cost", "prices")}


def _generate(args: argparse.Namespace) -> int:
    from personalab import llm
    from personalab.population import check_call, generate

    check_call(args.prompt, args.count, args.grounding, args.seed)
    _check_out(args)
    speaker = llm.connect(args.model, llm.Budget(**_budget(args)))
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
        **_budget(args),
    )
    return _population(args, population)


def _check_out(args: argparse.Namespace) -> None:
    """Refuse a folder that is none, before anything is paid for."""
    if args.out and args.out.exists() and not args.out.is_dir():
        raise RequestError(f"{str(args.out)!r} is no folder", hint="name a folder, which is made if need be")


def _log_progress() -> None:
    """Where no bar is drawn, let lines tell how far it is."""
    if not sys.stderr.isatty():
        logging.basicConfig(stream=sys.stderr, format="%(message)s")
        logging.getLogger("personalab").setLevel(logging.INFO)


def _population(args: argparse.Namespace, population: Population) -> int:
    """Write a population's files, if they are wanted, and print it."""
    if args.out:
        _say(f"written to {population.save(args.out)}{os.sep}")
    _print(args, population.to_dict(), lambda: f"{population}\n\n{population.report.summary}\n\n{_people(population)}")
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
    bp = infer(args.prompt, grounding=args.grounding, model=args.model, **_budget(args))
    if args.out:
        _say(f"written to {bp.save(args.out)}")
    _print(args, bp.to_dict(), bp.to_yaml)
    return 0


def _sample(args: argparse.Namespace) -> int:
    from personalab.blueprint.files import write_whole
    from personalab.sampling.sample import sample

    bp = Blueprint.load(args.blueprint)
    frame = sample(bp, args.count, seed=args.seed, method=args.method, rounding=args.rounding)
    rows = json.loads(frame.reset_index().to_json(orient="records", double_precision=15))
    data = {**{key: frame.attrs[key] for key in ("method", "rounding", "seed")}, "rows": rows}
    if args.out:
        text = json.dumps(data, indent=2, ensure_ascii=False) + "\n" if args.json else frame.to_csv()
        _say(f"written to {write_whole(args.out, text)}")
    else:
        _print(args, data, frame.to_csv)
    return 0


def _report(args: argparse.Namespace) -> int:
    import pandas as pd

    from personalab.reports.report import report

    bp = Blueprint.load(args.blueprint)
    try:
        # All text, and "NA" a text like others: the blueprint knows what is a number.
        frame = pd.read_csv(args.frame, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        hint = "give a CSV file as personalab sample writes it"
        raise RequestError(f"{str(args.frame)!r} cannot be read as CSV: {why}", hint=hint) from error
    frame = frame.set_index("persona_id") if "persona_id" in frame else frame
    found = report(frame, bp)
    _print(args, found.to_dict(), lambda: str(found))
    return 0


def _check(args: argparse.Namespace) -> int:
    found = validation.validate(Blueprint.load(args.blueprint))
    rows = [{"level": f.level, "path": f.path, "reason": f.reason, "fix": f.fix} for f in found]
    _print(args, rows, lambda: "\n".join(map(str, found)) or "nothing to say: it is sound")
    return 1 if any(finding.level == "error" for finding in found) else 0


def _jobs(args: argparse.Namespace) -> int:
    from personalab.jobs import listed

    found = [{"id": job.id, "status": job.status, "prompt": job.prompt, "message": job.message} for job in listed()]
    lines = [f"{row['id']}  {row['status']:<9}  {row['prompt']}: {row['message']}" for row in found]
    _print(args, found, lambda: "\n".join(lines) or "no job was started here")
    return 0


def _job(args: argparse.Namespace) -> int:
    from personalab.jobs import get

    _check_out(args)
    job = get(args.id, resume=args.resume)
    if args.wait or args.resume:
        _log_progress()
        return _population(args, job.wait())
    if args.cancel:
        job.cancel()
    elif args.out:
        return _population(args, job.result)
    _print(args, job.to_dict(), lambda: f"{job.id}  {job.status}: {job.message}")
    return 1 if job.status == "failed" else 0


def _print(args: argparse.Namespace, data: Any, text: Callable[[], str]) -> None:
    if args.json:
        shown = _plain(json.dumps(data, indent=2, ensure_ascii=False))  # an escaped character is the same JSON
    else:
        shown = _plain(text()) if sys.stdout.isatty() else text()
    _write(sys.stdout, shown)


def _say(text: str) -> None:
    _write(sys.stderr, _plain(text))


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.rstrip("\n").encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _plain(text: str) -> str:
    """Text that does nothing to a terminal: what cannot be printed is spelt out, as JSON spells it."""
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


if __name__ == "__main__":
    sys.exit(main())
