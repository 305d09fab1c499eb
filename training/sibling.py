"""Make the untrained beginning of a small sibling: the packaged model with smaller numbers.

    python -m training.sibling WORK FOLDER

writes `WORK/start` from the pipeline in FOLDER: its autoencoder and its scheduler as they are, a
tokenizer that knows only the pieces of the captions' words, their vectors reduced to fewer numbers,
and a random text encoder and denoiser around them. `training.denoiser WORK --start WORK/start`
trains it.
"""

from __future__ import annotations

import argparse
import string
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import BertTokenizerFast, CLIPTextConfig, CLIPTextModel

from training.art import Art
from training.scenes import vocabulary
from training.words import LENGTH, reduce

WIDTH, LAYERS = 64, 1  # of the text encoder
UNET = {"block_out_channels": (32, 72), "norm_num_groups": 8, "mid_block_type": None}
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def keep_tokens(tokenizer: BertTokenizerFast, words: set[str]) -> list[str]:
    """Return the tokens of the words in their order, and single characters for all other words."""
    kept = {token for word in sorted(words) for token in tokenizer.tokenize(word)}
    letters = string.ascii_lowercase + string.digits
    kept |= {*letters, *string.punctuation, *(f"##{letter}" for letter in letters)}
    return [*SPECIAL, *sorted(kept.difference(SPECIAL), key=tokenizer.convert_tokens_to_ids)]


def make_text_encoder(like: CLIPTextModel, vectors: Tensor) -> CLIPTextModel:
    """Return a narrow encoder around token vectors, which training leaves as they are."""
    sizes = {"vocab_size": len(vectors), "num_hidden_layers": LAYERS, "hidden_size": WIDTH}
    sizes |= {"projection_dim": WIDTH, "intermediate_size": 4 * WIDTH}
    ends = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    encoder = CLIPTextModel(CLIPTextConfig(**like.config.to_dict() | sizes | ends))
    encoder.get_input_embeddings().weight.data.copy_(vectors)
    return encoder


def make_sibling(pipeline: StableDiffusionPipeline, words: set[str]) -> StableDiffusionPipeline:
    """Return a small untrained pipeline that knows these words."""
    full = pipeline.tokenizer
    tokens = keep_tokens(full, words)
    vocab = {token: i for i, token in enumerate(tokens)}
    tokenizer = BertTokenizerFast(vocab=vocab, model_max_length=LENGTH)
    table = pipeline.text_encoder.get_input_embeddings().weight.detach()
    vectors = 0.5 * reduce(table[full.convert_tokens_to_ids(tokens)], WIDTH)
    config = {**pipeline.unet.config, **UNET, "cross_attention_dim": WIDTH}
    return StableDiffusionPipeline(
        vae=pipeline.vae,
        text_encoder=make_text_encoder(pipeline.text_encoder, vectors),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel.from_config(config),
        scheduler=pipeline.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def main() -> None:
    """Read the command line and write the beginning."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path, help="folder for everything that the recipe makes")
    parser.add_argument("folder", type=Path, help="pipeline of the same world")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    pipeline = StableDiffusionPipeline.from_pretrained(args.folder)
    words = vocabulary(Art.load(args.work).concepts)
    make_sibling(pipeline, words).save_pretrained(args.work / "start")


if __name__ == "__main__":
    main()
