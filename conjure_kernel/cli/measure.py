"""`conjure compare`, `matrix`, `plan`, `explain` and `cache`.

Each function takes the arguments of a command and returns what goes to stdout. Importing this
loads no torch.
"""

from __future__ import annotations

import json
import math
import time
from argparse import Namespace
from typing import TYPE_CHECKING

from conjure_kernel.cli import options
from conjure_kernel.cli.options import say, say_written, settings_of
from conjure_kernel.cli.prompts import read_prompts
from conjure_kernel.engine.parameters import EXPLAINED_DRAWS

if TYPE_CHECKING:
    from conjure_kernel.engine.engine import Engine
    from conjure_kernel.method.divergence import Divergence

__all__ = ["add_verbs", "measure", "open_model"]

TIMED = 8  # prompts whose trajectories, which are needed anyway, show how long the rest takes

COMPARE = """\
examples:
  conjure compare "a snowman" "a dog"
  conjure compare "a snowman" "a dog" --draws 16      standard errors half as large
  conjure compare tomato strawberry --json            for machines
  conjure compare "a doctor" "a man" --model stable-diffusion-v1-5/stable-diffusion-v1-5

similarity is exp(-J). The last two lines say how well a viewer can tell from one image which of
two equally likely prompts made it: from the image itself, and from the image with noise added.
"""
MATRIX = """\
examples:
  conjure matrix prompts.txt -o matrix.npz
  conjure matrix words.csv --column word -o matrix.csv --draws 8
  printf 'lemon\\npear\\nbus\\n' | conjure matrix - -o matrix.parquet

.npz      arrays prompts, divergences, standard_errors, kl (row || column) and provenance (JSON);
          with --images N also what each prompt conjures, for `conjure map OUTPUT -o map.html`
.csv      a line per cell, with its 95 % interval; the provenance is in OUTPUT.json
.md, .tex the same table for a paper, with the provenance in a comment
.parquet  the same table, with the provenance in its attrs; pip install "conjure-kernel[tables]"
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
    parser = add("compare", compare, "print how far apart two prompts are", COMPARE)
    options.add_pair(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options.add_model(parser)
    parser = add("matrix", measure_table, "write J of all pairs of prompts into a file", MATRIX)
    options.add_prompts(parser)
    options.add_output(parser, ".npz, .csv or .parquet")
    text = "images of each prompt in .npz (default: %(default)s)"
    parser.add_argument("--images", metavar="N", type=int, default=0, help=text)
    options.add_model(parser)
    text = "print the cost of a matrix: predictions, time, disk, memory"
    parser = add("plan", plan_table, text, PLAN)
    options.add_prompts(parser)
    text = "cost of a graph of the K nearest prompts instead (ConjureNeighbors), without a cache"
    parser.add_argument("--neighbors", metavar="K", type=int, help=text)
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


def compare(args: Namespace) -> str:
    """J of two prompts, its legs, and what it means for a viewer."""
    from conjure_kernel.engine.provenance import provenance_of

    engine = open_model(args)
    measured = measure(engine, [args.a, args.b], args)
    facts = _facts(measured)
    if args.json:
        a, b = measured.prompts_a
        finite = {name: value if math.isfinite(value) else None for name, value in facts.items()}
        more = {
            "n_evaluations": engine.denoiser.n_evaluations,
            "provenance": provenance_of(engine),
        }
        return json.dumps({"prompt_a": a, "prompt_b": b, **finite, **more}, indent=1)
    return "\n".join(_sentences(facts, measured))


def measure_table(args: Namespace) -> str:
    """Write the divergences of all pairs into a file."""
    from conjure_kernel._checks import check_number
    from conjure_kernel.cli import files
    from conjure_kernel.engine.provenance import provenance_of

    files.check_output(args.output, files.TABLES, args.force)
    n_images = check_number(args.images, "--images", least=0, integer=True)
    prompts = read_prompts(args)
    engine = open_model(args)
    measured = measure(engine, prompts, args)
    keeps_images = n_images and args.output.suffix.lower() == ".npz"
    images = engine.images(measured.prompts_a, n_images) if keeps_images else None
    files.write_table(args.output, measured, provenance_of(engine), images)
    say_written(engine.denoiser.n_evaluations, args)
    return ""


def plan_table(args: Namespace) -> str:
    """The cost of `measure_table`, or with --neighbors of a graph."""
    from conjure_kernel.engine.plan import plan
    from conjure_kernel.estimators.neighbors import ConjureNeighbors

    prompts, settings = read_prompts(args), settings_of(args)
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

    explanation = explain(args.a, args.b, draw=args.draw, **settings_of(args))
    if args.output.suffix.lower() == ".npz":
        files.write_explanation(args.output, explanation)
    else:
        from conjure_kernel.plot import plot_explanation

        files.write_figure(args.output, plot_explanation(explanation), explanation.provenance)
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


def measure(engine: Engine, prompts: list[str], args: Namespace) -> Divergence:
    """J of all pairs of prompts; before, a line tells the cost."""
    from conjure_kernel._checks import check_prompts
    from conjure_kernel.engine.pairwise import measure_matrix

    prompts = check_prompts(prompts)
    if not args.quiet:
        _tell_cost(engine, list(dict.fromkeys(prompts)))
    return measure_matrix(engine, prompts, prompts)


def _tell_cost(engine: Engine, prompts: list[str]) -> None:
    """Say how many predictions are to come and, after the first ones, how long the rest takes."""
    from conjure_kernel.engine.plan import duration
    from conjure_kernel.engine.steps import check_cost

    requests = dict.fromkeys(prompts, prompts)
    if (total := engine.cost(requests)) == 0:
        return
    check = check_cost(engine, requests)
    most = "up to " if check else ""
    say(f"{most}{total + check:,} noise predictions for {len(prompts)} prompts")
    engine.load()
    untraced = [prompt for prompt in prompts if engine.cost({prompt: [prompt]})]
    before, begun = engine.denoiser.n_evaluations, time.monotonic()
    engine.measure({prompt: [prompt] for prompt in untraced[:TIMED]})
    made, seconds = engine.denoiser.n_evaluations - before, time.monotonic() - begun
    if made and (left := engine.cost(requests)):
        say(f"about {duration(seconds / made * (left + check))} to go")


def _facts(measured: Divergence) -> dict[str, float]:
    """What is known of the pair (row 0, column 1)."""
    from conjure_kernel.method.accuracy import accuracy_bound

    numbers = {
        **measured.numbers(),
        "distance_standard_error": measured.distance_standard_errors,
        "detection_log_snr": measured.detection_log_snr(),
    }
    facts = {name: float(array[0, 1]) for name, array in numbers.items()}
    facts["similarity"] = math.exp(-facts["divergence"])
    facts["accuracy_bound"] = float(accuracy_bound(facts["divergence"]))
    return facts


def _sentences(facts: dict[str, float], measured: Divergence) -> list[str]:
    """The facts as lines of text."""
    (a, b), (start, end) = measured.prompts_a, measured.grid.log_snr_range
    interval = f"95 % interval {facts['low']:.4g} to {facts['high']:.4g}"
    error = f" ± {facts['distance_standard_error']:.2g}"
    if measured.n_draws == 1:
        interval, error = "no interval from 1 draw", ""
    sentences = [
        f"a             {a}",
        f"b             {b}",
        f"J             {facts['divergence']:.4g} nats, {interval}",
        f"KL(a || b)    {facts['kl_ab']:.4g}",
        f"KL(b || a)    {facts['kl_ba']:.4g}",
        f"distance      {facts['distance']:.4g}{error}",
        f"similarity    {facts['similarity']:.3g}",
        f"log-SNR       {start:.3g} to {end:.3g}",
        f"viewer        tells them apart by one image {_at_most(facts['accuracy_bound'])}",
    ]
    if math.isfinite(level := facts["detection_log_snr"]):
        noise = f"{100 / (1 + math.exp(level)):.0f} % of the variance or more"
        sentences.append(f"with noise    of {noise} (log-SNR {level:.2g}): 75 % at most")
    return sentences


def _at_most(accuracy: float) -> str:
    """In percent, with one digit more than it has nines; rounded up, so that it stays a bound."""
    share = 100 * accuracy
    digits = 1 + max(0, math.ceil(-math.log10(max(100 - share, 1e-6))))
    shown = math.ceil(share * 10**digits) / 10**digits
    return (
        f"{shown:.{digits}f} % of the time at most" if shown < 100 else "every time, or nearly so"
    )
