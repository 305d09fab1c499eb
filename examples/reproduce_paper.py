"""The paper's experiment: does its distance of Stable Diffusion 1.4 agree with human scores?

    python examples/reproduce_paper.py                                     # on a GPU
    python examples/reproduce_paper.py --model embedded --pairs 20         # try it out

STS-B, STS12-16 and SICK-R are fetched from the hub (pip install "conjure-kernel[scores]"); --tasks
also takes .tsv and .csv files. Each line of the table is 100 x Spearman of -log J over all pairs of
a task, with its 95 % interval, for both readings of "score", eps / sigma and eps, which cost the
same predictions once, and the same of the cosine of the model's own text encoder. What is measured
is kept in the cache, so an interrupted run goes on where it stopped.
"""

import argparse
import math
from pathlib import Path

from conjure_kernel import PAPER, evaluate, load_pairs
from conjure_kernel.evaluation import TASKS, ConjureScorer, TextEncoderScorer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--pairs", type=int, help="of each task, drawn by seed 0; default: all")
    parser.add_argument("--model", default=PAPER["model"])
    parser.add_argument("--guidance", type=float, default=PAPER["guidance_scale"])
    parser.add_argument("--steps", type=int, default=PAPER["n_steps"])
    parser.add_argument("--draws", type=int, default=PAPER["n_draws"])
    parser.add_argument("--cache", default="auto")
    parser.add_argument("-o", "--output", type=Path, default="reproduce_paper.md")
    given = parser.parse_args()
    settings = {**PAPER, "model": given.model, "guidance_scale": given.guidance}
    settings |= {"n_steps": given.steps, "n_draws": given.draws, "memory": given.cache}
    scorers = {
        f"-log J, {score}": ConjureScorer(
            origin=None, **{**settings, "weighting": weighting, "verbose": 1}
        )
        for score, weighting in (("eps / sigma", "paper"), ("eps", "noise"))
    }
    encoder = TextEncoderScorer(given.model)
    scorers[encoder.name] = encoder
    lines = [["task", "pairs", *scorers], ["---"] * (2 + len(scorers))]
    for task in given.tasks:
        pairs = load_pairs(task)
        if given.pairs is not None:
            pairs = pairs.sample(given.pairs)
        results = [evaluate(scorer, pairs).table.find(part="all") for scorer in scorers.values()]
        lines.append([pairs.name, str(len(pairs)), *map(cell, results)])
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        given.output.write_text(f"{table}\n", encoding="utf-8")
        print(table, flush=True)


def cell(row):
    """100 x Spearman with its interval; of fewer than 10 pairs there is none."""
    spearman, low, high = (100 * row[f"spearman{end}"] for end in ("", "_low", "_high"))
    return f"{spearman:.2f}" if math.isnan(low) else f"{spearman:.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main()
