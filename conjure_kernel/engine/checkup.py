"""A new model on one page: what was found out about it, and whether it can be measured."""

from __future__ import annotations

import time
from typing import Any

from conjure_kernel.engine.batches import Batches
from conjure_kernel.engine.engine import Engine
from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.probe import PROMPTS

__all__ = ["PICTURED", "check_up"]

PICTURED = (*PROMPTS, "a green tree")


def check_up(engine: Engine) -> dict[str, str]:
    """Load a model and try it; what it is and does, in words.

    Parameters
    ----------
    engine : Engine
        Of the model, with the settings of the measurement to come.

    Returns
    -------
    page : dict of str to str

    Raises
    ------
    ValueError, TypeError, FloatingPointError, RuntimeError
        The model cannot be measured; the message says why.
    """
    begun = time.perf_counter()
    engine.load()
    denoiser, seconds = engine.denoiser, time.perf_counter() - begun
    grid, chain = engine.grid, engine.settings.chain(engine.grid)
    low, high = grid.log_snr_range
    page = {
        "model": denoiser.name,
        "fingerprint": denoiser.fingerprint,
        "law": denoiser.law or "given in closed form",
        "log-SNR": f"{low:.3g} to {high:.3g}",
        "state": f"{' x '.join(map(str, denoiser.shape))} on {denoiser.device}",
        "dtype": str(denoiser.dtype).removeprefix("torch."),
    }
    page |= _calibrated(denoiser)
    batches = Batches(denoiser, 2)
    before, begun = denoiser.n_evaluations, time.perf_counter()
    traced = batches.trace(list(PROMPTS[:1]), range(2), chain)[0]
    x, eps = (states.transpose(0, 1) for states in (traced.x, traced.eps))
    own, other = (
        float(batches.predict([prompt], x, eps, chain).double().mean()) for prompt in PROMPTS
    )
    if not other:
        raise ValueError(
            f"{denoiser.name}: expected that the prompt changes what is predicted, but "
            f"{PROMPTS[0]!r} and {PROMPTS[1]!r} are answered alike; check its text encoder, and "
            "that no limit cuts the whole prompt away."
        )
    spent, made = time.perf_counter() - begun, denoiser.n_evaluations - before
    page["self-replay"] = f"{own / max(other, 1e-30):.2g} of another prompt's energy (0 is exact)"
    page["one prediction"] = f"{spent / made:.3g} s, in calls of two"
    page["loaded in"] = f"{seconds:.3g} s"
    if denoiser.unnamed:
        page["not cached"] = f"{', '.join(denoiser.unnamed)} have no content to know them by"
    return page


def _calibrated(denoiser: Denoiser) -> dict[str, str]:
    """What calibration found out, of a model that is calibrated."""
    found: Any = getattr(denoiser, "calibration", None)
    if found is None:
        return {}
    guidance = "any w"
    if found.guidance_fault:
        guidance = f"only w = 1: {found.guidance_fault.removeprefix('expected 1, ')}"
    elif found.least_w > 1:
        guidance = f"w = 1, and any w above {found.least_w:g}"
    elif found.both_branches:
        guidance = (
            "any w, not linear: guided predictions are compared themselves, at twice the rows"
        )
    rows = found.rows_argument or "the prompt is repeated"
    page = {
        "pipeline": type(getattr(denoiser, "pipeline", None)).__name__,
        "guidance": guidance,
        "rows": rows + (", after a step of its own" if found.leading_steps else ""),
        "prompts a call": "many" if found.prompts_share_a_call else "one",
        "repeats": f"within {found.repeats_within:.2g} of the difference between two prompts",
        "asked at load": f"{found.n_evaluations} predictions",
    }
    limits = getattr(denoiser, "token_limits", {})
    return page | {f"{name} reads": f"{limit} tokens" for name, limit in limits.items()}
