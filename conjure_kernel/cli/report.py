"""`conjure report`: what is known about a model, on one page."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from conjure_kernel.cli import options
from conjure_kernel.cli.options import say, say_written, settings_of
from conjure_kernel.cli.unknown import tell_unknown

__all__ = ["add_verbs"]

REPORT = """\
examples:
  conjure report embedded                             writes report.html
  conjure report my-fine-tune --against base-folder -o report.html
  conjure report my-folder --scores pairs.tsv --minutes 30 -o report.json

The page shows what the model is, pictures, a map of words with those that are near to everything,
how vivid words are, whether their order survives other noise, steps and guidance, agreement with
people's scores, and what changed against another model; each with its errors, and with the command
that measures it again. The words are a list in the package. A report that was stopped goes on from
the cache. A page and a JSON file of the same report cost its predictions once.
"""


def add_verbs(add: options.Add) -> None:
    """Add the command; `add` makes a parser of a name, a function, a line and an epilog."""
    parser = add("report", write_report, "write a page about a model", REPORT)
    options.add_output(parser, ".html or .json", default="report.html")
    text = "another model of the same latent space, as the base of a fine-tuned one"
    parser.add_argument("--against", metavar="MODEL", help=text)
    text = "people's scores of pairs: a file, or the name of a task (see conjure evaluate)"
    parser.add_argument("--scores", metavar="FILE", help=text)
    text = "noise predictions at most (default: 60,000)"
    parser.add_argument("--budget", metavar="N", type=int, help=text)
    text = "time at most, for which the model is timed first; in place of --budget"
    parser.add_argument("--minutes", metavar="M", type=float, help=text)
    options.add_model(parser, by_position=True)


def write_report(args: Namespace) -> str:
    """Write a page, or JSON, about a model."""
    from conjure_kernel.cli import files
    from conjure_kernel.report.report import BUDGET, report_model

    files.check_output(args.output, [".html", ".json"], args.force)
    if args.budget is not None and args.minutes is not None:
        raise ValueError("--budget, --minutes: expected one of them, got both; leave one out.")
    if args.scores and Path(args.scores).is_file():  # a pipe can be read once, and a task is far
        from conjure_kernel.evaluation.datasets import load_pairs

        pairs = load_pairs(args.scores)
        tell_unknown(args, [*pairs.left, *pairs.right])
    settings = settings_of(args)
    model = settings.pop("model")
    report = report_model(
        model,
        against=args.against,
        scores=args.scores,
        budget=BUDGET if args.budget is None else args.budget,
        minutes=args.minutes,
        tell=None if args.quiet else say,
        **settings,
    )
    if args.output.suffix.lower() == ".json":
        files.write_output(args.output, json.dumps(report.to_dict(), indent=1).encode())
    else:
        files.write_page(args.output, report.page)
    say_written(report.n_evaluations, args)
    return ""
