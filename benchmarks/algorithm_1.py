"""How much faster is the engine than the paper's Algorithm 1? Both on one matrix, in one run.

    python benchmarks/algorithm_1.py [--prompts 24] [--draws 2] [--guidance 1 5] [--model embedded]

`Reference` is Algorithm 1 as a user of diffusers writes it: one pair at a time; for each draw,
denoise under a and under b; at each step predict under both, guided when guidance is on; add up the
squared differences of the scores. Its two prompts and its guidance go through the network as one
batch; with --together both chains do, too. The engine has the same noise, noise levels, sampler and
weighting, so both must find the same numbers. At equal error the engine has three chains a draw,
whose variance and cost follow from those of the whole chains.
Two runs each, in turn; the faster one counts. For Stable Diffusion 1.x and 2.x and the embedded
model. Appends to benchmarks/results/algorithm_1.csv.
"""

import argparse
import itertools
import math
import time
import warnings
from contextlib import contextmanager

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler

from _results import WORDS, append_row, stop_clock
from conjure_kernel import load_denoiser, pairwise_divergence
from conjure_kernel.method import reverse
from conjure_kernel.method.draws import chain_draws
from conjure_kernel.method.prediction import to_eps
from conjure_kernel.method.reverse import standard_normal

CHAINS = 3  # of a draw, by default
ROUNDING = {torch.float32: 1e-4, torch.float16: 3e-2, torch.bfloat16: 2e-1}
# The step as its authors publish it: ours adds a correction, and a remedy against strong guidance.
PUBLISHED = reverse.Sampler(stochastic=True, order=2, stabilised=False)
SDE = {"algorithm_type": "sde-dpmsolver++", "solver_type": "heun", "lower_order_final": False}


class Reference:
    """Algorithm 1 on a Stable Diffusion pipeline: `jeffreys(a, b)`.

    Parameters
    ----------
    pipeline : StableDiffusionPipeline
    timesteps : list of int
        Noisiest first.
    n_draws, guidance_scale
        Monte Carlo draws K; w of eps_0 + w (eps_y - eps_0).
    together : bool
        Both chains of a draw share a batch.
    """

    def __init__(self, pipeline, timesteps, n_draws, guidance_scale=1.0, together=False):
        self.pipeline, self.timesteps, self.n_draws = pipeline, timesteps, n_draws
        self.guidance_scale, self.together = guidance_scale, together
        self.scheduler = DPMSolverMultistepScheduler.from_config(
            pipeline.scheduler.config, final_sigmas_type="zero", **SDE
        )
        self.shape = (pipeline.unet.config.in_channels, *[pipeline.unet.config.sample_size] * 2)

    @torch.no_grad()
    def jeffreys(self, a, b):
        """Half the sum of both legs: mean over draws and steps of ||s_a - s_b||^2."""
        device, guided = self.pipeline.unet.device, self.guidance_scale != 1
        text, empty = self.pipeline.encode_prompt([a, b], device, 1, guided)
        groups = [(a, b)] if self.together else [(a,), (b,)]
        total = torch.zeros((), device=device)
        for draw, sources in itertools.product(range(self.n_draws), groups):
            rows = torch.cat([text] * len(sources))
            if guided:
                rows = torch.cat([*[empty] * len(sources), rows])
            total += self.legs(sources, (a, b), draw, rows)
        return float(total) / (2 * self.n_draws * len(self.timesteps))

    def legs(self, sources, pair, draw, text):
        """Sum over the steps of the squared score differences along each source's chain."""
        unet, scheduler = self.pipeline.unet, self.scheduler
        scheduler.set_timesteps(timesteps=self.timesteps, device=unet.device)
        own = [2 * i + pair.index(source) for i, source in enumerate(sources)]
        total, x = 0.0, self.noise(sources, draw, -1)
        for i, t in enumerate(scheduler.timesteps):
            rows = x.repeat_interleave(2, 0)  # under a, under b
            if self.guidance_scale == 1:
                output = unet(rows, t, encoder_hidden_states=text, return_dict=False)[0]
            else:
                both = torch.cat([rows, rows])
                output = unet(both, t, encoder_hidden_states=text, return_dict=False)[0]
                empty, conditional = output.chunk(2)
                output = empty + self.guidance_scale * (conditional - empty)
            alpha2 = float(scheduler.alphas_cumprod[self.timesteps[i]])
            alpha, sigma = alpha2**0.5, (1 - alpha2) ** 0.5
            eps = to_eps(output, rows, alpha, sigma, scheduler.config.prediction_type)
            total += ((eps[0::2] - eps[1::2]) / sigma).square().sum()
            noise = self.noise(sources, draw, i)
            x = scheduler.step(output[own], t, x, variance_noise=noise, return_dict=False)[0]
        return total

    def noise(self, sources, draw, step):
        drawn = [
            standard_normal(self.shape, seed=0, prompt=source, draw=draw, step=step)
            for source in sources
        ]
        return torch.stack(drawn).to(self.pipeline.unet.device, self.pipeline.unet.dtype)

    def matrix(self, prompts):
        """J of all pairs."""
        values = np.zeros((len(prompts), len(prompts)))
        for i, j in itertools.combinations(range(len(prompts)), 2):
            values[i, j] = values[j, i] = self.jeffreys(prompts[i], prompts[j])
        return values


def same_levels(schedule, n_steps):
    """(integer timesteps, settings of ours that stop at the same ones)."""
    first = round(float(schedule.times[-1]))  # pure noise, where every chain of ours starts
    step = 2 * ((first - 10) // (2 * n_steps))
    edges = np.array([first, first - n_steps * step])
    low, high = schedule.log_snr(edges.astype(float))
    settings = {"nodes": "timesteps", "weighting": "paper", "substeps": 1, "sampler": "published"}
    settings |= {"chains_per_draw": 1, "check_steps": 0}
    timesteps = edges[0] - step // 2 - step * np.arange(n_steps)
    return timesteps.tolist(), {"log_snr_range": (low, high), "n_steps": n_steps, **settings}


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--model", default="embedded")
    options.add_argument("--prompts", type=int, default=24)
    options.add_argument("--steps", type=int, default=10)
    options.add_argument("--draws", type=int, default=2)
    options.add_argument("--guidance", type=float, nargs="+", default=[1.0, 5.0])
    options.add_argument("--dtype", default="float32")
    options.add_argument("--repeats", type=int, default=2)
    options.add_argument("--together", action="store_true")
    given = options.parse_args()
    model = load_denoiser(given.model, dtype=given.dtype)
    prompts = [f"a {word}" for word in WORDS][: given.prompts]
    warnings.filterwarnings("ignore", ".*of the divergence lies at the last noise level")
    for guidance in given.guidance:
        compare(model, prompts, guidance, given)


def compare(model, prompts, guidance, given):
    """Time both; print and keep one row."""
    reverse.SAMPLERS["published"] = PUBLISHED
    timesteps, settings = same_levels(model.schedule, given.steps)
    settings |= {"guidance_scale": guidance, "n_draws": given.draws, "model": model}
    reference = Reference(model.pipeline, timesteps, given.draws, guidance, given.together)
    times, shares = {"reference": math.inf, "engine": math.inf}, {}
    for _ in range(given.repeats):
        for name, measure in (
            ("reference", lambda: reference.matrix(prompts)),
            ("engine", lambda: pairwise_divergence(prompts, memory=None, **settings)),
        ):
            with clocked(model.pipeline) as inside:
                start = stop_clock(model.device)
                found = measure()
                seconds = stop_clock(model.device) - start
            if seconds < times[name]:
                times[name], shares[name] = seconds, {k: v / seconds for k, v in inside.items()}
                if model.device.type != "cpu":
                    shares[name] = {}  # calls return before they are done
            if name == "reference":
                truth = found
    gap = np.abs(found.values - truth).max() / truth.max()
    speed_up, n = times["reference"] / times["engine"], len(prompts)
    print(f"n = {n}, T = {given.steps}, K = {given.draws}, guidance {guidance:g}, {model.dtype}")
    for name, seconds in times.items():
        parts = "".join(f"    {part} {share:.0%}" for part, share in shares[name].items())
        print(f"  {name:10}{seconds:8.1f} s{parts}")
    print(f"  {speed_up:.2f} times as fast; largest difference {gap:.1e} of the largest value")
    equal = speed_up * gain(found, guidance)
    print(f"  {equal:.1f} times as fast at equal error, with {CHAINS} chains a draw")
    append_row(
        "algorithm_1",
        model,
        **{"model": given.model, "prompts": n, "steps": given.steps, "draws": given.draws},
        **{"guidance": guidance, "together": given.together},
        **{f"{name}_seconds": round(seconds, 2) for name, seconds in times.items()},
        **{f"{name}_unet_share": round(shares[name].get("unet", math.nan), 3) for name in times},
        **{"speed_up": round(speed_up, 3), "largest_difference": f"{gap:.1e}"},
        equal_error=round(equal, 2),
    )
    if gap > ROUNDING[model.dtype]:
        raise SystemExit("the results differ")


def gain(found, guidance):
    """Variance times predictions of whole chains, over that of chains that take turns.

    A run of whole chains tells both: the parts of a draw are the same, but for their correlation.
    """
    if found.n_draws == 1:
        return math.nan
    above, n = np.triu_indices(len(found.values), 1), len(found.values)
    branches, n_steps = 1 if guidance == 1 else 2, len(found.grid.log_snr)
    legs, products = (found.forward, found.backward), []
    for chains in (1, CHAINS):
        parts = [chain_draws(leg[above], found.grid.weights("paper"), chains) for leg in legs]
        variance = sum(part.var(1, ddof=1).sum(-1) for part in parts)
        predictions = (n + branches - 2) * found.grid.n_nodes + chains * n_steps * branches
        products.append((variance / found.values[above] ** 2).sum() * predictions)
    return products[0] / products[1]


@contextmanager
def clocked(pipeline):
    """Seconds inside the network and the text encoder, on a device whose calls are synchronous."""
    seconds, handles = {"unet": 0.0, "text_encoder": 0.0}, []
    for name in seconds:

        def begin(module, args, name=name):
            seconds[name] -= time.perf_counter()

        def end(module, args, output, name=name):
            seconds[name] += time.perf_counter()

        module = getattr(pipeline, name)
        handles += [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]
    try:
        yield seconds
    finally:
        for handle in handles:
            handle.remove()


if __name__ == "__main__":
    main()
