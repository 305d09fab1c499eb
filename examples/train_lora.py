"""Train a LoRA on the embedded model, log its drift while it trains, and choose a checkpoint.

    pip install "conjure-kernel[tuning]"
    python examples/train_lora.py [--steps 60] [--folder lora] [--every 20]
    tensorboard --logdir lora

Strawberries become blue. The training loop is an ordinary one: one line makes the logger, and one
line calls it. The LoRA files that it leaves are then read as a series: see lora/run.html.
"""

import argparse
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig, get_peft_model_state_dict
from torch.utils.tensorboard import SummaryWriter

from conjure_kernel import ConjureDrift, DriftLogger, load_denoiser
from conjure_kernel.plot import series_page

CONCEPT = "a strawberry"
PROMPTS = ["a tomato", "an apple", "a cherry", "a dog", "a bus", "a house"]
QUICK = {"n_steps": 8, "n_draws": 3, "check_steps": 0, "memory": None, "dtype": "float32"}

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("--steps", type=int, default=60)
options.add_argument("--every", type=int, default=20)
options.add_argument("--at-most", type=float, default=1.0, help="share of time for logging")
options.add_argument("--folder", type=Path, default=Path("lora"))
given = options.parse_args()

torch.manual_seed(0)
pipeline = load_denoiser("embedded", dtype="float32").pipeline
pipeline.set_progress_bar_config(disable=True)
red = pipeline(CONCEPT, num_images_per_prompt=8, num_inference_steps=20, output_type="np").images
blue = torch.from_numpy(red[..., ::-1].copy()).permute(0, 3, 1, 2) * 2 - 1
with torch.no_grad():
    latents = pipeline.vae.encode(blue).latent_dist.mean * pipeline.vae.config.scaling_factor
    text = pipeline.encode_prompt([CONCEPT], "cpu", 1, False)[0].expand(len(latents), -1, -1)

network, scheduler = pipeline.unet, pipeline.scheduler
network.requires_grad_(False)
network.add_adapter(
    LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_k", "to_v", "to_out.0"])
)
trained = [weights for weights in network.parameters() if weights.requires_grad]
optimizer = torch.optim.AdamW(trained, 1e-2)

writer = SummaryWriter(given.folder)
groups = {"target": [CONCEPT]}
often = {"every": given.every, "at_most": given.at_most}
log = DriftLogger("embedded", PROMPTS, groups, to=[writer], **often, **QUICK)
network.train()
for step in range(1, given.steps + 1):
    noise, times = torch.randn_like(latents), torch.randint(1000, (len(latents),))
    noisy = scheduler.add_noise(latents, noise, times)
    target = scheduler.get_velocity(latents, noise, times)
    loss = (network(noisy, times, text).sample - target).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    log(pipeline, step)  # leaves the training as it was, bit for bit
    if step % given.every == 0:
        layers, name = get_peft_model_state_dict(network), f"step-{step}.safetensors"
        StableDiffusionPipeline.save_lora_weights(given.folder, layers, weight_name=name)
writer.close()
print(log.history)

files = [given.folder / f"step-{n}.safetensors" for n in range(given.every, step + 1, given.every)]
series = ConjureDrift("embedded", **QUICK).fit_series(files, PROMPTS, groups=groups, n_neighbors=3)
print(series.verdicts())
(given.folder / "run.html").write_text(series_page(series), encoding="utf-8")
