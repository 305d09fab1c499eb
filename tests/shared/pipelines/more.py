"""Tiny pipelines of further families of images."""

import diffusers
import transformers
from transformers.models.t5gemma.configuration_t5gemma import T5GemmaModuleConfig
from transformers.models.t5gemma.modeling_t5gemma import T5GemmaEncoder

from pipelines.base import stable_diffusion, stable_diffusion_xl
from pipelines.flow import flow, language_model
from pipelines.parts import SIDE, WIDTH, build, clip, t5, tokenizer, vae
from pipelines.preserving import VP, pixart_sigma
from pipelines.recent import flux2, wan


def perturbed(seed=0):
    """Return Stable Diffusion with perturbed-attention guidance."""
    return diffusers.AutoPipelineForText2Image.from_pipe(
        stable_diffusion(seed=seed), enable_pag=True
    )


def perturbed_xl(seed=0):
    """Return SDXL with perturbed-attention guidance."""
    pipe = stable_diffusion_xl(seed)
    return diffusers.AutoPipelineForText2Image.from_pipe(pipe, enable_pag=True)


def perturbed_pixart(seed=0):
    """Return PixArt-Sigma with perturbed-attention guidance."""
    return diffusers.PixArtSigmaPAGPipeline(
        **pixart_sigma(seed).components, pag_applied_layers="blocks.0"
    )


def kandinsky3(seed=0):
    """Return Kandinsky 3."""
    network = build(
        diffusers.Kandinsky3UNet,
        seed + 2,
        in_channels=4,
        time_embedding_dim=4,
        groups=2,
        attention_head_dim=4,
        layers_per_block=3,
        block_out_channels=(16, 32),
        cross_attention_dim=4,
        encoder_hid_dim=WIDTH,
    )
    autoencoder = build(
        diffusers.VQModel,
        seed,
        block_out_channels=(32, 32),
        down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        norm_num_groups=4,
        norm_type="spatial",
        num_vq_embeddings=12,
        vq_embed_dim=4,
    )
    text = t5(seed + 1, "")
    text["tokenizer"].model_max_length = 64
    return diffusers.Kandinsky3Pipeline(
        **text,
        unet=network,
        movq=autoencoder,
        scheduler=diffusers.DDPMScheduler(**VP, clip_sample=False),
    )


def cogview3(seed=0):
    """Return CogView 3 Plus."""
    transformer = build(
        diffusers.CogView3PlusTransformer2DModel,
        seed + 2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        text_embed_dim=WIDTH,
        time_embed_dim=8,
        condition_dim=2,
        pos_embed_max_size=SIDE,
        sample_size=SIDE,
    )
    return diffusers.CogView3PlusPipeline(
        **t5(seed + 1, ""),
        vae=vae(seed),
        transformer=transformer,
        scheduler=diffusers.CogVideoXDDIMScheduler(
            prediction_type="v_prediction", timestep_spacing="trailing", snr_shift_scale=4.0
        ),
    )


def lumina(seed=0):
    """Return Lumina-Next, which guides three channels of its four."""
    transformer = build(
        diffusers.LuminaNextDiT2DModel,
        seed + 2,
        sample_size=SIDE,
        patch_size=2,
        in_channels=4,
        hidden_size=48,
        num_layers=1,
        num_attention_heads=3,
        num_kv_heads=1,
        multiple_of=16,
        cross_attention_dim=WIDTH,
    )
    return diffusers.LuminaPipeline(
        **language_model(transformers.GemmaModel, transformers.GemmaConfig, seed + 1),
        vae=vae(seed),
        transformer=transformer,
        scheduler=flow(),
    )


def hidream(seed=0):
    """Return HiDream, with four text encoders."""
    transformer = build(
        diffusers.HiDreamImageTransformer2DModel,
        seed + 2,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_channels=[WIDTH, WIDTH],
        text_emb_dim=2 * WIDTH,
        num_routed_experts=2,
        num_activated_experts=1,
        axes_dims_rope=(4, 2, 2),
        max_resolution=(32, 32),
        llama_layers=(0, 1),
    )
    llama = language_model(transformers.LlamaForCausalLM, transformers.LlamaConfig, seed + 4)
    pipe = diffusers.HiDreamImagePipeline(
        **clip(seed + 1, projection=True),
        **clip(seed + 2, "_2", projection=True),
        **t5(seed + 3, "_3"),
        **{f"{name}_4": part for name, part in llama.items()},
        vae=vae(seed, scaling_factor=0.3611, shift_factor=0.1159),
        transformer=transformer,
        scheduler=flow(),
    )
    pipe.default_sample_size = SIDE  # every size is scaled to its area
    return pipe


def prx(seed=0):
    """Return PRX."""
    text = tokenizer("t5")
    text.model_max_length = 32
    sizes = {
        "vocab_size": len(text),
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "max_position_embeddings": 64,
        "layer_types": ["full_attention"],
        "dropout_rate": 0.0,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 1,
    }
    transformer = build(
        diffusers.PRXTransformer2DModel,
        seed + 2,
        patch_size=2,
        in_channels=4,
        context_in_dim=WIDTH,
        hidden_size=16,
        mlp_ratio=2.0,
        num_heads=2,
        depth=1,
        axes_dim=[4, 4],
    )
    pipe = diffusers.PRXPipeline(
        transformer=transformer,
        scheduler=flow(),
        text_encoder=build(T5GemmaEncoder, seed + 1, T5GemmaModuleConfig(**sizes)),
        tokenizer=text,
        vae=vae(seed, shift_factor=0.0),
    )
    pipe.text_preprocessor.basic_clean = str.strip  # its own needs a package
    return pipe


def bria(seed=0):
    """Return Bria; latents of packed tokens."""
    transformer = build(
        diffusers.BriaTransformer2DModel,
        seed + 2,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=[0, 4, 4],
    )
    return diffusers.BriaPipeline(
        **t5(seed + 1, ""),
        vae=vae(seed, shift_factor=0.0),
        transformer=transformer,
        scheduler=flow(),
    )


def cosmos2(seed=0):
    """Return Cosmos 2 text-to-image, whose noise has amplitudes up to 80."""
    transformer = build(
        diffusers.CosmosTransformer3DModel,
        seed + 2,
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=1,
        text_embed_dim=WIDTH,
        adaln_lora_dim=4,
        max_size=(4, 32, 32),
        extra_pos_embed_type=None,
        concat_padding_mask=False,
    )
    pipe = diffusers.Cosmos2TextToImagePipeline(
        **t5(seed + 1, ""),
        vae=wan(seed).vae,
        transformer=transformer,
        scheduler=flow(shift=1.0, use_karras_sigmas=True),
        safety_checker=Harmless(),
    )
    return pipe


class Harmless:
    """A checker that finds nothing, as the true one needs a model of its own."""

    def to(self, *args, **kwargs):
        return self

    def check_text_safety(self, text):
        return True

    def check_video_safety(self, video):
        return video


def ovis(seed=0):
    """Return Ovis-Image; latents of packed tokens."""
    transformer = build(
        diffusers.OvisImageTransformer2DModel,
        seed + 2,
        in_channels=16,
        out_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(4, 6, 6),
    )
    return diffusers.OvisImagePipeline(
        **language_model(transformers.Qwen3Model, transformers.Qwen3Config, seed + 1),
        vae=vae(seed, scaling_factor=0.3611, shift_factor=0.1159),
        transformer=transformer,
        scheduler=flow(),
    )


def flux2_klein(seed=0):
    """Return Flux.2 Klein, which has classifier-free guidance."""
    parts = flux2(seed).components
    parts |= language_model(transformers.Qwen3ForCausalLM, transformers.Qwen3Config, seed + 1)
    parts["transformer"].register_to_config(guidance_embeds=False)
    return diffusers.Flux2KleinPipeline(**parts)
