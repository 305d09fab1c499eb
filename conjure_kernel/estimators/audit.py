"""`audit_erasure`: what is measured of two models for an `ErasureAudit`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conjure_kernel._checks import check_number, check_prompts
from conjure_kernel.engine.opening import resolve_seed
from conjure_kernel.engine.pairwise import measure_pairs
from conjure_kernel.engine.parameters import Measurement
from conjure_kernel.engine.provenance import provenance_of
from conjure_kernel.estimators.checkpoints import Checkpoints
from conjure_kernel.estimators.erasure import EMPTY, ErasureAudit
from conjure_kernel.models.group import SIDES

__all__ = ["audit_erasure"]

BASE, ERASED, _ = SIDES


def audit_erasure(
    base: Any,
    erased: Any,
    concept: str,
    *,
    synonyms: Sequence[str] = (),
    hypernyms: Sequence[str] = (),
    anchors: Sequence[str] = (),
    held: Sequence[str] = (),
    **settings: Any,
) -> ErasureAudit:
    """Tell whether a concept is gone from a model, where it went, and what went with it.

    Parameters
    ----------
    base, erased : models
        What `load_denoiser` takes; `erased` may be a LoRA file of the base, too.
    concept : str
        The prompt that was erased.
    synonyms : sequence of str
        Other words and descriptions, which may bring it back.
    hypernyms : sequence of str
        Words of which it is a kind. They are asked whether they bring it back, whether it went to
        them, and what they suffered.
    anchors : sequence of str
        Prompts to which it may have gone; the empty prompt is always one.
    held : sequence of str
        Prompts that should have stayed as they were.
    **settings
        The settings of `pairwise_divergence`, without a model, an origin and `tol`.

    Returns
    -------
    audit : ErasureAudit
        ``.residue``, ``.gone``, ``.descriptions()``, ``.destinations()``, ``.collateral()``.

    Raises
    ------
    ValueError, TypeError, OSError
        A model, a prompt or a setting is not valid, or the models share no latent space.

    Notes
    -----
    For d words (the concept, its synonyms and hypernyms), m destinations and h other prompts the
    chains of 2 (d + h + 1) prompts at most are traced, G S K predictions each, and compared by
    2 T K predictions for each of about 4 d + m + 3 h pairs.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser
    >>> base = GaussianDenoiser({"": 0.0, "a dog": 3.0, "a hound": 2.8, "a cat": -1.0})
    >>> erased = GaussianDenoiser({"": 0.0, "a dog": 0.1, "a hound": 2.7, "a cat": -1.0})
    >>> options = {"memory": None, "n_draws": 4}
    >>> audit = audit_erasure(
    ...     base, erased, "a dog", synonyms=["a hound"], anchors=["a cat"], **options
    ... )
    >>> [(row["prompt"], row["back"]) for row in audit.descriptions().rows]
    [('a dog', False), ('a hound', True)]
    """
    (word,) = check_prompts([concept], "concept")
    lists = {"synonyms": synonyms, "hypernyms": hypernyms, "anchors": anchors, "held": held}
    given = {n: check_prompts(side, n) if len(side) else [] for n, side in lists.items()}
    every = [word, *(prompt for side in given.values() for prompt in side)]
    if len(set(every)) < len(every) or EMPTY in every:
        raise ValueError(
            "concept, synonyms, hypernyms, anchors, held: expected each prompt once, and none that "
            "is empty; leave out what is there twice."
        )
    measurement = Measurement.of({**settings, "model": base})
    check_number(measurement.n_draws, "n_draws", least=2, integer=True)  # for intervals
    models = Checkpoints(measurement, [erased], resolve_seed(measurement.random_state))
    engine = models.group(models.open(erased))
    measured: Any = measure_pairs(engine, *_pairs(word, **given))
    about = provenance_of(engine, n_draws=engine.n_draws, concept=word, **given)
    return ErasureAudit(
        concept=word,
        measured=measured,
        n_evaluations=measured.n_evaluations,
        provenance=about,
        **given,
    )


def _pairs(
    concept: str, synonyms: list[str], hypernyms: list[str], anchors: list[str], held: list[str]
) -> tuple[list[str], list[str]]:
    """All pairs that an audit looks at, each once."""
    phrases, others = [concept, *synonyms, *hypernyms], [*hypernyms, *anchors, *held]
    pairs = [(BASE + p, BASE + EMPTY) for p in [*phrases, *others]]
    pairs += [(ERASED + p, ERASED + EMPTY) for p in phrases]
    pairs += [(side + p, BASE + concept) for side in (BASE, ERASED) for p in phrases]
    pairs += [(BASE + concept, BASE + p) for p in others]
    pairs += [(ERASED + concept, BASE + p) for p in [*hypernyms, *anchors, EMPTY]]
    pairs += [(BASE + p, ERASED + p) for p in others]
    left, right = zip(*dict.fromkeys(pairs), strict=True)
    return list(left), list(right)
