"""What happens to files, on purpose and from a seed: kills, races, flipped bits, torn writes.

Each function does one round in a folder of its own and returns what went wrong: the tests do a few
rounds, `tests/faults/long.py` many. Processes are forked, so that a round takes milliseconds.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import shutil
import signal
import time
import traceback
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from conjure_kernel import ConjureDistance, ConjureEmbedding
from conjure_kernel.cache.folder import BATCH_SIZES
from conjure_kernel.cache.store import clear_cache
from conjure_kernel.cache.upkeep import evict
from worlds import Counting, cold, make_world, rows_of

N = 5
SETTINGS = {"n_steps": 4, "n_draws": 3, "chains_per_draw": 1, "check_steps": 0, "batch_size": 6}
VECTORS = {"n_steps": 4, "n_components": 24, "n_references": 3, "n_points": 4, "n_blocks": 4}
PIECES = ("energies", "trajectory", "facts", "vectors", "json")


@dataclass
class Score:
    """What the rounds of one kind came to."""

    rounds: int = 0
    wrong: int = 0
    crashes: list[str] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)

    def add(self, other: Score) -> None:
        self.rounds += other.rounds
        self.wrong += other.wrong
        self.crashes += other.crashes
        self.lost += other.lost


class Slow(Counting):
    """Takes a millisecond a call, so that there is time for something to happen."""

    def _eps(self, prompts, x, alpha, sigma):
        begun = self.log and self.log.with_name("begun")
        if begun and not begun.exists():
            begun.touch()  # when the workers have started
        time.sleep(0.001)
        return super()._eps(prompts, x, alpha, sigma)


def measure(memory, world=None, n=N, n_jobs=None):
    """J of all pairs of n prompts, in a new estimator."""
    world = make_world(n, kind=Counting)[0] if world is None else world
    prompts = [f"prompt {i}" for i in range(n)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ConjureDistance(world, memory=memory, n_jobs=n_jobs, **SETTINGS).fit_transform(
            prompts
        )


def embed(memory):
    """Vectors of the prompts, in a new estimator."""
    world, prompts = make_world(N)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ConjureEmbedding(world, memory=memory, **VECTORS).fit_transform(prompts)


def same(found, expected) -> bool:
    """Whether values agree but for the rounding of other batches."""
    return found.shape == expected.shape and np.allclose(found, expected, rtol=1e-4, atol=1e-6)


def fork(work, *args):
    """Start a process that exits with 0, 3 (wrong value) or 1 (an exception, which it prints)."""

    def run():
        try:
            code = work(*args)
        except BaseException:
            traceback.print_exc()
            code = 1
        os._exit(code or 0)

    process = multiprocessing.get_context("fork").Process(target=run)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
        process.start()
    return process


@contextmanager
def dying_at(step: int):
    """Kill this process at its step-th act: before, amid or after a write or a rename."""
    write, rename, count = Path.write_bytes, os.replace, [0]

    def act():
        count[0] += 1
        if count[0] == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def write_bytes(path, data):
        act()
        write(path, data[: len(data) // 2])
        act()
        write(path, data)

    def replace(source, target):
        act()
        rename(source, target)
        act()

    Path.write_bytes, os.replace = write_bytes, replace
    try:
        yield
    finally:
        Path.write_bytes, os.replace = write, rename


def kill_round(folder: Path, seed: int, n_others: int = 0, n_jobs: int | None = None) -> Score:
    """Kill a process at one of its writes; then go on from what it left."""
    rng, expected = random.Random(seed), measure(None)
    world = make_world(N, kind=Slow)[0]
    world.log = folder / "rows"
    begun = folder / "begun"

    def work():
        os.setsid()  # with its workers in a group of its own
        with dying_at(rng.randrange(1, 60)):
            measure(folder / "cache", world, n_jobs=n_jobs)

    def beside():
        return 0 if same(measure(folder / "cache", world), expected) else 3

    others = [fork(beside) for _ in range(n_others)]
    process = fork(work)
    process.join(120)
    ran = time.time() - begun.stat().st_mtime if begun.exists() else 0.0
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # the workers that it left
    codes = [code_of(other) for other in others]
    found = measure(folder / "cache", world)
    score = Score(1, int(not same(found, expected)) + codes.count(3))
    score.crashes += [f"kill {seed}: exit {code}" for code in codes if code not in (0, 3)]
    if process.exitcode not in (0, -signal.SIGKILL):
        score.crashes.append(f"kill {seed}: exit {process.exitcode}")
    rows = rows_of(world.log)
    needed = cold(N, n_draws=SETTINGS["n_draws"], n_steps=SETTINGS["n_steps"])
    score.lost.append(max(0, rows - needed) / max(rows, 1) * ran)
    return score


def code_of(process) -> int:
    process.join(120)
    if process.exitcode is None:
        process.kill()
        process.join()
        return -100  # it hung
    return process.exitcode


def race_round(folder: Path, seed: int, n_processes: int = 4) -> Score:
    """Let processes share a cache that is cleared and evicted from under them."""
    rng, expected = random.Random(seed), measure(None)

    def work(number):
        world = make_world(N, kind=Slow)[0]
        time.sleep(0.01 * number)
        return 0 if same(measure(folder, world), expected) else 3

    processes = [fork(work, number) for number in range(n_processes)]
    while any(process.is_alive() for process in processes):
        time.sleep(rng.uniform(0.001, 0.02))
        if rng.random() < 0.3:
            clear_cache(folder)
        else:
            with limit("1"):
                evict(folder / "conjure_kernel-v2")
    codes = [code_of(process) for process in processes]
    wrong = codes.count(3) + int(not same(measure(folder), expected))
    crashes = [f"race {seed}: exit {code}" for code in codes if code not in (0, 3)]
    return Score(1, wrong, crashes)


@contextmanager
def limit(text: str):
    before = os.environ.get("CONJURE_KERNEL_CACHE_LIMIT")
    os.environ["CONJURE_KERNEL_CACHE_LIMIT"] = text
    try:
        yield
    finally:
        del os.environ["CONJURE_KERNEL_CACHE_LIMIT"]
        if before is not None:
            os.environ["CONJURE_KERNEL_CACHE_LIMIT"] = before


def files_of(folder: Path, kind: str) -> list[Path]:
    return sorted(p for p in folder.rglob(f"*.{kind}") if p.is_file())


def filled(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Fill a cache with files of every kind; return what was measured."""
    values = measure(folder), embed(folder)
    (folder / "conjure_kernel-v2" / BATCH_SIZES).write_text('{"x": 3}')
    return values


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def tear(path: Path, rng: random.Random) -> None:
    """Leave what a power cut leaves between a write and its way to the disk."""
    data = path.read_bytes()
    cut = rng.randrange(len(data))
    path.write_bytes(rng.choice([b"", data[:cut], data[:cut] + bytes(len(data) - cut)]))


def damage_round(folder: Path, rng: random.Random, expected, damage=flip) -> Score:
    """Damage one file of a random kind; measure and embed again; the values are as before."""
    path = rng.choice(files_of(folder, rng.choice(PIECES)))
    before = path.read_bytes()
    damage(path, rng)
    changed = path.read_bytes() != before
    try:
        wrong = not same(measure(folder), expected[0])
        if path.suffix in (".vectors", ".facts", ".trajectory"):
            wrong |= not same(embed(folder), expected[1])
        score = Score(1, int(wrong))
    except Exception as error:
        score = Score(1, 0, [f"{damage.__name__} {path.name}: {type(error).__name__}: {error}"])
    aside = path.with_name(f"{path.name}.damaged")
    if changed and path.suffix not in (".json", ".trajectory") and not aside.exists():
        score.crashes.append(f"{path.name} was not set aside")
    if path.suffix in (".json", ".trajectory") or not path.exists():
        path.write_bytes(before)
    for aside in folder.rglob("*.damaged"):
        aside.unlink()
    return score


def full_disk_round(folder: Path, seed: int) -> Score:
    """Let the disk be full from one of the writes on."""
    rng, expected, write = random.Random(seed), measure(None), Path.write_bytes
    left = [rng.randrange(40)]

    def write_bytes(path, data):
        left[0] -= 1
        if left[0] < 0:
            write(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    Path.write_bytes = write_bytes
    try:
        wrong = not same(measure(folder), expected)
    finally:
        Path.write_bytes = write
    return Score(1, int(wrong) + int(not same(measure(folder), expected)))


def fresh(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
