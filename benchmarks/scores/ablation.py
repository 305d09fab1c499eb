"""Which settings agree best with people? One changed at a time: a table and a figure.

    python benchmarks/scores/ablation.py PAIRS.tsv [--known] [--pairs 150] [-o ablation.png]

The sweeps of `ablate`: guidance, steps, draws, weighting, sampler, thirds of the noise levels,
legs. The table, also written as .md beside the figure, says what each row cost. Resumable.
"""

from pathlib import Path

from _pairs import choose, make_parser, tell_cost
from conjure_kernel.evaluation.ablation import SWEEPS, ablate, settings_to_measure
from conjure_kernel.plot import plot_ablation


def main() -> None:
    parser = make_parser(__doc__, 150)
    parser.add_argument("-o", "--output", type=Path, default="ablation.png")
    given = parser.parse_args()
    pairs = choose(given)
    settings = {"model": given.model, "memory": given.cache, "verbose": 1}
    tell_cost(pairs, *settings_to_measure(SWEEPS, settings))
    result = ablate(pairs, **settings)
    print(result)
    given.output.with_suffix(".md").write_text(f"{result}\n", encoding="utf-8")
    plot_ablation(result.table).savefig(given.output, dpi=150)


if __name__ == "__main__":
    main()
