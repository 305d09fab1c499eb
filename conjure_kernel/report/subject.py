"""The model that a report is about: its settings, and the commands that measure it again."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.ledger import Requests
from conjure_kernel.engine.opening import open_engine, open_model
from conjure_kernel.engine.parameters import OF_A_MAP, Measurement
from conjure_kernel.engine.steps import most_left
from conjure_kernel.estimators.embedding import ConjureEmbedding
from conjure_kernel.models.denoiser import Denoiser

__all__ = ["OPEN", "VECTORS", "Subject"]

# Options of the command line for settings whose value may be written after them.
FLAGS = {
    "n_steps": "--steps",
    "n_draws": "--draws",
    "guidance_scale": "--guidance",
    "sampler": "--sampler",
    "random_state": "--seed",
    "device": "--device",
    "dtype": "--dtype",
}
PLACES = ("memory", "batch_size", "n_jobs", "verbose")  # which move no number
MODEL_FLAGS = ("revision", "token_env", "variant", "config")
OPEN: dict[str, Any] = {"device": "auto", "dtype": "auto", "model_kwargs": None}
VECTORS = ("--normalize", "--points", "4", "-o", "vectors.npz")  # the same for `conjure embed`
END = "END"  # of the lines that a command reads


@dataclass(frozen=True)
class Subject:
    """A model that is open, and the settings with which it is measured.

    Attributes
    ----------
    given : dict
        Settings of `pairwise_divergence`, with the model as the user named it.
    denoiser : Denoiser
        The model, loaded once for all sections.
    """

    given: dict[str, Any]
    denoiser: Denoiser

    @classmethod
    def of(cls, settings: dict[str, Any]) -> Subject:
        """The subject of settings; its weights are not loaded yet."""
        return cls(settings, open_model(Measurement.of(settings)))

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of `pairwise_divergence` with the open model."""
        return {**self.given, **OPEN, "model": self.denoiser}

    @property
    def name(self) -> str:
        """The model's name on a command line; MODEL for an object, which has none."""
        model = self.given["model"]
        return (
            "MODEL"
            if hasattr(model, "__dict__") and not hasattr(model, "__fspath__")
            else str(model)
        )

    def engine(self, role: int = 0, **more: Any) -> Engine:
        """Engine of the settings, some of them changed; another role has noise of its own."""
        return open_engine({**self.settings, **more}, role=role)

    def embedding(self, **more: Any) -> ConjureEmbedding:
        """Vectors of length 1 of the settings, some of them changed; as a map has them."""
        own = {f.name for f in fields(ConjureEmbedding)}
        settings = {n: value for n, value in self.settings.items() if n in own}
        return ConjureEmbedding(**{**settings, **OF_A_MAP, **more})

    def price(self, of: Callable[[int], Requests], **more: Any) -> Callable[[int], int]:
        """Noise predictions from an empty cache, as a function of n, of what `of(n)` requests."""
        engine = self.engine(memory=None, **more)
        return lambda n: most_left(engine, of(n)) if n else 0

    def command(
        self, verb: str, lines: Sequence[str] = (), *words: str, by_position: bool = False
    ) -> str:
        """A command line with these settings that reads lines from its standard input."""
        parts = ["conjure", verb, *(["-"] if lines else [])]
        parts += [self.name] if by_position else ["--model", self.name]
        text = " ".join(map(shlex.quote, [*parts, *words, *self._flags()]))
        if unsaid := self._unsaid():
            text = f"# no option for: {unsaid}\n{text}"
        return "\n".join([f"{text} <<'{END}'", *lines, END]) if lines else text

    def _unsaid(self) -> str:
        """Settings that are not as they are by default and have no option, as text."""
        default = Measurement()
        said = {*FLAGS, *PLACES, "model", "model_kwargs"}
        others = [n for n in self.given if n not in said and self.given[n] != getattr(default, n)]
        return ", ".join(f"{name}={self.given[name]!r}" for name in others)

    def _flags(self) -> list[str]:
        """Options for what is not as it is by default."""
        default, flags = Measurement(), []
        for name, flag in FLAGS.items():
            value = self.given.get(name, getattr(default, name))
            if value != getattr(default, name):
                flags += [flag, str(value)]
        more = dict(self.given.get("model_kwargs") or {})
        for name in MODEL_FLAGS:
            if (value := more.pop(name, None)) is not None:
                flags += [f"--{name.replace('_', '-')}", str(value)]
        for path, scale in dict(more.pop("adapters", None) or {}).items():
            flags += ["--adapter", f"{path}:{scale}"]
        for name, value in more.items():
            flags += ["--set", f"{name}={value}"]
        return flags
