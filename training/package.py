"""Put a trained pipeline into the package: float16 weights, no file that nobody needs.

python -m training.package work/pipeline conjure_kernel/models/embedded/model
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

CONFIGS = ("model_index.json", *(f"{p}/config.json" for p in ("text_encoder", "unet", "vae")))


def package(source: Path, target: Path) -> None:
    """Save `source` to `target` in float16; loaded without a dtype it is float32 as a whole."""
    pipeline = StableDiffusionPipeline.from_pretrained(source, dtype=torch.float16)
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


def main() -> None:
    """Read the command line and package."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path, help="pipeline folder that training wrote")
    parser.add_argument("target", type=Path, help="folder of the weights in the package")
    args = parser.parse_args()
    package(args.source, args.target)


if __name__ == "__main__":
    main()
