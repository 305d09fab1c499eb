"""Make the figures of the docs anew that depend on the embedded model's weights.

    python docs/figures.py [--scores FOLDER] [--only TEXT] [--jobs 2] [--minutes N] [--list]

The commands are those that the pages name, `python benchmarks/...`. What each prints is kept in
docs/outputs/, and the tables of the pages whose header a command prints are written anew, too. Then
`pytest tests/test_doc_figures.py` names each number of the pages that no longer holds. A command
whose output is of the present weights and script is not run again. Human scores (MEN.tsv and
others) are looked for in FOLDER; commands that need them, or a GPU, are left out where there are
none. With several jobs each has one thread. Pictures go to docs/_build/figures/.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

import sections

ROOT = sections.ROOT
FILE = re.compile(r"\b(FOLDER|\w+\.tsv)\b")
# Each takes 10 to 50 minutes on a thread. Two jobs, which work from both ends, come to them last.
COSTLY = re.compile(
    r"ablation|scores/draws|embedding/(agreement|features|race)|interleav|placement"
)
PICTURES = "docs/pictures.py"


def main() -> None:
    """Run what is asked for, and write the pages anew."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--scores", type=lambda text: Path(text).resolve(), metavar="FOLDER")
    options.add_argument("--only", default="", metavar="TEXT", help="commands that contain this")
    options.add_argument("--jobs", type=int, default=1, metavar="N", help="commands at a time")
    options.add_argument("--minutes", type=float, default=1e9, help="begin none after so many")
    options.add_argument("--all", action="store_true", help="also what no weights change")
    options.add_argument("--again", action="store_true", help="also what is up to date")
    options.add_argument("--list", action="store_true", help="tell what is kept, and run nothing")
    given = options.parse_args()
    asked = [command for command in commands() if given.only in command]
    chosen = [command for command in asked if given.all or sections.measures_model(command)]
    if given.list:
        for command in chosen:
            print(f"{state(command):9}{command}")
        return
    todo = deque(c for c in chosen if given.again or state(c) != "kept")
    for command in [c for c in todo if left_out(c, given.scores)]:
        print(f"left out: {command}", flush=True)
        todo.remove(command)
    with ThreadPoolExecutor(given.jobs) as pool:
        lanes = [pool.submit(work, todo, lane % 2, given) for lane in range(given.jobs)]
    failed = [command for lane in lanes for command in lane.result()]
    renew_pages()
    if failed:
        sys.exit("failed: " + ", ".join(failed))


def commands() -> list[str]:
    """What the pages say to run: human scores first, which share energies, costly ones amidst."""
    found = sections.all_commands()
    scored = {c: FILE.search(c) is not None for c in found}
    found.sort(
        key=lambda c: (1 if COSTLY.search(c) else 2 * (not scored[c]), "human_s" not in c, c)
    )
    return [*found, PICTURES]


def state(command: str) -> str:
    """Whether the output of a command is kept, stale or missing."""
    kept = sections.read(command)
    if kept is None:
        return "missing"
    old_script = kept.script != sections.script(command)
    old_weights = sections.measures_model(command) and kept.weights != sections.weights()
    return "stale" if old_script or old_weights else "kept"


def left_out(command: str, scores: Path | None) -> bool:
    """Whether a command needs what is not here."""
    no_gpu = "gpu.py" in command and not torch.cuda.is_available()
    return no_gpu or (FILE.search(command) is not None and scores is None)


def work(todo: deque[str], backwards: int, given: argparse.Namespace) -> list[str]:
    """Run commands from one end until none or no time is left, and return those that failed."""
    failed, end = [], time.monotonic() + 60 * given.minutes
    while time.monotonic() < end:
        try:
            command = todo.pop() if backwards else todo.popleft()
        except IndexError:
            return failed
        if not run(command, given.scores, given.jobs):
            failed.append(command)
    return failed


def run(command: str, scores: Path | None, jobs: int) -> bool:
    """Run a command, and keep what it prints unless it fails."""

    def place(word: re.Match) -> str:
        return str(scores if word[1] == "FOLDER" else scores / word[1])

    script, *words = shlex.split(FILE.sub(place, command) if scores else command)
    folder = ROOT / "docs" / "_build" / "figures" / sections.file_of(command).stem
    folder.mkdir(parents=True, exist_ok=True)
    threads = {"OMP_NUM_THREADS": "1"} if jobs > 1 else {}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **threads},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    text = done.stdout.replace(f"{scores}/", "")
    if done.returncode:
        (folder / "errors.txt").write_text(f"{text}\n{done.stderr}", encoding="utf-8")
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        print(f"failed, {seconds:.0f} s: {command}: {reason}", flush=True)
        return False
    sections.write(command, seconds, text)
    print(f"done, {seconds:.0f} s: {command}", flush=True)
    return True


def renew_pages() -> None:
    """Write tables that were printed into the pages, and which sections are of earlier weights."""
    sections.shorten_unkept()
    for page in sections.PAGES:
        old = page.read_text(encoding="utf-8")
        new = "".join(sections.renew(section) for section in sections.split(old))
        if new != old:
            page.write_text(new, encoding="utf-8")
            print(f"written anew: {page.name}", flush=True)


if __name__ == "__main__":
    main()
