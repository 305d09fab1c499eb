"""Every family that is measured: the one list behind the tests and the table of docs/models.md."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines import base, conditioned, flow, more, preserving, recent, video
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
    pictures: bool = True  # whether a test draws with this call, as it stands

    def exact(self, world: dict) -> Any:
        """Return the tiny pipeline with the exact answer of `world` for its network."""
        guidance = {} if self.unguided is None else {"guidance_scale": self.unguided}
        return make_exact(self.build(), self.levels, self.say, world, **self.call, **guidance)


def _stable(*args: Any, **kwargs: Any) -> Callable:
    return functools.partial(base.stable_diffusion, *args, **kwargs)


@dataclass(frozen=True)
class Refused:
    """One family, or one way to call it, that cannot be measured: what is said, what to do."""

    name: str
    build: Callable[[], Any]
    call: Mapping[str, Any]
    message: str
    reason: str
    remedy: str


THOUSAND, ONE = by_flow(), by_flow(thousand=False)
REVERSED, DOWNWARDS = by_flow(thousand=False, reverse=True), by_flow(reverse=True)
FRAME = SMALL | {"num_frames": 1}
TINY = {"height": 32, "width": 32}
SHORT = {"max_sequence_length": 16}
DISTILLED = "guidance is an input of the network, measured at the pipeline's default"
LINEAR = "with `cfg_normalization=False`; else at full cost"

PICTURE = {"image": conditioned.GREY, "strength": 1.0}
MASKED = SMALL | PICTURE | {"mask_image": conditioned.LOWER}
PAG = ("a third row a state, for a third prediction", "with `pag_scale=0.0`")

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
    Family("Kandinsky 3", more.kandinsky3, by_table, "epsilon", TINY),
    Family("CogView 3 Plus", more.cogview3, by_table, "v_prediction", SMALL | SHORT),
    Family("Lumina-Next", more.lumina, REVERSED, "negative flow", SMALL | RAW),
    Family("HiDream", more.hidream, THOUSAND, "negative flow", SMALL | SHORT),
    Family("PRX", more.prx, ONE, "flow", UNBINNED | {"skip_text_cleaning": True}),
    Family("Bria", more.bria, THOUSAND, "flow", SMALL),
    Family("Ovis-Image", more.ovis, ONE, "flow", SMALL),
    Family(
        "Flux.2 Klein", more.flux2_klein, ONE, "flow", SMALL | {"text_encoder_out_layers": (1,)}
    ),
    Family("Cosmos 2", more.cosmos2, ONE, "flow", SMALL),
    Family("Wan", recent.wan, THOUSAND, "flow", FRAME, note="one frame"),
    Family(
        "Wan 2.2",
        video.wan_22,
        THOUSAND,
        "flow",
        FRAME,
        note="two networks; one frame",
        pictures=False,
    ),
    Family(
        "LTX-Video",
        video.ltx,
        THOUSAND,
        "flow",
        FRAME | SHORT | TINY,
        note="one frame",
        pictures=False,
    ),
    Family(
        "Mochi",
        video.mochi,
        DOWNWARDS,
        "negative flow",
        FRAME | SHORT,
        note="one frame",
        pictures=False,
    ),
    Family(
        "CogVideoX",
        video.cogvideox,
        by_table,
        "v_prediction",
        FRAME | SHORT,
        note="one frame",
        pictures=False,
    ),
    Family(
        "Allegro",
        video.allegro,
        by_table,
        "epsilon",
        FRAME | SHORT | RAW,
        note="one frame",
        pictures=False,
    ),
    Family(
        "Latte",
        video.latte,
        by_table,
        "epsilon",
        SMALL | RAW | {"video_length": 1, "mask_feature": False},
        note="one frame",
        pictures=False,
    ),
    Family(
        "HunyuanVideo",
        video.hunyuan_video,
        THOUSAND,
        "flow",
        FRAME | SHORT | {"prompt_template": {"template": "{}", "crop_start": 0}},
        note=f"one frame; {DISTILLED}",
        pictures=False,
    ),
    Family(
        "HunyuanVideo 1.5",
        video.hunyuan_video_15,
        THOUSAND,
        "flow",
        {"height": 16, "width": 16, "num_frames": 1},
        unguided=None,
        note="one frame; guidance is its `guider`, which must not guide",
        pictures=False,
    ),
    Family(
        "AnimateDiff",
        video.animate_diff,
        by_table,
        "epsilon",
        FRAME,
        note="one frame",
        pictures=False,
    ),
    Family(
        "ModelScope text-to-video",
        video.text_to_video,
        by_table,
        "epsilon",
        FRAME,
        note="one frame",
        pictures=False,
    ),
]
FAMILIES += [
    Family(
        "IP-Adapter",
        conditioned.ip_adapter,
        by_table,
        "epsilon",
        {"ip_adapter_image_embeds": conditioned.FEATURES},
        note="features of the picture without those of an empty one",
        pictures=False,
    ),
    Family("Image to image", conditioned.image_to_image, by_table, "epsilon", PICTURE),
    Family("Inpainting, 9 channels", conditioned.inpainting, by_table, "epsilon", MASKED),
]
REFUSED = [
    Refused("Perturbed attention, Stable Diffusion", more.perturbed, {}, "pag_scale=", *PAG),
    Refused("Perturbed attention, SDXL", more.perturbed_xl, {}, "pag_scale=", *PAG),
    Refused(
        "Perturbed attention, PixArt-Sigma",
        more.perturbed_pixart,
        UNBINNED | RAW,
        "pag_scale=",
        *PAG,
    ),
    Refused(
        "Inpainting, 4 channels",
        functools.partial(conditioned.inpainting, channels=4),
        MASKED,
        "only the scheduler changes the state",
        "the loop puts the picture back between two steps",
        "an inpainting checkpoint, whose network has 9 channels",
    ),
    Refused(
        "Image to image, in part",
        conditioned.image_to_image,
        PICTURE | {"strength": 0.5},
        "what shortens its loop",
        "its loop begins in the middle",
        "with `strength=1.0`",
    ),
    Refused(
        "Kandinsky 2.2, combined",
        conditioned.kandinsky22,
        SMALL,
        "the pipeline whose own loop denoises",
        "it calls other pipelines, whose loops do not see our scheduler",
        "none: the decoder alone takes no prompt",
    ),
    Refused(
        "Latte, several rows",
        video.latte,
        SMALL | RAW | {"video_length": 1},
        "masks that are cut for one row",
        "masks are cut for one row, and not for several",
        "with `mask_feature=False`",
    ),
    Refused(
        "HunyuanVideo 1.5, guided",
        functools.partial(video.hunyuan_video_15, scale=6.0),
        {"height": 16, "width": 16, "num_frames": 1},
        "pipeline.guider",
        "guidance is a component, which is not asked for its scale",
        "with a `guider` of scale 1",
    ),
]
