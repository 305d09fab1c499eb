"""`conjure compare`, `matrix`, `plan`, `explain`, and `cache`, which looks after the disk.

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
from conjure_kernel.cli.options import say, settings_of

if TYPE_CHECKING:
    from conjure_kernel.engine.engine import Engine
    from conjure_kernel.method.divergence import Divergence

__all__ = ["add_verbs", "end", "measure", "open_model"]

TIMED = 8  # prompts whose trajectories, needed anyway, tell how long the rest takes

COMPARE = """\
examples:
  conjure compare "a snowman" "a dog"
  conjure compare "a snowman" "a dog" --draws 16      standard errors half as large
  conjure compare tomato strawberry --json            for machines
  conjure compare "a doctor" "a man" --model stable-diffusion-v1-5/stable-diffusion-v1-5

similarity is exp(-J). The last two lines say how well anyone can tell from one image which of two
equally likely prompts made it: from the image itself, and from one with noise added.
"""
MATRIX = """\
examples:
  conjure matrix prompts.txt -o matrix.npz
  conjure matrix words.csv --column word -o matrix.csv --draws 8
  printf 'lemon\\npear\\nbus\\n' | conjure matrix - -o matrix.parquet

.npz      arrays prompts, divergences, standard_errors, kl (row || column), provenance (JSON), and
          with --images N what each prompt conjures, for `conjure map OUTPUT -o map.html`
.csv      a line per cell, with its 95 % interval; the provenance is in OUTPUT.json
.parquet  the same table, the provenance in its attrs; pip install "conjure-kernel[tables]"
"""
PLAN = """\
examples:
  conjure plan prompts.txt
  conjure plan prompts.txt --draws 8 --guidance 5 --json
  conjure plan prompts.txt --neighbors 15

What the cache holds is not counted again. Unless it holds everything, the model is loaded and timed
for a few seconds; the options are those of `conjure matrix`.
"""
EXPLAIN = """\
examples:
  conjure explain tomato strawberry                   drawn into explain.png
  conjure explain "a snowman" "a dog" -o explain.pdf --guidance 3
  conjure explain tomato strawberry -o explain.npz    heat, views, profile, morph, ...

Both prompts are asked at the same noisy points: the clean image that each sees there, where in the
image they differ, J over the noise levels, and what a chain of the first becomes if the second
takes over. Nothing is cached.
"""
CACHE = """\
examples:
  conjure cache info
  conjure cache clear --yes
  conjure cache info --cache /scratch/conjure

"auto" is the folder CONJURE_KERNEL_CACHE, else one per user. Above CONJURE_KERNEL_CACHE_LIMIT
(20GB) trajectories are evicted, least recently used first; energies, which are small, are kept.
"""


def add_verbs(add: options.Add) -> None:
    """Add the commands; `add` makes a parser of a name, a function, a line and an epilog."""
    two = add("compare", compare, "print how far apart two prompts are", COMPARE)
    two.add_argument("a", metavar="PROMPT")
    two.add_argument("b", metavar="PROMPT")
    two.add_argument("--json", action="store_true", help="print JSON")
    table = add("matrix", measure_table, "measure all pairs of prompts, into a file", MATRIX)
    options.add_prompts(table)
    options.add_output(table, ".npz, .csv or .parquet")
    text = "images of each prompt in .npz (%(default)s; at most --draws)"
    table.add_argument("--images", metavar="N", type=int, default=0, help=text)
    text = "print what a matrix would cost: predictions, time, disk, memory"
    cost = add("plan", plan_table, text, PLAN)
    options.add_prompts(cost)
    text = "of the K nearest of each prompt instead (ConjureNeighbors), from an empty cache"
    cost.add_argument("--neighbors", metavar="K", type=int, help=text)
    cost.add_argument("--json", action="store_true", help="print JSON")
    text = "draw where and when two prompts part, and as what pictures"
    parted = add("explain", draw_explanation, text, EXPLAIN)
    parted.add_argument("a", metavar="PROMPT")
    parted.add_argument("b", metavar="PROMPT")
    options.add_output(parted, ".png, .pdf, .svg or .npz", default="explain.png")
    parted.add_argument("--draw", metavar="K", type=int, default=0, help="chain to show (0)")
    for parser in (two, table, cost, parted):
        options.add_model(parser)
    for parser in (two, table, cost):
        options.add_cache(parser)
    parted.set_defaults(cache=None)
    keep = add("cache", look_after_cache, "show or clear what is kept on disk", CACHE)
    keep.add_argument("action", choices=["info", "clear"])
    keep.add_argument("--yes", action="store_true", help="clear without asking back")
    options.add_cache(keep)


def compare(args: Namespace) -> str:
    """J of two prompts, its legs, and what it means to a viewer."""
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
    from conjure_kernel.cli import files
    from conjure_kernel.engine.provenance import provenance_of

    files.check_output(args.output, files.TABLES, args.force)
    prompts = files.read_prompts(args.prompts, args.column)
    engine = open_model(args)
    measured = measure(engine, prompts, args)
    n = min(args.images, args.draws)
    images = engine.images(measured.prompts_a, n) if n and args.output.suffix == ".npz" else None
    files.write_table(args.output, measured, provenance_of(engine), images)
    return end(engine, args)


def plan_table(args: Namespace) -> str:
    """What `measure_table`, or with --neighbors a graph, would cost."""
    from conjure_kernel.cli import files
    from conjure_kernel.engine.plan import plan
    from conjure_kernel.estimators.neighbors import ConjureNeighbors

    prompts, settings = files.read_prompts(args.prompts, args.column), settings_of(args)
    if args.neighbors is None:
        found = plan(prompts, **settings)
    else:
        found = ConjureNeighbors(n_neighbors=args.neighbors, **settings).plan(prompts)
    return json.dumps(found.to_dict(), indent=1) if args.json else str(found)


def draw_explanation(args: Namespace) -> str:
    """Draw where and when two prompts part into a file, or write its arrays."""
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


def look_after_cache(args: Namespace) -> str:
    """What the cache holds, or the end of it."""
    from conjure_kernel.cache.folder import cache_info, clear_cache, size_limit

    held = cache_info(args.cache)
    if held.location is None:
        raise ValueError("--cache none: there is nothing to look at. Name a folder, or auto.")
    if args.action == "clear":
        size = (held.energy_bytes + held.trajectory_bytes) / 1e6
        if not args.yes:
            raise ValueError(f"'{held.location}' holds {size:,.1f} MB: pass --yes to delete them.")
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
    """J of all pairs of prompts, after a line about its cost."""
    from conjure_kernel._checks import check_prompts
    from conjure_kernel.engine.pairwise import measure_matrix

    prompts = check_prompts(prompts)
    if not args.quiet:
        _tell_cost(engine, list(dict.fromkeys(prompts)))
    return measure_matrix(engine, prompts, prompts)


def _tell_cost(engine: Engine, prompts: list[str]) -> None:
    """Say how many predictions are to come and, after the first ones, how long the rest takes."""
    from conjure_kernel.engine.plan import duration

    requests = dict.fromkeys(prompts, prompts)
    if (total := engine.cost(requests)) == 0:
        return
    say(f"{total:,} noise predictions for {len(prompts)} prompts")
    engine.load()
    untraced = [prompt for prompt in prompts if engine.cost({prompt: [prompt]})]
    before, begun = engine.denoiser.n_evaluations, time.monotonic()
    engine.measure({prompt: [prompt] for prompt in untraced[:TIMED]})
    made, seconds = engine.denoiser.n_evaluations - before, time.monotonic() - begun
    if made and (left := engine.cost(requests)):
        say(f"about {duration(seconds / made * left)} to go")


def end(engine: Engine, args: Namespace) -> str:
    """The last line of a command that wrote a file."""
    if not args.quiet:
        say(f"{engine.denoiser.n_evaluations:,} noise predictions made, '{args.output}' written")
    return ""


def _facts(measured: Divergence) -> dict[str, float]:
    """What is known of the pair (row 0, column 1)."""
    from conjure_kernel.method.accuracy import accuracy_bound

    (low, high), (forward, backward) = measured.interval(), measured.legs
    numbers = {
        "divergence": measured.values,
        "standard_error": measured.standard_errors,
        "low": low,
        "high": high,
        "kl_ab": forward,
        "kl_ba": backward,
        "distance": measured.distances,
        "distance_standard_error": measured.distance_standard_errors,
        "detection_log_snr": measured.detection_log_snr(),
    }
    facts = {name: float(array[0, 1]) for name, array in numbers.items()}
    facts["similarity"] = math.exp(-facts["divergence"])
    facts["accuracy_bound"] = float(accuracy_bound(facts["divergence"]))
    return facts


def _sentences(facts: dict[str, float], measured: Divergence) -> list[str]:
    """Facts in words."""
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
    if math.isfinite(telling := facts["detection_log_snr"]):
        noise = f"{100 / (1 + math.exp(telling)):.0f} % of the variance or more"
        sentences.append(f"with noise    of {noise} (log-SNR {telling:.2g}): 75 % at most")
    return sentences


def _at_most(accuracy: float) -> str:
    """In percent, with a digit more than it has nines, rounded up: a bound stays one."""
    share = 100 * accuracy
    digits = 1 + max(0, math.ceil(-math.log10(max(100 - share, 1e-6))))
    shown = math.ceil(share * 10**digits) / 10**digits
    return (
        f"{shown:.{digits}f} % of the time at most" if shown < 100 else "every time, or nearly so"
    )
