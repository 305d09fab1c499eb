"""`conjure embed` and `conjure neighbors`: vectors, and the prompts nearest to others."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from conjure_kernel.cli import options
from conjure_kernel.cli.options import say, settings_of

if TYPE_CHECKING:
    from conjure_kernel.estimators.embedding import ConjureEmbedding

__all__ = ["add_verbs", "embedding_of"]

EMBED = """\
examples:
  conjure embed prompts.txt -o vectors.npz
  conjure embed words.csv --column word -o vectors.parquet --components 512

A vector per prompt whose squared Euclidean distances estimate J on one shared pool of noisy points,
at a cost of T * --points noise predictions a prompt. --draws has no meaning here.

.npz      arrays prompts, vectors (float32), references, provenance (JSON)
.parquet  a column per component, the prompts as index; pip install "conjure-kernel[tables]"
"""
NEIGHBORS = """\
examples:
  conjure neighbors prompts.txt "a puppy"
  conjure neighbors prompts.txt "a puppy" "a red bus" -k 5 --json

Candidates come from vectors (see `conjure embed`); J of each of them is then measured, with its
standard error, and decides.
"""


def add_verbs(add: options.Add) -> None:
    """Add both commands; `add` makes a parser of a name, a function, a line and an epilog."""
    embed = add("embed", write_vectors, "write a vector for each prompt", EMBED)
    options.add_prompts(embed)
    options.add_output(embed, ".npz or .parquet")
    text = "length of a vector (%(default)s)"
    embed.add_argument("--components", metavar="N", type=int, default=1024, help=text)
    text = "noisy points at each noise level (%(default)s)"
    embed.add_argument("--points", metavar="M", type=int, default=8, help=text)
    near = add("neighbors", find_neighbors, "list the prompts nearest to others", NEIGHBORS)
    options.add_prompts(near)
    near.add_argument("queries", metavar="QUERY", nargs="+", help="prompts, in the list or not")
    near.add_argument("-k", metavar="K", type=int, default=10, help="neighbors (%(default)s)")
    near.add_argument("--json", action="store_true", help="print JSON")
    for parser in (embed, near):
        options.add_model(parser)
        options.add_cache(parser)


def write_vectors(args: Namespace) -> str:
    """Write the vectors of all prompts into a file."""
    from conjure_kernel.cli import files

    files.check_output(args.output, [".npz", ".parquet"], args.force)
    prompts = files.read_prompts(args.prompts, args.column)
    model = embedding_of(args, n_components=args.components, n_points=args.points)
    if not args.quiet:
        n = len(set(prompts))
        say(f"up to {model.n_predictions(n):,} noise predictions for {n} prompts")
    vectors = model.fit_transform(prompts)
    files.write_vectors(args.output, prompts, vectors, model.provenance_)
    if not args.quiet:
        say(f"{model.n_evaluations_:,} noise predictions made, '{args.output}' written")
    return ""


def find_neighbors(args: Namespace) -> str:
    """Nearest prompts of the list for each query, by J."""
    from conjure_kernel.cli import files
    from conjure_kernel.engine.pairwise import pairwise_divergence

    prompts = list(dict.fromkeys(files.read_prompts(args.prompts, args.column)))
    model, width = embedding_of(args), 5 * args.k
    if not args.quiet:
        say(f"up to {_most_predictions(args, model, len(prompts), width):,} noise predictions")
    found, model = {}, model.fit(prompts)
    loaded = {"model": model.denoiser, "device": "auto", "dtype": "auto", "model_kwargs": None}
    for query in dict.fromkeys(args.queries):
        near = _candidates(model, prompts, query, width)
        measured = pairwise_divergence([query], near, **{**settings_of(args), **loaded})
        order = measured.values[0].argsort(kind="stable")[: args.k]
        found[query] = [
            {
                "prompt": near[i],
                "divergence": float(measured.values[0, i]),
                "standard_error": float(measured.standard_errors[0, i]),
            }
            for i in order
        ]
    if args.json:
        return json.dumps(found, indent=1)
    return "\n\n".join(
        "\n".join([query, *(f"  {_line(row)}" for row in rows)]) for query, rows in found.items()
    )


def _most_predictions(args: Namespace, model: ConjureEmbedding, n: int, width: int) -> int:
    """Vectors of the list and of the queries, then J of each query and its candidates."""
    from conjure_kernel.engine.settings import Settings

    n_queries, settled = len(set(args.queries)), Settings(args.steps, guidance_scale=args.guidance)
    n_pairs = n_queries * min(width, n) * args.draws
    exact = settled.n_predictions(n_queries * args.draws + n_pairs, 2 * n_pairs)
    return model.n_predictions(n) + n_queries * args.steps * model.n_points + exact


def _line(row: dict[str, Any]) -> str:
    return f"{row['divergence']:<10.4g} ± {row['standard_error']:<8.2g}  {row['prompt']}"


def _candidates(model: ConjureEmbedding, prompts: list[str], query: str, n: int) -> list[str]:
    """The n prompts whose vectors are nearest, the query itself left out."""
    from sklearn.neighbors import NearestNeighbors

    others = [prompt for prompt in prompts if prompt != query]
    if not others:
        raise ValueError(f"{query!r}: the list holds no other prompt.")
    search = NearestNeighbors(n_neighbors=min(n, len(others))).fit(model.transform(others))
    (indices,) = search.kneighbors(model.transform([query]), return_distance=False)
    return [others[i] for i in indices]


def embedding_of(args: Namespace, **more: Any) -> ConjureEmbedding:
    """Estimator of vectors of the options of a command."""
    from conjure_kernel.estimators.embedding import ConjureEmbedding

    settings = settings_of(args)
    del settings["n_draws"]
    return ConjureEmbedding(**settings, **more)
