"""Do the maps of words find where the words act? On scenes whose truth is known.

    python benchmarks/words.py [--scenes 40] [--draws 4] [--seed 0]

Half of the scenes are captions "a NAME on a COLOUR background" of the embedded model's world, half
"two NAMES on a COLOUR background" (or three). The colour word should act on the background, and the
count where a pixel is background with the word and thing without it, or the reverse. Both regions
are read off the pictures of the same chains: a pixel is background if its colour is that of
training/scenes.py. A share is that of a word's nats (mean of legs, all draws and noise levels) in
the region; chance is the region's share of the area, and "other" is the share of another word's
nats in the same region (the name's; for counts the colour's). "Denser" says how many times more
nats a pixel of the region has than one outside. Intervals are for other scenes.
"""

import argparse
import random

import numpy as np
from scipy import stats

from _results import stop_clock
from conjure_kernel import explain_words, load_denoiser
from conjure_kernel._table import Table
from training.art import read_concepts
from training.scenes import COLOURS, COUNTS, plural, with_article

NEAR = 80  # Euclidean distance of red, green, blue up to which a pixel has a colour


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="a line for each scene, too")
    given = parser.parse_args(arguments)
    model = load_denoiser("embedded", dtype="float32").load()
    start = stop_clock(model.device)
    rows = []
    for scene in scenes(given.scenes, given.seed):
        rows += measure(model, given.draws, *scene)
        if given.list:
            print(*rows[-1].values())
    kinds = dict.fromkeys(row["word"] for row in rows)
    print(Table([summary(kind, [r for r in rows if r["word"] == kind]) for kind in kinds]))
    print(f"{given.scenes} scenes, K = {given.draws}: {stop_clock(model.device) - start:.0f} s")


def scenes(n, seed):
    """Yield (caption, name as it stands there, colour, count or None)."""
    rng = random.Random(seed)
    names = [names[0] for names, _ in read_concepts().values() if " " not in names[0]]
    colours = [colour for colour in COLOURS if colour != "white"]
    for i, name in enumerate(rng.sample(names, n)):
        colour, count = rng.choice(colours), rng.choice(list(COUNTS)) if i % 2 else None
        word = plural(name, rng) if count else name
        thing = f"{count} {word}" if count else with_article(word)
        yield f"{thing} on a {colour} background", word, colour, count


def measure(model, n_draws, caption, name, colour, count):
    """Shares of the words of a scene in their regions."""
    found = explain_words(caption, model=model, n_draws=n_draws)
    heat = dict(zip(found.words, found.heat.sum(2), strict=True))
    levels = found.profile @ found.grid.node_log_snr / found.divergences
    level = dict(zip(found.words, levels.tolist(), strict=True))

    def row(word, other, region):
        share, beside = (float((heat[w] * region).sum() / heat[w].sum()) for w in (word, other))
        means = {"share": share, "chance": float(region.mean()), "other": beside}
        return {**means, "log-SNR": level[word]}

    ground = background(found.images[0], colour, heat[colour].shape)
    rows = [{"word": "colour", "scene": caption, **row(colour, name, ground)}]
    if count:
        without = found.images[1 + found.words.index(count)]
        moved = background(without, colour, heat[count].shape, ground=found.images[0])
        rows.append({"word": "count", "scene": caption, **row(count, colour, moved)})
    return rows


def background(images, colour, shape, ground=None):
    """Share of background (or of what is so in one of two images only) under each map pixel."""
    is_ground = has_colour(images, colour)
    if ground is not None:
        is_ground ^= has_colour(ground, colour)
    n, height, width = shape
    blocks = is_ground.reshape(n, height, is_ground.shape[1] // height, width, -1)
    return blocks.mean((2, 4))


def has_colour(images, colour):
    return np.linalg.norm(images - np.array(COLOURS[colour], float), axis=-1) < NEAR


def summary(kind, rows):
    """Means over scenes, with intervals."""
    share, chance, other = (
        np.array([row[name] for row in rows]) for name in ("share", "chance", "other")
    )
    inside = (chance > 0) & (chance < 1)
    odds = np.log(share[inside] / (1 - share[inside]) * (1 - chance[inside]) / chance[inside])
    denser = {name: float(np.exp(end)) for name, end in interval("denser", odds).items()}
    means = {"share": share, "chance": chance, "other": other}
    return {
        "word": kind,
        "scenes": len(rows),
        **{name: float(values.mean()) for name, values in means.items()},
        **interval("share - chance", share - chance),
        "above chance": int((share > chance).sum()),
        **interval("share - other", share - other),
        "above other": int((share > other).sum()),
        **denser,
        **interval("log-SNR", np.array([row["log-SNR"] for row in rows])),
    }


def interval(name, values):
    """Mean over scenes and its 95 % interval (Student's t)."""
    mean = float(values.mean())
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return {name: mean, f"{name}_low": float(mean - half), f"{name}_high": float(mean + half)}


if __name__ == "__main__":
    main()
