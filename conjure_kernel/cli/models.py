"""`conjure drift` and `conjure agree`: two models on one list of prompts."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from conjure_kernel.cli import options
from conjure_kernel.cli.options import say, settings_of, two_models

if TYPE_CHECKING:
    from conjure_kernel.estimators.drift import ConjureDrift

__all__ = ["add_verbs"]

SHOWN = 10  # pairs

DRIFT = """\
examples:
  conjure drift --model embedded --model my-fine-tune prompts.txt
  conjure drift --model base-folder --model 8-bit-folder prompts.txt -o drift.csv
  conjure drift --model embedded --model my-fine-tune prompts.txt -o drift.png --guidance 3

Prints the prompts, most drifted first: J between what the two models conjure, in nats, and its
standard error. .png, .pdf and .svg show pictures of both models, from the same noise, for the
prompts that drifted most. The models must share a latent space.
"""
AGREE = """\
examples:
  conjure agree --model embedded --model my-fine-tune prompts.txt
  conjure agree --model base-folder --model other-folder prompts.txt -o agree.png

Each model measures J of all pairs of prompts; Spearman of the two orders, its 95 % bootstrap
interval over prompts and, after ±, its standard error over draws. Then the pairs on which the
models differ most, with J and its rank (1 is nearest) in both. The models need share nothing.
"""


def add_verbs(add: options.Add) -> None:
    """Add both commands; `add` makes a parser of a name, a function, a line and an epilog."""
    text = "how far two models part under each prompt"
    drift = add("drift", measure_drift, text, DRIFT)
    text = "do two models order the pairs of prompts alike"
    agree = add("agree", measure_agreement, text, AGREE)
    for parser in (drift, agree):
        options.add_prompts(parser)
        options.add_output(parser, ".csv, or a picture: .png, .pdf, .svg", required=False)
        options.add_two_models(parser)
        options.add_cache(parser)


def measure_drift(args: Namespace) -> str:
    """Rank the prompts by J between two models."""
    from conjure_kernel.cli import files
    from conjure_kernel.estimators.drift import ConjureDrift

    first, second = two_models(args)
    if args.output is not None:
        files.check_output(args.output, [".csv", *files.PICTURES], args.force)
    prompts = files.read_prompts(args.prompts, args.column)
    settings = {**settings_of(args), "model_a": first, "model_b": second}
    del settings["model"]
    drift = ConjureDrift(**settings).fit(prompts)
    if args.output is not None:
        _write(drift, args)
    rows = [
        f"{row['divergence']:<10.4g} ± {row['standard_error']:<8.2g}  {row['prompt']}"
        for row in drift.ranking().rows
    ]
    return "\n".join(["J            standard error  prompt", *rows])


def measure_agreement(args: Namespace) -> str:
    """Rank agreement of two models, and the pairs on which they differ most."""
    from conjure_kernel.cli import files
    from conjure_kernel.evaluation.comparison import model_agreement

    first, second = two_models(args)
    if args.output is not None:
        files.check_output(args.output, [".csv", *files.PICTURES], args.force)
    prompts = files.read_prompts(args.prompts, args.column)
    settings = settings_of(args)
    del settings["model"]
    found = model_agreement(prompts, first, second, **settings)
    spent = found.a.n_evaluations + found.b.n_evaluations
    rows = found.ranking().rows
    if args.output is not None:
        about = {**found.provenance, "spearman": found.spearman}
        if args.output.suffix.lower() == ".csv":
            files.write_rows(args.output, rows, about)
        else:
            from conjure_kernel.plot import plot_agreement

            names = [Path(model).name for model in args.model]
            files.write_figure(args.output, plot_agreement(found, names=names), about)
        if not args.quiet:
            say(f"{spent:,} noise predictions made, '{args.output}' written")
    span = f", 95 % interval {found.low:.3f} to {found.high:.3f}" if len(rows) >= 10 else ""
    error = f" ± {found.draw_se:.2g}" if args.draws > 1 else ""
    lines = [
        f"{row['divergence_a']:<10.4g} {row['divergence_b']:<10.4g} {row['rank_a']:<8g} "
        f"{row['rank_b']:<8g} {row['prompt_a']} | {row['prompt_b']}"
        for row in rows[:SHOWN]
    ]
    head = f"{'J of A':<10} {'J of B':<10} {'rank A':<8} {'rank B':<8} pair"
    return "\n".join(
        [f"Spearman {found.spearman:.3f}{error}{span}, {len(rows)} pairs", "", head, *lines]
    )


def _write(drift: ConjureDrift, args: Namespace) -> None:
    from conjure_kernel.cli import files

    about = drift.provenance_
    if args.output.suffix.lower() == ".csv":
        files.write_rows(args.output, drift.ranking().rows, about)
    else:
        from conjure_kernel.plot import plot_drift

        names = [Path(model).name for model in args.model]
        files.write_figure(args.output, plot_drift(drift, names=names), about)
    if not args.quiet:
        say(f"{drift.n_evaluations_:,} noise predictions made, '{args.output}' written")
