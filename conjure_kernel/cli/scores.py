"""`conjure evaluate`: agreement with human scores, of one model or of several."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conjure_kernel._checks import check_number, quote
from conjure_kernel._table import Table
from conjure_kernel.cli import files, options
from conjure_kernel.cli.options import say, settings_of
from conjure_kernel.cli.tasks import (
    about,
    add_task,
    check_outputs,
    load_task,
    tell_cost,
    write_all,
    write_tables,
)
from conjure_kernel.cli.unknown import tell_unknown, tell_unread
from conjure_kernel.engine.parameters import Measurement

if TYPE_CHECKING:
    from conjure_kernel.evaluation.evaluation import Evaluation

__all__ = ["add_verbs"]

EVALUATE = """\
examples:
  conjure evaluate pairs.tsv
  conjure evaluate pairs.tsv -o ratings.png             scores against similarity, a dot a pair
  conjure evaluate pairs.tsv --model embedded --model my-fine-tune -o table.csv
  conjure evaluate sts-b --pairs 500 --baseline text -o sts-b.json
  conjure evaluate words.csv --columns word1,word2,score --baseline frechet --baseline kid
  conjure evaluate pairs.tsv -o table.tex               for a paper, with booktabs
  conjure evaluate sick-r --baseline sentence-transformers/all-MiniLM-L6-v2

Similarity is -log R: J relative to how far both texts are from the empty prompt; with --origin none
it is -log J. The tasks sts12 to sts16, sts-b and sick-r are fetched from the hub; they and
sentence-transformers need pip install "conjure-kernel[scores]". A .tsv or .csv file with a header
(sentence1, sentence2, score) needs nothing. Intervals are for other texts like these, and so for
other pairs; after ± stands the standard error over draws. Several models, of which each gets the
same options, stand in one table, with their differences from the first. Words that the text encoder
probably does not know are told when the model makes predictions.
"""
TEXT = "text"  # the name of a baseline


def add_verbs(add: options.Add) -> None:
    """Add the command; `add` makes a parser of a name, a function, a line and an epilog."""
    text = "correlate distances with human similarity scores"
    parser = add("evaluate", evaluate_task, text, EVALUATE)
    add_task(parser)
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
    text = "pairs that disagree most with the scores to show (default: %(default)s)"
    parser.add_argument("--worst", metavar="N", type=int, default=5, help=text)
    text = "NAME.json, with NAME.md and NAME.png beside it; .tex, .md or .csv, the tables alone; "
    text += ".png, .pdf or .svg, scores against similarity"
    options.add_output(parser, text, required=False)
    options.add_model(parser, n_models=None)


def evaluate_task(args: Namespace) -> str:
    """Correlate each model's similarities and the baselines with the human scores of a task."""
    from conjure_kernel.evaluation.evaluation import evaluate

    paths = check_outputs(args, files.ROWS, files.PICTURES)
    n_worst = check_number(args.worst, "--worst", least=0, integer=True)
    pairs, each = load_task(args), _settings_of_models(args)
    scorers = list(_scorers(args, each))
    if len(scorers) == 1 and paths and paths[0].suffix.lower() in files.PICTURES:
        from conjure_kernel.plot.ratings import check_listed

        check_listed(n_worst, len(pairs))
    tell_unknown(args, [*pairs.left, *pairs.right])
    if not args.quiet:
        tell_cost(each, pairs)
    results = []
    for name, scorer in scorers:
        results.append(evaluate(scorer, pairs, name=name))
        if not args.quiet:
            say(f"{results[-1].name}: {results[-1].seconds:.0f} s")
    _tell_reversed(results)
    tell_unread(args, [settings["model"] for settings in each], [*pairs.left, *pairs.right])
    parts = _tables(results, n_worst)
    text = "\n\n".join(f"{title}\n\n{table}" for title, table in parts.items())
    if paths and paths[0].suffix.lower() in files.PICTURES:
        from conjure_kernel.plot import plot_ratings

        shown = _worst_images(results, n_worst, each[0])
        files.write_figure(paths[0], args, about(args), plot_ratings, results, **shown)
        if not args.quiet and not options.UNWRITTEN:
            say(f"'{paths[0]}' written")
    elif len(paths) == 1:
        write_tables(paths[0], list(parts.values()), args)
    elif paths:
        from conjure_kernel.evaluation.comparison import compare
        from conjure_kernel.plot import plot_evaluations

        differences = compare(results) if len(results) > 1 else None
        facts = {"results": [r.to_dict() for r in results], "differences": differences}
        write_all(paths, facts, text, args, plot_evaluations, results)
    return text


def _settings_of_models(args: Namespace) -> list[dict[str, Any]]:
    """Settings of each model, which is opened once for all that is done with it."""
    from conjure_kernel.cli.vectors import loaded
    from conjure_kernel.engine.opening import open_engine

    names = _check_different(args.model or [Measurement.model], "--model")
    each = [settings_of(Namespace(**{**vars(args), "model": name})) for name in names]
    return [{**settings, **loaded(open_engine(settings).denoiser)} for settings in each]


def _scorers(
    args: Namespace, each: Sequence[dict[str, Any]]
) -> Iterator[tuple[str | None, Callable]]:
    """Names and scorers, the models first; with several models they are named after them."""
    from conjure_kernel.evaluation.scorers import ConjureScorer

    models = args.model or [Measurement.model]
    short = [Path(model).name for model in models]
    names = short if len(set(short)) == len(short) else models
    for name, settings in zip(names, each, strict=True):
        yield name if len(each) > 1 else None, ConjureScorer(leg=args.leg, **settings)
    for baseline in _check_different(args.baseline, "--baseline"):
        yield None, _baseline(baseline, args, each[0])


def _tables(results: Sequence[Evaluation], n_worst: int) -> dict[str, Table]:
    """What is printed, each under its title; where there are several scorers, all in one first."""
    from conjure_kernel.evaluation.comparison import compare
    from conjure_kernel.evaluation.summary import disagreements, regression, summarize

    parts, first = {}, results[0]
    if len(results) > 1:
        parts[f"{first.task}: all pairs, and differences of Spearman from the first"] = summarize(
            results
        )
    parts |= {str(result).partition("\n")[0]: result.table for result in results}
    if len(results) > 2:
        parts["Differences of Spearman, all pairs"] = compare(results)
    rows = [regression(result)[0] for result in results]
    parts["Regression of the score on similarity; r2 line and kernel are of unseen texts"] = Table(
        rows
    )
    if n_worst:
        title = f"Pairs that disagree most with the scores, {first.name} (place 1 is most alike)"
        parts[title] = disagreements(first, n_worst)
    return parts


def _worst_images(
    results: Sequence[Evaluation], n_worst: int, settings: dict[str, Any]
) -> dict[str, Any]:
    """What `plot_ratings` shows of the worst pairs; of one scorer, with pictures."""
    from conjure_kernel.engine.opening import open_engine
    from conjure_kernel.evaluation.summary import disagreements

    images = {}
    if len(results) == 1 and n_worst:
        rows = disagreements(results[0], n_worst).rows
        texts = list(dict.fromkeys(row[side] for row in rows for side in ("text_a", "text_b")))
        pictures = open_engine(settings).images(texts)[:, 0]
        images = dict(zip(texts, pictures, strict=True))
    return {"n_worst": n_worst, "images": images}


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
        return TextEncoderScorer(settings["model"])
    settings = {name: value for name, value in settings.items() if name != "origin"}
    if name == "divergence":
        return ConjureScorer(origin=None, leg=args.leg, **settings)
    if name == "cosine":
        del settings["n_draws"]
        return CosineScorer(**settings)
    if name in METRICS:
        return ImageScorer(name, n_images=args.images, **settings)
    known = (TEXT, "divergence", "cosine", *METRICS)
    near = [] if "/" in name or Path(name).exists() else get_close_matches(name, known)
    if near:
        raise ValueError(f"--baseline={quote(name)}: expected {near[0]}, it seems; write it so.")
    scorer = SentenceTransformerScorer(name)
    try:
        scorer.encoder  # noqa: B018, for an error before anything is measured
    except (ImportError, OSError) as error:
        message = f"--baseline={quote(name)}: expected one of {', '.join(known)}, or {error}"
        raise ValueError(message) from error
    return scorer


def _check_different(names: Sequence[str], option: str) -> Sequence[str]:
    """Names of an option, each of which makes a row of the same name."""
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(
            f"{option}={quote(twice[0])}: expected different ones, got it {names.count(twice[0])} "
            "times; give it once."
        )
    return names


def _tell_reversed(results: Sequence[Evaluation]) -> None:
    """Say where similarity falls with the ratings, for certain and by every scorer."""
    rows = [result.table.find(part="all") for result in results]
    if all(row["spearman_high"] < 0 for row in rows):
        say(
            f"{results[0].task}: similarity falls where scores rise (Spearman "
            f"{rows[0]['spearman']:.2f}); if larger scores mean less alike, turn their sign."
        )
