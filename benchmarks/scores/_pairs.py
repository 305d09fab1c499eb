"""What these benchmarks share: the choice of pairs, and the cost told before it is paid."""

import argparse
import sys
from pathlib import Path

from conjure_kernel import load_pairs
from conjure_kernel.engine.ledger import requests_of_pairs
from conjure_kernel.engine.opening import open_engine

sys.path.insert(0, str(Path(__file__).parents[2]))  # for `training`
sys.path.insert(0, str(Path(__file__).parents[1]))  # for `_results`
TITLES = {"SimLex999": "SimLex-999", "SimLex999, known": "SimLex-999, known"}
TITLES |= {"STSB.test": "STS-B test, by seed", "SICKR.test": "SICK-R test, by seed"}


def make_parser(text, n_pairs):
    """Parser of the options that choose pairs, model and cache."""
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("task", help=".tsv or .csv of scored pairs, or a task of the hub")
    parser.add_argument("--pairs", type=int, default=n_pairs, help="at most so many (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="that draws them (%(default)s)")
    parser.add_argument("--known", action="store_true", help="both words were taught to the model")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--cache", default="auto")
    return parser


def choose(given):
    """Return the pairs that the options ask for."""
    pairs = load_pairs(given.task)
    if given.known:
        pairs = pairs.within(known_words(), "both words name a concept")
    return pairs.sample(given.pairs, given.seed)


def known_words():
    """Names of the things in training/concepts.txt: what the embedded model was taught."""
    from training.art import read_concepts

    return {name for names, _ in read_concepts().values() for name in names}


def tell_cost(pairs, *runs):
    """Print how many noise predictions measurements of `pairs` under these settings will make."""
    requests = requests_of_pairs(pairs.left, pairs.right)
    cost = sum(open_engine(run).cost(requests) for run in runs)
    n_texts = len({*pairs.left, *pairs.right})
    print(f"{len(pairs)} pairs of {n_texts} texts: {cost:,} noise predictions to come", flush=True)
