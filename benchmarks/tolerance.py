"""What does `tol=` save? Predictions spent, against the fixed draws of the same worst error.

    python benchmarks/tolerance.py [--prompts 60] [--tol 0.1] [--max-draws 64] [--check]

All pairs on the embedded model. The fixed number of draws is what the worst pair would need, by the
spread of each pair's draws, for the worst relative standard error of the run with `tol`; --check
measures it, which costs as much as it says. Appends to benchmarks/results/tolerance.csv.
"""

import argparse
import math
import tempfile

import numpy as np

from _results import WORDS, append_row
from conjure_kernel import load_denoiser, pairwise_divergence
from conjure_kernel.engine.settings import Settings


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--model", default="embedded")
    options.add_argument("--prompts", type=int, default=60)
    options.add_argument("--tol", type=float, default=0.1)
    options.add_argument("--max-draws", type=int, default=64)
    options.add_argument("--check", action="store_true")
    given = options.parse_args()
    model = load_denoiser(given.model)
    prompts = [f"a {word}" for word in WORDS[::2]][: given.prompts]
    above, n = np.triu_indices(len(prompts), 1), len(prompts)
    with tempfile.TemporaryDirectory() as cache:
        shared = {"model": model, "memory": cache, "verbose": 1}
        found = pairwise_divergence(prompts, tol=given.tol, max_draws=given.max_draws, **shared)
        used, errors = found.draws_used[above], relative_errors(found)[above]
        spreads = errors / np.sqrt(np.square(found.draw_weights).sum(-1)[above])
        fixed = math.ceil(np.max(spreads / errors.max()) ** 2)
        fixed_spent = Settings().n_predictions(n * fixed, n * (n - 1) * fixed)
        row = {
            **{"prompts": n, "tol": given.tol, "max_draws": given.max_draws},
            "spent": found.n_evaluations,
            "worst_error": round(errors.max(), 4),
            "above_tol": int((errors > given.tol).sum()),
            "mean_draws": round(used.mean(), 1),
            "median_draws": int(np.median(used)),
            "most_draws": int(used.max()),
            "fixed_draws": fixed,
            "fixed_spent": fixed_spent,
            "saved": round(1 - found.n_evaluations / fixed_spent, 3),
        }
        if given.check:
            whole = pairwise_divergence(prompts, n_draws=fixed, **shared)
            row["fixed_worst_error"] = round(relative_errors(whole)[above].max(), 4)
    for name, value in row.items():
        print(f"{name:20}{value}")
    append_row("tolerance", model, model=given.model, **row)


def relative_errors(found):
    with np.errstate(invalid="ignore"):
        return found.standard_errors / found.values


if __name__ == "__main__":
    main()
