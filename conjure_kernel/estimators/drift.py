"""`ConjureDrift`: how far two models part under each prompt.

Each model predicts along the other's trajectories, as each prompt does along another one's. To the
engine both models are one `Denoiser` (`ModelGroup`), so cache, errors and progress are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from conjure_kernel._checks import check_number, check_prompts
from conjure_kernel._table import Table
from conjure_kernel.engine.cost import Plan
from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.opening import open_model, resolve_seed
from conjure_kernel.engine.pairwise import measure_pairs
from conjure_kernel.engine.parameters import Measurement, ModelParameter, Parameters
from conjure_kernel.engine.provenance import provenance_of
from conjure_kernel.estimators.base import ModelEstimator, TextInput
from conjure_kernel.estimators.checkpoints import (
    Checkpoints,
    in_one_precision,
    open_group,
    pictures_of,
)
from conjure_kernel.estimators.fitting import as_fitted, whole
from conjure_kernel.estimators.series import Series
from conjure_kernel.estimators.watch import check_groups, measure_series, plan_series
from conjure_kernel.models.group import SIDES, ModelGroup

__all__ = ["ConjureDrift"]


@dataclass(kw_only=True, repr=False, eq=False)
class ConjureDrift(TextInput, ModelEstimator, Parameters):
    """How far two models part under each prompt.

    For each prompt this is J between the reverse-time diffusions of model a and model b, in nats: b
    predicts along a's trajectories and a along b's, at the same log-SNR, over the range that both
    know. It shows what changed between a model and its fine-tuned, quantised, distilled or edited
    copy.

    Parameters
    ----------
    model_a, model_b : str, path, diffusers pipeline or Denoiser, default "embedded"
        What `load_denoiser` takes. They must share a latent space: states of one shape that both
        decode to the same picture, or sound. Their schedules and predictions may differ.
    model_kwargs : dict, optional
        Further arguments of `load_denoiser`, for both models.
    n_steps, n_draws, tol, max_draws, weighting, sampler, substeps, nodes, log_snr_range
        See `ConjureDistance`; the default range is what both models know, within [-8, 8].
    shared_noise, chains_per_draw, check_steps
        See `ConjureDistance`.
    guidance_scale : float, default 1
        Classifier-free guidance. The unconditional parts of two models do not cancel, so other
        values than 1 compare the guided predictions themselves, at twice the cost.
    memory, device, dtype, batch_size, n_jobs, random_state, verbose
        See `ConjureDistance`; the work is done in one process whatever n_jobs is.

    Attributes
    ----------
    prompts_ : list of str
        The prompts as they were given (NFC-normalised).
    divergences_, standard_errors_ : arrays of shape (n_prompts,)
        J between the models under each prompt, and its Monte Carlo standard error.
    measured_ : Divergence
        The same with both legs, intervals and profile; each prompt is a pair of model a and b.
    truncated_ : bool array of shape (n_prompts,)
        Whether every text encoder of one of the models cut the prompt.
    n_evaluations_, provenance_ : int, dict
        Noise predictions that `fit` cost; models, fingerprint, settings and versions.

    Raises
    ------
    ValueError
        From `fit`: the models share no latent space or no range of log-SNR.

    Notes
    -----
    J is 0 where both models give the same predictions, and rounding alone makes it positive. A
    model measured against itself in another dtype shows the value below which a drift means
    nothing.

    Examples
    --------
    >>> from conjure_kernel import ConjureDrift, GaussianDenoiser
    >>> base = GaussianDenoiser({"a dog": 0.7, "a cat": -0.4})
    >>> tuned = GaussianDenoiser({"a dog": 0.7, "a cat": 1.0})
    >>> drift = ConjureDrift(base, tuned, memory=None).fit(["a dog", "a cat"])
    >>> drift.to_pandas()[["prompt", "divergence"]].round(3)
      prompt  divergence
    0  a cat        0.98
    1  a dog        0.00
    """

    _shared = ("model_a", "model_b")

    model_a: Any = field(default=ModelParameter.model, kw_only=False)
    model_b: Any = field(default=ModelParameter.model, kw_only=False)

    @whole
    def fit(self, X: Sequence[str], y: Any = None) -> ConjureDrift:
        """Measure J between the models under each prompt.

        Parameters
        ----------
        X : sequence of str, length n_prompts
            Equal prompts are measured once.
        y : ignored

        Returns
        -------
        self : ConjureDrift
        """
        checked = check_prompts(X)
        engine = self._begin()
        sides = [[side + prompt for prompt in checked] for side in SIDES[:2]]
        measured: Any = measure_pairs(engine, *sides)
        self.prompts_, self.n_evaluations_ = checked, measured.n_evaluations
        self.measured_ = replace(measured, prompts_a=checked, prompts_b=checked)
        self.divergences_ = measured.values
        self.standard_errors_ = measured.standard_errors
        self.truncated_ = np.logical_or(*(engine.truncated(side) for side in sides))
        both: Any = engine.denoiser
        self.provenance_ = provenance_of(
            engine, n_draws=measured.n_draws, models=[model.name for model in both.models]
        )
        return self

    def fit_series(
        self,
        checkpoints: Sequence[Any],
        prompts: Sequence[str] = (),
        *,
        groups: Mapping[str, Sequence[str]],
        n_neighbors: int = 5,
        floor: Any = None,
    ) -> Series:
        """Measure checkpoints in a row, each against model a and against the one before.

        Parameters
        ----------
        checkpoints : sequence of models
            In the order of training: what `load_denoiser` takes, LoRA files (.safetensors) of model
            a, or mappings of such files to their scales. Each is loaded at its turn, and no more
            than three models are in memory. `model_b` is not used.
        prompts : sequence of str
            Prompts on which the training might tell; those of the groups are added.
        groups : mapping of str to sequence of str
            "target": what was trained. "neighbours": prompts near to it; default: the `n_neighbors`
            nearest by relative divergence under model a. All other prompts are "held".
        n_neighbors : int, default 5
        floor : model, optional
            One that differs from model a by nothing that matters, such as the same in another
            dtype: its drift is what reach is compared with. Default: model a itself in calls of
            another size, which is rounding alone.

        Returns
        -------
        series : Series
            ``.curves()``, ``.verdicts()``, ``.collateral()``, ``.table()``.

        Raises
        ------
        ValueError, TypeError, OSError
            A model, a prompt or a group is not valid, or the models share no latent space.

        Notes
        -----
        n prompts and m targets cost n K G S predictions for the chains of the base, and for each
        checkpoint n K (G S + 6 T), where S = T * substeps: 2 T along the chains of the base and
        back, as many for the checkpoint before, and for the empty prompt. Neighbours that are
        looked for cost 2 n m T K once. The verdict on collapse needs 3 draws at least.

        Examples
        --------
        >>> from conjure_kernel import ConjureDrift, GaussianDenoiser
        >>> worlds = [
        ...     GaussianDenoiser({"": 0.0, "a dog": 0.7 + s, "a cat": -0.4}) for s in range(3)
        ... ]
        >>> drift = ConjureDrift(worlds[0], memory=None)
        >>> series = drift.fit_series(worlds[1:], ["a cat"], groups={"target": ["a dog"]})
        >>> [round(row["target"], 2) for row in series.verdicts().rows]
        [0.5, 2.0]
        """
        every, own = check_groups(prompts, groups)
        n_neighbors = check_number(n_neighbors, "n_neighbors", least=0, integer=True)
        models = self._checkpoints(checkpoints)
        series = measure_series(models, every, own, n_neighbors, floor)
        models.kept.clear()
        return series

    def plan_series(
        self,
        checkpoints: Sequence[Any],
        prompts: Sequence[str] = (),
        *,
        groups: Mapping[str, Sequence[str]],
        floor: Any = None,
    ) -> Plan:
        """What `fit_series` would cost now, at most: predictions, time, disk and memory."""
        return plan_series(self._checkpoints(checkpoints), *check_groups(prompts, groups), floor)

    def _checkpoints(self, items: Sequence[Any]) -> Checkpoints:
        given = replace(Measurement.of_estimator(self), model=self.model_a)
        return Checkpoints(given, items, resolve_seed(self.random_state))

    def to_pandas(self) -> Any:
        """`ranking` as a pandas DataFrame, one row per prompt."""
        return self.ranking().to_pandas()

    def ranking(self) -> Table:
        """Table of the prompts, most drifted first.

        Returns
        -------
        table : Table
            A row per prompt: prompt, divergence, standard_error, low and high (95 % interval),
            kl_ab and kl_ba, in nats.
        """
        check_is_fitted(self)
        numbers = self.measured_.numbers()
        del numbers["distance"]
        return Table(
            [
                {"prompt": self.prompts_[i], **{n: float(v[i]) for n, v in numbers.items()}}
                for i in np.argsort(-self.divergences_, kind="stable")
            ]
        )

    @as_fitted
    def conjure_images(self, prompts: Sequence[str] | None = None, n: int = 1) -> np.ndarray:
        """Pictures that both models make from the same noise; they are not cached.

        Parameters
        ----------
        prompts : sequence of str, length n_prompts, optional
            Default: the fitted prompts.
        n : int, default 1
            Pictures per prompt and model.

        Returns
        -------
        images : uint8 array of shape (2, n_prompts, n, height, width, 3)
            Pictures of model a, then of model b.

        Raises
        ------
        ValueError
            A model makes no pictures but sound.
        """
        checked, n = self._check_pictured(prompts, n)
        engine: Any = self._fitted_engine()
        engine.load()
        models = engine.denoiser.models
        return np.stack([pictures_of(engine, m, checked, n, self.batch_size) for m in models])

    def open_engine(self) -> Engine:  # noqa: D102
        own = Measurement.of_estimator(self)
        given = [replace(own, model=getattr(self, name)) for name in self._shared]
        models = in_one_precision([open_model(one) for one in given], given)
        return open_group(ModelGroup(*models), own, self._seed())
