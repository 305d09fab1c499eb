"""How well similarities agree with human scores: correlations and their uncertainty.

There are two kinds of error. An interval `[low, high]` is a jackknife over pairs and over the texts
that repeat in them: people might have scored other pairs, of other texts like these. `draw_se` is a
jackknife over draws: the noise might have been other noise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conjure_kernel._checks import check_pairs, import_optional
from conjure_kernel._table import Sheet, Shown, Table, jsonable
from conjure_kernel.engine.provenance import versions
from conjure_kernel.evaluation.correlation import parts_of, tabulate
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.evaluation.pair_scores import PairScores
from conjure_kernel.evaluation.uncertainty import Pairing

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True, repr=False)
class Evaluation(Shown):
    """Agreement of one scorer with human scores.

    Attributes
    ----------
    name, task : str
        Names of the scorer and of the pairs.
    table : Table
        A row per part: `all` pairs together; the `mean` over the sub-corpora and, weighted by
        their sizes, `wmean`; each sub-corpus; strata of prompt length (words of the longer
        text) and of truncation. Columns: n, and spearman, pearson and kendall in [-1, 1], each
        with `_low` and `_high` (95 % interval, NaN below 10 different pairs), `_p` (of no
        correlation; it heeds repeated texts as the interval does) and `_draw_se`.
    pairs : ScoredPairs
        The pairs with a similarity, and their human scores.
    similarities : float64 array of shape (n_pairs,)
        The scorer's similarities, larger for more alike.
    replicates : array of shape (G, K, n_pairs), or None
        The similarities without one chain of one draw; see `PairScores`.
    n_missing : int
        Pairs that the scorer could not score; they are left out everywhere.
    n_evaluations, seconds : int, float
        Noise predictions and wall time that scoring took.
    provenance : dict
        Task, scorer and versions.
    """

    name: str
    task: str
    table: Table
    pairs: ScoredPairs
    similarities: np.ndarray
    replicates: np.ndarray | None = None
    n_missing: int = 0
    n_evaluations: int = 0
    seconds: float = 0.0
    provenance: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self._about()}\n\n{self.table}"

    def _about(self) -> str:
        about = f"{self.name} on {self.task}: {len(self.pairs)} pairs, {self.n_missing} missing"
        return f"{about}; {self.n_evaluations:,} noise predictions, {self.seconds:.1f} s"

    def _shown(self) -> Sheet:
        names = ("part", "n", "spearman", "pearson", "kendall")
        return self._about(), names, self.table.texts(*names), len(self.table)

    def to_pandas(self) -> Any:
        """The table as a pandas DataFrame."""
        return self.table.to_pandas()

    def pairs_to_pandas(self) -> Any:
        """Pandas DataFrame with each pair, its human score and its similarity."""
        pd = import_optional("pandas", "tables", "pairs_to_pandas")

        columns: dict[str, Any] = {"text_a": self.pairs.left, "text_b": self.pairs.right}
        columns |= {"score": self.pairs.scores, "similarity": self.similarities}
        if self.pairs.corpora is not None:
            columns["corpus"] = self.pairs.corpora
        return pd.DataFrame(columns)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file: everything but the single draws."""
        facts = {n: v for n, v in vars(self).items() if n not in ("pairs", "replicates")}
        pairs = {"text_a": self.pairs.left, "text_b": self.pairs.right, "score": self.pairs.scores}
        return jsonable({**facts, "pairs": pairs})


def evaluate(
    scorer: Callable[..., Any],
    pairs: ScoredPairs | Any,
    scores: Any = None,
    *,
    corpora: Sequence[str] | None = None,
    name: str | None = None,
) -> Evaluation:
    """Correlate a scorer's similarities with human scores.

    Parameters
    ----------
    scorer : callable
        `scorer(left, right)` returns similarities of shape (n_pairs,), larger for more alike, or
        `PairScores`.
    pairs : ScoredPairs, or list of (text_a, text_b)
        What `load_pairs` returns, or plain pairs with `scores`.
    scores : array of shape (n_pairs,), optional
        Human scores, larger for more alike; only with a plain list.
    corpora : sequence of str, length n_pairs, optional
        Sub-corpus of each pair; only with a plain list.
    name : str, optional
        Name of the scorer. Default: its own.

    Returns
    -------
    evaluation : Evaluation

    Raises
    ------
    ValueError, TypeError
        Scores, corpora or similarities do not fit the pairs.

    Notes
    -----
    The intervals are for other texts like these, and so for other pairs: each pair, and each text
    with all its pairs, is left out in turn. A text that is in every pair counts as fixed, and the
    figure is one about this text.

    Examples
    --------
    >>> pairs = [("a", "aa"), ("a", "bb"), ("b", "ab"), ("c", "ccc")]
    >>> shared = lambda left, right: [len(set(a) & set(b)) for a, b in zip(left, right)]
    >>> evaluate(shared, pairs, [4, 0, 2, 5], name="letters").table.find(part="all")["spearman"]
    0.774...
    """
    if not isinstance(pairs, ScoredPairs):
        pairs = _as_pairs(pairs, scores, corpora)
    elif scores is not None or corpora is not None:
        raise TypeError(
            "scores, corpora: expected none with ScoredPairs, which hold their own; leave them out."
        )
    start = time.perf_counter()
    scored = scorer(pairs.left, pairs.right)
    seconds = time.perf_counter() - start
    if not isinstance(scored, PairScores):
        scored = PairScores(np.asarray(scored, dtype=np.float64))
    if scored.similarities.shape != (len(pairs),):
        raise ValueError(
            f"scorer: expected similarities of shape ({len(pairs)},), one a pair, got shape "
            f"{scored.similarities.shape}."
        )
    known = np.isfinite(scored.similarities)
    if not known.any():
        raise ValueError(
            f"scorer: expected finite similarities, got none for {len(pairs)} pairs; check it."
        )
    kept = pairs if known.all() else pairs.take(np.flatnonzero(known), "those with a similarity")
    replicates = None if scored.replicates is None else scored.replicates[..., known]
    truncated = None if scored.truncated is None else scored.truncated[known]
    similarities = scored.similarities[known]
    pairing, parts = Pairing.of(kept.left, kept.right), parts_of(kept, truncated)
    table = tabulate(kept.scores, similarities, pairing, parts, replicates)
    about = {"task": pairs.provenance, "scorer": scored.provenance, "versions": versions()}
    own_name = getattr(scorer, "name", getattr(scorer, "__name__", type(scorer).__name__))
    return Evaluation(
        name=name or str(own_name),
        task=pairs.name,
        table=table,
        pairs=kept,
        similarities=similarities,
        replicates=replicates,
        n_missing=int((~known).sum()),
        n_evaluations=scored.n_evaluations,
        seconds=seconds,
        provenance=about,
    )


def _as_pairs(pairs: Any, scores: Any, corpora: Sequence[str] | None) -> ScoredPairs:
    left, right = check_pairs(pairs)
    if scores is None:
        raise ValueError(
            "scores=None: expected a score for each pair; pass scores, or what load_pairs returns."
        )
    return ScoredPairs("pairs", left, right, scores, None if corpora is None else list(corpora))
