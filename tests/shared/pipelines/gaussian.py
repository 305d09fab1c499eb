"""Pipelines whose denoiser is a module of its own, exact, and can be saved and cast."""

import diffusers
import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config

from pipelines.base import flux, stable_diffusion, stable_diffusion_3


class Gaussian(ModelMixin, ConfigMixin):
    """Base of the exact denoisers: answers for the prompt whose text embedding is nearest.

    The float64 tables are kept as int64 bit patterns, so that no ``.to(dtype)`` rounds the world;
    the one parameter only carries dtype and device.
    """

    @register_to_config
    def __init__(
        self,
        shape,
        sample_size,
        in_channels=4,
        prediction_type="flow",
        patch_size=1,
        guidance_embeds=False,
        time_cond_proj_dim=None,
    ):
        super().__init__()
        n_prompts, n_key, n_latent = shape
        self.anchor = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
        for name, width in {"key": n_key, "mean": n_latent, "variance": n_latent}.items():
            self.register_buffer(name, torch.zeros(n_prompts, width, dtype=torch.int64))
        self.register_buffer("log_snr", torch.zeros(1000, dtype=torch.int64))

    def predict(self, x, text, alpha, sigma):
        """Return the exact E[eps | x_t] and E[x_0 | x_t], float64, one flat row per row."""
        text, x_t = text.double().flatten(1), x.double().flatten(1)
        row = torch.cdist(text, self.key.view(torch.float64)).argmin(1)
        m, v = (table.view(torch.float64)[row] for table in (self.mean, self.variance))
        residual = (x_t - alpha * m) / (alpha**2 * v + sigma**2)
        return sigma * residual, m + alpha * v * residual


class GaussianUNet(Gaussian):
    """Stand-in for the UNet of Stable Diffusion: variance preserving."""

    def forward(self, sample, timestep, encoder_hidden_states, return_dict=False, **_):
        """Return epsilon, v or x_0; log-SNR is linear between the integer timesteps."""
        t = torch.as_tensor(timestep).double().cpu().expand(len(sample))
        log_snr = np.interp(t, np.arange(1000), self.log_snr.view(torch.float64).cpu())
        log_snr = torch.as_tensor(log_snr, device=sample.device)[:, None]
        alpha, sigma = log_snr.sigmoid().sqrt(), (-log_snr).sigmoid().sqrt()
        eps, x_0 = self.predict(sample, encoder_hidden_states, alpha, sigma)
        answer = {"epsilon": eps, "sample": x_0, "v_prediction": alpha * eps - sigma * x_0}
        return (answer[self.config.prediction_type].view_as(sample).to(sample.dtype),)


class GaussianTransformer(Gaussian, diffusers.models.cache_utils.CacheMixin):
    """Stand-in for the transformers of Stable Diffusion 3 (timesteps to 1000) and Flux (to 1)."""

    def forward(self, hidden_states, timestep, pooled_projections, return_dict=False, **_):
        """Return the velocity eps - x_0 at noise level s, alpha = 1 - s, sigma = s."""
        s = timestep.double()[:, None] / (1000 if hidden_states.ndim == 4 else 1)
        eps, x_0 = self.predict(hidden_states, pooled_projections, 1 - s, s)
        return ((eps - x_0).view_as(hidden_states).to(hidden_states.dtype),)


def gaussian_stable_diffusion(world, prediction_type="epsilon", **scheduler_overrides):
    """Return a Stable Diffusion pipeline of a Gaussian world, d = 4 x side x side."""
    pipe = stable_diffusion(prediction_type, **scheduler_overrides)
    text = [pipe.encode_prompt(p, "cpu", 1, False)[0] for p in world]
    unet = _gaussian(GaussianUNet, world, text, prediction_type=prediction_type)
    unet.log_snr.copy_(pipe.scheduler.alphas_cumprod.double().logit().view(torch.int64))
    pipe.register_modules(unet=unet)
    return pipe


def gaussian_stable_diffusion_3(world, **scheduler_overrides):
    """Return a Stable Diffusion 3 pipeline of a Gaussian world, d = 4 x side x side."""
    pipe = stable_diffusion_3(**scheduler_overrides)
    text = [pipe.encode_prompt(p, p, p, do_classifier_free_guidance=False)[2] for p in world]
    transformer = _gaussian(GaussianTransformer, world, text)
    return type(pipe)(**pipe.components | {"transformer": transformer})  # reads patch_size anew


def gaussian_flux(world, **scheduler_overrides):
    """Return a Flux pipeline of a Gaussian world, d = tokens x 16 in the packed order."""
    pipe = flux(**scheduler_overrides)
    text = [pipe.encode_prompt(p)[1] for p in world]
    transformer = _gaussian(GaussianTransformer, world, text, in_channels=16)
    pipe.register_modules(transformer=transformer)
    pipe.default_sample_size = transformer.config.sample_size
    return pipe


def _gaussian(kind, world, text, in_channels=4, **config):
    """Return the exact denoiser; ``text`` are the embeddings that it will be handed."""
    mean, variance = (np.array([world[p][i] for p in world], dtype=np.float64) for i in (0, 1))
    side = round(((n_latent := mean.shape[1]) / 4) ** 0.5)
    if n_latent != 4 * side**2 or n_latent % in_channels:
        raise ValueError(f"{n_latent} dimensions: need 4 * side**2, side even for Flux (16, 64).")
    key = torch.cat(text).double().flatten(1)
    denoiser = kind((*key.shape, n_latent), side, in_channels, **config)
    for name, table in {"key": key, "mean": mean, "variance": variance}.items():
        getattr(denoiser, name).copy_(torch.as_tensor(table).view(torch.int64))
    return denoiser.eval()
