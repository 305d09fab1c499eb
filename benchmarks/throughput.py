"""How near is the engine to the bare network? Predictions per second, side by side in one run.

    python benchmarks/throughput.py [--prompts 100] [--draws 1] [--model embedded]

The bare network is called directly, without gradients, on rows of one noise level with their text
encoded beforehand, at several batch sizes; the best counts. Beside it the pipeline with the
scheduler that it came with. The engine computes the whole matrix
from a cold cache: text encoding, trajectories, replay, files. What is done once on a machine, the
search for the best batch, `plan` has done before. The bare network is measured before and after, so
that a drift of the machine shows. Appends to
benchmarks/results/throughput.csv.
"""

import argparse
import tempfile
import time

import torch

from _results import WORDS, append_row, stop_clock
from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.plan import plan
from conjure_kernel.engine.settings import Settings
from conjure_kernel.models.pretrained.load import load_denoiser
from conjure_kernel.models.pretrained.single_step import counting, network_of

BATCHES = (16, 32, 64, 128, 256, 512)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--model", default="embedded")
    options.add_argument("--prompts", type=int, default=100)
    options.add_argument("--draws", type=int, default=1)
    options.add_argument("--seconds", type=float, default=6, help="per bare measurement")
    options.add_argument("--compile", action="store_true")
    given = options.parse_args()
    model = load_denoiser(given.model, compile=given.compile)
    prompts = [f"a {word}" for word in WORDS][: given.prompts]
    before = {batch: bare_rate(model, batch, given.seconds) for batch in BATCHES}
    best = max(before, key=before.__getitem__)
    planned = plan(prompts, model=model, n_draws=given.draws, memory=None)
    engine_rate, spent = cold_matrix(model, prompts, given.draws)
    after = bare_rate(model, best, given.seconds)
    pipeline = pipeline_rate(model, best, given.seconds)
    bare = (before[best] + after) / 2
    print("bare network:", ", ".join(f"{rate:.0f}/s at {batch}" for batch, rate in before.items()))
    print(f"bare network at {best}: {before[best]:.0f}/s before, {after:.0f}/s after")
    print(f"the pipeline with its own scheduler, {best} images: {pipeline:.0f}/s")
    print(f"engine, n = {len(prompts)}: {spent} predictions, {engine_rate:.0f}/s")
    print(f"planned: {planned.n_predictions} predictions, {planned.rate:.0f}/s")
    print(f"engine / bare = {engine_rate / bare:.3f}")
    append_row(
        "throughput",
        model,
        model=given.model,
        prompts=len(prompts),
        draws=given.draws,
        compile=given.compile,
        best_batch=best,
        bare_before=round(before[best], 1),
        bare_after=round(after, 1),
        pipeline=round(pipeline, 1),
        engine=round(engine_rate, 1),
        engine_batch=planned.batch_size,
        planned=round(planned.rate, 1),
        ratio=round(engine_rate / bare, 4),
    )


def call_of(model, batch):
    """The network, and the arguments of its call when the pipeline makes `batch` pictures."""
    network, seen = network_of(model.pipeline), []
    hook = network.register_forward_pre_hook(lambda m, a, k: seen.append((a, k)), with_kwargs=True)
    wanted = {"num_images_per_prompt": batch, "num_inference_steps": 2, "guidance_scale": 1}
    model.pipeline.set_progress_bar_config(disable=True)
    model.pipeline("a dog", output_type="latent", return_dict=False, **wanted)
    hook.remove()
    return network, *seen[0]


def bare_rate(model, batch, seconds):
    """Rows per second of the network itself."""
    with torch.no_grad():
        network, args, kwargs = call_of(model, batch)
        for _ in range(2):
            network(*args, **kwargs)
        rows, start = 0, stop_clock(model.device)
        while time.perf_counter() - start < seconds:
            network(*args, **kwargs)
            rows += batch
    return rows / (stop_clock(model.device) - start)


def pipeline_rate(model, batch, seconds):
    """Predictions per second of the pipeline as it comes: unguided images, up to the decoder."""
    wanted = {"num_images_per_prompt": batch, "num_inference_steps": 10, "guidance_scale": 1}
    wanted |= {"output_type": "latent", "return_dict": False}
    model.pipeline.set_progress_bar_config(disable=True)
    with counting(model.pipeline) as calls:
        start = stop_clock(model.device)
        while time.perf_counter() - start < seconds:
            model.pipeline("a dog", **wanted)
    return sum(n for n, _ in calls) / (stop_clock(model.device) - start)


def cold_matrix(model, prompts, n_draws, batch_size="auto"):
    """Predictions per second of a whole matrix from a cold disk cache, and how many they were."""
    with tempfile.TemporaryDirectory() as cache:
        options = {"memory": cache, "batch_size": batch_size, "verbose": 1}
        engine = Engine(model, Settings(), n_draws=n_draws, **options)
        before, start = model.n_evaluations, time.perf_counter()
        engine.measure({prompt: prompts for prompt in prompts})
        elapsed, spent = time.perf_counter() - start, model.n_evaluations - before
    return spent / elapsed, spent


if __name__ == "__main__":
    main()
