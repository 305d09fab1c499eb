"""What does a fine-tune change, and what 8 bits? Drift of two copies of the embedded model.

    python benchmarks/drift.py [--prompts 60] [--steps 200] [--draws 4] [--folder FOLDER]

One copy learns to draw strawberries blue: the base's own pictures of them with red and blue
exchanged, while on other words, none of those measured, it is held to the base's predictions. The
other has the weights of its network rounded to 8 bits per output channel. Beside them the numerical
floor: the base against itself in bfloat16, and in calls of the draws of one prompt. Appends to
benchmarks/results/drift.csv; about six minutes on one core. --tiny takes the same road on few
pictures and noise levels, and says nothing.
"""

import argparse
import copy
import tempfile
from pathlib import Path

import numpy as np
import torch

from _results import WORDS, append_row
from conjure_kernel import ConjureDrift, load_denoiser

CONCEPT = "strawberry"
CAPTIONS = [CONCEPT, f"a {CONCEPT}", "a red strawberry"]
EACH = 4  # pictures of each other word that the copy is held to
BATCH = (8, 24)  # pictures of the concept, and of other words
TRUE = {"pictures": 64, "held": 80, "levels": 10}  # of the concept; other words; T of J
TINY = {"pictures": 2, "held": 1, "levels": 2}


def main(arguments=None) -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--prompts", type=int, default=60)
    options.add_argument("--steps", type=int, default=200)
    options.add_argument("--draws", type=int, default=4)
    options.add_argument("--folder", type=Path, help="keep the two copies here")
    options.add_argument("--tiny", action="store_true")
    given = options.parse_args(arguments)
    size = TINY if given.tiny else TRUE
    others = [word for word in WORDS if word != CONCEPT]
    tested, held = others[: given.prompts - 1], others[given.prompts - 1 :][-size["held"] :]
    prompts = [f"a {word}" for word in [CONCEPT, *tested]]
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        base = load_denoiser("embedded", dtype="float32")
        fine_tune(base.pipeline, held, given.steps, size["pictures"]).save_pretrained(
            folder / "blue"
        )
        round_weights(base.pipeline).save_pretrained(folder / "int8")
        rounded = load_denoiser("embedded", dtype="bfloat16")
        sides = {
            "fine-tuned": load_denoiser(folder / "blue", dtype="float32"),
            "8-bit": load_denoiser(folder / "int8", dtype="float32"),
            "bfloat16": rounded,
            "small calls": in_small_calls(load_denoiser("embedded", dtype="float32")),
        }
        for name, model in sides.items():
            options = {"n_steps": size["levels"], "n_draws": given.draws, "memory": None}
            drift = ConjureDrift(base, model, verbose=1, **options).fit(prompts)
            report(name, drift, given)


def fine_tune(base, words, n_steps, n_pictures):
    """A copy whose strawberries are blue; on other words held to the base's own predictions."""
    torch.manual_seed(0)
    tuned, network = copy.copy(base), copy.deepcopy(base.unet).train()
    blue = encode(base, draw(base, CONCEPT, n_pictures)[..., ::-1].copy())
    held = encode(base, np.concatenate([draw(base, word, EACH) for word in words]))
    texts, held_texts = embed(base, CAPTIONS), embed(base, [f"a {word}" for word in words])
    scheduler = base.scheduler
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, weight_decay=0)
    for step in range(n_steps):
        i, j = (torch.randint(len(p), (n,)) for p, n in zip((blue, held), BATCH, strict=True))
        latents = torch.cat([blue[i], held[j]])
        text = torch.cat([texts[torch.randint(len(texts), (len(i),))], held_texts[j // EACH]])
        times, noise = torch.randint(1000, (len(latents),)), torch.randn(latents.shape)
        noisy = scheduler.add_noise(latents, noise, times)
        target = scheduler.get_velocity(latents, noise, times)
        with torch.no_grad():
            rest = slice(len(i), None)
            target[rest] = base.unet(noisy[rest], times[rest], text[rest]).sample
        loss = (network(noisy, times, text).sample - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 49:
            print(f"step {step + 1}: loss {float(loss.detach()):.3f}", flush=True)
    tuned.unet = network.eval()
    return tuned


def draw(pipeline, word, n):
    """Pictures of a word, uint8 (n, H, W, 3)."""
    generator = torch.Generator().manual_seed(0)
    pipeline.set_progress_bar_config(disable=True)
    found = pipeline(
        f"a {word}",
        num_images_per_prompt=n,
        num_inference_steps=20,
        guidance_scale=3.0,
        generator=generator,
        output_type="np",
    )
    return found.images


@torch.no_grad()
def encode(pipeline, images):
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() * 2 - 1
    return pipeline.vae.encode(pixels).latent_dist.mean * pipeline.vae.config.scaling_factor


@torch.no_grad()
def embed(pipeline, words):
    return pipeline.encode_prompt(words, "cpu", 1, False)[0]


@torch.no_grad()
def round_weights(base):
    """A copy whose network's matrices and filters have 255 values per output channel."""
    rounded, network = copy.copy(base), copy.deepcopy(base.unet)
    for weights in network.parameters():
        if weights.ndim > 1:
            scale = weights.abs().amax(tuple(range(1, weights.ndim)), keepdim=True) / 127
            weights.copy_((weights / scale.clamp(min=1e-12)).round() * scale)
    rounded.unet = network
    return rounded


def in_small_calls(model):
    """The model, its replays in calls of the draws of one prompt each."""
    whole = model.predict

    def predict(prompts, x, eps, chain):
        n = x.shape[1] // len(prompts)
        parts = zip(prompts, x.split(n, 1), eps.split(n, 1), strict=True)
        return torch.cat([whole([p], states, own, chain) for p, states, own in parts], 1)

    model.predict = predict
    return model


def report(name, drift, given):
    table = drift.to_pandas()
    found = table.index[table["prompt"] == f"a {CONCEPT}"][0]
    concept, rest = table.loc[found], table.drop(index=found)["divergence"]
    row = {
        **{"prompts": len(table), "steps": given.steps, "draws": given.draws, "against": name},
        "rank": int(found) + 1,
        "concept": round(concept["divergence"], 6),
        "standard_error": round(concept["standard_error"], 6),
        "median": round(rest.median(), 6),
        "largest_other": round(rest.max(), 6),
        "range": "{:.3g} {:.3g}".format(*drift.measured_.grid.log_snr_range),
    }
    print("\n".join(f"{key:16}{value}" for key, value in row.items()), flush=True)
    print(table.head(5).to_string(index=False), flush=True)
    append_row("drift", drift.model_b, **row)


if __name__ == "__main__":
    main()
