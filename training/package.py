"""Put a trained pipeline into the package: float16 weights, no file that nobody needs.

    python -m training.package work conjure_kernel/models/embedded/model

writes the weights of `work/pipeline`, and beside their folder `vocabulary.txt`, the words of their
captions.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline

from training.art import Art, Concept
from training.scenes import vocabulary

CONFIGS = ("model_index.json", *(f"{p}/config.json" for p in ("text_encoder", "unet", "vae")))


def package(source: Path, target: Path, autoencoder: Path | None = None) -> None:
    """Save `source` to `target` in float16; loaded without a dtype it is float32 as a whole.

    Another autoencoder takes the place of its own, if it has the same latents.
    """
    pipeline = StableDiffusionPipeline.from_pretrained(source, dtype=torch.float16)
    if autoencoder is not None:
        other = AutoencoderKL.from_pretrained(autoencoder).half()
        if other.config.scaling_factor != pipeline.vae.config.scaling_factor:
            raise ValueError(
                f"{autoencoder}: expected an autoencoder with the latents of {source}, got one of "
                "another scaling factor; train it with --latents-of that folder."
            )
        pipeline.register_modules(vae=other)
    pipeline.save_pretrained(target)
    for path in (target / name for name in CONFIGS):
        config = json.loads(path.read_text(encoding="utf-8"))
        # transformers loads in the dtype that the file names, diffusers in float32
        for key in ("dtype", "torch_dtype"):
            if key in config:
                config[key] = "float32"
        config.pop("_name_or_path", None)
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {size / 1e6:.1f} MB")


def write_vocabulary(concepts: list[Concept], path: Path) -> None:
    """Write the words that the model was taught, one a line."""
    path.write_text("\n".join(sorted(vocabulary(concepts))) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line and package."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path, help="folder for everything that the recipe makes")
    parser.add_argument("target", type=Path, help="folder of the weights in the package")
    parser.add_argument("--pipeline", type=Path, help="default: WORK/pipeline")
    parser.add_argument("--autoencoder", type=Path, help="folder of one with the same latents")
    parser.add_argument("--weights-only", action="store_true", help="write no list of words")
    args = parser.parse_args()
    package(args.pipeline or args.work / "pipeline", args.target, args.autoencoder)
    if not args.weights_only:
        write_vocabulary(Art.load(args.work).concepts, args.target.parent / "vocabulary.txt")


if __name__ == "__main__":
    main()
