"""`conjure compare`: how far apart two prompts are, in nats, relatively, and to a viewer.

Importing this loads no torch.
"""

from __future__ import annotations

import json
import math
from argparse import Namespace
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from conjure_kernel.cli import options
from conjure_kernel.cli.measure import measure, open_model
from conjure_kernel.cli.unknown import tell_unknown
from conjure_kernel.cli.vectors import embedding_of

if TYPE_CHECKING:
    from conjure_kernel.engine.engine import Engine
    from conjure_kernel.method.divergence import Divergence

__all__ = ["add_verbs"]

COMPARE = """\
examples:
  conjure compare "a snowman" "a dog"
  conjure compare "a snowman" "a dog" --draws 16      standard errors half as large
  conjure compare tomato strawberry --json            for machines
  conjure compare "a doctor" "a man" --model stable-diffusion-v1-5/stable-diffusion-v1-5

relative is J over how far both prompts are from the empty one: 1 is as far apart as each is from
nothing in particular. Once `conjure map --exact --origin empty` has measured the short list in the
package with the same options, a line says where it lies among pairs of everyday things. cosine is
that of the directions in which guidance pulls, from -1 to 1. The last two lines say how well a
viewer can tell from one image which of two equally likely prompts made it: from the image itself,
and from the image with noise added.
"""


def add_verbs(add: options.Add) -> None:
    """Add the command; `add` makes a parser of a name, a function, a line and an epilog."""
    parser = add("compare", compare, "print how far apart two prompts are", COMPARE)
    options.add_pair(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options.add_model(parser)


def compare(args: Namespace) -> str:
    """J of two prompts, its legs, how large that is, and what it means for a viewer."""
    from conjure_kernel._checks import check_prompts
    from conjure_kernel.engine.parameters import ORIGINS
    from conjure_kernel.engine.provenance import provenance_of
    from conjure_kernel.estimators.directions import Directions

    a, b = check_prompts([args.a, args.b])
    engine = open_model(args)
    tell_unknown(args, [a, b])
    three = [a, b, ORIGINS["empty"]]
    measured: Any = measure(engine, three, args, more=lambda: _cost_of_cosine(args))
    facts = _facts(measured)
    if "relative_divergence" in facts:
        directions = Directions(engine, list(dict.fromkeys([a, b])))
        facts["cosine"], facts["cosine_standard_error"] = directions.cosine(a, b)
        facts |= _rank(engine, facts["relative_divergence"])
    if args.json:
        finite = {name: value if math.isfinite(value) else None for name, value in facts.items()}
        spent = engine.denoiser.n_evaluations
        more = {"n_evaluations": spent, "provenance": provenance_of(engine)}
        return json.dumps({"prompt_a": a, "prompt_b": b, **finite, **more}, indent=1)
    return "\n".join(_sentences(facts, measured))


def _cost_of_cosine(args: Namespace) -> int:
    return embedding_of(args, origin="empty").n_predictions(2)


def _facts(measured: Divergence) -> dict[str, float]:
    """What is known of the pair (row 0, column 1), of which the last row is the empty prompt's."""
    from conjure_kernel.method.accuracy import accuracy_bound
    from conjure_kernel.method.origin import relative_matrix

    numbers = {
        **measured.numbers(),
        "distance_standard_error": measured.distance_standard_errors,
        "detection_log_snr": measured.detection_log_snr(),
    }
    with suppress(ValueError):  # a prompt that conjures what the empty one does
        relative = relative_matrix(measured).numbers()
        named = {"low": "relative_low", "high": "relative_high"}
        named |= {"standard_error": "relative_standard_error"}
        numbers |= {name: relative[own] for own, name in named.items()}
        numbers["relative_divergence"] = relative["relative_divergence"]
    facts = {name: float(array[0, 1]) for name, array in numbers.items()}
    facts["accuracy_bound"] = float(accuracy_bound(facts["divergence"]))
    return facts


def _rank(engine: Engine, relative: float) -> dict[str, float]:
    """Share of the pairs of the short list that are further apart, where it is free."""
    from conjure_kernel.cli.prompts import listed_prompts
    from conjure_kernel.engine.ledger import requests_of_matrix
    from conjure_kernel.engine.pairwise import measure_matrix
    from conjure_kernel.engine.parameters import ORIGINS
    from conjure_kernel.method.origin import relative_matrix

    words = [*listed_prompts(), ORIGINS["empty"]]
    if engine.cost(requests_of_matrix(words)):
        return {}
    matrix: Any = measure_matrix(engine, words, words)
    values = relative_matrix(matrix).values
    others = [values[i, j] for i in range(len(values)) for j in range(i)]
    return {"closer_than": sum(value > relative for value in others) / len(others)}


def _sentences(facts: dict[str, float], measured: Divergence) -> list[str]:
    """The facts as lines of text."""
    (a, b, _), (start, end) = measured.prompts_a, measured.grid.log_snr_range
    interval = f", 95 % interval {facts['low']:.4g} to {facts['high']:.4g}"
    error = f" ± {facts['distance_standard_error']:.2g}"
    if measured.n_draws == 1:
        interval, error = ", no interval from 1 draw", ""
    sentences = [
        f"a             {a}",
        f"b             {b}",
        f"J             {facts['divergence']:.4g} nats{interval}",
        f"KL(a || b)    {facts['kl_ab']:.4g}",
        f"KL(b || a)    {facts['kl_ba']:.4g}",
        f"distance      {facts['distance']:.4g}{error}",
        *_likeness(facts, measured.n_draws),
        f"log-SNR       {start:.3g} to {end:.3g}",
        f"viewer        tells them apart by one image {_at_most(facts['accuracy_bound'])}",
    ]
    if math.isfinite(level := facts["detection_log_snr"]):
        noise = f"{100 / (1 + math.exp(level)):.0f} % of the variance or more"
        sentences.append(f"with noise    of {noise} (log-SNR {level:.2g}): 75 % at most")
    return sentences


def _likeness(facts: dict[str, float], n_draws: int) -> list[str]:
    """Lines that tell how large J is, in units of what both prompts are away from the empty one."""
    if "relative_divergence" not in facts:
        return ["relative      none, as one of them conjures what the empty prompt does"]
    interval = f", 95 % interval {facts['relative_low']:.3g} to {facts['relative_high']:.3g}"
    if n_draws == 1:
        interval = ""
    among = []
    if "closer_than" in facts:
        share = f"{facts['closer_than']:.0%}"
        among = [f"among others  closer than {share} of pairs of everyday things"]
    return [
        f"relative      {facts['relative_divergence']:.3g}{interval}",
        *among,
        f"cosine        {facts['cosine']:.2f} ± {facts['cosine_standard_error']:.2g}",
    ]


def _at_most(accuracy: float) -> str:
    """In percent, with one digit more than it has nines; rounded up, so that it stays a bound."""
    share = 100 * accuracy
    digits = 1 + max(0, math.ceil(-math.log10(max(100 - share, 1e-6))))
    shown = math.ceil(share * 10**digits) / 10**digits
    return (
        f"{shown:.{digits}f} % of the time at most" if shown < 100 else "every time, or nearly so"
    )
