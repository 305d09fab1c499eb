"""`conjure matrix`, `plan`, `explain` and `cache`.

Each function takes the arguments of a command and returns what goes to stdout. Importing this
loads no torch.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from conjure_kernel.cli import options
from conjure_kernel.cli.options import say, say_written, settings_of
from conjure_kernel.cli.prompts import read_prompts
from conjure_kernel.cli.unknown import tell_unknown
from conjure_kernel.engine.parameters import EXPLAINED_DRAWS

if TYPE_CHECKING:
    from conjure_kernel.engine.engine import Engine
    from conjure_kernel.engine.pairwise import Measured

__all__ = ["add_verbs", "measure", "open_model"]

MATRIX = """\
examples:
  conjure matrix prompts.txt -o matrix.npz
  conjure matrix words.csv --column word -o matrix.csv --draws 8
  conjure matrix prompts.txt -o matrix.pdf --size 3.5
  printf 'lemon\\npear\\nbus\\n' | conjure matrix - -o matrix.parquet

.npz      arrays prompts, divergences, standard_errors, kl (row || column) and provenance (JSON);
          with --images N also what each prompt conjures, for `conjure map OUTPUT -o map.html`
.csv      a line per cell, with its 95 % interval; the provenance is in OUTPUT.json
.md, .tex the same table for a paper, with the provenance in a comment
.parquet  the same table, with the provenance in its attrs; pip install "conjure-kernel[tables]"
.png, .pdf, .svg  a picture of it, with its rows in the order of a dendrogram
"""
PLAN = """\
examples:
  conjure plan prompts.txt
  conjure plan prompts.txt --draws 8 --guidance 5 --json
  conjure plan prompts.txt --neighbors 15

What the cache holds is not counted. Unless it holds everything, the model is loaded and timed for a
few seconds. The options are those of `conjure matrix`.
"""
EXPLAIN = """\
examples:
  conjure explain tomato strawberry                   writes explain.png
  conjure explain "a snowman" "a dog" -o explain.pdf --guidance 3
  conjure explain tomato strawberry -o explain.npz    heat, views, profile, morph, ...

The picture shows the clean images that both prompts predict at the same noisy points, where in the
image these differ, J over the noise levels, and what a chain of the first prompt becomes if the
second one takes over. Nothing is cached.
"""
CACHE = """\
examples:
  conjure cache info
  conjure cache clear --yes
  conjure cache info --cache /scratch/conjure

"auto" is the folder in CONJURE_KERNEL_CACHE, or else one per user. Above CONJURE_KERNEL_CACHE_LIMIT
(default: 20GB) the least recently used trajectories are deleted; energies are small and are kept.
"""


def add_verbs(add: options.Add) -> None:
    """Add the commands; `add` makes a parser of a name, a function, a line and an epilog."""
    parser = add("matrix", measure_table, "write J of all pairs of prompts into a file", MATRIX)
    options.add_prompts(parser)
    options.add_output(parser, ".npz, .csv, .md, .tex, .parquet, .png, .pdf or .svg")
    options.add_origin(parser)
    text = "images of each prompt in .npz (default: %(default)s)"
    parser.add_argument("--images", metavar="N", type=int, default=0, help=text)
    options.add_model(parser)
    text = "print the cost of a matrix: predictions, time, disk, memory"
    parser = add("plan", plan_table, text, PLAN)
    options.add_prompts(parser)
    text = "cost of a graph of the K nearest prompts instead (ConjureNeighbors), without a cache"
    parser.add_argument("--neighbors", metavar="K", type=int, help=text)
    options.add_origin(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options.add_model(parser)
    text = "show where in the image and at which noise two prompts differ, as a picture"
    parser = add("explain", render_explanation, text, EXPLAIN)
    options.add_pair(parser)
    options.add_output(parser, ".png, .pdf, .svg or .npz", default="explain.png")
    text = "number of the trajectory to show (default: %(default)s, the first)"
    parser.add_argument("--draw", metavar="K", type=int, default=0, help=text)
    options.add_model(parser, cached=False)
    parser.set_defaults(draws=EXPLAINED_DRAWS)
    parser = add("cache", manage_cache, "show or clear what is kept on disk", CACHE)
    parser.add_argument("action", choices=["info", "clear"], help="show its size, or delete it")
    parser.add_argument("--yes", action="store_true", help="confirm that the cache is deleted")
    options.add_cache(parser)


def measure_table(args: Namespace) -> str:
    """Write the divergences of all pairs into a file."""
    from conjure_kernel._checks import check_number
    from conjure_kernel.cli import files
    from conjure_kernel.engine.provenance import provenance_of

    files.check_output(args.output, [*files.TABLES, *files.PICTURES], args.force)
    n_images = check_number(args.images, "--images", least=0, integer=True)
    prompts = read_prompts(args)
    engine = open_model(args)
    tell_unknown(args, prompts)
    measured = measure(engine, prompts, args)
    keeps_images = n_images and args.output.suffix.lower() == ".npz"
    images = engine.images(measured.prompts_a, n_images) if keeps_images else None
    if args.output.suffix.lower() in files.PICTURES:
        _write_matrix(measured, provenance_of(engine), args)
    else:
        files.write_table(args.output, measured, provenance_of(engine), images)
    say_written(engine.denoiser.n_evaluations, args)
    return ""


def _write_matrix(measured: Measured, provenance: dict[str, Any], args: Namespace) -> None:
    from conjure_kernel.cli import files
    from conjure_kernel.plot.matrix import matrix_figure

    more: dict[str, Any] = {"standard_errors": measured.standard_errors}
    more["unit"] = "relative to the empty prompt" if provenance.get("origin") else "nats"
    shown = (measured.values, measured.prompts_a)
    files.write_figure(args.output, args, provenance, matrix_figure, *shown, **more)


def plan_table(args: Namespace) -> str:
    """The cost of `measure_table`, or with --neighbors of a graph."""
    from conjure_kernel.engine.plan import plan
    from conjure_kernel.estimators.neighbors import ConjureNeighbors

    prompts, settings = read_prompts(args), settings_of(args)
    tell_unknown(args, prompts)
    if args.neighbors is None:
        cost = plan(prompts, **settings)
    else:
        cost = ConjureNeighbors(n_neighbors=args.neighbors, **settings).plan(prompts)
    return json.dumps(cost.to_dict(), indent=1) if args.json else str(cost)


def render_explanation(args: Namespace) -> str:
    """Write a picture of where and at which noise two prompts differ, or its arrays."""
    from conjure_kernel.cli import files

    files.check_output(args.output, [*files.PICTURES, ".npz"], args.force)
    from conjure_kernel.engine.explanation import explain

    tell_unknown(args, [args.a, args.b])
    explanation = explain(args.a, args.b, draw=args.draw, **settings_of(args))
    if args.output.suffix.lower() == ".npz":
        files.write_explanation(args.output, explanation)
    else:
        from conjure_kernel.plot import plot_explanation

        about = explanation.provenance
        files.write_figure(args.output, args, about, plot_explanation, explanation)
    if not args.quiet and not options.UNWRITTEN:
        say(f"'{args.output}' written")
    return ""


def manage_cache(args: Namespace) -> str:
    """Tell what the cache holds, or clear it."""
    from conjure_kernel.cache.folder import size_limit
    from conjure_kernel.cache.upkeep import cache_info, clear_cache

    held = cache_info(args.cache)
    if held.location is None:
        given = args.cache or "none"
        raise ValueError(f"--cache={given}: expected a folder where something can be kept.")
    if args.action == "clear":
        size = (held.energy_bytes + held.trajectory_bytes) / 1e6
        if not args.yes:
            raise ValueError(
                f"clear: expected --yes, as '{held.location}' holds {size:,.1f} MB; pass it to "
                "delete them."
            )
        return f"{clear_cache(args.cache) / 1e6:,.1f} MB freed in {held.location}"
    lines = [
        f"location      {held.location}",
        f"models        {held.n_models}, in {held.n_runs} runs of different settings",
        f"prompts       {held.n_prompts}",
        f"energies      {held.energy_bytes / 1e6:,.1f} MB",
        f"trajectories  {held.trajectory_bytes / 1e6:,.1f} MB",
        f"limit         {size_limit() / 1e6:,.0f} MB",
    ]
    return "\n".join(lines)


def open_model(args: Namespace) -> Engine:
    """Engine of the options of a command."""
    from conjure_kernel.engine.opening import open_engine

    return open_engine(settings_of(args))


def measure(
    engine: Engine, prompts: list[str], args: Namespace, more: Callable[[], int] | None = None
) -> Measured:
    """J of all pairs of prompts; before, a line tells the cost, with that of what follows."""
    from conjure_kernel._checks import check_prompts
    from conjure_kernel.engine.pairwise import measure_matrix

    prompts = check_prompts(prompts)
    if not args.quiet:
        _tell_cost(engine, list(dict.fromkeys(prompts)), more)
    return measure_matrix(engine, prompts, prompts)


def _tell_cost(engine: Engine, prompts: list[str], more: Callable[[], int] | None = None) -> None:
    """Say how many predictions are to come and, after the first seconds, how long they take."""
    from conjure_kernel.engine.cost import duration
    from conjure_kernel.engine.ledger import requests_of_matrix
    from conjure_kernel.engine.steps import check_cost

    requests = requests_of_matrix(prompts, engine.origin)
    if (total := engine.cost(requests)) == 0:
        return
    check = check_cost(engine, requests) + (more() if more else 0)
    most = "up to " if check else ""
    say(f"{most}{total + check:,} noise predictions for {len(prompts)} prompts")
    engine.tell_rate = lambda left, rate: say(f"about {duration((left + check) / rate)} to go")
