"""`conjure pairs`: J of listed pairs, with its interval."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

from conjure_kernel.cli import options
from conjure_kernel.cli.options import say, say_written, settings_of
from conjure_kernel.cli.prompts import reading_of
from conjure_kernel.cli.unknown import tell_unknown

__all__ = ["add_verbs"]

PAIRS = """\
examples:
  conjure pairs pairs.csv
  conjure pairs pairs.tsv --columns word1,word2 -o pairs.csv
  printf 'a dog,a cat\\na tram,a bus\\n' | conjure pairs - --no-header --json

Prints J of each pair, in nats (with --origin empty relative to the empty prompt), with its 95 %
interval, in the order of the file. OUTPUT has the standard error, both directed divergences and the
distance, too. Only the listed pairs are measured; pairs that share a text share its chains. Other
columns, such as ratings, are not looked at.
"""


def add_verbs(add: options.Add) -> None:
    """Add the command; `add` makes a parser of a name, a function, a line and an epilog."""
    parser = add(
        "pairs", measure_listed, "print how far apart the two texts of each pair are", PAIRS
    )
    text = "two texts a line: a table or records; - reads stdin"
    parser.add_argument("pairs", metavar="FILE", help=text)
    text = "columns of both texts: names, or places from 1"
    parser.add_argument("--columns", metavar="A,B", help=text)
    options.add_reading(parser)
    options.add_output(parser, ".csv, .md or .tex", required=False)
    options.add_origin(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options.add_model(parser)


def measure_listed(args: Namespace) -> str:
    """J of each pair of a file."""
    from conjure_kernel._checks import check_pairs
    from conjure_kernel.cli import files
    from conjure_kernel.engine.ledger import pairs_from_origin, requests_of_pairs
    from conjure_kernel.engine.opening import open_engine
    from conjure_kernel.engine.pairwise import measure_pairs
    from conjure_kernel.engine.provenance import provenance_of
    from conjure_kernel.engine.steps import most_left
    from conjure_kernel.evaluation.pair_files import texts_of
    from conjure_kernel.evaluation.records import read_records

    if args.output is not None:
        files.check_output(args.output, files.ROWS, args.force)
    records = read_records(args.pairs, **reading_of(args))
    columns = None if args.columns is None else args.columns.split(",")
    texts = texts_of(records, columns, False if args.no_header else None)
    left, right = check_pairs(list(zip(*texts, strict=True)), records.name)
    engine = open_engine(settings_of(args))
    tell_unknown(args, [*left, *right])
    sides = (left, right)
    if engine.origin is not None:
        sides = pairs_from_origin(left, right, engine.origin)
    requests = requests_of_pairs(*sides)
    if (most := most_left(engine, requests)) and not args.quiet:
        say(f"up to {most:,} noise predictions for {len(left)} pairs, {len(requests)} texts")
    measured = measure_pairs(engine, left, right)
    rows = files.rows_of(measured)
    if args.output is not None:
        files.write_rows(args.output, rows, provenance_of(engine))
        say_written(engine.denoiser.n_evaluations, args)
    if args.json:
        return json.dumps(rows, indent=1)
    name = "divergence" if engine.origin is None else "relative_divergence"
    head = f"{'J' if engine.origin is None else 'relative':<10} {'95 % interval':<21}  pair"
    return "\n".join([head, *(_line(row, name) for row in rows)])


def _line(row: dict[str, Any], name: str) -> str:
    span = f"{row['low']:.4g} to {row['high']:.4g}"
    return f"{row[name]:<10.4g} {span:<21}  {row['prompt_a']} | {row['prompt_b']}"
