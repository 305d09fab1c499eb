"""What a pipeline's text encoders are given: truncated and indistinguishable prompts.

The limit may be the tokenizer's own or an argument of the call, and a prefix may count against it.
So each tokenizer's calls are recorded during the run and repeated without truncation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from conjure_kernel.models.task import Reading

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["read", "token_limits", "watching"]

NO_LIMIT = 10**6  # transformers writes a huge number where a tokenizer knows none


class _Watched:
    """Stands in for a tokenizer and records its truncating calls."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.calls: list[tuple[list[str], dict[str, Any], list[list[int]]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __len__(self) -> int:
        return len(self._tokenizer)

    def __call__(self, text: Any, *args: Any, **kwargs: Any) -> Any:
        encoded = self._tokenizer(text, *args, **kwargs)
        if kwargs.get("truncation"):
            texts = [text] if isinstance(text, str) else list(text)
            rows = [list(map(int, row)) for row in encoded["input_ids"]]
            self.calls.append((texts, kwargs, rows))
        return encoded

    def readings(self, n_prompts: int) -> list[Reading] | None:
        """Reading of each prompt by this tokenizer; None if it was not called with them."""
        for texts, kwargs, rows in self.calls:
            if len(texts) != n_prompts:
                continue
            limit = kwargs.get("max_length") or self._tokenizer.model_max_length
            special = kwargs.get("add_special_tokens", True)
            whole = self._tokenizer(texts, add_special_tokens=special, verbose=False)["input_ids"]
            return [
                Reading(len(full) > limit, repr(row)) for full, row in zip(whole, rows, strict=True)
            ]
        return None


@contextmanager
def watching(pipeline: DiffusionPipeline) -> Iterator[list[_Watched]]:
    """Record the calls of every tokenizer of the pipeline; restore the tokenizers at the end."""
    components = pipeline.components.items()
    tokenizers = {n: c for n, c in components if n.startswith("tokenizer") and c is not None}
    watched = {name: _Watched(tokenizer) for name, tokenizer in tokenizers.items()}
    try:
        for name, stand_in in watched.items():
            object.__setattr__(pipeline, name, stand_in)
        yield list(watched.values())
    finally:
        for name, tokenizer in tokenizers.items():
            object.__setattr__(pipeline, name, tokenizer)


def read(watched: Sequence[_Watched], n_prompts: int) -> list[Reading]:
    """Reading of each prompt by all encoders: truncated where each of them lost text."""
    each = [r for w in watched if (r := w.readings(n_prompts)) is not None]
    if not each:
        return [Reading() for _ in range(n_prompts)]
    return [
        Reading(
            all(r.truncated for r in rows),
            hashlib.blake2b("".join(r.tokens for r in rows).encode(), digest_size=16).hexdigest(),
        )
        for rows in zip(*each, strict=True)
    ]


def token_limits(pipeline: DiffusionPipeline) -> dict[str, int]:
    """Limit of each tokenizer that has one; an argument of the call may set another."""
    limits = {n: getattr(c, "model_max_length", None) for n, c in pipeline.components.items()}
    return {n: m for n, m in limits.items() if n.startswith("tokenizer") and m and m < NO_LIMIT}
