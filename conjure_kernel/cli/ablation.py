"""`conjure ablate`: how agreement with human scores depends on the settings."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence

from conjure_kernel.cli import files, options
from conjure_kernel.cli.options import settings_of
from conjure_kernel.cli.tasks import (
    add_task,
    check_outputs,
    load_task,
    tell_cost,
    write_all,
    write_tables,
)
from conjure_kernel.cli.unknown import tell_unknown

__all__ = ["add_verbs"]

ABLATE = """\
examples:
  conjure ablate pairs.tsv --pairs 200 -o ablation.json
  conjure ablate pairs.tsv --sweep guidance_scale=1,3,7.5 --sweep weighting

Each sweep changes one setting and leaves the others as given. Draws, weightings, bands of noise
levels and legs cost no further predictions.
"""


def add_verbs(add: options.Add) -> None:
    """Add the command; `add` makes a parser of a name, a function, a line and an epilog."""
    text = "show how the agreement with human scores depends on the settings"
    parser = add("ablate", ablate_settings, text, ABLATE)
    add_task(parser)
    text = "setting to sweep, with or without values; may be given several times (default: all)"
    parser.add_argument("--sweep", metavar="NAME[=V,V]", action="append", help=text)
    text = "NAME.json, with NAME.md and NAME.png (.pdf, .svg: --format); or NAME.tex or .md, tables"
    options.add_output(parser, text, required=False)
    options.add_model(parser)


def ablate_settings(args: Namespace) -> str:
    """Change one setting at a time, and correlate -log J with the human scores of a task."""
    from conjure_kernel.evaluation.ablation import ablate, settings_to_measure

    paths = check_outputs(args, files.PAPER)
    pairs, sweeps = load_task(args), _sweeps(args.sweep)
    tell_unknown(args, [*pairs.left, *pairs.right])
    settings = settings_of(args)
    if not args.quiet:
        tell_cost(settings_to_measure(sweeps, settings), pairs)
    seed = settings.pop("random_state")
    result = ablate(pairs, sweeps=sweeps, random_state=seed, **settings)
    text = f"{pairs.name}: {len(pairs)} pairs\n\n{result}"
    if len(paths) == 1:
        write_tables(paths[0], [result.table], args)
    elif paths:
        from conjure_kernel.plot import plot_ablation

        write_all(paths, result.to_dict(), text, args, plot_ablation, result.table)
    return text


def _sweeps(given: Sequence[str] | None) -> Mapping[str, Sequence]:
    """Sweeps from texts such as n_steps=5,10; a name alone stands for its default sweep."""
    from conjure_kernel.evaluation.ablation import SWEEPS

    if not given:
        return SWEEPS
    sweeps = {}
    for text in given:
        name, equals, values = text.partition("=")
        if name not in SWEEPS:
            raise ValueError(f"--sweep='{text}': expected one of {', '.join(SWEEPS)}.")
        kind = type(SWEEPS[name][0])
        try:
            sweeps[name] = tuple(map(kind, values.split(","))) if equals else SWEEPS[name]
        except ValueError:
            raise ValueError(
                f"--sweep='{text}': expected '{name}=VALUE,VALUE' with values such as "
                f"{SWEEPS[name][0]}."
            ) from None
    return sweeps
