"""
Every figure of the package
===========================

Each kind of figure once, with the code that makes it, and with the command where there is one. A
figure that a function returns is saved with ``figure.savefig("name.pdf")``; functions that return
axes draw into ``ax=``, or on a new figure of pyplot. ``size=3.5`` makes one for the column of a
paper, as ``--size 3.5 --format pdf`` does for a command, and ``--font`` or
``conjure_kernel.plot.font_context`` sets the font.
"""

import numpy as np

from conjure_kernel import (
    ConjureDistance,
    ConjureDrift,
    ConjureEmbedding,
    GaussianDenoiser,
    ablate,
    evaluate,
    explain,
    explain_words,
    model_agreement,
    pairwise_divergence,
)
from conjure_kernel.evaluation import ConjureScorer, ScoredPairs
from conjure_kernel.plot import (
    layout,
    layout_vectors,
    plot_ablation,
    plot_agreement,
    plot_drift,
    plot_evaluations,
    plot_explanation,
    plot_legs,
    plot_map,
    plot_matrix,
    plot_morph,
    plot_mosaic,
    plot_overview,
    plot_profile,
    plot_ratings,
    plot_series,
    plot_shepard,
    plot_strip,
    plot_words,
    stress,
)

MODEL = "embedded"  # or a hub id, or a folder made by save_pretrained
PROMPTS = ["strawberry", "tomato", "lemon", "moon", "car", "bus", "dog", "lion"]

distance = ConjureDistance(MODEL, n_draws=2).fit(PROMPTS)
images = distance.conjure_images()[:, 0]
measured = pairwise_divergence(PROMPTS, model=MODEL, n_draws=2)
J, errors = measured.values, measured.standard_errors

# %%
# The matrix
# ----------
# ``conjure matrix prompts.txt -o matrix.pdf``. All rows have names; where ``ax=`` is too small for
# them, a line says how many have one.

plot_matrix(J, PROMPTS, standard_errors=errors)

# %%
# The map
# -------
# Distances on it resemble √J.

points = layout(J)
plot_map(points, PROMPTS, images=images, stress=stress(J, points))

# %%
# Both
# ----
# ``conjure map prompts.txt -o map.png``.

figure = plot_overview(J, PROMPTS, images, standard_errors=errors)

# %%
# The same for a column of a paper: ``conjure map prompts.txt -o map.pdf --size 3.5``.

figure = plot_overview(J, PROMPTS, images, standard_errors=errors, size=3.5)

# %%
# Hundreds of prompts
# -------------------
# ``conjure map prompts.txt`` draws so from some 60 prompts on: pictures fill the page, near ones
# near. Here are few.

embedding = ConjureEmbedding(MODEL, n_components=64)
vectors = embedding.fit_transform(PROMPTS)
figure = plot_mosaic(layout_vectors(vectors, method="mds"), PROMPTS, images, size=6)

# %%
# How far the map can be trusted
# ------------------------------
# The Shepard diagram: a dot for each pair of prompts.

plot_shepard(J, points)

# %%
# Both directions
# ---------------
# An arrow leads from each prompt to those whose noise predictions fit its pictures best.

plot_legs(measured.legs[0], PROMPTS)

# %%
# Where two prompts part
# ----------------------
# ``conjure explain strawberry tomato -o explain.pdf``.

explanation = explain("strawberry", "tomato", model=MODEL, n_draws=2)
figure = plot_explanation(explanation)

# %%
# Its parts alone: pictures and pixels level by level, nats over noise levels, and the pictures
# between both prompts.

plot_strip(explanation)

# %%

plot_profile(explanation.profile, explanation.grid)

# %%

plot_morph(explanation)

# %%
# What each word does
# -------------------
# ``conjure words "two apples on a blue background"``.

figure = plot_words(explain_words("a red car", model=MODEL, n_draws=2))

# %%
# Agreement with human scores
# ---------------------------
# ``conjure evaluate pairs.tsv -o scores.json`` draws the first of these, ``-o scores.pdf`` the
# second, and ``conjure ablate pairs.tsv -o ablation.json`` the third. The scores here are made up.

left, right = np.triu_indices(len(PROMPTS), 1)
kinds = np.array([0, 0, 0, 1, 2, 2, 3, 3])
scores = 4.0 * (kinds[left] == kinds[right]) + np.random.default_rng(0).normal(size=len(left))
texts = [[PROMPTS[i] for i in side] for side in (left, right)]
pairs = ScoredPairs("made-up scores", *texts, scores)
settings = {"model": MODEL, "n_draws": 2}
results = [evaluate(ConjureScorer(**settings), pairs, name="J")]
results.append(evaluate(ConjureScorer(origin="empty", **settings), pairs, name="J, relative"))
figure = plot_evaluations(results)

# %%

figure = plot_ratings(results[:1], images=dict(zip(PROMPTS, images, strict=True)))

# %%

ablation = ablate(pairs, sweeps={"levels": ["all", "early", "late"], "n_draws": [1, 2]}, **settings)
figure = plot_ablation(ablation.table)

# %%
# Two models
# ----------
# ``conjure agree --model A --model B prompts.txt -o agree.pdf``: do they order the pairs alike? The
# other model here is the same one under other noise.

agreement = model_agreement(PROMPTS, MODEL, MODEL, n_draws=2)
figure = plot_agreement(agreement, names=["the model", "the model, other noise"])

# %%
# ``conjure drift --model A --model B prompts.txt -o drift.pdf``: what became of each prompt. These
# models are closed-form worlds whose pictures are stripes.

before = GaussianDenoiser({"a dog": np.ones(64), "a cat": np.linspace(-1, 1, 64)})
after = GaussianDenoiser({"a dog": np.linspace(1, -1, 64), "a cat": np.linspace(-1, 1, 64)})
drift = ConjureDrift(before, after, memory=None).fit(["a dog", "a cat"])
figure = plot_drift(drift, names=["before", "after"])

# %%
# ``conjure drift --model A --series C1 C2 C3 --target "a dog" prompts.txt -o run.pdf``: checkpoints
# of one training.

worlds = [GaussianDenoiser({"": 0.0, "a dog": 0.7 + s, "a cat": -0.4 - s / 4}) for s in range(4)]
run = ConjureDrift(worlds[0], memory=None)
series = run.fit_series(worlds[1:], ["a cat"], groups={"target": ["a dog"]})
figure = plot_series(series, pictures=False)
