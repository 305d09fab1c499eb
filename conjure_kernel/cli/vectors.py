"""`conjure embed` and `conjure neighbors`: vectors, and the prompts nearest to a query."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conjure_kernel.cli import options
from conjure_kernel.cli.options import format_row, say, say_written, settings_of
from conjure_kernel.cli.prompts import read_prompts
from conjure_kernel.cli.unknown import tell_unknown

if TYPE_CHECKING:
    import numpy as np

    from conjure_kernel.estimators.embedding import ConjureEmbedding

__all__ = ["add_verbs", "embedding_of", "loaded"]

EMBED = """\
examples:
  conjure embed prompts.txt -o vectors.npz
  conjure embed words.csv --column word -o vectors.parquet --components 512
  conjure embed prompts.txt -o vectors.npz --normalize --images 1
  conjure map vectors.npz -o map.html                 a map of them, without a model
  conjure embed more.txt --into vectors.npz           only new prompts cost anything

Squared Euclidean distances of the vectors estimate J on one shared pool of noisy points, at a cost
of --steps * --points noise predictions for each prompt. --draws has no effect here.

.npz      arrays prompts, vectors (float32), images, references, n_first and provenance (JSON)
.parquet  text, vector, place on a map (x, y) and neighbors of each prompt, as Embedding Atlas reads
          them; pip install "conjure-kernel[tables]"
"""
NEIGHBORS = """\
examples:
  conjure neighbors prompts.txt "a puppy"
  conjure neighbors prompts.txt "a puppy" "a red bus" -k 5 --json

The nearest vectors (see `conjure embed`) give 5 candidates for each neighbor that is wanted. J of
each of them is measured, with its standard error, and decides.
"""

COMPONENTS, POINTS = 1024, 8


def add_verbs(add: options.Add) -> None:
    """Add both commands; `add` makes a parser of a name, a function, a line and an epilog."""
    parser = add("embed", write_vectors, "write a vector for each prompt into a file", EMBED)
    options.add_prompts(parser)
    options.add_output(parser, ".npz or .parquet", required=False)
    text = "add the prompts that it lacks to an .npz of this command, with its settings"
    parser.add_argument("--into", metavar="VECTORS", type=Path, help=text)
    text = "images of each prompt, for .npz and .parquet (default: 0)"
    parser.add_argument("--images", metavar="N", type=int, default=0, help=text)
    text = "length of a vector (default: %(default)s)"
    parser.add_argument("--components", metavar="N", type=int, default=COMPONENTS, help=text)
    text = "write vectors of length 1, seen from the empty prompt, so that products are cosines"
    parser.add_argument("--normalize", action="store_true", help=text)
    text = "noisy points at each noise level (default: %(default)s)"
    parser.add_argument("--points", metavar="M", type=int, default=POINTS, help=text)
    options.add_model(parser)
    text = "list the prompts of a file that are nearest to a query"
    parser = add("neighbors", find_neighbors, text, NEIGHBORS)
    options.add_prompts(parser)
    options.add_origin(parser)
    text = "any prompt, in the file or not"
    parser.add_argument("queries", metavar="QUERY", nargs="+", help=text)
    text = "neighbors of each query (default: %(default)s)"
    parser.add_argument("-k", metavar="K", type=int, default=10, help=text)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options.add_model(parser)


def write_vectors(args: Namespace) -> str:
    """Write the vectors of all prompts into a file, or of new ones into one that is there."""
    from conjure_kernel._checks import check_number
    from conjure_kernel.cli import files
    from conjure_kernel.cli.embedded import Embedded, write_embedded

    n_images = check_number(args.images, "--images", least=0, integer=True)
    if args.into is not None:
        return _add_vectors(args, n_images)
    if args.output is None:
        raise ValueError("-o, --into: expected one of them, got none; name a file to write.")
    files.check_output(args.output, [".npz", ".parquet"], args.force)
    prompts = read_prompts(args)
    sizes = {"n_components": args.components, "n_points": args.points}
    sizes["n_blocks"] = math.gcd(args.points, POINTS) or 1
    origin = {"origin": "empty", "normalize": True} if args.normalize else {}
    model = embedding_of(args, **sizes, **origin)
    vectors, images = _embed(args, model, prompts, n_images)
    made = Embedded(prompts, vectors, images, model.provenance_, len(prompts))
    write_embedded(args.output, made)
    say_written(model.denoiser.n_evaluations, args)
    return ""


def _add_vectors(args: Namespace, n_images: int) -> str:
    """Write the vectors of the prompts that a file lacks into it, with the settings of its own."""
    from conjure_kernel.cli import files
    from conjure_kernel.cli.embedded import MODEL, extend_embedded, read_embedded

    if args.output is not None:
        raise ValueError("-o, --into: expected one of them, got both; leave -o out.")
    args.output = args.into
    files.check_output(args.into, [".npz"], force=True)
    known = read_embedded(args.into)
    known.check_options(args, str(args.into))
    if n_images not in (0, known.n_images):
        raise ValueError(
            f"--images={n_images}: expected {known.n_images}, as of the prompts in '{args.into}'; "
            "leave it out."
        )
    listed = dict.fromkeys(read_prompts(args))
    if not (prompts := [prompt for prompt in listed if prompt not in set(known.prompts)]):
        say(f"'{args.into}' has all {len(listed)} prompts; nothing is to be done")
        return ""
    model = embedding_of(args, **known.settings())
    found, wanted = model.open_engine().key, known.provenance
    for name in MODEL:
        if found[name] != wanted[name]:
            raise ValueError(
                f"--model: expected the model of '{args.into}', {wanted['model']!r} with {name} "
                f"{wanted[name]}, got {found[name]}; name that one, or embed all prompts anew "
                "with -o."
            )
    vectors, images = _embed(args, model, prompts, known.n_images)
    extend_embedded(args.into, known, prompts, vectors, images)
    say_written(model.denoiser.n_evaluations, args)
    return ""


def _embed(
    args: Namespace, model: ConjureEmbedding, prompts: list[str], n_images: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Vectors and images of prompts, after a line with the price."""
    tell_unknown(args, prompts)
    if not args.quiet:
        n = len(set(prompts))
        say(f"up to {model.n_predictions(n, n_images):,} noise predictions for {n} prompts")
    vectors = model.fit_transform(prompts)
    return vectors, model.conjure_images(prompts, n_images) if n_images else None


def find_neighbors(args: Namespace) -> str:
    """The prompts of the list that are nearest to each query, by J."""
    from conjure_kernel._checks import check_number, check_prompts
    from conjure_kernel.engine.pairwise import pairwise_divergence
    from conjure_kernel.estimators.neighbors import CANDIDATES_PER_NEIGHBOR

    width = CANDIDATES_PER_NEIGHBOR * check_number(args.k, "-k", least=1, integer=True)
    prompts = list(dict.fromkeys(read_prompts(args)))
    args.queries = check_prompts(args.queries, "QUERY")
    tell_unknown(args, [*args.queries, *prompts])
    settings = settings_of(args)
    relative = settings["origin"] is not None
    name = "relative_divergence" if relative else "divergence"
    model = embedding_of(args, normalize=relative)
    if not args.quiet:
        say(f"up to {_most_predictions(args, model, prompts, width):,} noise predictions")
    nearest, model = {}, model.fit(prompts)
    settings |= loaded(model.denoiser)
    for query in dict.fromkeys(args.queries):
        near = _candidates(model, prompts, query, width)
        measured = pairwise_divergence([query], near, **settings)
        order = measured.values[0].argsort(kind="stable")[: args.k]
        nearest[query] = [
            {
                "prompt": near[i],
                name: float(measured.values[0, i]),
                "standard_error": float(measured.standard_errors[0, i]),
            }
            for i in order
        ]
    if args.json:
        return json.dumps(nearest, indent=1)
    return "\n\n".join(
        "\n".join([query, *(f"  {format_row(row)}" for row in rows)])
        for query, rows in nearest.items()
    )


def _most_predictions(
    args: Namespace, model: ConjureEmbedding, prompts: list[str], width: int
) -> int:
    """Those of the vectors of the list and of the queries, then of J of queries and candidates."""
    from conjure_kernel.engine.ledger import requests_of_pairs
    from conjure_kernel.engine.opening import open_engine
    from conjure_kernel.engine.steps import check_cost

    queries, engine, near = set(args.queries), open_engine(settings_of(args)), prompts[:width]
    n_pairs = len(queries) * len(near) * args.draws
    exact = engine.n_predictions(len(queries) * args.draws + n_pairs, 2 * n_pairs)
    exact += sum(
        check_cost(engine, requests_of_pairs([q] * len(near), near, engine.origin)) for q in queries
    )
    return model.n_predictions(len(prompts)) + len(queries) * args.steps * model.n_points + exact


def _candidates(model: ConjureEmbedding, prompts: list[str], query: str, n: int) -> list[str]:
    """The n prompts with the nearest vectors, without the query itself."""
    from conjure_kernel.estimators.candidates import find_candidates

    others = [prompt for prompt in prompts if prompt != query]
    if not others:
        raise ValueError(f"FILE: expected a prompt other than {query!r}, got none.")
    known, asked = model.transform(others), model.transform([query])
    (positions,) = find_candidates(known, min(n, len(others)), asked)
    return [others[i] for i in positions]


def embedding_of(args: Namespace, **more: Any) -> ConjureEmbedding:
    """Estimator of vectors with the options of a command."""
    from conjure_kernel.estimators.embedding import ConjureEmbedding

    settings = settings_of(args)
    del settings["n_draws"]
    return ConjureEmbedding(**{**settings, **more})


def loaded(model: Any) -> dict[str, Any]:
    """Settings of a model that is open already, in place of those that open it."""
    return {"model": model, "device": "auto", "dtype": "auto", "model_kwargs": None}
