"""Tokenizers, text encoders and autoencoders of the tiny pipelines, from configs."""

import diffusers
import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel

CLIP_TOKENS = 16  # tokenizer.model_max_length: 14 tokens of text between the two end markers
SIDE = 8  # latent height and width of the random pipelines: images of 64 x 64
WIDTH = 32  # width of every text encoder
WORDS = "painting mountain picture photo image small large green black white house horse bird blue"
WORDS += " boat fish tree snow city with cat dog red car sea old two the and an of in on"
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def tokenizer(kind="clip", pad_token="<|endoftext|>"):
    """Return a tiny CLIP (BPE) or T5 (unigram) tokenizer that knows WORDS, else letters."""
    if kind == "t5":
        pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
        pieces += [(chr(i), -10.0) for i in range(33, 127)]
        pieces += [("▁" + w, -5.0) for w in WORDS.split()]
        return transformers.T5Tokenizer(vocab=pieces, extra_ids=0)
    letters = sorted(ByteLevel.alphabet())  # "!" gets id 0, as in CLIP
    words = [[*w[:-1], w[-1] + "</w>"] for w in WORDS.split()]  # built from the left: ph, pho, ...
    merges = list(dict.fromkeys(("".join(w[:i]), w[i]) for w in words for i in range(1, len(w))))
    pieces = letters + [c + "</w>" for c in letters] + ["".join(m) for m in merges]
    pieces += ["<|startoftext|>", "<|endoftext|>"]  # the last two ids, as in CLIP
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    return transformers.CLIPTokenizer(
        vocab=vocab, merges=merges, pad_token=pad_token, model_max_length=CLIP_TOKENS
    )


def clip(seed, slot="", projection=False, pad_token="<|endoftext|>", positions=CLIP_TOKENS):
    """Return a CLIP tokenizer and encoder, under their names in a pipeline."""
    text = tokenizer(pad_token=pad_token)
    config = transformers.CLIPTextConfig(
        vocab_size=len(text),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=positions,
        projection_dim=WIDTH,
        bos_token_id=text.bos_token_id,
        eos_token_id=text.eos_token_id,
    )
    kind = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    return {f"tokenizer{slot}": text, f"text_encoder{slot}": build(kind, seed, config)}


def t5(seed, slot, width=WIDTH):
    """Return a T5 tokenizer and encoder, under their names in a pipeline."""
    text = tokenizer("t5")
    config = transformers.T5Config(
        vocab_size=len(text), d_model=width, d_kv=8, d_ff=2 * width, num_layers=1, num_heads=4
    )
    encoder = build(transformers.T5EncoderModel, seed, config)
    return {f"tokenizer{slot}": text, f"text_encoder{slot}": encoder}


def build(kind, seed, *args, **config):
    """Build a module; each weight becomes seeded noise that keeps signals at about size 1."""
    with torch.random.fork_rng(devices=[]):
        module = kind(*args, **config)
    module.eval().requires_grad_(False)
    tables = [m.weight for m in module.modules() if isinstance(m, torch.nn.Embedding)]
    generator = torch.Generator().manual_seed(seed)
    for name, weight in sorted(module.named_parameters()):
        if weight.ndim > 1:
            weight.normal_(generator=generator)
            weight.div_(1 if any(weight is t for t in tables) else weight[0].numel() ** 0.5)
        elif name.endswith("bias"):
            weight.normal_(std=0.1, generator=generator)
    return module


def vae(seed, **config):
    """Return an autoencoder of the real factor 8, with four latent channels."""
    return build(
        diffusers.AutoencoderKL,
        seed,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 4, 4),
        norm_num_groups=2,
        latent_channels=4,
        **config,
    )


def unet(seed, **config):
    """Return a UNet with one cross-attention level."""
    return build(
        diffusers.UNet2DConditionModel,
        seed,
        sample_size=SIDE,
        layers_per_block=1,
        block_out_channels=(16, 32),
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **config,
    )
