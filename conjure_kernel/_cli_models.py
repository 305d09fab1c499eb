"""What `conjure drift` does: two models on one list of prompts. Layer 6."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conjure_kernel import __version__
from conjure_kernel._cli_commands import say, settings_of

if TYPE_CHECKING:
    from conjure_kernel.drift import ConjureDrift

__all__ = ["add_commands", "measure_drift"]

DRIFT = """\
examples:
  conjure drift --model embedded --model my-fine-tune prompts.txt
  conjure drift --model base-folder --model 8-bit-folder prompts.txt -o drift.csv
  conjure drift --model embedded --model my-fine-tune prompts.txt -o drift.png --guidance 3

Prints the prompts, most drifted first: J between what the two models conjure, in nats, and its
standard error. .png, .pdf and .svg show pictures of both models, from the same noise, for the
prompts that drifted most. The models must share a latent space.
"""


def add_commands(add: Callable[..., Any], *parents: Any) -> None:
    """Add the command to the parser; `add` makes a subparser."""
    text = "how far two models part under each prompt"
    parser = add("drift", measure_drift, text, DRIFT, *parents)
    text = "prompts, one a line, or a CSV file with --column; - reads stdin"
    parser.add_argument("prompts", metavar="FILE", help=text)
    parser.add_argument("--column", metavar="NAME", help="column of the CSV file")
    text = ".csv, or a picture: .png, .pdf, .svg"
    parser.add_argument("-o", "--output", metavar="OUTPUT", type=Path, help=text)
    parser.add_argument("--force", action="store_true", help="overwrite OUTPUT")


def measure_drift(args: Namespace) -> str:
    """Rank the prompts by J between two models."""
    from conjure_kernel import _cli_files as files
    from conjure_kernel.drift import ConjureDrift

    first, second = _two_models(args)
    if args.output is not None:
        files.check_output(args.output, [".csv", *files.PICTURES], args.force)
    prompts = files.read_prompts(args.prompts, args.column)
    options = {**settings_of(args), "model_a": first, "model_b": second}
    del options["model"]
    drift = ConjureDrift(**options).fit(prompts)
    if args.output is not None:
        _write(drift, args)
    rows = [
        f"{row['divergence']:<10.4g} ± {row['standard_error']:<8.2g}  {row['prompt']}"
        for row in drift.ranking().rows
    ]
    return "\n".join(["J            standard error  prompt", *rows])


def _two_models(args: Namespace) -> tuple[str, str]:
    if len(args.model) != 2:
        raise ValueError(f"--model was given {len(args.model)} times: pass it twice, A and B.")
    return args.model[0], args.model[1]


def _write(drift: ConjureDrift, args: Namespace) -> None:
    from conjure_kernel import _cli_files as files

    about = {**drift.provenance_, "models": args.model, "conjure-kernel": __version__}
    if args.output.suffix.lower() == ".csv":
        files.write_rows(args.output, drift.ranking().rows, about)
    else:
        from conjure_kernel.plot import plot_drift

        names = [Path(model).name for model in args.model]
        files.write_figure(args.output, plot_drift(drift, names=names), about)
    if not args.quiet:
        say(f"{drift.n_evaluations_:,} noise predictions made, '{args.output}' written")
