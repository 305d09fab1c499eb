"""Should two prompts share their noise? Variance of J with shared and with independent noise.

    python benchmarks/noise.py [--prompts 16] [--draws 16]

On the embedded model: for every pair the variance over draws of (KL_ab + KL_ba) / 2, once with the
same noise for all prompts in draw k, once with noise of each prompt's own.
"""

import argparse

import numpy as np

from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.settings import Settings
from conjure_kernel.evaluation.uncertainty import Pairing, estimate, leave_out
from conjure_kernel.method.draws import leg_draws
from conjure_kernel.models.pretrained.load import load_denoiser

PROMPTS = "dog cat horse apple banana car bus train house castle tree rose hat shirt moon key"


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--prompts", type=int, default=16)
    options.add_argument("--draws", type=int, default=16)
    given = options.parse_args()
    prompts = PROMPTS.split()[: given.prompts]
    model = load_denoiser("embedded")
    above = np.triu_indices(len(prompts), 1)
    variances = {}
    for shared in (False, True):
        settings = Settings(shared_noise=shared)
        engine = Engine(model, settings, n_draws=given.draws, memory=None, verbose=1)
        known = engine.measure({p: prompts for p in prompts})
        energies = np.stack([known[p].energies for p in prompts])
        legs = leg_draws(energies, engine.grid.weights())
        both = (legs + legs.swapaxes(0, 1)) / 2
        variances[shared] = both.var(-1, ddof=1)[above]
    ratio = variances[True] / variances[False]
    total = variances[True].sum() / variances[False].sum()
    pairing = Pairing.of(*([prompts[i] for i in side] for side in above))
    logs = leave_out(
        lambda a, b: float(np.log(a.sum() / b.sum())), pairing, [variances[True], variances[False]]
    )
    low, high, _ = estimate(logs, pairing, correlation=False)
    print(f"{len(ratio)} pairs, K = {given.draws}: variance with shared / with independent noise")
    print(f"ratio of sums {total:.2f} (other prompts: {np.exp(low):.2f} to {np.exp(high):.2f})")
    print(f"median of pairs {np.median(ratio):.2f}; above 1 for {np.mean(ratio > 1):.0%} of them")


if __name__ == "__main__":
    main()
