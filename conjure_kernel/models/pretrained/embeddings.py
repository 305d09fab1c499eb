"""Prompts that are given as embeddings, under a name that stands for them everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import torch

from conjure_kernel._checks import quote
from conjure_kernel.models.pretrained.arguments import owned, parameters_of
from conjure_kernel.models.pretrained.content import content_of
from conjure_kernel.models.task import Reading

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["Embeddings", "check_embeddings", "reading_of", "text_arguments"]

Embeddings = Mapping[str, Mapping[str, torch.Tensor]]


def check_embeddings(given: Any) -> Embeddings:
    """Each name with the arguments of a call that stand for its text, each of one row.

    Raises
    ------
    TypeError
        A name is no text, or what it stands for is neither a tensor nor a dict of tensors.
    ValueError
        A tensor does not begin with a dimension of one row.
    """
    checked: dict[str, Mapping[str, torch.Tensor]] = {}
    for name, value in (given or {}).items():
        named = {"prompt_embeds": value} if isinstance(value, torch.Tensor) else value
        whole = isinstance(named, Mapping) and "prompt_embeds" in named
        tensors = whole and all(isinstance(t, torch.Tensor) for t in named.values())
        if not (isinstance(name, str) and tensors):
            raise TypeError(
                f"embeddings: expected {{name: prompt_embeds}}, or a dict of the call's arguments "
                f"with prompt_embeds among them for each name, got {quote(name)}: {quote(value)}."
            )
        if wrong := [key for key, tensor in named.items() if len(tensor) != 1]:
            raise ValueError(
                f"embeddings of {quote(name)}: expected one row in {', '.join(wrong)}, got shape "
                f"{tuple(named[wrong[0]].shape)}; pass tensor[:1], and each prompt under its name."
            )
        checked[normalize("NFC", name)] = {key: owned(tensor) for key, tensor in named.items()}
    return checked


def text_arguments(
    pipeline: DiffusionPipeline, embeddings: Embeddings, prompts: Sequence[str], dtype: torch.dtype
) -> dict[str, Any]:
    """Arguments of a call for prompts, all of which are texts, or all names of embeddings."""
    if not all(prompt in embeddings for prompt in prompts):
        return {"prompt": list(prompts)}
    each, known = [embeddings[prompt] for prompt in prompts], parameters_of(pipeline)
    if unknown := sorted(set(each[0]) - set(known)):
        raise TypeError(
            f"embeddings: {type(pipeline).__name__} takes no {', '.join(unknown)}; see the "
            "arguments of its call."
        )

    def joined(name: str) -> torch.Tensor:
        rows = torch.cat([row[name] for row in each]).to(pipeline.device)
        return rows.to(dtype) if rows.is_floating_point() else rows

    return {name: joined(name) for name in each[0]}


def reading_of(embeddings: Embeddings, prompt: str) -> Reading:
    """What stands for the tokens of a prompt that no tokenizer has seen."""
    return Reading(False, str(content_of(embeddings[prompt], "", set())))
