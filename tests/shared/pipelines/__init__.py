"""Tiny diffusers pipelines built from configs, tokenizers included: nothing is downloaded.

*Random* ones are the real architectures with loud random weights, so that different prompts give
clearly different predictions. *Gaussian* ones (``gaussian_...``) have a denoiser that IS the exact
answer of a world in which each prompt owns a Gaussian of latents, ``{prompt: (mean, variance)}``.
All are deterministic, float32, on the CPU, in eval mode; none touches the global random state.
"""

from pipelines.base import flux, stable_diffusion, stable_diffusion_3, stable_diffusion_xl
from pipelines.gaussian import (
    gaussian_flux,
    gaussian_stable_diffusion,
    gaussian_stable_diffusion_3,
)
from pipelines.parts import CLIP_TOKENS, SIDE, tokenizer

__all__ = ["CLIP_TOKENS", "SIDE", "flux", "gaussian_flux", "gaussian_stable_diffusion"]
__all__ += ["gaussian_stable_diffusion_3", "stable_diffusion", "stable_diffusion_3"]
__all__ += ["stable_diffusion_xl", "tokenizer"]
