"""Features of a pipeline's own text encoders: the text-only side of a text-to-image model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["text_features", "tokenizers_of"]

LONGEST = 512  # tokens, where a tokenizer names no limit
PROMPTS_A_CALL = 128


@torch.no_grad()
def text_features(pipeline: DiffusionPipeline, prompts: Sequence[str]) -> np.ndarray:
    """Unit vectors (n_prompts, width): mean last hidden state over the text's tokens and its end.

    The end token is included: in a causal encoder such as CLIP's, no other token has read the whole
    text. Begin and padding tokens are left out. The unit vectors of several encoders stand side by
    side, so that a cosine is the mean of theirs.
    """
    units = [_encode(tokenizer, encoder, prompts) for tokenizer, encoder in _both(pipeline)]
    return np.hstack(units) / np.sqrt(len(units))


def tokenizers_of(pipeline: DiffusionPipeline) -> list[Any]:
    """The tokenizers whose texts `text_features` encodes."""
    return [tokenizer for tokenizer, _ in _both(pipeline)]


def _both(pipeline: DiffusionPipeline) -> list[tuple[Any, torch.nn.Module]]:
    """Each tokenizer with its text encoder."""
    slots = [name.removeprefix("tokenizer") for name in pipeline.components if "tokenizer" in name]
    both = [
        (getattr(pipeline, f"tokenizer{s}"), getattr(pipeline, f"text_encoder{s}")) for s in slots
    ]
    return [(t, e) for t, e in both if t is not None and e is not None]


def _encode(tokenizer: Any, encoder: torch.nn.Module, prompts: Sequence[str]) -> np.ndarray:
    parts = []
    for start in range(0, len(prompts), PROMPTS_A_CALL):
        tokens = tokenizer(
            list(prompts[start : start + PROMPTS_A_CALL]),
            padding="max_length",
            max_length=min(tokenizer.model_max_length, LONGEST),
            truncation=True,
            return_special_tokens_mask=True,
            return_attention_mask=True,
            return_tensors="pt",
        )
        attended = tokens.attention_mask
        inputs = (tokens.input_ids.to(encoder.device), attended.to(encoder.device))
        hidden = encoder(*inputs).last_hidden_state.float().cpu()
        last = attended * (attended.cumsum(1) == attended.sum(1, keepdim=True))
        text = attended * (1 - tokens.special_tokens_mask) | last
        parts.append((hidden * text[..., None]).sum(1) / text.sum(1, keepdim=True))
    return torch.nn.functional.normalize(torch.cat(parts).double(), dim=1).numpy()
