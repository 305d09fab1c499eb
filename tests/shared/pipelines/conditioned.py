"""Tiny pipelines that are handed a picture beside the prompt, and one that calls two others."""

import diffusers
import torch
import transformers
from PIL import Image

from pipelines.base import stable_diffusion
from pipelines.parts import WIDTH, build, clip, unet

GREY = Image.new("RGB", (64, 64), (90, 90, 90))
LOWER = Image.new("L", (64, 64), 0)
LOWER.paste(255, (0, 32, 64, 64))
FEATURES = [torch.linspace(-1, 1, 16).view(1, 1, 16)]  # of a picture, for an IP-Adapter


def ip_adapter(seed=0):
    """Return Stable Diffusion with an IP-Adapter, to be called with the features of a picture."""
    pipe = stable_diffusion(seed=seed)
    generator = torch.Generator().manual_seed(seed + 5)

    def weights(*shape):
        return torch.randn(*shape, generator=generator) / shape[-1] ** 0.5

    project = {"proj.weight": weights(4 * WIDTH, 16), "proj.bias": weights(4 * WIDTH)}
    project |= {"norm.weight": torch.ones(WIDTH), "norm.bias": torch.zeros(WIDTH)}
    attend = {}
    crossed = [m for name, m in pipe.unet.named_modules() if name.endswith("attn2")]
    for number, module in enumerate(crossed):
        for name in ("to_k_ip", "to_v_ip"):
            attend[f"{2 * number + 1}.{name}.weight"] = weights(module.to_k.out_features, WIDTH)
    state = {"image_proj": project, "ip_adapter": attend}
    pipe.load_ip_adapter(state, subfolder="", weight_name="", image_encoder_folder=None)
    return pipe


def image_to_image(seed=0):
    """Return Stable Diffusion's image to image."""
    parts = stable_diffusion(seed=seed).components
    return diffusers.StableDiffusionImg2ImgPipeline(**parts, requires_safety_checker=False)


def inpainting(seed=0, channels=9):
    """Return Stable Diffusion's inpainting, whose network sees the mask and the picture."""
    parts = stable_diffusion(seed=seed).components
    parts["unet"] = unet(seed + 2, cross_attention_dim=WIDTH, in_channels=channels, out_channels=4)
    return diffusers.StableDiffusionInpaintPipeline(**parts, requires_safety_checker=False)


def kandinsky22(seed=0):
    """Return Kandinsky 2.2, a pipeline that calls a prior and a decoder."""
    prior = build(
        diffusers.PriorTransformer,
        seed + 2,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=1,
        embedding_dim=WIDTH,
        num_embeddings=16,
    )
    sight = transformers.CLIPVisionConfig(
        hidden_size=32,
        image_size=32,
        projection_dim=WIDTH,
        intermediate_size=32,
        num_attention_heads=4,
        num_hidden_layers=1,
        patch_size=16,
    )
    network = build(
        diffusers.UNet2DConditionModel,
        seed + 4,
        in_channels=4,
        out_channels=8,
        addition_embed_type="image",
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        block_out_channels=(16, 32),
        layers_per_block=1,
        encoder_hid_dim=WIDTH,
        encoder_hid_dim_type="image_proj",
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    autoencoder = build(
        diffusers.VQModel,
        seed + 5,
        block_out_channels=(32, 32),
        down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        norm_type="spatial",
        num_vq_embeddings=12,
        vq_embed_dim=4,
    )
    text = clip(seed + 1, projection=True)
    return diffusers.KandinskyV22CombinedPipeline(
        unet=network,
        scheduler=diffusers.DDIMScheduler(),
        movq=autoencoder,
        prior_prior=prior,
        prior_image_encoder=build(transformers.CLIPVisionModelWithProjection, seed + 3, sight),
        prior_text_encoder=text["text_encoder"],
        prior_tokenizer=text["tokenizer"],
        prior_scheduler=diffusers.UnCLIPScheduler(
            variance_type="fixed_small_log",
            prediction_type="sample",
            num_train_timesteps=1000,
            clip_sample_range=5.0,
        ),
        prior_image_processor=None,
    )
