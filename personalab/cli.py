"""The command line: a thin front to the library.

``personalab generate | infer | sample | report | check``. What was asked for goes to standard output, as text for
people or with ``--json`` for machines; progress and errors go to standard error. The exit code is 0 when it worked,
1 when it failed, and 2 when the call was wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from personalab import lint
from personalab.blueprint import Blueprint
from personalab.errors import PersonalabError, RequestError

MODEL_HELP = (
    'which model: "openai/NAME", "ollama/NAME", "local", "local-small" or "local-tiny"; without it PERSONALAB_MODEL, '
    "else an OPENAI_API_KEY (OPENAI_BASE_URL names any compatible server), an Ollama here, the embedded model"
)
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
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        return command(args)
    except KeyboardInterrupt:
        _say("interrupted; what the model has answered is kept among the replies")
        return 1
    except PersonalabError as error:
        _say("\n".join([f"error: {error}", *getattr(error, "__notes__", ())]))
        return 2 if isinstance(error, RequestError) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="personalab",
        description="One sentence in, a population of believable personas out.",
        epilog="Exit codes: 0 worked, 1 failed, 2 wrong call.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    add = commands.add_parser("generate", help="the whole way: infer, sample, write, report")
    add.set_defaults(command=_generate)
    add.add_argument("prompt", help="who the population is, in a sentence")
    add.add_argument("--count", type=int, default=1, help="how many personas (default 1)")
    add.add_argument("--grounding", default="off", help="off (default); web and research are not available yet")
    _seed_and_model(add)
    add.add_argument("--out", type=Path, metavar="DIR", help="also write JSON, CSV, YAML, Markdown and an HTML report")

    add = commands.add_parser("infer", help="only the blueprint")
    add.set_defaults(command=_infer)
    add.add_argument("prompt", help="who the population is, in a sentence")
    add.add_argument("--grounding", default="off", help="off (default); web and research are not available yet")
    add.add_argument("--model", help=MODEL_HELP)
    add.add_argument("--out", type=Path, metavar="FILE", help="write it here, as .json or .yaml by the ending")

    add = commands.add_parser("sample", help="draw a population from a blueprint; asks no model")
    add.set_defaults(command=_sample)
    add.add_argument("blueprint", type=Path, help=BLUEPRINT_HELP)
    add.add_argument("count", type=int, help="how many people")
    add.add_argument("--seed", type=int, help="a number that fixes the draw")
    add.add_argument("--out", type=Path, metavar="FILE", help="write the CSV here instead of printing it")

    add = commands.add_parser("report", help="compare a population in a CSV file with a blueprint; asks no model")
    add.set_defaults(command=_report)
    add.add_argument("frame", type=Path, help="a CSV file with a column a field, as sample and generate write it")
    add.add_argument("blueprint", type=Path, help=BLUEPRINT_HELP)

    add = commands.add_parser("check", help="say what is wrong or doubtful in a blueprint; asks no model")
    add.set_defaults(command=_check)
    add.add_argument("blueprint", type=Path, help=BLUEPRINT_HELP)

    for command in commands.choices.values():
        command.description = command.format_usage() and _help_of(commands, command)
        command.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _help_of(commands: Any, command: argparse.ArgumentParser) -> str:
    name = command.prog.split()[-1]
    text = next(action.help for action in commands._choices_actions if action.dest == name)
    return f"{text[0].upper()}{text[1:]}."


def _seed_and_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seed", type=int, help="a number that fixes the draw")
    command.add_argument("--model", help=MODEL_HELP)


def _generate(args: argparse.Namespace) -> int:
    from personalab import llm
    from personalab.population import check_call, generate

    check_call(args.prompt, args.count, args.grounding)
    _say(f"model: {llm.connect(args.model).description}")
    population = generate(args.prompt, args.count, grounding=args.grounding, seed=args.seed, model=args.model)
    _print(args, population.to_dict(), lambda: str(population))
    if args.out:
        _say(f"written to {population.save(args.out)}/")
    return 0


def _infer(args: argparse.Namespace) -> int:
    from personalab.inference import infer

    bp = infer(args.prompt, grounding=args.grounding, model=args.model)
    if args.out:
        _say(f"written to {bp.save(args.out)}")
    _print(args, bp.to_dict(), bp.to_yaml)
    return 0


def _sample(args: argparse.Namespace) -> int:
    from personalab.blueprint import write_whole
    from personalab.sampling import sample

    frame = sample(Blueprint.load(args.blueprint), args.count, seed=args.seed)
    if args.out:
        _say(f"written to {write_whole(args.out, frame.to_csv())}")
    else:
        rows = json.loads(frame.reset_index().to_json(orient="records"))
        _print(args, {"seed": frame.attrs["seed"], "rows": rows}, frame.to_csv)
    return 0


def _report(args: argparse.Namespace) -> int:
    import pandas as pd

    from personalab.fidelity import report

    bp = Blueprint.load(args.blueprint)
    try:
        frame = pd.read_csv(args.frame, index_col=0, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise RequestError(f"{str(args.frame)!r} cannot be read as CSV: {error}") from error
    found = report(frame, bp)
    _print(args, found.to_dict(), lambda: str(found))
    return 0


def _check(args: argparse.Namespace) -> int:
    found = lint.validate(Blueprint.load(args.blueprint))
    rows = [{"level": f.level, "path": f.path, "reason": f.reason, "fix": f.fix} for f in found]
    _print(args, rows, lambda: "\n".join(map(str, found)) or "nothing to say: it is sound")
    return 1 if any(finding.level == "error" for finding in found) else 0


def _print(args: argparse.Namespace, data: Any, text: Callable[[], str]) -> None:
    shown = json.dumps(data, indent=2, ensure_ascii=False) if args.json else text().rstrip("\n")
    sys.stdout.write(shown + "\n")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
