"""What another model of the same world predicts, as the target of a smaller one.

The noise of single pictures is not in it, so that a small model learns in minutes.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor
from transformers import BertTokenizerFast


class Teacher:
    """A pipeline with the same latents; it reads the captions of a tokenizer with fewer tokens."""

    def __init__(self, folder: Path, tokenizer: BertTokenizerFast, device: torch.device) -> None:
        pipeline = StableDiffusionPipeline.from_pretrained(folder)
        self.text_encoder = pipeline.text_encoder.to(device).eval()
        self.unet = pipeline.unet.to(device, memory_format=torch.channels_last).eval()
        tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        self.numbers = torch.tensor(pipeline.tokenizer.convert_tokens_to_ids(tokens), device=device)

    @torch.no_grad()
    def __call__(self, noisy: Tensor, times: Tensor, tokens: Tensor) -> Tensor:
        """Return v of noisy latents (n, 4, 8, 8) under captions, given as the pupil's tokens."""
        text = self.text_encoder(input_ids=self.numbers[tokens]).last_hidden_state
        return self.unet(noisy, times, text).sample
