"""`conjure evaluate` and `conjure ablate`: agreement with human scores."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conjure_kernel.cli import options
from conjure_kernel.cli.options import say, settings_of

if TYPE_CHECKING:
    from conjure_kernel._table import Table
    from conjure_kernel.evaluation.datasets import ScoredPairs
    from conjure_kernel.evaluation.evaluation import Evaluation

__all__ = ["add_verbs"]

EVALUATE = """\
examples:
  conjure evaluate --task pairs.tsv
  conjure evaluate --task sts-b --pairs 500 --baseline text -o sts-b.json
  conjure evaluate --task words.csv --columns word1,word2,score --baseline frechet --baseline kid
  conjure evaluate --task pairs.tsv -o table.tex        for a paper, with booktabs
  conjure evaluate --task sick-r --baseline sentence-transformers/all-MiniLM-L6-v2

Similarity is -log R: J relative to how far both texts are from the empty prompt; with --origin none
it is -log J. The tasks sts12 to sts16, sts-b and sick-r are fetched from the hub; they and
sentence-transformers need pip install "conjure-kernel[scores]". A .tsv or .csv file with a header
(sentence1, sentence2, score) needs nothing. Intervals are for other texts like these, and so for
other pairs; after ± stands the standard error over draws.
"""
ABLATE = """\
examples:
  conjure ablate --task pairs.tsv --pairs 200 -o ablation.json
  conjure ablate --task pairs.tsv --sweep guidance_scale=1,3,7.5 --sweep weighting

Each sweep changes one setting and leaves the others as given. Draws, weightings, bands of noise
levels and legs cost no further predictions.
"""
TEXT = "text"


def add_verbs(add: options.Add) -> None:
    """Add both commands; `add` makes a parser of a name, a function, a line and an epilog."""
    text = "correlate distances with human similarity scores"
    parser = add("evaluate", evaluate_task, text, EVALUATE)
    _add_task(parser)
    text = "divergence (-log J); cosine (of vectors); text (the model's own encoder); frechet, "
    text += "gaussian_jeffreys, kid or mmd (distances of images); or the name of a "
    text += "sentence-transformers model; may be given several times"
    parser.add_argument("--baseline", metavar="NAME", action="append", default=[], help=text)
    text = "empty, or none for J itself (default: %(default)s)"
    parser.add_argument("--origin", metavar="ORIGIN", default="empty", help=text)
    text = "images of each text for a baseline (default: %(default)s)"
    parser.add_argument("--images", metavar="N", type=int, default=16, help=text)
    text = "jeffreys, ab (KL of a from b) or ba (default: %(default)s)"
    parser.add_argument("--leg", default="jeffreys", help=text)
    text = "show how the agreement with human scores depends on the settings"
    parser = add("ablate", ablate_settings, text, ABLATE)
    _add_task(parser)
    text = "setting to sweep, with or without values; may be given several times (default: all)"
    parser.add_argument("--sweep", metavar="NAME[=V,V]", action="append", help=text)


def _add_task(parser: options.Parser) -> None:
    add = parser.add_argument
    add("--task", required=True, help="name of a task, or a file of scored pairs")
    add("--split", default="test", help="split of a named task (default: %(default)s)")
    text = "columns of both texts and of the score: names, or places from 1"
    add("--columns", metavar="A,B,SCORE", help=text)
    options.add_reading(parser)
    text = "use so many pairs, chosen by --seed (default: all)"
    add("--pairs", metavar="N", type=int, help=text)
    text = "NAME.json, with NAME.md and NAME.png beside it; or NAME.tex or .md, the tables alone"
    options.add_output(parser, text, required=False)
    options.add_model(parser)


def evaluate_task(args: Namespace) -> str:
    """Correlate the model's similarities and the baselines with the human scores of a task."""
    from conjure_kernel.evaluation.comparison import compare
    from conjure_kernel.evaluation.evaluation import evaluate
    from conjure_kernel.evaluation.scorers import ConjureScorer

    paths = _check_output(args)
    pairs = _load(args)
    settings = settings_of(args)
    scorers: list[Callable] = [ConjureScorer(leg=args.leg, **settings)]
    scorers += [_baseline(name, args, settings) for name in args.baseline]
    if not args.quiet:
        _tell([settings], pairs)
    results = []
    for scorer in scorers:
        results.append(evaluate(scorer, pairs))
        if not args.quiet:
            say(f"{results[-1].name}: {results[-1].seconds:.0f} s")
    _tell_reversed(results)
    text = "\n\n".join(map(str, results))
    differences = None
    if len(results) > 1:
        differences = compare(results)
        text += f"\n\nDifferences of Spearman, all pairs\n\n{differences}"
    if len(paths) == 1:
        tables = [*(result.table for result in results), differences]
        _write_tables(paths[0], [table for table in tables if table is not None], args)
    elif paths:
        from conjure_kernel.plot import plot_evaluations

        facts = {"results": [r.to_dict() for r in results], "differences": differences}
        _write(paths, facts, text, plot_evaluations(results), args)
    return text


def ablate_settings(args: Namespace) -> str:
    """Change one setting at a time, and correlate -log J with the human scores of a task."""
    from conjure_kernel.evaluation.ablation import ablate, settings_to_measure

    paths = _check_output(args)
    pairs, sweeps = _load(args), _sweeps(args.sweep)
    settings = settings_of(args)
    if not args.quiet:
        _tell(settings_to_measure(sweeps, settings), pairs)
    seed = settings.pop("random_state")
    result = ablate(pairs, sweeps=sweeps, random_state=seed, **settings)
    text = f"{pairs.name}: {len(pairs)} pairs\n\n{result}"
    if len(paths) == 1:
        _write_tables(paths[0], [result.table], args)
    elif paths:
        from conjure_kernel.plot import plot_ablation

        _write(paths, result.to_dict(), text, plot_ablation(result.table), args)
    return text


def _load(args: Namespace) -> ScoredPairs:
    from conjure_kernel._checks import check_number
    from conjure_kernel.cli.prompts import reading_of
    from conjure_kernel.evaluation.datasets import load_pairs

    columns = None if args.columns is None else args.columns.split(",")
    how: dict[str, Any] = {**reading_of(args), "header": False if args.no_header else None}
    pairs = load_pairs(args.task, split=args.split, columns=columns, **how)
    if args.pairs is None:
        return pairs
    return pairs.sample(check_number(args.pairs, "--pairs", least=1, integer=True), args.seed)


def _baseline(name: str, args: Namespace, settings: dict[str, Any]) -> Callable:
    """Scorer with a name of `--baseline`."""
    from conjure_kernel.estimators.images import METRICS
    from conjure_kernel.evaluation.cosine import CosineScorer
    from conjure_kernel.evaluation.scorers import (
        ConjureScorer,
        ImageScorer,
        SentenceTransformerScorer,
        TextEncoderScorer,
    )

    if name == TEXT:
        more = settings["model_kwargs"] or {}
        return TextEncoderScorer(
            settings["model"], device=settings["device"], dtype=settings["dtype"], **more
        )
    settings = {name: value for name, value in settings.items() if name != "origin"}
    if name == "divergence":
        return ConjureScorer(origin=None, leg=args.leg, **settings)
    if name == "cosine":
        del settings["n_draws"]
        return CosineScorer(**settings)
    if name in METRICS:
        return ImageScorer(name, n_images=args.images, **settings)
    return SentenceTransformerScorer(name)


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


def _tell_reversed(results: Sequence[Evaluation]) -> None:
    """Say where similarity falls with the ratings, for certain and by every scorer."""
    rows = [result.table.find(part="all") for result in results]
    if all(row["spearman_high"] < 0 for row in rows):
        say(
            f"{results[0].task}: similarity falls where scores rise (Spearman "
            f"{rows[0]['spearman']:.2f}); if larger scores mean less alike, turn their sign."
        )


def _tell(runs: Sequence[Mapping[str, Any]], pairs: ScoredPairs) -> None:
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


def _check_output(args: Namespace) -> list[Path]:
    """The files to write, none without -o; an error before any work if they exist."""
    from conjure_kernel.cli import files

    if args.output is None:
        return []
    files.check_output(args.output, [".json", *files.PAPER], args.force)
    if args.output.suffix.lower() in files.PAPER:
        return [args.output]
    beside = [args.output.with_suffix(ending) for ending in (".md", ".png")]
    for path in beside:
        files.check_output(path, [path.suffix], args.force)
    return [args.output, *beside]


def _write_tables(path: Path, tables: Sequence[Table], args: Namespace) -> None:
    from conjure_kernel.cli import files

    files.write_tables(path, tables, _about(args))
    if not args.quiet and not options.UNWRITTEN:
        say(f"'{path}' written")


def _about(args: Namespace) -> dict[str, Any]:
    from conjure_kernel.engine.provenance import versions

    return {"model": args.model, "task": args.task, "versions": versions()}


def _write(
    paths: Sequence[Path], facts: Mapping[str, Any], text: str, figure: Any, args: Namespace
) -> None:
    from conjure_kernel._table import jsonable
    from conjure_kernel.cli import files

    about = _about(args)
    files.write_output(paths[0], json.dumps(jsonable({**about, **facts}), indent=1).encode())
    files.write_output(paths[1], f"{text}\n".encode())
    files.write_figure(paths[2], figure, about)
    if not args.quiet and not options.UNWRITTEN:
        say(f"'{paths[0]}', '{paths[1].name}' and '{paths[2].name}' written")
