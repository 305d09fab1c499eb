"""`MTEBModel`: -log R on the STS tasks of the Massive Text Embedding Benchmark."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Any

import numpy as np

from conjure_kernel._checks import import_optional
from conjure_kernel.engine.opening import open_engine
from conjure_kernel.evaluation.scorers import ConjureScorer

__all__ = ["MTEBModel"]


class MTEBModel(ConjureScorer):
    """Model for `mteb.evaluate` on STS tasks with the similarity -log R; needs the extra "mteb".

    A distance of pairs has no vectors. `encode` of the second texts measures their pairs with the
    first ones, and returns points whose cosines with the first point rise with -log R. So
    `main_score` and the other rank correlations are those of -log R, as `spearman` and `pearson`
    are, while `cosine_pearson` and the like mean nothing. mteb's `CachedEmbeddingWrapper` is
    refused, as it keeps vectors of texts; `memory` keeps what is measured.

    Parameters
    ----------
    model, origin, leg, **settings
        See `ConjureScorer`; with origin=None the similarity is -log J.

    Examples
    --------
    >>> import mteb  # doctest: +SKIP
    >>> result = mteb.evaluate(MTEBModel(), mteb.get_tasks(["STSBenchmark"]))  # doctest: +SKIP
    >>> result[0].scores["test"][0]["spearman"]  # doctest: +SKIP
    """

    _first: tuple[tuple, list[str]] | None = None  # texts that wait for their partners

    @cached_property
    def mteb_model_meta(self) -> Any:
        """Name and revision under which mteb keeps results; the settings fix the revision."""
        of_mteb = import_optional("mteb.models.model_meta", "mteb", "MTEBModel")
        engine = open_engine({"model": self.model, **self.settings})
        settings = [engine.key, engine.n_draws, engine.weighting, engine.origin, self.leg]
        revision = hashlib.sha256(json.dumps(settings, default=str, sort_keys=True).encode())
        name = self.model if isinstance(self.model, str) else type(self.model).__name__
        own = {"name": f"conjure_kernel/{name.strip('/').replace('/', '_')}"}
        own |= {"revision": revision.hexdigest()[:16]}
        return of_mteb.ModelMeta.create_empty(
            {**own, "modalities": ["text"], "framework": ["PyTorch"]}
        )

    def encode(self, inputs: Any, *, task_metadata: Any, **options: Any) -> np.ndarray:
        """Points (n_texts, 2) that stand for the texts; a TypeError if not STS."""
        if task_metadata.type != "STS":
            raise TypeError(
                f"task {task_metadata.name!r}: expected the type 'STS', the only one for distances "
                f"of pairs, got {task_metadata.type!r}; pass mteb.get_tasks(task_types=['STS'])."
            )
        texts = [text for batch in inputs for text in batch["text"]]
        place = (task_metadata.name, options.get("hf_split"), options.get("hf_subset"))
        first, self._first = self._first, None
        if first is None or first[0] != place or len(first[1]) != len(texts):
            self._first, similarities = (place, texts), None
        else:
            similarities = self(first[1], texts).similarities
        return _points(similarities, len(texts))

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        """Similarities -log R, of shape (n_pairs,), of the pairs for which the points stand."""
        if getattr(embeddings2, "similarities", None) is None:
            raise TypeError(
                "embeddings2: expected what encode returned after that of the first texts, got "
                "other vectors; leave CachedEmbeddingWrapper out: memory= keeps what is measured."
            )
        return embeddings2.similarities

    def similarity(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        """Raise a TypeError: STS tasks need no matrix of similarities."""
        raise TypeError("similarity: expected an STS task, which needs no matrix; run STS tasks.")


class _Points(np.ndarray):
    """Points on the unit circle that know the similarities of their pairs."""

    similarities: np.ndarray | None


def _points(similarities: np.ndarray | None, n: int) -> _Points:
    """Points whose cosines with (1, 0) rise with the similarities; (1, 0) itself without them."""
    cosines = np.ones(n) if similarities is None else similarities / (1 + np.abs(similarities))
    points = np.stack([cosines, np.sqrt(1 - cosines**2)], 1).view(_Points)
    points.similarities = similarities
    return points
