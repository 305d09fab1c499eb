"""Does a series find what was planted in it? And KID at equal network calls beside it.

    python -m training.planted FOLDER
    python benchmarks/series.py FOLDER [--prompts 60] [--draws 4] [--steps 10]

Prints for the six fine-tunes the order by drift of the target, the rank of the planted word among
the prompts, and what the rules say; for the six erasures the residue of each, and the AUC of
partial against complete ones with its interval. The baseline makes pictures with as many network
calls as the drift of a prompt takes, and compares those of base and checkpoint by KID on pixels; a
classifier says which of the base's mean pictures is nearest. Appends to benchmarks/results/; about
fifteen minutes on one core.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from scipy.stats import norm, spearmanr

from _results import WORDS, append_row
from conjure_kernel import ConjureDrift, audit_erasure, load_denoiser
from conjure_kernel.estimators.images import kid, pixel_features

PICTURE_STEPS, MOST_PICTURES = 20, 32
HELD = ["a bus", "a cat"]
ANCHORS = ["an apple", "a tomato", "a cherry", "a leaf", "a heart"]


def main(arguments=None) -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("folder", type=Path)
    options.add_argument("--prompts", type=int, default=60)
    options.add_argument("--draws", type=int, default=4)
    options.add_argument("--steps", type=int, default=10)
    options.add_argument("--only", choices=["series", "erasures"])
    given = options.parse_args(arguments)
    truth = json.loads((given.folder / "planted.json").read_text())
    base = load_denoiser("embedded", dtype="float32")
    if given.only != "erasures":
        of_series(base, truth, given)
    if given.only != "series":
        of_erasures(base, truth, given)


def of_series(base, truth, given) -> None:
    concept, planted = truth["concept"], truth["planted"]
    taken = {concept, planted, *truth["held"]}
    others = [p for p in (f"a {word}" for word in WORDS) if p not in taken][: given.prompts - 1]
    prompts = [planted, *others]
    folders = [given.folder / f"tune-{i}" for i in range(1, 7)]
    drift = ConjureDrift(
        base, n_steps=given.steps, n_draws=given.draws, check_steps=0, memory=None, verbose=1
    )
    series = drift.fit_series(folders, prompts, groups={"target": [concept]})
    target = [float(series.reach(i).value) for i in range(6)]
    print(series.verdicts(), series.turning, sep="\n\n", flush=True)
    places = [series.collateral(i).find(prompt=planted) for i in range(6)]
    print(series.collateral(3).to_pandas().head(6).to_string(index=False), flush=True)
    made = 3 * given.steps * given.draws * 2 + 2 * given.steps * given.draws
    n = max(2, made // PICTURE_STEPS)
    of_target = [kid_of(base, folder, [concept], n)[0] for folder in folders]
    of_others = kid_of(base, folders[3], prompts, n)
    row = {
        "what": "series",
        "prompts": len(prompts),
        "draws": given.draws,
        "order": round(float(spearmanr(target, range(6)).statistic), 3),
        "kid_order": round(float(spearmanr(of_target, range(6)).statistic), 3),
        "rank": places[3]["rank"],
        "rank_range": f"{places[3]['rank_least']} {places[3]['rank_most']}",
        "kid_rank": 1 + int((of_others[1:] > of_others[0]).sum()),
        "pictures": n,
    }
    tell(row, base)


def of_erasures(base, truth, given) -> None:
    concept, synonyms = truth["concept"], truth["synonyms"]
    asked = {
        "synonyms": synonyms,
        "anchors": [truth["anchor"], *ANCHORS],
        "held": HELD,
    }
    options = {"n_steps": given.steps, "n_draws": given.draws, "check_steps": 0, "memory": None}
    own = {p: features(base.pipeline, p, MOST_PICTURES, 1) for p in [concept, *synonyms]}
    classes = np.array([own[concept].mean(0), *(rows.mean(0) for rows in rivals(base, asked))])
    left, by_kid, by_eye = {}, {}, {}
    for name in [f"gone-{i}" for i in (1, 2, 3)] + [f"left-{i}" for i in (1, 2, 3)]:
        erased = load_denoiser(given.folder / name, dtype="float32")
        audit = audit_erasure(base, erased, concept, **asked, **options)
        print(f"{name}: gone {audit.gone}, vividness {audit.vividness.value:.3f}", flush=True)
        print(audit.descriptions(), audit.destinations(), sep="\n")
        left[name] = min(row["after"] for row in audit.descriptions().rows)
        # As many calls as the chains and comparisons of a description take.
        made = given.steps * given.draws * (6 + 4)
        n = max(2, made // PICTURE_STEPS)
        theirs = {p: features(erased.pipeline, p, n, 2) for p in own}
        by_kid[name] = min(kid(own[p][:n], theirs[p]) for p in own)
        by_eye[name] = max(share_of(theirs[p], classes) for p in own)
    found = [auc(*sides(scores, sign)) for scores, sign in ((left, -1), (by_kid, -1), (by_eye, 1))]
    row = {"what": "erasures", "draws": given.draws, "pictures": n}
    for name, (value, low, high) in zip(("drift", "kid", "classifier"), found, strict=True):
        row |= {name: round(value, 3), f"{name}_interval": f"{low:.3f} {high:.3f}"}
    row["distances"] = " ".join(f"{value:.2f}" for value in left.values())
    row["kids"] = " ".join(f"{value:.3f}" for value in by_kid.values())
    row["shares"] = " ".join(f"{value:.2f}" for value in by_eye.values())
    tell(row, base)


def rivals(base, asked):
    """Features of the base's pictures of everything that the concept may have become."""
    return [features(base.pipeline, p, MOST_PICTURES, 1) for p in [*asked["anchors"], ""]]


def share_of(rows, classes):
    """Share of pictures that are nearer to the first class than to any other."""
    gaps = np.square(rows[:, None] - classes).sum(-1)
    return float((gaps.argmin(1) == 0).mean())


def sides(scores, sign):
    """Scores of the partial and of the complete erasures, high where something is left."""
    return [[sign * s for n, s in scores.items() if n.startswith(k)] for k in ("left", "gone")]


def kid_of(base, folder, prompts, n):
    """KID of n pictures of each prompt by base and by checkpoint."""
    other = load_denoiser(folder, dtype="float32").pipeline
    pairs = ((features(base.pipeline, p, n, 1), features(other, p, n, 2)) for p in prompts)
    return np.array([kid(*pair) for pair in pairs])


def features(pipeline, prompt, n, seed):
    """Features of unguided pictures."""
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        prompt,
        num_images_per_prompt=n,
        num_inference_steps=PICTURE_STEPS,
        guidance_scale=1.0,
        generator=torch.Generator().manual_seed(seed),
        output_type="np",
    ).images
    return pixel_features((255 * images).astype(np.uint8))


def auc(positive, negative):
    """Share of pairs with the positive above, and Newcombe's 95 % interval (2006, method 5)."""
    gaps = np.subtract.outer(np.array(positive), np.array(negative))
    value, (m, n) = float(((gaps > 0) + 0.5 * (gaps == 0)).mean()), gaps.shape
    grid, z = np.linspace(0, 1, 10_001)[1:-1], norm.ppf(0.975)
    more = (m + n) / 2 - 1
    spread = (1 - grid) / (2 - grid) + grid / (1 + grid)
    variance = grid * (1 - grid) * (1 + more * spread) / (m * n)
    inside = grid[np.abs(grid - value) <= z * np.sqrt(variance)]
    return value, float(inside.min()), 1.0 if value == 1 else float(inside.max())


def tell(row, base):
    print("\n".join(f"{key:16}{value}" for key, value in row.items()), flush=True)
    append_row("series" if row["what"] == "series" else "erasures", base, **row)


if __name__ == "__main__":
    main()
