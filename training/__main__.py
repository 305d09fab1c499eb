"""The whole recipe, from an empty folder to the weights of a package, in one command.

    python -m training WORK
    python -m training WORK --minutes 60

runs the stages of `training/README.md` one after another. `WORK/recipe.json` says of each finished
stage what it took and where; the same command goes on behind the last of them, also on another
machine that has a copy of WORK. The result is `WORK/model`.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch

SHARES = {"autoencoder": 0.22, "denoiser": 0.66, "decoder": 0.12}  # of --minutes


class Stage(NamedTuple):
    """A module of this package and its options; those of a training without its end."""

    name: str
    module: str
    options: tuple[str, ...] = ()
    steps: int | None = None

    def command(self, work: Path, minutes: float | None) -> list[str]:
        """Return the command line; a training ends after its share of the minutes or by steps."""
        end: list[str] = []
        if self.steps and minutes:
            end = ["--steps", str(10**7), "--minutes", f"{SHARES[self.name] * minutes:.3f}"]
        elif self.steps:
            end = ["--steps", str(self.steps)]
        return [sys.executable, "-m", f"training.{self.module}", str(work), *self.options, *end]


def stages(work: Path, device: str, blocks: int) -> list[Stage]:
    """Return all stages; a GPU learns from more pictures at once."""
    pictures, latents, rate = ("128", "2048", "2e-3") if device == "cuda" else ("32", "64", "1e-3")
    scenes = ("--blocks", str(blocks), "--first", "0.7")
    rough = ("--latents-of", str(work / "pipeline"))
    return [
        Stage("art", "art"),
        Stage("wide", "wide"),
        Stage("words", "words"),
        Stage("autoencoder", "autoencoder", ("--batch", pictures), 6000),
        Stage("denoiser", "denoiser", (*scenes, "--batch", latents, "--rate", rate), 60_000),
        Stage("decoder", "autoencoder", (*rough, "--batch", pictures, "--rate", "5e-4"), 2700),
        Stage("package", "package", (str(work / "model"), "--autoencoder", str(work / "decoder"))),
    ]


def main() -> None:
    """Run what is not yet done, and keep account."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path, help="folder for everything that the recipe makes")
    parser.add_argument("--minutes", type=float, help="of training (default: by steps)")
    parser.add_argument("--blocks", type=int, default=160, help="cached scenes, in thousands")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    record = args.work / "recipe.json"
    done = json.loads(record.read_text(encoding="utf-8")) if record.exists() else []
    device = "cuda" if torch.cuda.is_available() else "cpu"
    machine = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    for stage in stages(args.work, device, args.blocks):
        if stage.name in {row["stage"] for row in done}:
            continue
        command = stage.command(args.work, args.minutes)
        print(f"{stage.name}: {' '.join(command[1:])}", flush=True)
        begun = time.monotonic()
        subprocess.run(command, check=True)
        row = {"stage": stage.name, "minutes": round((time.monotonic() - begun) / 60, 2)}
        done.append(row | {"machine": machine, "command": command[2:]})
        record.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
