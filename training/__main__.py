"""The whole recipe, from an empty folder to the weights of a package, in one command.

    python -m training WORK
    python -m training WORK --minutes 60

runs the stages of `training/README.md` one after another. `WORK/recipe.json` says of each finished
stage what it took, where, and with which options; the same command goes on behind the last of them,
also on another machine that has a copy of WORK. The result is `WORK/model`.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch

from conjure_kernel.models.pretrained.fingerprint import fingerprint_file
from training.options import count, digest, positive

RECORD = "recipe.json"
SHARES = {"autoencoder": 0.15, "denoiser": 0.35, "further": 0.4, "decoder": 0.1}  # of --minutes


class Stage(NamedTuple):
    """A module of this package, its options, what it makes; steps of a training without an end."""

    name: str
    module: str
    product: str
    options: tuple[str, ...] = ()
    steps: int | None = None

    def unfinished(self, work: Path) -> list[Path]:
        """Return the files that a training goes on from."""
        product = work / self.product
        if self.module == "denoiser":
            return [product.with_name("denoiser.pt"), product.with_name("pool.pt")]
        return [product.with_suffix(".pt")] if self.module == "autoencoder" else []

    def command(self, work: Path, minutes: float | None) -> list[str]:
        """Return the module and its options; a training ends after its share of the minutes."""
        end: list[str] = []
        if self.steps and minutes:
            end = ["--steps", str(10**7), "--minutes", f"{SHARES[self.name] * minutes:g}"]
        elif self.steps:
            end = ["--steps", str(self.steps)]
        options = [option.replace("WORK", str(work)) for option in self.options]
        return [f"training.{self.module}", str(work), *options, *end]


def stages(device: str, blocks: int) -> list[Stage]:
    """Return all stages; a GPU learns from more pictures at once."""
    gpu = device == "cuda"
    pictures, latents = ("128", "2048") if gpu else ("32", "64")
    scenes = ("--blocks", str(blocks), "--first", "0.7", "--batch", latents)
    anew = ("--rate", "2e-3" if gpu else "1e-3")
    on = ("--rate", "1.2e-3" if gpu else "1e-3", "--hypernyms", "0.18", "--keywords", "0.32")
    on += ("--start", "WORK/pipeline", "--out", "WORK/further")
    rough = ("--latents-of", "WORK/further/pipeline", "--batch", pictures, "--rate", "5e-4")
    packaged = ("--pipeline", "WORK/further/pipeline", "--autoencoder", "WORK/decoder")
    return [
        Stage("art", "art", "art.npz"),
        Stage("wide", "wide", "art.npz"),
        Stage("words", "words", "token_vectors.pt"),
        Stage("autoencoder", "autoencoder", "autoencoder", ("--batch", pictures), 6000),
        Stage("denoiser", "denoiser", "pipeline", scenes + anew, 30_000),
        Stage("further", "denoiser", "further/pipeline", scenes + on, 30_000),
        Stage("decoder", "autoencoder", "decoder", rough, 2700),
        Stage("package", "package", "model", ("WORK/model", *packaged)),
    ]


def finished(rows: list[dict[str, Any]], planned: list[Stage], args: argparse.Namespace) -> int:
    """Return how many stages are done, with the same options as now, and what they made as it was.

    A product that was changed by hand counts, but what was made from it does not.
    """
    for i, (row, stage) in enumerate(zip(rows, planned, strict=False)):
        if row["stage"] != stage.name or not (args.work / stage.product).exists():
            return i
        asked = given(stage, args)
        if row["given"] != asked:
            raise SystemExit(
                f"{args.work / RECORD}: {stage.name} was run with {row['given']}, now it would be "
                f"{asked}. Give the same options, or another folder."
            )
        if stage.product in [later.product for later in planned[i + 1 : len(rows)]]:
            continue  # a later stage has written into it
        kept, row["product"] = row.get("product"), contents(args.work / stage.product)
        if kept != row["product"]:
            print(f"{stage.product} is not what the recipe made; what is behind it runs again")
            return i + 1
    return min(len(rows), len(planned))


def contents(product: Path) -> str:
    """Name what a file, or the files of a folder, hold."""
    files = [product] if product.is_file() else sorted(p for p in product.rglob("*") if p.is_file())
    return digest(*map(fingerprint_file, files))


def given(stage: Stage, args: argparse.Namespace) -> dict[str, Any]:
    """Return the options on which a stage depends."""
    return {"minutes": args.minutes, "blocks": args.blocks} if stage.steps else {}


def main() -> None:
    """Run what is not yet done, and keep account."""
    about = __doc__.partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m training", description=about)
    parser.add_argument("work", type=Path, help="folder for everything that the recipe makes")
    parser.add_argument(
        "--minutes",
        type=positive,
        help="of the four trainings together, without what prepares them (default: by steps)",
    )
    parser.add_argument("--blocks", type=count, default=160, help="cached scenes, in thousands")
    names = [stage.name for stage in stages("cpu", 1)]
    parser.add_argument("--until", choices=names, default=names[-1], help="the last stage to run")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    record = args.work / RECORD
    rows = json.loads(record.read_text(encoding="utf-8")) if record.exists() else []
    device = "cuda" if torch.cuda.is_available() else "cpu"
    planned = stages(device, args.blocks)
    n_done = finished(rows, planned, args)
    redone = len(rows) > n_done and (args.work / planned[n_done].product).exists()
    rows = rows[:n_done]
    for stage in planned[n_done + (not redone) :]:
        for path in stage.unfinished(args.work):  # it began from what is no longer there
            path.unlink(missing_ok=True)
    if rows:
        print("done before:", ", ".join(row["stage"] for row in rows), flush=True)
    machine = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    for stage in planned[n_done : names.index(args.until) + 1]:
        command = stage.command(args.work, args.minutes)
        print(f"{stage.name}: python -m {' '.join(command)}", flush=True)
        write(record, rows)  # what is behind this stage is no longer done
        begun = time.monotonic()
        subprocess.run([sys.executable, "-m", *command], check=True)
        row = {"stage": stage.name, "minutes": round((time.monotonic() - begun) / 60, 2)}
        row |= {"machine": machine, "given": given(stage, args)}
        row["command"] = stage.command(Path("WORK"), args.minutes)
        rows.append(row | {"product": contents(args.work / stage.product)})
        write(record, rows)


def write(record: Path, rows: list[dict[str, Any]]) -> None:
    """Write the account, or leave the old one."""
    part = record.with_suffix(".part")
    part.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    part.replace(record)


if __name__ == "__main__":
    main()
