"""`conjure drift` and `conjure erasure`: what changed between models, or in a run of them."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conjure_kernel._table import with_error
from conjure_kernel.cli import options, values
from conjure_kernel.cli.options import format_row, say, say_written, settings_of, two_models
from conjure_kernel.cli.prompts import read_prompts
from conjure_kernel.cli.unknown import tell_unknown

if TYPE_CHECKING:
    from conjure_kernel.estimators.drift import ConjureDrift
    from conjure_kernel.estimators.erasure import ErasureAudit
    from conjure_kernel.estimators.series import Series

__all__ = ["add_verbs"]

SHOWN = 10  # prompts of a list that stands below another one
PAGES = (".html",)

DRIFT = """\
examples:
  conjure drift --model embedded --model my-fine-tune prompts.txt
  conjure drift --model base-folder --model 8-bit-folder prompts.txt -o drift.csv
  conjure drift --model embedded --model my-fine-tune prompts.txt -o drift.png --guidance 3
  conjure drift --model base-folder --series step-*/ --target "my cat" prompts.txt -o run.html
  conjure drift --model base-folder --series lora.safetensors:0.5 lora.safetensors:1 --target cat

Of two models, prints the prompts, most drifted first, with J between what both conjure, in nats,
and its standard error. A picture (.png, .pdf, .svg) shows images of both models from the same
noise, for the prompts that drifted most. The models must share a latent space.

With --series, the checkpoints of a run are compared with the base and with the one before. Printed
is for each whether the target drifted above the floor, what all other prompts drifted, and whether
the target's draws collapsed, with 95 % intervals ("?" where these do not decide), then from which
checkpoint on more training adds collateral faster than reach. -o takes .html, too.
"""
ERASURE = """\
examples:
  conjure erasure --model base-folder --model erased-folder "a strawberry" --synonym "a red berry"
  conjure erasure --model embedded --model erased "a strawberry" --anchor "a lemon" --held words.txt

Prints whether the concept is gone: how far what the erased model makes of it, and of its synonyms
and hypernyms, is from the base's concept (0: as it was, 1: as far as no text at all; below 0.5 it
is back), and how vivid it still is; then where it went, and what drifted beside it, nearest first.
The prompts of --held should have stayed as they were.
"""


def add_verbs(add: options.Add) -> None:
    """Add both commands; `add` makes a parser of a name, a function, a line and an epilog."""
    drift = add("drift", measure_drift, "list what changed between models under each prompt", DRIFT)
    erasure = add("erasure", audit, "tell whether a concept is gone from a model", ERASURE)
    erasure.add_argument("concept", metavar="CONCEPT", help="the prompt that was erased")
    for name in ("synonym", "hypernym", "anchor"):
        text = {"anchor": "where it may have gone"}.get(name, "what may bring it back")
        erasure.add_argument(
            f"--{name}", metavar="PROMPT", action="append", default=[], help=f"{text}; repeatable"
        )
    options.add_prompts(drift, required=False)
    erasure.add_argument("--held", dest="prompts", metavar="FILE", help="prompts, as of `drift`")
    erasure.add_argument("--column", metavar="NAME", help="its name, or place from 1, in FILE")
    options.add_reading(erasure)
    text = "folders, hub ids, files, or LoRA files of the model, FILE[:SCALE]"
    drift.add_argument("--series", metavar="CHECKPOINT", nargs="+", help=text)
    text = "what was trained; repeatable"
    drift.add_argument("--target", metavar="PROMPT", action="append", default=[], help=text)
    text = "a model that differs from the base by nothing that matters (default: the base itself)"
    drift.add_argument("--floor", metavar="MODEL", help=text)
    text = ".csv, .md or .tex, or a picture: .png, .pdf or .svg"
    options.add_output(drift, f"{text}; of a series .html, too", required=False)
    options.add_output(erasure, ".csv, .md or .tex", required=False)
    for parser in (drift, erasure):
        options.add_model(parser, n_models=2)


def measure_drift(args: Namespace) -> str:
    """Rank the prompts by J between two models, or follow a run."""
    from conjure_kernel.cli import files
    from conjure_kernel.estimators.drift import ConjureDrift

    if args.series is not None:
        return measure_series(args)
    if args.target or args.floor:
        raise ValueError("--target, --floor: expected only with --series; name its checkpoints.")
    first, second = two_models(args)
    if args.output is not None:
        files.check_output(args.output, [*files.ROWS, *files.PICTURES], args.force)
    prompts = read_prompts(args)
    tell_unknown(args, prompts)
    drift = ConjureDrift(**_settings(args), model_a=first, model_b=second).fit(prompts)
    if args.output is not None:
        _write(drift, args)
    rows = drift.ranking().rows
    return "\n".join(["J            standard error  prompt", *map(format_row, rows)])


def measure_series(args: Namespace) -> str:
    """Follow a run: verdicts of each checkpoint, and the worst collateral at the last."""
    from conjure_kernel.cli import files
    from conjure_kernel.estimators.drift import ConjureDrift

    if len(args.model) != 1:
        raise ValueError(f"--model: expected one model with --series, got {len(args.model)}.")
    if not args.target:
        raise ValueError("--target: expected at least one prompt with --series, got none.")
    if args.output is not None:
        files.check_output(args.output, [*files.ROWS, *files.PICTURES, *PAGES], args.force)
    given: Any = [_checkpoint(text) for text in args.series], read_prompts(args)
    tell_unknown(args, [*args.target, *given[1]])
    options: Any = {"groups": {"target": args.target}, "floor": args.floor}
    drift = ConjureDrift(**_settings(args), model_a=args.model[0])
    if not args.quiet:
        plan = drift.plan_series(*given, **options)
        say(f"{plan.n_predictions:,} noise predictions to make")
    series = drift.fit_series(*given, **options)
    if args.output is not None:
        _write_series(series, args)
    return "\n".join([*_verdict_lines(series), "", *_collateral_lines(series)])


def audit(args: Namespace) -> str:
    """Audit an erasure."""
    from conjure_kernel.cli import files
    from conjure_kernel.estimators.audit import audit_erasure

    base, erased = two_models(args)
    if args.output is not None:
        files.check_output(args.output, files.ROWS, args.force)
    settings = settings_of(args)
    del settings["model"]
    asked = {"synonyms": args.synonym, "hypernyms": args.hypernym, "anchors": args.anchor}
    taken = {args.concept, *(prompt for side in asked.values() for prompt in side)}
    held = [] if args.prompts is None else read_prompts(args)
    held = [prompt for prompt in dict.fromkeys(held) if prompt not in taken]
    tell_unknown(args, [*taken, *held])
    found = audit_erasure(base, erased, args.concept, **asked, held=held, **settings)
    if args.output is not None:
        about = {**found.provenance, "gone": found.gone}
        tables = [found.descriptions(), found.destinations(), found.collateral()]
        if args.output.suffix.lower() in files.PAPER:
            files.write_tables(args.output, tables, about)
        else:
            files.write_rows(args.output, tables[0].rows, about)
        say_written(found.n_evaluations, args)
    return "\n".join(_audit_lines(found))


def _settings(args: Namespace) -> dict[str, Any]:
    settings = settings_of(args)
    del settings["model"]
    return settings


def _checkpoint(text: str) -> Any:
    """A checkpoint; a LoRA file with a scale as a mapping."""
    path, scale = values.adapter(text)
    return {path: scale} if path != text and Path(path).is_file() else text


def _verdict_lines(series: Series) -> list[str]:
    lines = [f"{'checkpoint':<20} {'target, nats':<24} reached  {'others, nats':<24} collapsed"]
    for row in series.verdicts().rows:
        target, others = (_span(row, name) for name in ("target", "collateral"))
        reached, collapsed = (_word(row[name]) for name in ("reached", "collapsed"))
        lines.append(
            f"{row['checkpoint']:<20} {target:<24} {reached:<8} {others:<24} {collapsed}".rstrip()
        )
    turning = series.turning
    if turning.first is None:
        return [*lines, "", "At no checkpoint does collateral grow faster than reach."]
    sure = "none is sure to" if turning.told is None else series.names[turning.told]
    return [
        *lines,
        "",
        f"From {series.names[turning.first]} on, collateral grows faster than reach "
        f"({turning.share:.0%} of the draws agree; by the interval: {sure}).",
    ]


def _collateral_lines(series: Series) -> list[str]:
    lines = [f"Most drifted beside the target at {series.names[-1]}:"]
    return lines + [
        f"{row['rank']:<4} ({row['rank_least']} to {row['rank_most']})  "
        f"{_span(row, 'drift'):<24} {row['prompt']} ({row['group']})"
        for row in series.collateral().rows[:SHOWN]
    ]


def _audit_lines(found: ErasureAudit) -> list[str]:
    word = {True: "gone", False: "not gone", None: "not told: raise --draws"}[found.gone]
    lines = [f"{found.concept}: {word}", "", f"{'distance':<22} {'vividness':<22} back  prompt"]
    for row in found.descriptions().rows:
        after, vivid = (_span(row, name) for name in ("after", "vividness"))
        lines.append(f"{after:<22} {vivid:<22} {_word(row['back']):<5} {row['prompt']}")
    lines += ["", "Where it went, J in nats, and the share of draws that say so:"]
    lines += [
        f"{_span(row, 'divergence'):<24} {row['share']:<5.0%} {row['prompt'] or '(no text)'}"
        for row in found.destinations().rows[:SHOWN]
    ]
    if rows := found.collateral().rows:
        value, error = map(float, found.gradient[:2])
        gradient = f"; Spearman with distance {with_error(value, error)}" if value == value else ""
        lines += ["", f"Drift beside it, nearest first{gradient}:"]
        lines += [f"{_span(row, 'drift'):<24} {row['prompt']}" for row in rows[:SHOWN]]
    return lines


def _span(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:.3g} [{row[f'{name}_low']:.3g}, {row[f'{name}_high']:.3g}]"


def _word(verdict: bool | None) -> str:
    return {True: "yes", False: "no", None: "?"}[verdict]


def _write_series(series: Series, args: Namespace) -> None:
    from conjure_kernel.cli import files
    from conjure_kernel.plot import plot_series, series_page

    kind = args.output.suffix.lower()
    if kind in PAGES:
        files.write_page(args.output, series_page(series))
    elif kind in files.PICTURES:
        files.write_figure(args.output, args, series.provenance, plot_series, series)
    elif kind in files.PAPER:
        tables = [series.verdicts(), series.curves(), series.collateral()]
        files.write_tables(args.output, tables, series.provenance)
    else:
        files.write_rows(args.output, series.table().rows, series.provenance)
    say_written(series.n_evaluations, args)


def _write(drift: ConjureDrift, args: Namespace) -> None:
    from conjure_kernel.cli import files

    about = drift.provenance_
    if args.output.suffix.lower() in files.ROWS:
        files.write_rows(args.output, drift.ranking().rows, about)
    else:
        from conjure_kernel.plot import plot_drift

        names = [Path(model).name for model in args.model]
        files.write_figure(args.output, args, about, plot_drift, drift, names=names)
    say_written(drift.n_evaluations_, args)
