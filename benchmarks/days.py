"""Three users' days: the commands of a researcher, a linguist and a designer, one after the other.

    python benchmarks/days.py FOLDER [--names 400]

Each day's files are made from lists of the package and written into FOLDER, where the pictures and
pages stay to be looked at. The table has each command, its seconds and noise predictions, the exit
code and the last line that it said. The cache is in FOLDER: run it on an empty one.
"""

import argparse
import re
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

RATED = """mot1;mot2;note
strawberry;tomato;6,5
car;bus;7,5
lion;tiger;8,0
dog;cat;7,0
lemon;moon;
house;castle;6,0
shirt;boot;4,0
sun;cloud;5,0
apple;car;1,0
dog;train;0,5
owl;penguin;5,5
guitar;violin;8,5
bread;cake;6,0
fish;shark;7,0
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--names", type=int, default=400)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    write_files(given.folder, given.names)
    print("| command | s | predictions | code | last line |\n|---|--:|--:|--:|---|")
    for day in (designer(), researcher(), linguist()):
        for command in day:
            print(f"| {' | '.join(run(command, given.folder))} |", flush=True)


def write_files(folder: Path, n: int) -> None:
    """Lists of 8, 64 and n names, 20 more, and rated pairs as a French spreadsheet has them."""
    text = (files("conjure_kernel") / "cli" / "names.tsv").read_text("utf-8")
    lines = [line.split("\t")[0] for line in text.splitlines() if line and line[0] != "#"]
    names = list(dict.fromkeys(lines))
    lists = {"8": names[:8], "64": names[:64], "all": names[:n], "more": names[n : n + 20]}
    for name, chosen in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(chosen) + "\n", "utf-8")
    (folder / "notes.csv").write_text(RATED, "cp1252")


def designer() -> list[list[str]]:
    """Many prompts on a map, more of them tomorrow."""
    return [
        ["map", "8.txt", "-o", "8.html"],
        ["map", "64.txt", "-o", "64.html"],
        ["embed", "all.txt", "-o", "v.npz", "--normalize", "--points", "4", "--images", "1"],
        ["map", "v.npz", "-o", "all.html"],
        ["map", "v.npz", "-o", "all.png"],
        ["embed", "more.txt", "--into", "v.npz"],
        ["map", "v.npz", "-o", "more.html"],
        ["vividness", "64.txt", "-o", "vivid.csv"],
    ]


def researcher() -> list[list[str]]:
    """A checkpoint: can it be measured, and what is known of it?"""
    return [
        ["check", "embedded", "-o", "three.png"],
        ["plan", "64.txt"],
        ["compare", "a snowman", "a dog"],
        ["compare", "a snowman", "a dog"],
        ["explain", "strawberry", "tomato", "-o", "explain.pdf", "--size", "3.5"],
        ["report", "embedded", "--budget", "12000", "-o", "report.html"],
    ]


def linguist() -> list[list[str]]:
    """Rated pairs with semicolons, decimal commas, a missing rating and names to be told."""
    columns = ["--columns", "mot1,mot2,note"]
    return [
        ["evaluate", "notes.csv", "-o", "table.tex"],
        ["evaluate", "notes.csv", *columns, "--baseline", "text", "-o", "table.tex"],
        ["evaluate", "notes.csv", *columns, "-o", "ratings.png"],
        ["pairs", "notes.csv", "--columns", "mot1,mot2", "-o", "pairs.csv"],
        ["words", "two apples on a blue background", "-o", "words.png"],
    ]


def run(words: list[str], folder: Path) -> list[str]:
    """A row of the table."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "conjure_kernel", *words]
    command += [] if words[0] in ("explain", "words") else ["--cache", "cache"]
    if {"-o", "--output"} & set(words):
        command.append("--force")
    if words[:2] == ["map", "v.npz"]:
        command = [part for part in command if part not in ("--cache", "cache")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begun
    said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    made = re.findall(r"([\d,]+) noise predictions made", done.stderr)
    last = said[-1].replace("|", "\\|")[:90] if said else ""
    return [" ".join(words), f"{seconds:.1f}", made[-1] if made else "", str(done.returncode), last]


if __name__ == "__main__":
    main()
