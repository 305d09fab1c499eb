"""`MTEBModel`: -log J on the STS tasks of the Massive Text Embedding Benchmark."""

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
    """Model for `mteb.evaluate` on STS tasks with the similarity -log J; needs the extra "mteb".

    A distance of pairs has no vectors. What `encode` returns stands for its texts, and
    `similarity_pairwise` measures these. In a result, `spearman` and `pearson` are those of -log J,
    while `main_score` and all other figures, which are made from vectors, are NaN.

    Parameters
    ----------
    model, leg, **settings
        See `ConjureScorer`.

    Examples
    --------
    >>> import mteb  # doctest: +SKIP
    >>> result = mteb.evaluate(MTEBModel(), mteb.get_tasks(["STSBenchmark"]))  # doctest: +SKIP
    >>> result[0].scores["test"][0]["spearman"]  # doctest: +SKIP
    """

    @cached_property
    def mteb_model_meta(self) -> Any:
        """Name and revision under which mteb keeps results; the settings fix the revision."""
        of_mteb = import_optional("mteb.models.model_meta", "mteb", "MTEBModel")
        engine = open_engine({"model": self.model, **self.settings})
        settings = [engine.key, engine.n_draws, engine.weighting, self.leg]
        revision = hashlib.sha256(json.dumps(settings, default=str, sort_keys=True).encode())
        name = self.model if isinstance(self.model, str) else type(self.model).__name__
        own = {"name": f"conjure_kernel/{name.strip('/').replace('/', '_')}"}
        own |= {"revision": revision.hexdigest()[:16]}
        return of_mteb.ModelMeta.create_empty(
            {**own, "modalities": ["text"], "framework": ["PyTorch"]}
        )

    def encode(self, inputs: Any, *, task_metadata: Any, **options: Any) -> np.ndarray:
        """Array of shape (n_texts, 1) whose rows stand for the texts; a TypeError if not STS."""
        if task_metadata.type != "STS":
            raise TypeError(
                f"task {task_metadata.name!r}: expected the type 'STS', the only one for distances "
                f"of pairs, got {task_metadata.type!r}; pass mteb.get_tasks(task_types=['STS'])."
            )
        texts = [text for batch in inputs for text in batch["text"]]
        rows = np.ones((len(texts), 1)).view(_Rows)
        rows.texts = texts
        return rows

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        """Similarities -log J, of shape (n_pairs,), of the texts for which the rows stand."""
        return self(embeddings1.texts, embeddings2.texts).similarities

    def similarity(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        """Raise a TypeError: STS tasks need no matrix of similarities."""
        raise TypeError("similarity: expected an STS task, which needs no matrix; run STS tasks.")


class _Rows(np.ndarray):
    """An array that knows its texts."""

    texts: list[str]
