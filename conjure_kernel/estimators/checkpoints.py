"""Checkpoints of one base: how each is opened, and in which groups of models they are measured.

A series is measured in groups of at most three models: the base, a checkpoint and the one before.
Groups share the chains of their common models, so that the base is traced once for all checkpoints,
and each checkpoint once for the base, for the next one and for the empty prompt.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from conjure_kernel._checks import AccuracyWarning, quote
from conjure_kernel.engine.batches import Batches
from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.opening import open_engine, open_model
from conjure_kernel.engine.parameters import Measurement
from conjure_kernel.engine.settings import BothBranches
from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.finite import decoded
from conjure_kernel.models.group import ModelGroup

__all__ = ["Checkpoints", "check_given", "in_one_precision", "open_group", "pictures_of"]


@dataclass
class Checkpoints:
    """Checkpoints of one base, each opened at its turn.

    Attributes
    ----------
    given : Measurement
        The parameters, with the base as `model`.
    items : sequence
        What `load_denoiser` takes; LoRA files, or mappings of LoRA files to their scales, belong to
        the base.
    seed : int
    base : Denoiser, optional
        The base, where it is open already.
    kept : dict
        Trajectories that groups share.
    """

    given: Measurement
    items: Sequence[Any]
    seed: int
    base: Denoiser = None  # type: ignore[assignment]
    kept: dict[Any, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.items, str | os.PathLike | Mapping) or not len(self.items):
            raise ValueError(
                f"checkpoints={quote(self.items)}: expected a list of at least one model; pass "
                "folders, hub ids, files or pipelines."
            )
        check_given(self.given)
        if self.base is None:
            self.base = open_model(self.given)
            objects = [
                item for item in self.items if not isinstance(item, str | os.PathLike | Mapping)
            ]
            for item in objects[:1]:  # a base by name is loaded in its precision
                given = self._given_for(item)
                both = in_one_precision([self.base, open_model(given)], [self.given, given])
                self.base = both[0]

    @property
    def names(self) -> list[str]:
        """A name for each checkpoint, all different."""
        short = [_name(item, short=True) for item in self.items]
        if len(set(short)) < len(short):
            short = [_name(item, short=False) for item in self.items]
        numbers = count(1)
        return [f"{n} ({next(numbers)})" if short.count(n) > 1 else n for n in short]

    def open(self, item: Any) -> Denoiser:
        """Open one checkpoint in the base's precision, without weights."""
        given = self._of_base(item) or self._given_for(item)
        models = in_one_precision([self.base, open_model(given)], [self.given, given])
        return models[1]

    def engines(self) -> Iterator[Engine]:
        """Engine of each checkpoint's group: the base, the checkpoint, and the one before."""
        before: list[Denoiser] = []
        for i, item in enumerate(self.items):
            here = self.open(item)
            roles = (0, 1 + i % 2, 2 - i % 2)[: 2 + len(before)]
            yield self.group(here, *before, roles=roles)
            for key in [key for key in self.kept if key[0][0] in map(id, before)]:
                if here is not before[0] is not self.base:
                    del self.kept[key]
            before = [here]

    def images(self, prompts: Sequence[str], n: int) -> np.ndarray:
        """Pictures by the base and by each checkpoint, (n + 1, n_prompts, n, H, W, 3)."""
        size, alone = self.given.batch_size, self.group()
        pictures = [pictures_of(alone, self.base, prompts, n, size)]
        for item in self.items:
            here = self.open(item)
            pictures.append(pictures_of(self.group(here), here, prompts, n, size))
        return np.stack(pictures)

    def group(self, *models: Denoiser, roles: Sequence[int] | None = None) -> Engine:
        """Engine of the base and these models."""
        group = ModelGroup(self.base, *models, within=True, roles=roles, kept=self.kept)
        return open_group(group, self.given, self.seed)

    def _of_base(self, item: Any) -> Measurement | None:
        """The base with a LoRA; None for another checkpoint."""
        from conjure_kernel.models.pretrained.sources import is_adapter

        if is_adapter(item):
            item = {item: 1.0}
        if not isinstance(item, Mapping):
            return None
        if not isinstance(self.given.model, str | os.PathLike):
            raise ValueError(
                f"checkpoint {quote(dict(item))}: expected the base by name, as LoRA files are put "
                "on a copy of their own; save it with save_pretrained and pass the folder."
            )
        options = self.given.model_kwargs or {}
        adapters = {**(options.get("adapters") or {}), **item}
        return replace(self.given, model_kwargs={**options, "adapters": adapters})

    def _given_for(self, item: Any) -> Measurement:
        """Arguments of a checkpoint's loading: a single file has the configs of the base."""
        if not isinstance(item, str | os.PathLike):  # it stays where and as it is
            return replace(self.given, model=item, model_kwargs=None, device="auto", dtype="auto")
        options = dict(self.given.model_kwargs or {})
        if Path(item).suffix != ".safetensors":
            options.pop("config", None)
        elif isinstance(self.given.model, str | os.PathLike) and self.given.model != "embedded":
            options.setdefault("config", os.fspath(self.given.model))
        return replace(self.given, model=item, model_kwargs=options or None)


def check_given(given: Measurement) -> None:
    """Raise a ValueError where a setting means nothing for several models."""
    if given.tol is not None:
        raise ValueError(
            f"tol={given.tol!r}: expected None, as all checkpoints share their draws; set "
            "n_draws instead."
        )
    if given.origin is not None:
        raise ValueError(
            f"origin={given.origin!r}: expected None, as models are compared in nats; leave it out."
        )


def open_group(group: ModelGroup, given: Measurement, seed: int) -> Engine:
    """Engine of a group of models, each of which is placed already."""
    placed: dict[str, Any] = {"model_kwargs": None, "device": "auto", "dtype": "auto"}
    return open_engine(replace(given, model=group, n_jobs=1, **placed), BothBranches, seed)


def pictures_of(
    engine: Engine, model: Denoiser, prompts: Sequence[str], n: int, batch_size: int | str
) -> np.ndarray:
    """Pictures by one model of a group from the noise that all share, (n_prompts, n, H, W, 3)."""
    engine.load()
    group: Any = engine.denoiser
    chain = replace(engine.settings, chains_per_draw=1).chain(engine.grid)
    batches, own = Batches(model, batch_size), group.chain_of(model, chain, chain.seed)
    ends = [batches.trace([prompt], range(n), own)[0].x0 for prompt in prompts]
    made = decoded(model.decode, torch.cat(ends), prompts)
    return made.reshape(len(prompts), n, *made.shape[1:])


def in_one_precision(models: list[Denoiser], given: Sequence[Measurement]) -> list[Denoiser]:
    """Two models, of which one by name takes the dtype of one that is passed in.

    Two that are passed in keep theirs, and a warning says what that means.
    """
    dtypes, names = [model.dtype for model in models], [one.model for one in given]
    if given[0].dtype != "auto" or dtypes[0] == dtypes[1]:
        return models
    named = [isinstance(name, str | os.PathLike) for name in names]
    if named[0] != named[1]:
        i = named.index(True)
        dtype = str(dtypes[1 - i]).removeprefix("torch.")
        models[i] = open_model(replace(given[i], dtype=dtype))
    else:
        warnings.warn(
            f"the models compute in {dtypes[0]} and {dtypes[1]}: even equal weights drift by that "
            "rounding; load both in one dtype.",
            category=AccuracyWarning,
            stacklevel=5,
        )
    return models


def _name(item: Any, short: bool) -> str:
    if isinstance(item, Mapping):
        return " + ".join(f"{_name(file, short)}:{scale:g}" for file, scale in item.items())
    if isinstance(item, str | os.PathLike):
        return Path(item).name if short else os.fspath(item)
    return str(getattr(item, "name", type(item).__name__))
