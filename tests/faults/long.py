"""The long form of the fault tests: many rounds, and what they came to.

    PYTHONPATH=tests/shared python tests/faults/long.py [--share 1.0] [--seed 0]

Kills (300, 60 of them beside a second process that shares the cache, 60 with two jobs), races of 4
processes with clears and evictions (50), flipped bits (5,000), torn writes (500), full disks (100).
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import faults


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--share", type=float, default=1.0, help="of the rounds")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name, n, play in rounds(Path(scratch), given.seed):
            score, begun = faults.Score(), time.monotonic()
            for i in range(max(1, round(given.share * n))):
                score.add(play(i))
            lost = f", lost {sum(score.lost) / len(score.lost):.3f} s" if score.lost else ""
            lost += f" (most {max(score.lost):.3f} s)" if score.lost else ""
            seconds = time.monotonic() - begun
            line = f"{name}: {score.rounds} rounds, {score.wrong} wrong values, "
            print(f"{line}{len(score.crashes)} crashes{lost}; {seconds:.0f} s", flush=True)
            print(*sorted(set(score.crashes))[:10], sep="\n", end="\n" if score.crashes else "")
            bad += score.wrong + len(score.crashes)
    return int(bad > 0)


def rounds(scratch: Path, seed: int):
    """Yield (name, number of rounds, one round)."""
    place = scratch / "round"
    yield "kills", 180, lambda i: faults.kill_round(faults.fresh(place), seed + i)
    yield (
        "kills beside a second process",
        60,
        lambda i: faults.kill_round(faults.fresh(place), seed + 1000 + i, n_others=1),
    )
    yield (
        "kills with two jobs",
        60,
        lambda i: faults.kill_round(faults.fresh(place), seed + 2000 + i, n_jobs=2),
    )
    yield "races", 50, lambda i: faults.race_round(faults.fresh(place), seed + i)
    yield "full disks", 100, lambda i: faults.full_disk_round(faults.fresh(place), seed + i)
    rng, folder = random.Random(seed), faults.fresh(scratch / "filled")
    expected = faults.filled(folder)
    for name, n, damage in (("flips", 5000, faults.flip), ("torn", 500, faults.tear)):
        yield name, n, lambda i, damage=damage: faults.damage_round(folder, rng, expected, damage)


if __name__ == "__main__":
    sys.exit(main())
