"""Each picture of the package, of three prompts, for tests of what all of them must keep."""

from dataclasses import replace

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from conjure_kernel import (
    ConjureDrift,
    GaussianDenoiser,
    ablate,
    evaluate,
    explain,
    explain_words,
    model_agreement,
)
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.plot import (
    plot_ablation,
    plot_agreement,
    plot_drift,
    plot_evaluations,
    plot_explanation,
    plot_legs,
    plot_map,
    plot_matrix,
    plot_overview,
    plot_profile,
    plot_ratings,
    plot_series,
    plot_words,
)
from conjure_kernel.plot.maps import map_figure
from conjure_kernel.plot.matrix import matrix_figure

J = np.array([[0, 1, 4], [1, 0, 4], [4, 4, 0.0]])


def axes():
    figure = Figure(figsize=(6, 5))
    FigureCanvasAgg(figure)
    return figure.add_axes((0.15, 0.1, 0.6, 0.8))


def worlds(texts):
    def world(*places):
        return GaussianDenoiser({t: [p] * 12 for t, p in zip(texts, places, strict=True)})

    return world(0.0, 1.0, 3.0), world(0.5, 2.0, -1.0)


def explained(a, b):
    found = explain(a, b, model=worlds([a, b, "c"])[0], n_steps=3, n_draws=2)
    return replace(found, heat=found.heat.reshape(2, 2, 3, 3, 4))


def of_words(*words):
    texts = ["", *words, " ".join(words)]
    world = GaussianDenoiser({t: [float(i)] * 12 for i, t in enumerate(texts)})
    return explain_words(" ".join(words), model=world, n_steps=3, n_draws=2)


def scored(texts):
    parts, scores = [texts[1]] * 15 + [texts[2]] * 15, np.arange(30.0)
    sides = ([f"{side}{i}" for i in range(30)] for side in "ab")
    pairs = ScoredPairs(texts[0], *sides, scores, parts)

    def scorer(a, b):
        return scores + np.random.default_rng(0).normal(size=30)

    return [evaluate(scorer, pairs, name=text) for text in texts[:2]]


def swept(texts):
    world, _ = worlds(texts)
    pairs = ScoredPairs(texts[0], [texts[0]] * 2, texts[1:], np.array([5.0, 2.0]))
    table = ablate(pairs, sweeps={"n_draws": [2, 4]}, model=world, memory=None, n_steps=3).table
    table.rows[0]["value"] = texts[0]
    return table


def drifted(texts):
    return ConjureDrift(*worlds(texts), memory=None, n_steps=3, n_draws=2).fit(texts)


def trained(texts):
    def checkpoint(moved):
        means = {text: [(i + 1) * (1.0 + moved)] * 12 for i, text in enumerate(texts)}
        return GaussianDenoiser({"": [0.0] * 12, **means})

    run = ConjureDrift(checkpoint(0.0), memory=None, n_steps=3, n_draws=2)
    worlds = [checkpoint(0.3), checkpoint(0.9)]
    return run.fit_series(worlds, texts[1:], groups={"target": texts[:1]})


def agreed(texts):
    return model_agreement(texts, *worlds(texts), memory=None, n_steps=3, n_draws=2)


def with_legend(text):
    ax = plot_profile(np.ones(3), explained("a", "b").grid, label=text, ax=axes())
    ax.legend()
    return ax


# Those that make a figure, of any size.
FIGURES = {
    "matrix": lambda t, **more: matrix_figure(J, t, **more),
    "overview": lambda t, **more: plot_overview(J, t, title=t[0], unit="$ and $", **more),
    "explanation": lambda t, **more: plot_explanation(explained(*t[:2]), **more),
    "words": lambda t, **more: plot_words(of_words(*" ".join(t[:2]).split()[:3:2]), **more),
    "evaluations": lambda t, **more: plot_evaluations(scored(t), **more),
    "ablation": lambda t, **more: plot_ablation(swept(t), **more),
    "ratings": lambda t, **more: plot_ratings(scored(t)[:1], **more),
    "ratings of two": lambda t, **more: plot_ratings(scored(t), **more),
    "series": lambda t, **more: plot_series(trained(t), **more),
    "dots": lambda t, **more: map_figure(J[:, :2], t, **more),
    "drift": lambda t, **more: plot_drift(drifted(t), names=t[:2], **more),
    "agreement": lambda t, **more: plot_agreement(agreed(t), names=t[:2], **more),
}
PICTURES = FIGURES | {
    "matrix on axes": lambda t: plot_matrix(J, t, ax=axes()),
    "map": lambda t: plot_map(J[:, :2], t, ax=axes()),
    "legs": lambda t: plot_legs(J, t, ax=axes()),
    "profile": lambda t: with_legend(t[0]),
}
