"""Pairs of texts with human similarity scores, from a hub at run time or from a local file.

The package holds none of them, as they have licences of their own: STS12 and STS-B hold texts
whose users must agree to terms, and SICK is non-commercial.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np

from conjure_kernel._checks import (
    check_number,
    check_pairs,
    check_prompts,
    import_optional,
    quote,
)
from conjure_kernel._table import Sheet, Shown
from conjure_kernel.evaluation.pair_files import PairRows, pairs_of, rated
from conjure_kernel.evaluation.records import Records, read_records, records_of_table

__all__ = ["TASKS", "ScoredPairs", "load_pairs"]

TASKS = {
    "sts12": "mteb/sts12-sts",
    "sts13": "mteb/sts13-sts",
    "sts14": "mteb/sts14-sts",
    "sts15": "mteb/sts15-sts",
    "sts16": "mteb/sts16-sts",
    "sts-b": "mteb/stsbenchmark-sts",
    "sick-r": "mteb/sickr-sts",
}


@dataclass(frozen=True, repr=False)
class ScoredPairs(Shown):
    """Pairs of texts with human scores.

    Attributes
    ----------
    name : str
        Name of the task.
    left, right : list of str, length n_pairs
        The two texts of each pair.
    scores : float64 array of shape (n_pairs,)
        Human scores in their published unit; larger is more alike.
    corpora : list of str, length n_pairs, or None
        The sub-corpus of each pair.
    provenance : dict
        Where the pairs came from.
    """

    name: str
    left: list[str]
    right: list[str]
    scores: np.ndarray
    corpora: list[str] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        texts, scores = (self.left, self.right), _check_scores(self.scores)
        for side, given in zip(("left", "right"), texts, strict=True):
            object.__setattr__(self, side, check_prompts(given, side) if len(given) else [])
        object.__setattr__(self, "scores", scores)
        lengths = [len(part) for part in (*texts, scores, self.corpora) if part is not None]
        if len(set(lengths)) > 1:
            raise ValueError(
                f"{self.name}: expected as many texts on both sides as scores and corpora, got "
                f"{', '.join(map(str, lengths))}."
            )

    def __len__(self) -> int:
        return len(self.left)

    def _shown(self) -> Sheet:
        n = len(self)
        heading = f"{self.name}: {n:,} pairs of {len({*self.left, *self.right}):,} texts"
        if n:
            heading += f", scores {self.scores.min():g} to {self.scores.max():g}"
        rows = [[*pair, f"{score:g}"] for pair, score in zip(self.pairs, self.scores, strict=True)]
        return heading, ["", "", "score"], rows, n

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """List of (text_a, text_b), as `ConjurePairs` takes it."""
        return list(zip(self.left, self.right, strict=True))

    def take(self, chosen: Iterable[int], how: str) -> ScoredPairs:
        """The pairs at these positions, in this order; `how` goes into the provenance."""
        at = [int(i) for i in chosen]
        if not at:
            raise ValueError(f"{self.name}: expected at least one pair, got none ({how}).")
        corpora = None if self.corpora is None else [self.corpora[i] for i in at]
        left, right = [self.left[i] for i in at], [self.right[i] for i in at]
        subset = f"{len(at)} of {len(self)}: {how}"
        if before := self.provenance.get("subset"):
            subset = f"{subset}; of {before}"
        provenance = {**self.provenance, "subset": subset}
        return ScoredPairs(self.name, left, right, self.scores[at], corpora, provenance)

    def sample(self, n: int, seed: int = 0) -> ScoredPairs:
        """At most n pairs, chosen at random without replacement; a seed always gives the same."""
        n = check_number(n, "n", least=1, integer=True)
        if n >= len(self):
            return self
        chosen = np.random.default_rng(seed).permutation(len(self))[:n]
        return self.take(np.sort(chosen), f"drawn with seed {seed}")

    def within(self, texts: Iterable[str], what: str = "both texts known") -> ScoredPairs:
        """The pairs whose texts are both among `texts`."""
        known = set(check_prompts(list(texts), "texts"))
        both = (a in known and b in known for a, b in self.pairs)
        return self.take(np.flatnonzero(list(both)), what)


@overload
def load_pairs(
    source: Any,
    *,
    split: str = ...,
    columns: Sequence[str | int] | None = ...,
    revision: str | None = ...,
    header: bool | None = ...,
    delimiter: str | None = ...,
    encoding: str | None = ...,
    quoting: str = ...,
    comment: str | None = ...,
    score: str | None = ...,
) -> ScoredPairs: ...
@overload
def load_pairs(
    source: Any,
    *,
    split: str = ...,
    columns: Sequence[str | int] | None = ...,
    revision: str | None = ...,
    header: bool | None = ...,
    delimiter: str | None = ...,
    encoding: str | None = ...,
    quoting: str = ...,
    comment: str | None = ...,
    score: list[str] | tuple[str, ...],
) -> dict[str, ScoredPairs]: ...
def load_pairs(
    source: Any,
    *,
    split: str = "test",
    columns: Sequence[str | int] | None = None,
    revision: str | None = None,
    header: bool | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    quoting: str = "auto",
    comment: str | None = None,
    score: str | list[str] | tuple[str, ...] | None = None,
) -> ScoredPairs | dict[str, ScoredPairs]:
    r"""Load scored pairs of a named task, of a file as it comes, or of a table.

    Parameters
    ----------
    source : str, path or table
        "sts12" ... "sts16", "sts-b" or "sick-r", which are fetched from the Hugging Face hub (extra
        "scores"); a file of delimited text, JSON (.json, .jsonl), parquet or a spreadsheet (.xlsx;
        extra "tables"), each as .gz, too; or a DataFrame of pandas or polars, or a table of
        pyarrow. Word sets (MEN, SimLex-999, WordSim-353, RG-65) and the raw files of STS-B are read
        as they are published.
    split : str, default "test"
        Split of a task from the hub.
    columns : (text_a, text_b, score), optional
        Names of the columns, or their places (from 0); a nested key of JSON as "a.b". Default:
        names as sentence1, word1 or text_a and score, in any case; or of three columns without a
        header the number. A column source, dataset or genre gives the sub-corpora.
    revision : str, optional
        Commit, tag or branch of a task from the hub. Default: the newest.
    header : bool, optional
        Whether the first row holds names. Default: whether its score is no number.
    delimiter : str, optional
        Default: a tab in a .tsv file, else the one of comma, semicolon, tab, bar and space by which
        all lines have equally many fields.
    encoding : str, optional
        Default: it is found; what is no kind of Unicode is read as cp1252, with a warning.
    quoting : {"auto", "none", '"', "'"}, default "auto"
        What encloses a field: with "auto" double quotes, or nothing where tabs or spaces separate.
    comment : str, optional
        Lines that begin so are left out.
    score : str or list of str, optional
        Name of the column of the score, instead of the third of `columns`; or several names, for
        pairs rated on several attributes (see `contrast`).

    Returns
    -------
    pairs : ScoredPairs, or dict of ScoredPairs
        With several scores, the pairs that have all of them with each, by its name.

    Raises
    ------
    ValueError, TypeError
        The file, or the task, does not hold what is expected; the message names the line.
    OSError
        The hub cannot be reached, or the file cannot be read.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "pairs.csv"
    ...     _ = path.write_text("word1,word2,score\ncar,bus,7\ncar,dog,0\n")
    ...     pairs = load_pairs(path)
    >>> pairs.pairs, pairs.scores
    ([('car', 'bus'), ('car', 'dog')], array([7., 0.]))
    """
    if revision is not None and str(source) not in TASKS:
        raise ValueError(
            f"revision={revision!r}: expected only with a task from the hub ({', '.join(TASKS)}); "
            "leave it out."
        )
    if str(source) in TASKS:
        rows = _fetch(str(source), split, revision)
        name, place = str(source), f"{TASKS[str(source)]}, split {split!r}"
        names = list(rows[0]) if rows else []
        cells = [[row[column] for column in names] for row in rows]
        records = Records(place, names, cells, [f"row {i}" for i in range(len(rows))])
        provenance: dict[str, Any] = {
            "source": TASKS[name],
            "split": split,
            "revision": revision,
        }
    elif hasattr(source, "columns"):
        name, records, provenance = "table", records_of_table(source), {"source": "table"}
    else:
        path = _check_file(source)
        how = {"delimiter": delimiter, "encoding": encoding, "comment": comment}
        records = read_records(path, quoting=quoting, **how)
        name, provenance = path.stem, {"source": path.name}
    usual = {"encoding": "utf-8", "delimiter": "\t" if ".tsv" in str(source) else ","}
    if not isinstance(score, list | tuple):
        return _scored(name, pairs_of(records, columns, header, score), provenance, usual)
    if not score:
        raise ValueError("score=[]: expected at least one name of a column; leave it out.")
    records = rated(records, columns, header, score)
    each = {one: pairs_of(records, columns, header, one) for one in score}
    return {one: _scored(f"{name}, {one}", e, provenance, usual) for one, e in each.items()}


def _scored(
    name: str, found: PairRows, provenance: dict[str, Any], usual: dict[str, Any]
) -> ScoredPairs:
    """Checked pairs; what is unusual about their file is part of the provenance."""
    left, right = check_pairs(list(zip(found.left, found.right, strict=True)), name)
    unusual = {n: v for n, v in found.found.items() if usual.get(n) != v}
    return ScoredPairs(name, left, right, found.scores, found.corpora, {**provenance, **unusual})


def _check_file(source: str | Path) -> Path:
    """A path; a name that is neither a file nor a path is an error that lists the tasks."""
    path = Path(source).expanduser()
    is_path = path.suffix or len(path.parts) > 1 or not isinstance(source, str)
    if not is_path and not path.exists():
        raise ValueError(
            f"source={source!r}: expected a file, got none of that name, or one of the tasks "
            f"{', '.join(TASKS)}."
        )
    return path


def _fetch(task: str, split: str, revision: str | None) -> list[Mapping[str, Any]]:
    datasets = import_optional("datasets", "scores", f"task {task!r}, by name and not as a file")
    try:
        return list(datasets.load_dataset(TASKS[task], split=split, revision=revision))
    except Exception as error:  # whatever hub, network and parser raise
        raise OSError(
            f"source={task!r}: {TASKS[task]} (split {split!r}) could not be fetched: "
            f"{type(error).__name__}: {error}; check the network, HF_ENDPOINT and HF_HUB_OFFLINE, "
            "or pass a file."
        ) from error


def _check_scores(scores: Any) -> np.ndarray:
    values = np.asarray(scores)
    try:
        if np.iscomplexobj(values):
            raise ValueError
        values = values.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"scores={quote(scores)}: expected real numbers, one a pair.") from None
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(
            f"scores: expected finite numbers, one a pair, got shape {values.shape} with "
            f"{np.sum(~np.isfinite(values))} numbers not finite; drop those pairs."
        )
    return values
