"""`conjure vividness`: how much each prompt pins the picture down.

Importing this loads no torch.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np

from conjure_kernel.cli import options
from conjure_kernel.cli.options import say, say_written, settings_of
from conjure_kernel.cli.prompts import read_prompts
from conjure_kernel.cli.unknown import tell_unknown

__all__ = ["add_verbs"]

VIVIDNESS = """\
examples:
  conjure vividness prompts.txt
  printf 'snowman\\nthing\\n' | conjure vividness - -o vividness.csv

Vividness is KL(prompt || empty prompt) in nats: what is known of the picture when the prompt is
known. The prompts are listed from the most vivid one to the vaguest, with standard errors.
"""


def add_verbs(add: options.Add) -> None:
    """Add the command; `add` makes a parser of a name, a function, a line and an epilog."""
    text = "list prompts by how much they pin the picture down"
    parser = add("vividness", list_vividness, text, VIVIDNESS)
    options.add_prompts(parser)
    options.add_output(parser, ".csv, .md or .tex", required=False)
    options.add_model(parser)


def list_vividness(args: Namespace) -> str:
    """Vividness of each prompt, the largest first, as lines or in a file."""
    from conjure_kernel.cli import files
    from conjure_kernel.engine.vividness import vividness

    if args.output is not None:
        files.check_output(args.output, files.ROWS, args.force)
    prompts = list(dict.fromkeys(read_prompts(args)))
    tell_unknown(args, prompts)
    settings = settings_of(args)
    if not args.quiet:
        _tell_cost(prompts, settings)
    measured = vividness(prompts, **settings)
    columns = measured.columns()
    order = np.argsort(-measured.values, kind="stable")
    rows = [{name: column[i] for name, column in columns.items()} for i in order]
    if args.output is None:
        return "\n".join(
            f"{row['vividness']:<8.3g} ± {row['standard_error']:<7.2g} {row['prompt']}"
            for row in rows
        )
    files.write_rows(args.output, rows, measured.provenance)
    say_written(measured.n_evaluations, args)
    return ""


def _tell_cost(prompts: list[str], settings: dict[str, Any]) -> None:
    from conjure_kernel.engine.ledger import requests_of_pairs
    from conjure_kernel.engine.opening import open_engine
    from conjure_kernel.engine.parameters import ORIGINS
    from conjure_kernel.engine.steps import most_left

    engine = open_engine(settings)
    requests = requests_of_pairs(prompts, [ORIGINS["empty"]] * len(prompts))
    if total := most_left(engine, requests):
        say(f"up to {total:,} noise predictions for {len(prompts)} prompts")
