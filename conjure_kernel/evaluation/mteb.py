"""`MTEBModel`: the STS tasks of the Massive Text Embedding Benchmark with -log J."""

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
    """A model for `mteb.evaluate`: STS tasks, similarity -log J; needs the extra "mteb".

    There is no vector behind a pair distance. What `encode` returns stands for its texts, which
    `similarity_pairwise` then measures, so that in a result `spearman` and `pearson` are those of
    -log J, while `main_score` and every other figure, made from vectors, are NaN.

    Parameters
    ----------
    model, leg, **settings
        As of `ConjureScorer`.

    Examples
    --------
    >>> import mteb  # doctest: +SKIP
    >>> result = mteb.evaluate(MTEBModel(), mteb.get_tasks(["STSBenchmark"]))  # doctest: +SKIP
    >>> result[0].scores["test"][0]["spearman"]  # doctest: +SKIP
    """

    @cached_property
    def mteb_model_meta(self) -> Any:
        """Name and revision, by which mteb keeps results: the revision names the settings too."""
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
        """Rows that stand for texts; every other type of task is refused."""
        if task_metadata.type != "STS":
            raise TypeError(
                f"task {task_metadata.name!r} is of type {task_metadata.type!r}: a distance of "
                "pairs can run STS tasks only. Pass mteb.get_tasks(task_types=['STS'])."
            )
        texts = [text for batch in inputs for text in batch["text"]]
        rows = np.ones((len(texts), 1)).view(_Rows)
        rows.texts = texts
        return rows

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        """-log J of the texts behind the rows, shape (n_pairs,)."""
        return self(embeddings1.texts, embeddings2.texts).similarities

    def similarity(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        """Refuse: STS tasks ask for no matrix."""
        raise TypeError("a matrix of similarities was asked for: only STS tasks can be run.")


class _Rows(np.ndarray):
    """An array that knows its texts."""

    texts: list[str]
