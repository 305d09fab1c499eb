"""`conjure agree`: two models on one list of prompts."""

from __future__ import annotations

import math
from argparse import Namespace
from pathlib import Path

from conjure_kernel.cli import options
from conjure_kernel.cli.options import say_written, settings_of, two_models
from conjure_kernel.cli.prompts import read_prompts
from conjure_kernel.cli.unknown import tell_unknown

__all__ = ["add_verbs"]

SHOWN = 10  # pairs

AGREE = """\
examples:
  conjure agree --model embedded --model my-fine-tune prompts.txt
  conjure agree --model base-folder --model other-folder prompts.txt -o agree.png

Each model measures J of all pairs of prompts. Printed are Spearman's correlation of the two orders,
after ± its standard error over draws, and its 95 % interval for other prompts like these; then the
pairs on which the models differ most, with J and its rank (1 is nearest) in both. The models need
have nothing in common, and the noise of one is independent of that of the other.
"""


def add_verbs(add: options.Add) -> None:
    """Add the command; `add` makes a parser of a name, a function, a line and an epilog."""
    text = "tell how much two models agree in the order of pairs of prompts"
    agree = add("agree", measure_agreement, text, AGREE)
    options.add_prompts(agree)
    options.add_output(agree, ".csv, .md or .tex, or a picture: .png, .pdf or .svg", required=False)
    options.add_model(agree, n_models=2)


def measure_agreement(args: Namespace) -> str:
    """Rank agreement of two models, and the pairs on which they differ most."""
    from conjure_kernel.cli import files
    from conjure_kernel.evaluation.agreement import model_agreement

    first, second = two_models(args)
    if args.output is not None:
        files.check_output(args.output, [*files.ROWS, *files.PICTURES], args.force)
    prompts = read_prompts(args)
    tell_unknown(args, prompts)
    settings = settings_of(args)
    del settings["model"]
    agreement = model_agreement(prompts, first, second, **settings)
    rows = agreement.ranking().rows
    if args.output is not None:
        about = {**agreement.provenance, "spearman": agreement.spearman}
        if args.output.suffix.lower() in files.ROWS:
            files.write_rows(args.output, rows, about)
        else:
            from conjure_kernel.plot import plot_agreement

            names = [Path(model).name for model in args.model]
            files.write_figure(args.output, args, about, plot_agreement, agreement, names=names)
        say_written(agreement.a.n_evaluations + agreement.b.n_evaluations, args)
    low, high = agreement.low, agreement.high
    span = f", 95 % interval {low:.3f} to {high:.3f}" if math.isfinite(low) else ""
    error = f" ± {agreement.draw_se:.2g}" if args.draws > 1 else ""
    lines = [
        f"{row['divergence_a']:<10.4g} {row['divergence_b']:<10.4g} {row['rank_a']:<8g} "
        f"{row['rank_b']:<8g} {row['prompt_a']} | {row['prompt_b']}"
        for row in rows[:SHOWN]
    ]
    head = f"{'J of A':<10} {'J of B':<10} {'rank A':<8} {'rank B':<8} pair"
    return "\n".join(
        [f"Spearman {agreement.spearman:.3f}{error}{span}, {len(rows)} pairs", "", head, *lines]
    )
