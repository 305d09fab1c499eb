"""`DriftLogger`: the drift of a model that is being trained, logged from its training loop."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from conjure_kernel._checks import check_number, import_optional
from conjure_kernel._table import Table
from conjure_kernel.engine.opening import resolve_seed
from conjure_kernel.engine.parameters import Measurement
from conjure_kernel.estimators.checkpoints import Checkpoints, check_given
from conjure_kernel.estimators.series import Series
from conjure_kernel.estimators.watch import check_groups, measure_series

__all__ = ["DriftLogger"]

FIGURES = ("target", "collateral", "spread", "vividness")


class DriftLogger:
    """Logs from a training loop how far a model has drifted from its base.

    It is called with the pipeline that is being trained, measures it with the rules of `Series`,
    and leaves it as it was: modes, gradients' flags, adapters, scheduler and all random states.

    Parameters
    ----------
    base : model
        What `load_denoiser` takes: the model from which the training started, not the one trained.
    prompts : sequence of str
        Prompts on which the training might tell; those of the groups are added.
    groups : mapping of str to sequence of str
        See `ConjureDrift.fit_series`.
    every : int, default 100
        Steps between two measurements.
    at_most : float, default 0.05
        Largest share of the training's own time that logging may add. A measurement that would
        exceed it, if it took as long as the last one, is left out; the first one always runs.
    to : sequence of writers
        Where it is logged: TensorBoard's `SummaryWriter`, and runs of Weights & Biases. All figures
        are in `history`, too.
    pictures : bool, default True
        Whether pictures of the target's prompts, base and trained model from the same noise, are
        logged.
    n_neighbors : int, default 5
        See `ConjureDrift.fit_series`.
    **settings
        The settings of `pairwise_divergence`, without a model, an origin and `tol`.

    Attributes
    ----------
    history : Table
        A row per measurement: step, seconds, and the figures of `Series.verdicts`.
    n_skipped : int
        Measurements left out as they would have taken too long.

    Raises
    ------
    ValueError, TypeError
        A prompt, a group or a setting is not valid.

    Notes
    -----
    The chains of the base are traced once and kept. A measurement of n prompts costs
    n K (G S + 4 T) predictions, see `ConjureDrift.fit_series`; few prompts and `n_steps=5` are
    enough to see a trend. Base and trained model are in memory together.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser
    >>> base = GaussianDenoiser({"": 0.0, "a dog": 1.0, "a cat": -1.0})
    >>> options = {"every": 10, "pictures": False, "at_most": 1e6}  # no matter how long it takes
    >>> log = DriftLogger(base, ["a cat"], {"target": ["a dog"]}, **options)
    >>> for step in range(0, 20, 5):  # in place of the pipeline, a world that changes
    ...     log(GaussianDenoiser({"": 0.0, "a dog": 1.0 + step, "a cat": -1.0}), step)
    >>> [(row["step"], round(row["target"], 1)) for row in log.history.rows]
    [(0, 0.0), (10, 50.0)]
    """

    def __init__(
        self,
        base: Any,
        prompts: Sequence[str],
        groups: Mapping[str, Sequence[str]],
        *,
        every: int = 100,
        at_most: float = 0.05,
        to: Sequence[Any] = (),
        pictures: bool = True,
        n_neighbors: int = 5,
        **settings: Any,
    ) -> None:
        self.prompts, self.groups = check_groups(prompts, groups)
        self.every = check_number(every, "every", least=1, integer=True)
        self.at_most = check_number(at_most, "at_most", least=0, exclusive=True)
        self.n_neighbors = check_number(n_neighbors, "n_neighbors", least=0, integer=True)
        self.to, self.pictures = _check_writers(to), pictures
        self.history, self.n_skipped = Table([]), 0
        self._given = Measurement.of({"memory": None, "check_steps": 0, **settings, "model": base})
        check_given(self._given)
        check_number(self._given.n_draws, "n_draws", least=2, integer=True)
        self._seed = resolve_seed(self._given.random_state)
        self._base: Any = None
        self._kept: dict[Any, Any] = {}
        self._begun, self._spent, self._last = time.monotonic(), 0.0, 0.0

    def __call__(self, pipeline: Any, step: int) -> None:
        """Measure and log, if this step's turn has come and there is time.

        Parameters
        ----------
        pipeline : DiffusionPipeline or Denoiser
            With the modules that are being trained.
        step : int
            The training's step.
        """
        if step % self.every:
            return
        begun = time.monotonic()
        trained = begun - self._begun - self._spent
        if self._last and self._spent + self._last > self.at_most * trained:
            self.n_skipped += 1
            return
        try:
            with untouched(pipeline):
                series = self._measure(pipeline)
                row = {"step": step, **series.verdicts()[0], "seconds": np.nan}
                self.history = Table([*self.history.rows, row])
                images = series.conjure_images() if self.pictures else None
                for writer in self.to:
                    _write(writer, step, series, images)
        finally:
            self._last = time.monotonic() - begun
            self._spent += self._last
        row["seconds"] = self._last

    def _measure(self, pipeline: Any) -> Series:
        models = Checkpoints(self._given, [pipeline], self._seed, self._base, self._kept)
        self._base = models.base
        if pipeline is self._base:
            raise ValueError(
                "pipeline: expected another model than the base, which does not drift from itself; "
                "pass the name of the base, or a copy of it."
            )
        try:
            series = measure_series(models, self.prompts, self.groups, self.n_neighbors, None)
        finally:
            for key in [key for key in self._kept if key[0][0] != id(self._base)]:
                del self._kept[key]  # the model that is trained will be another one
        self.groups = series.groups  # neighbours are looked for once
        return series


@contextmanager
def untouched(pipeline: Any) -> Iterator[None]:
    """Let a pipeline be measured in evaluation mode, and put everything back as it was."""
    parts = getattr(pipeline, "components", {})
    modules = [part for part in parts.values() if isinstance(part, torch.nn.Module)]
    modes = {m: m.training for part in modules for m in part.modules()}
    wanted = {p: p.requires_grad for part in modules for p in part.parameters()}
    scheduler = parts.get("scheduler")
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        for part in modules:
            part.eval()
        with torch.no_grad(), _without_autocast():
            yield
    finally:
        for module, training in modes.items():
            module.training = training
        for parameter, flag in wanted.items():
            parameter.requires_grad_(flag)
        if scheduler is not None and pipeline.scheduler is not scheduler:
            pipeline.scheduler = scheduler
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])
        if on_gpu:
            torch.cuda.set_rng_state_all(on_gpu)


@contextmanager
def _without_autocast() -> Iterator[None]:
    """Compute in the modules' own precision, whatever the training loop casts to."""
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.autocast(kind, enabled=False):
        yield


def _check_writers(to: Any) -> list[Any]:
    """The writers, each of which has a method that takes figures."""
    if not isinstance(to, Iterable) or isinstance(to, str):
        raise TypeError(f"to={to!r}: expected a list of writers; put it into one.")
    for writer in (found := list(to)):
        odd = isinstance(writer, type | logging.Logger)
        if odd or not (hasattr(writer, "add_scalar") or hasattr(writer, "log")):
            raise TypeError(
                f"to: expected TensorBoard's SummaryWriter or a run of wandb, got {writer!r}; "
                "leave it out and read `history`."
            )
    return found


def _write(writer: Any, step: int, series: Series, images: np.ndarray | None) -> None:
    """Log scalars and pictures of one measurement to TensorBoard or Weights & Biases."""
    scalars = _scalars(series)
    sheets = {}
    if images is not None:
        pairs = images[:, :, 0].swapaxes(0, 1)  # of each prompt: base, trained
        sheets = {
            p: np.concatenate(list(pair), 1)
            for p, pair in zip(_targets(series), pairs, strict=True)
        }
    if hasattr(writer, "add_scalar"):
        for name, value in scalars.items():
            writer.add_scalar(f"conjure/{name}", value, step)
        for prompt, sheet in sheets.items():
            writer.add_image(f"conjure/{prompt}", sheet, step, dataformats="HWC")
        writer.flush()
        return
    pictures = {}
    if sheets:
        wandb = import_optional("wandb", "tuning", "pictures in a run of Weights & Biases")
        pictures = {
            f"conjure/{prompt}": wandb.Image(sheet, caption="base, trained")
            for prompt, sheet in sheets.items()
        }
    named = {f"conjure/{name}": value for name, value in scalars.items()}
    writer.log({**named, **pictures, "conjure/step": step})


def _targets(series: Series) -> list[str]:
    return series.groups["target"]


def _scalars(series: Series) -> dict[str, float]:
    """Figures of the only checkpoint with their intervals, without those that are unknown."""
    row = series.verdicts()[0]
    found = {f"{n}{end}": row[f"{n}{end}"] for n in FIGURES for end in ("", "_low", "_high")}
    for curve in series.curves().rows:
        found[f"drift of {curve['group']}"] = curve["drift"]
    return {name: value for name, value in found.items() if np.isfinite(value)}
