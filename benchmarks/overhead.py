"""What does the pipeline's loop cost beside a network of true size, on a CPU?

    python benchmarks/overhead.py                      some ten minutes on two cores
    python benchmarks/overhead.py --tiny               the same road on a toy network

Stable Diffusion 1.4's UNet by its public configuration (860 million parameters, 64 x 64 x 4
latents) with random weights in float32, as in gpu.py: speed does not depend on what they know.
Three ways to predictions, in turn: the bare UNet, its text encoded beforehand; replay along
recorded states through the pipeline, as the engine asks for it (`Denoiser.predict`); and the
pipeline with the scheduler that it came with, up to the decoder. Medians over the rounds of the
seconds per prediction and of their ratios to the bare UNet in the same round. Appends to
benchmarks/results/overhead.csv.
"""

import argparse

import numpy as np
import torch

from _results import append_row, peak_memory, stop_clock
from conjure_kernel import load_denoiser
from conjure_kernel.method.reverse import ChainSettings
from conjure_kernel.models.pretrained.instrument import quiet
from gpu import TINY, TRUE, make_pipeline

PROMPT = "a dog"


def main(arguments=None) -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--rows", type=int, default=2, help="of a call")
    options.add_argument("--steps", type=int, default=3)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--tiny", action="store_true")
    given = options.parse_args(arguments)
    torch.manual_seed(0)
    with quiet():
        pipeline = make_pipeline(TINY if given.tiny else TRUE, torch.device("cpu"))
    pipeline.set_progress_bar_config(disable=True)
    model = load_denoiser(pipeline).load()
    ways = [make(model, given.rows, given.steps) for make in (bare, replay, own_scheduler)]
    seconds, counts = np.empty((2, given.rounds, len(ways)))
    for i in range(given.rounds):
        for j in np.roll(range(len(ways)), i):  # each is first, second and last in turn
            seconds[i, j], counts[i, j] = per_prediction(model, ways[j])
        print(f"round {i + 1}: {seconds[i].round(4)} s a prediction", flush=True)
    report(seconds, counts, model, given)


def bare(model, n_rows, n_steps):
    unet, pipeline = model.pipeline.unet, model.pipeline
    tokens = pipeline.tokenizer(PROMPT, padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        text = pipeline.text_encoder(tokens).last_hidden_state.expand(n_rows, -1, -1).contiguous()
    states, times = torch.randn(n_steps, n_rows, *model.shape), model.make_grid(n_steps).times

    @torch.no_grad()
    def run():
        for x, time in zip(states, times, strict=True):
            unet(x, torch.tensor(time), encoder_hidden_states=text, return_dict=False)

    return run


def replay(model, n_rows, n_steps):
    x, eps = torch.randn(2, n_steps, n_rows, *model.shape)
    return lambda: model.predict([PROMPT], x, eps, ChainSettings(model.make_grid(n_steps)))


def own_scheduler(model, n_rows, n_steps):
    wanted = {"num_images_per_prompt": n_rows, "num_inference_steps": n_steps, "guidance_scale": 1}
    return lambda: model.pipeline(PROMPT, output_type="latent", return_dict=False, **wanted)


def per_prediction(model, run):
    """Seconds of `run` for each row that it sends through the network, and these rows."""
    unet, rows = model.pipeline.unet, []
    count = unet.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    start = stop_clock(model.device)
    run()
    elapsed = stop_clock(model.device) - start
    count.remove()
    return elapsed / sum(rows), sum(rows)


def report(seconds, counts, model, given):
    of_bare = seconds / seconds[:, :1]
    row = {
        "parameters": sum(p.numel() for p in model.pipeline.unet.parameters()),
        **{"rows": given.rows, "steps": given.steps, "rounds": given.rounds},
    }
    for j, name in enumerate(("bare", "replay", "pipeline")):
        row[f"{name}_predictions"] = int(counts[:, j].sum())
        row[f"{name}_seconds"] = round(np.median(seconds[:, j]), 6)
        if j:
            row[f"{name}_of_bare"] = round(np.median(of_bare[:, j]), 4)
            row[f"{name}_range"] = f"{of_bare[:, j].min():.4f} {of_bare[:, j].max():.4f}"
    row["peak_gib"] = round(peak_memory() / 2**30, 2)
    for name, value in row.items():
        print(f"{name:24}{value}")
    append_row("overhead", model, model="tiny" if given.tiny else "sd14", **row)


if __name__ == "__main__":
    main()
