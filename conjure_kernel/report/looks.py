"""What a model is and how its pictures look: the checkup, a sheet, and a map of the words."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import skew

from conjure_kernel._table import Table
from conjure_kernel.engine.checkup import check_up
from conjure_kernel.estimators.embedding import ConjureEmbedding
from conjure_kernel.method.blocks import unit_replicates
from conjure_kernel.method.jackknife import jackknife_se
from conjure_kernel.report.budget import left_out, most_within
from conjure_kernel.report.section import Pictures, Section
from conjure_kernel.report.subject import VECTORS, Subject
from conjure_kernel.report.words import read_words

__all__ = ["check", "draw_map", "show_pictures"]

SHOWN = (  # simple things first, then what models get wrong
    *("a dog", "a red apple", "a house", "the sun", "a man riding a horse", "a cup of coffee"),
    *("two cats", "a blue bird", "a tree on the left of a car", "a city at night", "truth", ""),
)
PICTURES_TITLE, TITLE = "What it draws", "Which words look alike"
NEIGHBORS = 10
LEAST_WORDS = 3 * NEIGHBORS
MOST_HUBS = 8
DRAWN = "\nconjure map vectors.npz -o map.html"


def check(subject: Subject) -> Section:
    """What `conjure check` finds."""
    page = check_up(subject.engine())
    rows: list[dict[str, Any]] = [{"what": name, "found": text} for name, text in page.items()]
    found = (
        f"{page['model']} can be measured: its own predictions are found again, and a prompt "
        "changes what it predicts. That its weights were trained with this law cannot be seen; "
        "compare it with the model's card."
    )
    command = subject.command("check", by_position=True)
    return Section("check", "What it is", found, page, (("", Table(rows)),), command=command)


def show_pictures(subject: Subject, n: int = 3) -> Section:
    """Pictures of a dozen prompts."""
    pictures = subject.engine().images(SHOWN, n)
    rows = [
        (prompt or "(the empty prompt)", few) for prompt, few in zip(SHOWN, pictures, strict=True)
    ]
    found = (
        f"{n} pictures of each of {len(SHOWN)} prompts, from the noise of the measurements that "
        "follow. Numbers of prompts whose pictures are nothing like them mean nothing."
    )
    shown = Pictures("", rows)
    command = subject.command("map", SHOWN[:-1], "-o", "pictures.html")
    return Section("pictures", PICTURES_TITLE, found, {"n": n}, pictures=(shown,), command=command)


def draw_map(subject: Subject, budget: float) -> Section:
    """A map of as many names as the budget allows, with what stands near to everything."""
    every = read_words().names
    model = subject.embedding()

    def price(n: int) -> int:
        return model.n_predictions(n, n_images=1) if n else 0

    if (n := most_within(price, len(every), budget)) < LEAST_WORDS:
        return left_out("map", TITLE, price(LEAST_WORDS), budget)
    names = every[:n]
    vectors = model.fit_transform(names)
    counts, errors = _hubs(vectors, model.n_blocks)
    order = np.argsort(-counts[0], kind="stable")[:MOST_HUBS]
    hubs = [
        {"word": names[i], "lists": int(counts[0, i]), "lists_draw_se": float(errors[0][i])}
        for i in order
    ]
    skewness = {"skewness": float(skew(counts[0])), "skewness_se": float(errors[1])}
    found = (
        f"{n} names by the cosine of the directions in which they pull the picture. "
        f"“{hubs[0]['word']}” is among the nearest {NEIGHBORS} of {hubs[0]['lists']} others "
        f"(± {errors[0][order[0]]:.1f}; {NEIGHBORS} would be even), the skewness of these counts "
        f"is {skewness['skewness']:.2f} ± {skewness['skewness_se']:.2f}: above 1 a few words are "
        "near to everything, and nearness to them says little."
    )
    facts = {"n_words": n, "n_neighbors": NEIGHBORS, "hubs": hubs, **skewness}
    return Section(
        "map",
        TITLE,
        found,
        facts,
        ((f"Words in most lists of {NEIGHBORS} neighbours", Table(hubs)),),
        frame=_page(model, names, vectors),
        command=subject.command("embed", names, *VECTORS, "--images", "1") + DRAWN,
    )


def _hubs(vectors: np.ndarray, n_blocks: int) -> tuple[np.ndarray, tuple[np.ndarray, float]]:
    """In how many lists of neighbours each word is, (1, n); errors of that and of its skewness."""
    counts = np.array([_counts(vectors)])
    others = np.array([[_counts(rest) for rest in unit_replicates(vectors, n_blocks)]])
    return counts, (jackknife_se(others), float(jackknife_se(skew(others, axis=-1))))


def _counts(vectors: np.ndarray) -> np.ndarray:
    """How often each of the rows is among the nearest of another one, by the cosine."""
    near = vectors @ vectors.T
    np.fill_diagonal(near, -np.inf)
    nearest = np.argpartition(-near, NEIGHBORS, axis=1)[:, :NEIGHBORS]
    return np.bincount(nearest.ravel(), minlength=len(vectors))


def _page(model: ConjureEmbedding, names: list[str], vectors: np.ndarray) -> str:
    """The map as a page of its own; without images of a model that makes none."""
    from conjure_kernel.plot.html import html_map

    try:
        images = model.conjure_images(names, 1)
    except ValueError:
        images = None
    about = model.provenance_
    return html_map(None, names, vectors=vectors, images=images, provenance=about).page
