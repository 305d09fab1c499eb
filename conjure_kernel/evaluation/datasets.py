"""Pairs of texts with human similarity scores, from a hub at run time or from a local file.

The package holds none of them, as they have licences of their own: STS12 and STS-B hold texts
whose users must agree to terms, and SICK is non-commercial.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from conjure_kernel._checks import check_number, check_pairs, import_optional, quote

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
TEXTS = [("sentence1", "sentence2"), ("word1", "word2"), ("text_a", "text_b")]
CORPORA = ("source", "dataset", "genre")


@dataclass(frozen=True)
class ScoredPairs:
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
        object.__setattr__(self, "scores", scores)
        lengths = [len(part) for part in (*texts, scores, self.corpora) if part is not None]
        if len(set(lengths)) > 1:
            raise ValueError(
                f"{self.name}: expected as many texts on both sides as scores and corpora, got "
                f"{', '.join(map(str, lengths))}."
            )

    def __len__(self) -> int:
        return len(self.left)

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
        known = set(texts)
        both = (a in known and b in known for a, b in self.pairs)
        return self.take(np.flatnonzero(list(both)), what)


def load_pairs(
    source: str | Path,
    *,
    split: str = "test",
    columns: Sequence[str] | None = None,
    revision: str | None = None,
) -> ScoredPairs:
    r"""Load scored pairs of a named task, or of a .tsv or .csv file.

    Parameters
    ----------
    source : str or path
        "sts12" ... "sts16", "sts-b" or "sick-r", which are fetched from the Hugging Face hub (extra
        "scores"); or a UTF-8 file with a header. In a .tsv file tabs separate and quotes are
        literal; in a .csv file commas separate and quotes quote. Word sets (MEN, SimLex-999,
        WordSim-353, RG-65) come as files.
    split : str, default "test"
        Split of a task from the hub.
    columns : (str, str, str), optional
        Names of the columns of both texts and of the score. Default: sentence1, sentence2 (or
        word1, word2; or text_a, text_b) and score. A column source, dataset or genre gives the
        sub-corpora.
    revision : str, optional
        Commit, tag or branch of a task from the hub. Default: the newest.

    Returns
    -------
    pairs : ScoredPairs

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
    path = Path(source)
    if str(source) in TASKS:
        rows = _fetch(str(source), split, revision)
        name, place = str(source), f"{TASKS[str(source)]}, split {split!r}"
        where: Callable[[int], str] = "row {}".format
        names = list(rows[0]) if rows else []
        provenance = {"source": TASKS[name], "split": split, "revision": revision}
    elif path.suffix.lower() in (".tsv", ".csv"):
        names, rows = _read(path)
        name, place, where = path.stem, f"'{path}'", lambda i: f"line {rows[i]['']}"
        provenance = {"source": path.name}
    else:
        raise ValueError(
            f"source={str(source)!r}: expected a file that ends in .tsv or .csv, or one of the "
            f"tasks {', '.join(TASKS)}."
        )
    if not rows:
        raise ValueError(f"{place}: expected a header and one pair a line, got no pairs.")
    a, b, score = _columns(names, columns, place)
    scores = np.array(
        [_number(r[score], f"{place}, {where(i)}", score) for i, r in enumerate(rows)]
    )
    left, right = check_pairs([(row[a], row[b]) for row in rows], place)
    corpus = next((c for c in CORPORA if c in names and c not in (a, b, score)), None)
    corpora = None if corpus is None else [str(row[corpus]) for row in rows]
    return ScoredPairs(name, left, right, scores, corpora, provenance)


def _read(path: Path) -> tuple[list[str], list[Mapping[str, Any]]]:
    """Column names and rows of a file; each row has its line number under ""."""
    dialect: dict[str, Any] = {"delimiter": ","}
    if path.suffix.lower() == ".tsv":
        dialect = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    rows: list[Mapping[str, Any]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            csv.field_size_limit(2**31 - 1)
            text = file.read().replace("\r\n", "\n").replace("\r", "\n")
            reader = csv.reader(io.StringIO(text), **dialect)
            names = next(reader, [])
            for fields in reader:
                if len(fields) != len(names):
                    raise ValueError(
                        f"'{path}', line {reader.line_num}: expected {len(names)} fields, as in "
                        f"the header ({', '.join(names)}), got {len(fields)}."
                    )
                rows.append({**dict(zip(names, fields, strict=True)), "": reader.line_num})
    except UnicodeDecodeError as error:
        raise ValueError(
            f"'{path}': expected UTF-8, got other bytes ({error.reason}); save it as UTF-8."
        ) from None
    return names, rows


def _fetch(task: str, split: str, revision: str | None) -> list[Mapping[str, Any]]:
    datasets = import_optional("datasets", "scores", f"task {task!r}, by name and not as a file")
    try:
        return list(datasets.load_dataset(TASKS[task], split=split, revision=revision))
    except Exception as error:  # whatever hub, network and parser raise
        raise OSError(
            f"source={task!r}: {TASKS[task]} (split {split!r}) could not be fetched: "
            f"{type(error).__name__}: {error}; check the network, HF_ENDPOINT and HF_HUB_OFFLINE, "
            "or pass a local .tsv or .csv file."
        ) from error


def _columns(names: list[str], given: Sequence[str] | None, place: str) -> tuple[str, str, str]:
    """Names of the columns of both texts and of the score."""
    choices = [(*texts, "score") for texts in TEXTS] if given is None else [tuple(given)]
    for choice in choices:
        if len(choice) == 3 and set(choice) <= set(names):
            return choice[0], choice[1], choice[2]
    wanted = " or ".join(", ".join(choice) for choice in choices)
    raise ValueError(
        f"{place}: expected the columns {wanted}, got {', '.join(names)}; name three of these in "
        "columns=."
    )


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


def _number(value: Any, place: str, column: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(
            f"{place}: {column}={quote(value)}: expected a finite number; drop such rows first."
        )
    return number
