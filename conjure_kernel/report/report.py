"""`report_model`: what a model is, draws, tells apart and agrees with, on one page."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conjure_kernel._checks import ConjureWarning, check_number
from conjure_kernel._table import jsonable
from conjure_kernel.engine.plan import plan
from conjure_kernel.engine.provenance import provenance_of
from conjure_kernel.evaluation.datasets import ScoredPairs, load_pairs
from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.report import change, looks, people, stability, vivid
from conjure_kernel.report.budget import shares
from conjure_kernel.report.page import render
from conjure_kernel.report.section import Section
from conjure_kernel.report.subject import Subject
from conjure_kernel.report.words import read_words

__all__ = ["BUDGET", "Report", "report_model"]

TIMED = 8  # words
BUDGET = 60_000  # noise predictions; a few minutes of the embedded model
Work = Callable[[], Section]


@dataclass(frozen=True, repr=False)
class Report:
    """What was found out about a model.

    Attributes
    ----------
    model : str
        Its name.
    sections : list of Section
        Each with its result, tables, the command that measures it again, and its cost; or, where
        it could not be measured, with the reason.
    budget : int
        Noise predictions that were allowed.
    provenance : dict
        The model's fingerprint, the settings and the versions of packages.
    """

    model: str
    sections: list[Section]
    budget: int
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def n_evaluations(self) -> int:
        """Noise predictions that were made, less what the cache had."""
        return sum(section.n_predictions for section in self.sections)

    @property
    def page(self) -> str:
        """The whole as one HTML page, which loads nothing from elsewhere."""
        return render(self.model, self.sections, self.budget, self.provenance)

    def save(self, path: str | Path) -> None:
        """Write the page into a file, in place of an old one."""
        Path(path).write_text(self.page, encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file: everything but pictures."""
        sections = [section.to_dict() for section in self.sections]
        about = {"model": self.model, "budget": self.budget, "n_evaluations": self.n_evaluations}
        return jsonable({**about, "sections": sections, "provenance": self.provenance})

    def __repr__(self) -> str:
        lines = [f"Report of {self.model}, {self.n_evaluations:,} noise predictions"]
        lines += [f"  {section.title}: {section.found}" for section in self.sections]
        return "\n".join(lines)


def report_model(
    model: Any = "embedded",
    *,
    against: Any = None,
    scores: str | Path | ScoredPairs | None = None,
    budget: int = BUDGET,
    minutes: float | None = None,
    tell: Callable[[str], None] | None = None,
    **settings: Any,
) -> Report:
    """Find out about a model what can be known within a number of noise predictions.

    Parameters
    ----------
    model : str, path, diffusers pipeline or Denoiser, default "embedded"
        What `load_denoiser` takes.
    against : str, path, diffusers pipeline or Denoiser, optional
        Another model of the same latent space, such as the base of a fine-tuned one. Default: none.
    scores : str, path or ScoredPairs, optional
        Scores by people, for `load_pairs`. Default: none.
    budget : int, default 60,000
        Noise predictions at most. Sections share it, and measure as many words as their share pays
        for. A section whose share does not pay for the least that says anything is left out.
    minutes : float, optional
        Time at most, in place of a budget: the model is timed for a few seconds first. Default:
        the budget counts.
    tell : callable, optional
        Called with a line of text before and after each section. Default: silence.
    **settings
        The settings of `pairwise_divergence`, without an origin.

    Returns
    -------
    report : Report

    Raises
    ------
    ValueError, TypeError, FloatingPointError, RuntimeError
        The model cannot be measured, or a setting is not valid. What fails later is told in its
        section, and the others go on.

    Notes
    -----
    What was measured is in the cache: the same call goes on from where another one was stopped.

    Examples
    --------
    >>> from conjure_kernel import report_model
    >>> report_model(budget=40_000).save("report.html")  # doctest: +SKIP
    """
    budget = check_number(budget, "budget", least=1, integer=True)
    if minutes is not None:
        minutes = check_number(minutes, "minutes", least=0, exclusive=True)
    if settings.get("origin") is not None:
        raise ValueError("origin: expected None, as each section has its own; leave it out.")
    subject = Subject.of({**settings, "model": model})
    other = None if against is None else Subject.of({**settings, "model": against})
    pairs, source = _scored(scores)
    models = [subject.denoiser] + ([] if other is None else [other.denoiser])
    before, begun = _made(models), time.perf_counter()
    checked = looks.check(subject)  # a model that cannot be measured has no report
    sections = [checked.costing(_made(models) - before, time.perf_counter() - begun, ())]
    if minutes is not None:
        budget = max(1, round(60 * minutes * _rate(subject)))
    works = _works(subject, other, pairs, source, budget)
    for name, title, work in works:
        if tell is not None:
            tell(f"{title} ...")
        sections.append(_measured(name, title, work, models))
    return Report(subject.denoiser.name, sections, budget, provenance_of(subject.engine()))


def _scored(scores: Any) -> tuple[ScoredPairs | None, str]:
    """Pairs with scores by people, and how a command names them."""
    by_name = isinstance(scores, str | Path)
    return (load_pairs(scores), str(scores)) if by_name else (scores, "PAIRS")


def _rate(subject: Subject) -> float:
    """Noise predictions per second, timed on a few words."""
    timed = plan(read_words().names[:TIMED], **{**subject.settings, "memory": None})
    return timed.rate or 1.0


def _works(
    subject: Subject, other: Subject | None, pairs: ScoredPairs | None, source: str, budget: int
) -> Iterator[tuple[str, str, Work]]:
    """Name, title and work of each section after the checkup."""
    asked = ["map", "vividness", "stability"]
    asked += ["people"] if pairs is not None else []
    asked += ["change"] if other is not None else []
    share = shares(asked, budget)
    yield "pictures", looks.PICTURES_TITLE, lambda: looks.show_pictures(subject)
    yield "map", looks.TITLE, lambda: looks.draw_map(subject, share["map"])
    yield "vividness", vivid.TITLE, lambda: vivid.rank_vividness(subject, share["vividness"])
    yield (
        "stability",
        stability.TITLE,
        lambda: stability.compare_settings(subject, share["stability"]),
    )
    if pairs is not None:
        some = (subject, pairs, source, share["people"])
        yield "people", people.TITLE, lambda: people.agree_with_people(*some)
    if other is not None:
        yield "change", change.TITLE, lambda: change.tell_change(subject, other, share["change"])


def _measured(name: str, title: str, work: Work, models: Sequence[Denoiser]) -> Section:
    """The section with what it cost and what was warned of; or why there is none."""
    before, begun = _made(models), time.perf_counter()
    with warnings.catch_warnings(record=True) as told:
        warnings.filterwarnings("always", category=ConjureWarning)
        try:
            section = work()
        except Exception as error:  # a model of the user may raise anything
            found = f"Not measured: {error or type(error).__name__}"
            section = Section(name, title, found, measured=False)
    for one in told:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    texts = dict.fromkeys(str(w.message) for w in told if issubclass(w.category, ConjureWarning))
    spent = time.perf_counter() - begun
    return section.costing(_made(models) - before, spent, tuple(texts))


def _made(models: Sequence[Denoiser]) -> int:
    """Noise predictions that these models have made."""
    return sum(model.n_evaluations for model in models)
