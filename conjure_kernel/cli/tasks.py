"""What `conjure evaluate` and `conjure ablate` share: scored pairs in, tables and pictures out."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conjure_kernel._checks import check_number
from conjure_kernel.cli import files, options
from conjure_kernel.cli.options import say
from conjure_kernel.engine.parameters import Measurement

if TYPE_CHECKING:
    from conjure_kernel._table import Table
    from conjure_kernel.evaluation.datasets import ScoredPairs

__all__ = ["about", "add_task", "check_outputs", "load_task", "tell_cost", "write_all"]
__all__ += ["write_tables"]
HERE = ("model", "model_kwargs", "memory", "device", "batch_size", "verbose")  # of this machine


def add_task(parser: options.Parser) -> None:
    """Add the scored pairs, and how they are read."""
    add = parser.add_argument
    add("task", metavar="PAIRS", help="a file of scored pairs, or the name of a task")
    add("--split", default="test", help="split of a named task (default: %(default)s)")
    text = "commit, tag or branch of a named task on its hub (default: the newest)"
    add("--task-revision", metavar="REV", help=text)
    text = "columns of both texts and of the score: names, or places from 1"
    add("--columns", metavar="A,B,SCORE", help=text)
    options.add_reading(parser)
    text = "use so many pairs, chosen by --seed (default: all)"
    add("--pairs", metavar="N", type=int, help=text)


def load_task(args: Namespace) -> ScoredPairs:
    """The scored pairs that a command names."""
    from conjure_kernel.cli.prompts import reading_of
    from conjure_kernel.evaluation.datasets import TASKS, load_pairs

    columns = None if args.columns is None else args.columns.split(",")
    how: dict[str, Any] = {**reading_of(args), "header": False if args.no_header else None}
    if args.task_revision is not None and args.task not in TASKS:
        raise ValueError(
            f"--task-revision={args.task_revision!r}: expected only with a named task "
            f"({', '.join(TASKS)}); leave it out."
        )
    how["revision"] = args.task_revision
    pairs = load_pairs(args.task, split=args.split, columns=columns, **how)
    if args.pairs is None:
        return pairs
    return pairs.sample(check_number(args.pairs, "--pairs", least=1, integer=True), args.seed)


def check_outputs(args: Namespace, tables: Sequence[str], *pictures: Any) -> list[Path]:
    """The files to write, none without -o; an error before any work if they exist."""
    if args.output is None:
        return []
    alone = [*tables, *(ending for kind in pictures for ending in kind)]
    files.check_output(args.output, [".json", *alone], args.force)
    if args.output.suffix.lower() in alone:
        return [args.output]
    beside = [args.output.with_suffix(ending) for ending in (".md", f".{args.format or 'png'}")]
    for path in beside:
        files.check_output(path, [path.suffix], args.force)
    return [args.output, *beside]


def tell_cost(runs: Sequence[Mapping[str, Any]], pairs: ScoredPairs) -> None:
    """Say how many predictions the model is about to make."""
    from conjure_kernel.engine.ledger import requests_of_pairs
    from conjure_kernel.engine.opening import open_engine
    from conjure_kernel.engine.steps import most_left

    total = 0
    for engine in map(open_engine, runs):
        requests = requests_of_pairs(pairs.left, pairs.right, engine.origin)
        total += most_left(engine, requests)
    if total:
        say(f"up to {total:,} noise predictions for {len(pairs)} pairs, {len(requests)} texts")


def write_tables(path: Path, tables: Sequence[Table], args: Namespace) -> None:
    """All tables for a paper; of a .csv the first alone."""
    if path.suffix.lower() == ".csv":
        files.write_rows(path, tables[0].rows, about(args))
    else:
        files.write_tables(path, tables, about(args))
    if not args.quiet and not options.UNWRITTEN:
        say(f"'{path}' written")


def write_all(
    paths: Sequence[Path], facts: Mapping[str, Any], text: str, args: Namespace, *plotted: Any
) -> None:
    """Everything as .json, what is printed as .md, and a picture: a function and what it plots."""
    from conjure_kernel._table import jsonable

    facts = {**about(args), **facts}
    files.write_output(paths[0], json.dumps(jsonable(facts), indent=1).encode())
    files.write_output(paths[1], f"{text}\n".encode())
    files.write_figure(paths[2], args, about(args), *plotted)
    if not args.quiet and not options.UNWRITTEN:
        say(f"'{paths[0]}', '{paths[1].name}' and '{paths[2].name}' written")


def about(args: Namespace) -> dict[str, Any]:
    """What a table or a picture is of: models, settings and pairs."""
    from conjure_kernel.engine.provenance import versions

    settings = {n: v for n, v in options.settings_of(args).items() if n not in HERE}
    settings |= {n: getattr(args, n) for n in ("leg", "baseline", "pairs") if hasattr(args, n)}
    model = args.model or Measurement.model
    return {"model": model, **settings, "task": args.task, "versions": versions()}
