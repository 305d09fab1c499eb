"""`CosineScorer`: the similarity of two texts as the angle between their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conjure_kernel._checks import check_prompts
from conjure_kernel.estimators.embedding import ConjureEmbedding
from conjure_kernel.evaluation.pair_scores import PairScores
from conjure_kernel.method.blocks import cosine_replicates

__all__ = ["CosineScorer"]


class CosineScorer:
    """Cosine of the vectors of two texts, seen from the empty prompt; in linear time.

    It is `ConjureEmbedding.similarity`.

    Parameters
    ----------
    model : str, path, diffusers pipeline or Denoiser, default "embedded"
        What `load_denoiser` takes.
    references : sequence of str, optional
        Prompts whose chains make the points on which texts are compared. Default: some of the texts
        that are scored together, so that similarities depend on which these are.
    **settings
        Parameters of `ConjureEmbedding`.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser
    >>> world = GaussianDenoiser({"": [0, 0], "a dog": [1, 0], "a cat": [1, 0.2], "a car": [-1, 0]})
    >>> scorer = CosineScorer(world, memory=None)
    >>> scorer(["a dog", "a dog"], ["a cat", "a car"]).similarities.round(2)
    array([ 0.98, -1.  ])
    """

    name = "cosine of vectors"

    def __init__(
        self,
        model: Any = "embedded",
        *,
        references: Sequence[str] | None = None,
        **settings: Any,
    ) -> None:
        self.references = None if references is None else check_prompts(references, "references")
        self.embedding = ConjureEmbedding(model, **{"origin": "empty", **settings})

    def __call__(self, left: Sequence[str], right: Sequence[str]) -> PairScores:  # noqa: D102
        a, b = check_prompts(left, "left"), check_prompts(right, "right")
        model = self.embedding.fit(self.references or [*a, *b])
        before, spent = model.denoiser.n_evaluations, model.n_evaluations_
        replicates = None
        similarities = model.similarity(a, b)
        vectors = model.transform(a), model.transform(b)  # kept, and not computed again
        if model.n_blocks > 1:
            replicates = cosine_replicates(*vectors, model.n_blocks)
        return PairScores(
            similarities,
            replicates,
            n_evaluations=spent + model.denoiser.n_evaluations - before,
            provenance=model.provenance_,
        )
