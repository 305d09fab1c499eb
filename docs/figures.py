"""Make every figure and table of the docs anew: runs each command that a page gives for its own.

    python docs/figures.py [--scores FOLDER] [--only TEXT] [--list]

The commands are those that the pages name, `python benchmarks/...`. What each prints is written to
docs/_build/figures/, one file a command; the pages are edited by hand, from there. Human scores
(MEN.tsv and others) are looked for in FOLDER; commands that need them, or a GPU, are left out where
there are none. Then the pictures of docs/explained.md are drawn. All of it takes hours.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
COMMAND = re.compile(r"(?:^    |`)python (benchmarks/[^`\n]+)", re.MULTILINE)
FILE = re.compile(r"\b(FOLDER|\w+\.tsv)\b")


def commands() -> list[str]:
    """What the pages say to run, each once, in the order of their names."""
    pages = sorted((ROOT / "docs").glob("*.md"))
    found = [" ".join(line.split()) for page in pages for line in COMMAND.findall(page.read_text())]
    return sorted({line for line in found if "FILE" not in line and "MODEL" not in line})


def main() -> None:
    """Run them."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--scores", type=Path, metavar="FOLDER")
    options.add_argument("--only", default="", metavar="TEXT", help="commands that contain this")
    options.add_argument("--list", action="store_true", help="print the commands, and run nothing")
    given = options.parse_args()
    target = ROOT / "docs" / "_build" / "figures"
    target.mkdir(parents=True, exist_ok=True)
    chosen = [line for line in [*commands(), "docs/pictures.py"] if given.only in line]
    for line in chosen:
        if given.list or left_out(line, given.scores):
            print(line if given.list else f"left out: {line}", flush=True)
            continue
        run(line, given.scores, target / f"{re.sub(r'[^a-z0-9]+', '_', line.lower())}.txt")


def left_out(line: str, scores: Path | None) -> bool:
    """Whether a command needs what is not here."""
    no_gpu = "gpu.py" in line and not torch.cuda.is_available()
    return no_gpu or (FILE.search(line) is not None and scores is None)


def run(line: str, scores: Path | None, target: Path) -> None:
    """Run a command, and keep what it prints."""

    def place(word: re.Match) -> str:
        return str(scores if word[1] == "FOLDER" else scores / word[1])

    command = [sys.executable, *shlex.split(FILE.sub(place, line) if scores else line)]
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
    )
    target.write_text(f"$ python {line}\n{done.stdout}{'' if not done.returncode else done.stderr}")
    verdict = "failed" if done.returncode else "done"
    print(f"{verdict}, {time.perf_counter() - start:.0f} s: {line}", flush=True)


if __name__ == "__main__":
    main()
