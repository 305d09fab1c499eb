"""What the `conjure` commands do: functions of the arguments that return what goes to stdout.

Importing this loads no torch. Layer 6.
"""

from __future__ import annotations

import json
import math
import sys
import time
from argparse import Namespace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from conjure_kernel import __version__

if TYPE_CHECKING:
    from conjure_kernel.divergence import Divergence
    from conjure_kernel.energies import Engine

__all__ = ["compare", "draw_explanation", "draw_map", "look_after_cache", "measure_table"]
__all__ += ["plan_table", "say", "settings_of"]

TIMED = 8  # prompts whose trajectories, needed anyway, tell how long the rest takes


def compare(args: Namespace) -> str:
    """J of two prompts, its legs, and what it means to a viewer."""
    engine = _open(args)
    measured = _measure(engine, [args.a, args.b], args)
    facts = _facts(measured)
    if args.json:
        a, b = measured.prompts_a
        finite = {name: value if math.isfinite(value) else None for name, value in facts.items()}
        more = {
            "n_evaluations": engine.denoiser.n_evaluations,
            "provenance": _provenance(engine, measured, args),
        }
        return json.dumps({"prompt_a": a, "prompt_b": b, **finite, **more}, indent=1)
    return "\n".join(_sentences(facts, measured))


def measure_table(args: Namespace) -> str:
    """Write the divergences of all pairs into a file."""
    from conjure_kernel import _cli_files as files

    files.check_output(args.output, files.TABLES, args.force)
    prompts = files.read_prompts(args.prompts, args.column)
    engine = _open(args)
    measured = _measure(engine, prompts, args)
    n = min(args.images, args.draws)
    images = engine.images(measured.prompts_a, n) if n and args.output.suffix == ".npz" else None
    files.write_table(args.output, measured, _provenance(engine, measured, args), images)
    return _end(engine, args)


def plan_table(args: Namespace) -> str:
    """What `measure_table`, or with --neighbors a graph, would cost."""
    from conjure_kernel import _cli_files as files
    from conjure_kernel.neighbors import ConjureNeighbors
    from conjure_kernel.planner import plan, plan_neighbors

    prompts, settings = files.read_prompts(args.prompts, args.column), settings_of(args)
    if args.neighbors is None:
        found = plan(prompts, **settings)
    else:
        found = plan_neighbors(ConjureNeighbors(n_neighbors=args.neighbors, **settings), prompts)
    return json.dumps(found.to_dict(), indent=1) if args.json else str(found)


def draw_map(args: Namespace) -> str:
    """Draw the matrix and the map with conjured images into a file."""
    from conjure_kernel import _cli_files as files
    from conjure_kernel._checks import check_choice
    from conjure_kernel._cli_vectors import draw_many
    from conjure_kernel._crowd import MANY

    files.check_output(args.output, [*files.PICTURES, ".html"], args.force)
    check_choice(args.layout or "mds", "--layout", ("mds", "umap"))
    if (args.prompts or "").lower().endswith(".npz"):
        found = files.read_matrix(args.prompts)
        _write_map(args, draws=None, **found)
        return ""
    prompts = files.read_prompts(args.prompts, args.column)
    if len(distinct := list(dict.fromkeys(prompts))) > MANY:
        return draw_many(args, distinct)
    engine = _open(args)
    measured = _measure(engine, prompts, args)
    _write_map(
        args,
        divergences=measured.values,
        labels=measured.prompts_a,
        standard_errors=measured.standard_errors,
        draws=measured.draws,
        images=engine.images(measured.prompts_a, min(args.images, args.draws)),
        provenance=_provenance(engine, measured, args),
    )
    return _end(engine, args)


def _write_map(args: Namespace, *, draws: Any, provenance: dict[str, Any], **shown: Any) -> None:
    from conjure_kernel import _cli_files as files

    if args.output.suffix.lower() == ".html":
        from conjure_kernel.interactive import html_map
        from conjure_kernel.plot import layout

        points = layout(shown["divergences"], method=args.layout or "mds")
        page = html_map(**shown, coordinates=points, provenance=provenance).page
        files.write_page(args.output, page)
        return
    from conjure_kernel.plot import plot_overview

    images = shown.pop("images")
    first = None if images is None else images[:, 0]
    figure = plot_overview(**shown, images=first, draws=draws, method=args.layout or "mds")
    files.write_figure(args.output, figure, provenance)


def draw_explanation(args: Namespace) -> str:
    """Draw where and when two prompts part into a file, or write its arrays."""
    from conjure_kernel import _cli_files as files

    files.check_output(args.output, [*files.PICTURES, ".npz"], args.force)
    from conjure_kernel.explanation import explain

    explanation = explain(args.a, args.b, draw=args.draw, **settings_of(args))
    provenance = {**explanation.provenance, "model": args.model, "versions": _versions()}
    if args.output.suffix.lower() == ".npz":
        files.write_explanation(args.output, explanation, provenance)
    else:
        from conjure_kernel.plot import plot_explanation

        files.write_figure(args.output, plot_explanation(explanation), provenance)
    return ""


def look_after_cache(args: Namespace) -> str:
    """What the cache holds, or the end of it."""
    from conjure_kernel._cachedir import cache_info, clear_cache, size_limit

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


def say(text: str) -> None:
    """Write one line to stderr."""
    sys.stderr.write(f"conjure: {' '.join(text.split())}\n")


def _open(args: Namespace) -> Engine:
    from conjure_kernel.opening import open_engine

    return open_engine(settings_of(args))[0]


def settings_of(args: Namespace) -> dict[str, Any]:
    """Parameters of the public face from the options of a command."""
    options = {"revision": args.revision, "token_env": args.token_env}
    return {
        "model": args.model,
        "model_kwargs": {name: value for name, value in options.items() if value is not None},
        "n_steps": args.steps,
        "n_draws": args.draws,
        "guidance_scale": args.guidance,
        "sampler": args.sampler,
        "memory": args.cache,
        "device": args.device,
        "dtype": args.dtype,
        "batch_size": args.batch_size,
        "random_state": args.seed,
        "verbose": int(not args.quiet and sys.stderr.isatty()),
    }


def _measure(engine: Engine, prompts: list[str], args: Namespace) -> Divergence:
    from conjure_kernel._checks import check_prompts
    from conjure_kernel.pairwise import measure_matrix

    prompts = check_prompts(prompts)
    if not args.quiet:
        _tell_cost(engine, list(dict.fromkeys(prompts)))
    return measure_matrix(engine, "jeffreys", prompts, prompts)


def _tell_cost(engine: Engine, prompts: list[str]) -> None:
    """Say how many predictions are to come and, after the first ones, how long the rest takes."""
    from conjure_kernel.planner import duration

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


def _end(engine: Engine, args: Namespace) -> str:
    if not args.quiet:
        say(f"{engine.denoiser.n_evaluations:,} noise predictions made, '{args.output}' written")
    return ""


def _facts(measured: Divergence) -> dict[str, float]:
    """What is known of the pair (row 0, column 1)."""
    from conjure_kernel.divergence import accuracy_bound

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
        "telling_log_snr": measured.telling_log_snr(),
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
    if math.isfinite(telling := facts["telling_log_snr"]):
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


def _provenance(engine: Engine, measured: Divergence, args: Namespace) -> dict[str, Any]:
    return {
        **engine.key,
        "model": args.model,
        "n_draws": measured.n_draws,
        "weighting": measured.weighting,
        "log_snr_range": list(measured.grid.log_snr_range),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    packages = ("torch", "diffusers", "scikit-learn")
    return {"conjure-kernel": __version__, **{name: version(name) for name in packages}}
