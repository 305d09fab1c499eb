"""Every family that is measured: the one list behind the tests and the table of docs/models.md."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines import base, flow, preserving, recent
from pipelines.exact import COSINE, EDM, by_flow, by_table, make_exact

SMALL = {"height": 64, "width": 64}
UNBINNED = SMALL | {"use_resolution_binning": False}
RAW = {"clean_caption": False}


@dataclass(frozen=True)
class Family:
    """One family: how to build it tiny, and what its networks are trained to be handed and to say.

    `levels` and `say` (see exact.py) are facts about the family, not read off its scheduler: they
    are what the dialect that the package reads off is held against.
    """

    name: str
    build: Callable[[], Any]
    levels: Callable
    say: str
    call: Mapping[str, Any] = field(default_factory=dict)
    unguided: float | None = 1.0  # guidance_scale of the plain conditional prediction
    note: str = ""

    def exact(self, world: dict) -> Any:
        """Return the tiny pipeline with the exact answer of `world` for its network."""
        guidance = {} if self.unguided is None else {"guidance_scale": self.unguided}
        return make_exact(self.build(), self.levels, self.say, world, **self.call, **guidance)


def _stable(*args: Any, **kwargs: Any) -> Callable:
    return functools.partial(base.stable_diffusion, *args, **kwargs)


THOUSAND, ONE = by_flow(), by_flow(thousand=False)
REVERSED = by_flow(thousand=False, reverse=True)
DISTILLED = "guidance is an input of the network, measured at the pipeline's default"
LINEAR = "with `cfg_normalization=False`; else at full cost"

FAMILIES = [
    Family("Stable Diffusion 1.x, 2.x base", _stable(), by_table, "epsilon"),
    Family("Stable Diffusion 2.x (v)", _stable("v_prediction"), by_table, "v_prediction"),
    Family("Stable Diffusion, x_0 prediction", _stable("sample"), by_table, "sample"),
    Family(
        "Stable Diffusion, zero terminal SNR",
        _stable("v_prediction", rescale_betas_zero_snr=True),
        by_table,
        "v_prediction",
    ),
    Family("SDXL", base.stable_diffusion_xl, by_table, "epsilon"),
    Family("SDXL Turbo", preserving.turbo, by_table, "epsilon", note="few-step: see below"),
    Family("Playground 2.5", preserving.playground, EDM, "EDM"),
    Family("LCM", preserving.latent_consistency, by_table, "epsilon", note=DISTILLED),
    Family("Stable Diffusion 3, 3.5", base.stable_diffusion_3, THOUSAND, "flow"),
    Family("Flux.1 schnell", base.flux, ONE, "flow", note="few-step: see below"),
    Family("Flux.1 dev", functools.partial(base.flux, True), ONE, "flow", note=DISTILLED),
    Family(
        "Flux.2",
        recent.flux2,
        ONE,
        "flow",
        SMALL | {"text_encoder_out_layers": (1,)},
        note=DISTILLED,
    ),
    Family("PixArt-Alpha", preserving.pixart_alpha, by_table, "epsilon", UNBINNED | RAW),
    Family("PixArt-Sigma", preserving.pixart_sigma, by_table, "epsilon", UNBINNED | RAW),
    Family(
        "Sana",
        flow.sana,
        THOUSAND,
        "flow",
        RAW
        | {"height": 32, "width": 32, "use_resolution_binning": False}
        | {"complex_human_instruction": ["Draw this:"], "max_sequence_length": 64},
    ),
    Family("AuraFlow", flow.aura_flow, ONE, "flow", SMALL),
    Family("Chroma", flow.chroma, ONE, "flow", SMALL),
    Family(
        "Lumina 2",
        flow.lumina2,
        REVERSED,
        "negative flow",
        SMALL | {"cfg_normalization": False},
        note=LINEAR,
    ),
    Family("CogView 4", flow.cogview4, THOUSAND, "flow", SMALL),
    Family("HunyuanDiT", preserving.hunyuan_dit, by_table, "v_prediction", UNBINNED),
    Family(
        "Qwen-Image",
        recent.qwen_image,
        ONE,
        "flow",
        SMALL,
        note="its `true_cfg_scale` normalises: only unguided",
    ),
    Family("Z-Image", flow.z_image, REVERSED, "negative flow", SMALL, unguided=0.0),
    Family("Kandinsky 5", recent.kandinsky5, THOUSAND, "flow", SMALL),
    Family("DeepFloyd IF, first stage", preserving.deepfloyd_if, by_table, "epsilon", RAW),
    Family("Stable Audio", recent.stable_audio, COSINE, "EDM, v", note="sound: no pictures"),
    Family("Wan", recent.wan, THOUSAND, "flow", SMALL | {"num_frames": 1}, note="one frame"),
]
