"""The cache: nothing lost, nothing wrong, whatever other processes and the disk do (R26-R33)."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import shutil
import signal
import time
import unicodedata
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch

from conjure_kernel.cache import folder as _cachedir
from conjure_kernel.cache import records as _records
from conjure_kernel.cache.store import (
    DiskStore,
    EnergyRow,
    MemoryStore,
    cache_info,
    clear_cache,
    digest,
    open_store,
)
from conjure_kernel.models.task import Trajectory

KEY = {
    "fingerprint": "0123456789abcdef0123",
    "log_snr_range": [-5.4, 7.5],
    "nodes": "log_snr",
    "n_steps": 10,
    "sampler": "sde",
    "substeps": 2,
    "guidance_scale": 1.0,
    "resolution": [512, 512],
    "dtype": "float16",
    "seed": 0,
}
T = 3
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    return open_store(None if request.param == "memory" else tmp_path, KEY)


@pytest.fixture
def disk(tmp_path):
    return open_store(tmp_path, KEY)


def row(targets: str, n_draws: int = 2, value: float | None = None, **facts) -> EnergyRow:
    """Row with one target per letter; energy 100 b + 10 k + t tells where a value belongs."""
    b = np.array([ord(letter) - ord("a") for letter in targets], dtype=float)
    k, t = np.arange(n_draws), np.arange(T)
    values = 100 * b[:, None, None] + 10 * k[:, None] + t
    values = values if value is None else np.full_like(values, value)
    return EnergyRow([digest(letter) for letter in targets], values, **facts)


def names(targets: str) -> np.ndarray:
    return np.array([digest(letter) for letter in targets], dtype="S32")


def trajectory(dtype=torch.float32, n_draws: int = 2, size: int = 4, **facts) -> Trajectory:
    x = torch.arange(n_draws * T * size).reshape(n_draws, T, size).to(dtype) / 7
    return Trajectory(x, x.float() + 1, x[:, -1], **facts)


def assert_same_row(row_a: EnergyRow, row_b: EnergyRow) -> None:
    np.testing.assert_array_equal(row_a.targets, row_b.targets)
    np.testing.assert_array_equal(row_a.values, row_b.values)
    assert (row_a.truncated, row_a.tokens) == (row_b.truncated, row_b.tokens)


def assert_same_trajectory(one: Trajectory, other: Trajectory) -> None:
    for part in ("x", "eps", "x0"):
        a, b = getattr(one, part), getattr(other, part)
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    assert (one.truncated, one.tokens) == (other.truncated, other.tokens)


@contextmanager
def one_warning(*words: str):
    """The block warns exactly once, in one line that holds all of these words."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    (text,) = [str(warning.message) for warning in caught]
    assert issubclass(caught[0].category, UserWarning)
    assert "\n" not in text
    for word in words:
        assert word in text


@contextmanager
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def in_processes(work, n: int = 4) -> None:
    """Run work(0), ..., work(n - 1) at once, each in a process of its own."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(i,)) for i in range(n)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
        for process in processes:
            process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * n


# ---------------------------------------------------------------- names and rows


def test_digest_is_of_the_nfc_text():
    composed, decomposed = (
        unicodedata.normalize("NFC", "café"),
        unicodedata.normalize("NFD", "café"),
    )
    assert composed != decomposed
    assert digest(composed) == digest(decomposed)
    assert digest("a") != digest("a ")
    assert len(digest("\udc80 lone surrogate")) == 32


def test_row_sorts_targets_with_their_values():
    energies = row("dbca")
    assert np.all(energies.targets[:-1] < energies.targets[1:])
    np.testing.assert_array_equal(energies.take(names("abcd"), 1)[:, 0, 0], [0, 100, 200, 300])


@pytest.mark.parametrize(
    ("targets", "values", "match"),
    [
        ("ab", np.zeros((3, 2, T)), r"got \(2,\) and \(3, 2, 3\)"),
        ("ab", np.zeros((2, T)), r"got \(2,\) and \(2, 3\)"),
        ("aa", np.zeros((2, 2, T)), "targets: expected each once, got 1 again"),
        ("a", np.full((1, 2, T), -1.0), "energies: .*got 6 that are not"),
        ("a", np.full((1, 2, T), np.inf), "energies: .*got 6 that are not"),
        ("a", [[[0, 1, np.nan], [np.nan, 1, 2]]], "energies: .*got 3 that are not"),
    ],
)
def test_row_refuses_what_is_no_row(targets, values, match):
    with pytest.raises(ValueError, match=match):
        EnergyRow(names(targets), values)


def test_merge_is_the_union_of_targets_and_draws():
    merged = row("ab", 1).merge(row("bc", 3, tokens="t", truncated=True))
    taken = merged.take(names("abc"), 3)
    np.testing.assert_array_equal(taken[0], [[0, 1, 2], [np.nan] * 3, [np.nan] * 3])
    np.testing.assert_array_equal(taken[1:], row("bc", 3).take(names("bc"), 3))
    assert (merged.truncated, merged.tokens) == (True, "t")


def test_merge_prefers_the_other_only_where_it_has_a_value():
    other = row("a", 2, value=7.0)
    other.values[0, 1] = np.nan  # at all nodes
    merged = row("a", 2).merge(other)
    np.testing.assert_array_equal(merged.values[0], [[7, 7, 7], [10, 11, 12]])


def test_merge_refuses_other_nodes():
    with pytest.raises(ValueError, match="expected 3 nodes, got 5"):
        row("a").merge(EnergyRow.empty(5))


def test_take_keeps_order_and_marks_the_unknown():
    taken = row("abc", 2).take(names("cxa"), 3)
    assert taken.dtype == np.float32
    np.testing.assert_array_equal(taken[:, 0, 0], [200, np.nan, 0])
    assert np.all(np.isnan(taken[:, 2]))
    assert row("abc", 2).take(names("ab"), 1).shape == (2, 1, T)
    assert np.all(np.isnan(EnergyRow.empty(T).take(names("ab"), 2)))


def test_take_of_2000_targets_is_fast():
    targets = np.sort(np.array([digest(str(i)) for i in range(2000)], dtype="S32"))
    energies = EnergyRow(targets, np.ones((2000, 4, 10)))
    shuffled = np.random.default_rng(0).permutation(targets)
    start = time.process_time()
    for _ in range(20):
        assert energies.take(shuffled, 4).shape == (2000, 4, 10)
    assert (time.process_time() - start) / 20 < 0.02  # a loop over targets takes longer


# ---------------------------------------------------------------- both stores


def test_energies_round_trip(store):
    assert store.read_energies("p") is None
    written = store.merge_energies("p", row("ab", truncated=True, tokens="t"))
    assert_same_row(written, row("ab", truncated=True, tokens="t"))
    assert_same_row(store.read_energies("p"), written)
    assert store.read_energies("q") is None


def test_energies_grow(store):
    store.merge_energies("p", row("ab", 1))
    merged = store.merge_energies("p", row("bc", 3))
    assert_same_row(merged, row("ab", 1).merge(row("bc", 3)))
    assert_same_row(store.read_energies("p"), merged)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_trajectory_round_trip(store, dtype):
    assert store.read_trajectory("p") is None
    store.write_trajectory("p", trajectory(dtype, truncated=True, tokens="t"))
    assert_same_trajectory(
        store.read_trajectory("p"), trajectory(dtype, truncated=True, tokens="t")
    )
    store.write_trajectory("p", trajectory(dtype, n_draws=5))
    assert_same_trajectory(store.read_trajectory("p"), trajectory(dtype, n_draws=5))


def test_trajectory_of_shared_and_strided_tensors(store):
    x = torch.randn(4, T, 6, generator=torch.Generator().manual_seed(0))[..., ::2]
    store.write_trajectory("p", Trajectory(x, x, x[:, 0]))
    assert_same_trajectory(store.read_trajectory("p"), Trajectory(x, x, x[:, 0]))


def test_run_round_trip(store):
    assert store.read_run() is None
    facts = {"nodes": np.linspace(-5.4, 7.5, 4), "model": "né", "steps": np.int64(3), "end": (1, 2)}
    store.write_run(facts)
    read = store.read_run()
    assert read == {"nodes": [*facts["nodes"]], "model": "né", "steps": 3, "end": [1, 2]}


def test_prompts_are_named_by_their_nfc_text(store):
    store.merge_energies(unicodedata.normalize("NFC", "é"), row("a"))
    assert store.read_energies(unicodedata.normalize("NFD", "é")) is not None


def test_pickle(store):
    store.merge_energies("p", row("ab"))
    assert_same_row(pickle.loads(pickle.dumps(store)).read_energies("p"), row("ab"))


def test_other_number_of_nodes_is_missing(store):
    store.merge_energies("p", row("a"))
    store.write_trajectory("p", trajectory())
    assert store.read_energies("p", T) is not None
    assert store.read_trajectory("p", T) is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert store.read_energies("p", 5) is None
        assert store.read_trajectory("p", 5) is None
        merged = store.merge_energies("p", EnergyRow(names("b"), np.ones((1, 1, 5))))
    assert_same_row(store.read_energies("p", 5), merged)
    assert len(merged.targets) == 1


# ---------------------------------------------------------------- keys and places


@pytest.mark.parametrize("field", [*KEY, "new field"])
def test_every_field_of_the_key_leads_elsewhere(tmp_path, field):
    open_store(tmp_path, KEY).merge_energies("p", row("a"))
    changed = {**KEY, field: "something else"}
    assert open_store(tmp_path, changed).read_energies("p") is None
    assert open_store(tmp_path, KEY).read_energies("p") is not None


def test_schema_version_is_part_of_the_key(tmp_path, monkeypatch):
    old = open_store(tmp_path, KEY).location
    monkeypatch.setattr(_cachedir, "SCHEMA", 99)
    assert open_store(tmp_path, KEY).location.name != old.name


def test_key_does_not_depend_on_order_or_kind_of_number(tmp_path):
    first = open_store(tmp_path, KEY).location
    same = {field: KEY[field] for field in reversed(KEY)}
    same |= {"guidance_scale": 1, "seed": np.int64(0), "log_snr_range": np.array([-5.4, 7.5])}
    assert open_store(tmp_path, same).location == first
    assert first.relative_to(tmp_path).parts[:2] == ("conjure_kernel-v2", "0123456789abcdef")


def test_fingerprint_stays_below_the_root(tmp_path):
    location = open_store(tmp_path, {"fingerprint": "../../x/y"}).location
    assert location.parent.parent == tmp_path / "conjure_kernel-v2"
    with pytest.raises(ValueError, match=r"key=\{'seed': 0\}: expected a fingerprint"):
        open_store(tmp_path, {"seed": 0})


CHANGED = [{"seed": 1}, {"guidance_scale": 2.0}, {"log_snr_range": [-5.0, 7.0]}]


@pytest.mark.parametrize("changed", CHANGED, ids=str)
def test_files_of_another_run_are_refused(tmp_path, disk, changed):
    other = open_store(tmp_path, {**KEY, **changed})
    fill(other, "p")
    other.write_run({"nodes": [1.0]})
    shutil.copytree(other.location, disk.location)
    for read in (disk.read_run, lambda: disk.read_energies("p"), lambda: disk.read_trajectory("p")):
        with one_warning("expected the key", "set aside"):
            assert read() is None
    assert len(list(disk.location.rglob("*.damaged"))) == 3


def test_memory_arguments(tmp_path, monkeypatch):
    expected = open_store(tmp_path, KEY).location
    assert open_store(str(tmp_path), KEY).location == expected
    assert open_store(joblib.Memory(tmp_path, verbose=0), KEY).location == expected
    monkeypatch.setenv("CONJURE_KERNEL_CACHE", str(tmp_path))
    assert open_store("auto", KEY).location == expected
    monkeypatch.delenv("CONJURE_KERNEL_CACHE")
    monkeypatch.setattr(_cachedir.platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))
    location = open_store("auto", KEY).location
    assert location.is_relative_to(tmp_path / "conjure_kernel" / "conjure_kernel-v2")
    assert isinstance(open_store(None, KEY), MemoryStore)
    assert open_store(None, KEY).location is None
    monkeypatch.chdir(tmp_path)
    assert open_store(".", KEY).location == expected
    assert not list(tmp_path.glob("**/conjure_kernel-v2"))  # opening alone leaves no trace


@pytest.mark.parametrize("memory", [joblib.Memory(None), 3, True, b"bytes", ["folder"]])
def test_memory_without_a_folder(memory):
    for call in (cache_info, clear_cache, lambda memory: open_store(memory, KEY)):
        with pytest.raises(
            TypeError, match=r"memory=.*expected .*pass a folder, or None"
        ) as caught:
            call(memory)
        assert repr(memory) in str(caught.value)


# ---------------------------------------------------------------- damaged files (R28)


def zero_bytes(path):
    path.write_bytes(b"")


def truncated(path):
    path.write_bytes(path.read_bytes()[:-40])


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def random_bytes(path):
    path.write_bytes(np.random.default_rng(0).bytes(1000))


def one_flipped_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def a_pickle(path):
    path.write_bytes(pickle.dumps({"targets": 1, "values": 2}))


def pickled_array(path):
    with path.open("wb") as file:
        np.save(file, np.array([{"a": 1}], dtype=object))


def another_archive(path):
    with path.open("wb") as file:
        np.savez(file, targets=np.zeros(2))


def another_prompt(path):
    path.write_bytes(next(p for p in path.parent.iterdir() if p != path).read_bytes())


def a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def a_folder(path):
    path.unlink()
    path.mkdir()


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


DAMAGES = [zero_bytes, truncated, half, random_bytes, one_flipped_bit, a_pickle, pickled_array]
DAMAGES += [another_archive, another_prompt, a_folder, zeros, pytest.param(a_pipe, marks=forks)]


@pytest.mark.parametrize("kind", ["energies", "trajectories"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_missing_and_replaced(disk, kind, damage):
    for prompt in "pq":
        disk.merge_energies(prompt, row("ab"))
        disk.write_trajectory(prompt, trajectory())
    (path,) = (disk.location / kind).glob(f"{digest('p')}.*")
    damage(path)
    read = disk.read_energies if kind == "energies" else disk.read_trajectory
    with one_warning(path.name, "cannot be read", "set aside as '*.damaged'"):
        assert read("p") is None
    assert path.with_name(f"{path.name}.damaged").exists()
    with no_warning():  # told once, also by those who come later
        fresh = pickle.loads(pickle.dumps(disk))
        assert getattr(fresh, read.__name__)("p") is None
        assert_same_row(disk.merge_energies("p", row("cd")), disk.read_energies("p"))
        disk.write_trajectory("p", trajectory(n_draws=1))
    expected = row("cd") if kind == "energies" else row("ab").merge(row("cd"))
    assert_same_row(disk.read_energies("p"), expected)
    assert_same_trajectory(disk.read_trajectory("p"), trajectory(n_draws=1))


def test_warning_is_one_line_whatever_the_error_says(disk, monkeypatch):
    def fail(*args):
        raise ValueError("two\nlines")

    monkeypatch.setattr(_records, "load_row", fail)
    with one_warning("(Damaged: two)"):
        assert disk.read_energies("p") is None


class Bomb:
    """Its pickle, once loaded, makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("inside", [False, True])
def test_nothing_is_unpickled(tmp_path, disk, inside):
    disk.merge_energies("p", row("a"))
    disk.write_trajectory("p", trajectory())
    for path in [*disk.location.rglob("*.energies"), *disk.location.rglob("*.trajectory")]:
        bomb = Bomb(tmp_path / "exploded")
        with path.open("wb") as file:
            if inside:
                np.savez(file, facts=np.array([bomb]), values=np.array([bomb]))
            else:
                pickle.dump(bomb, file)
    with pytest.warns(UserWarning, match="energies cannot be read"):
        assert disk.read_energies("p") is None
    with pytest.warns(UserWarning, match="trajectory cannot be read"):
        assert disk.read_trajectory("p") is None
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("damage", [zero_bytes, half, random_bytes, a_pickle, one_flipped_bit])
def test_damaged_facts_of_the_run(tmp_path, disk, damage):
    disk.write_run({"nodes": [1.0]})
    damage(disk.location / "run.facts")
    again = open_store(tmp_path, KEY)
    with one_warning("run.facts", "cannot be read"):
        assert again.read_run() is None
    again.write_run({"nodes": [2.0]})
    assert again.read_run() == {"nodes": [2.0]}


def test_a_key_that_is_damaged_does_no_harm(tmp_path, disk):
    disk.merge_energies("p", row("a"))
    (disk.location / "key.json").write_bytes(b"{")
    with no_warning():
        assert_same_row(open_store(tmp_path, KEY).read_energies("p"), row("a"))


# ---------------------------------------------------------------- a disk that fails (R32)


def fail_to_rename(monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)


def fail_in_mid_write(monkeypatch):
    whole = Path.write_bytes

    def refuse(path, data):
        whole(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)


def fail_to_make_folders(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)


@pytest.mark.parametrize("fail", [fail_to_rename, fail_in_mid_write, fail_to_make_folders])
def test_failing_disk_costs_one_warning_and_no_value(disk, monkeypatch, fail):
    disk.merge_energies("p", row("ab", 1))
    disk.write_trajectory("p", trajectory())
    with monkeypatch.context() as patch:
        fail(patch)
        with one_warning("cannot be written", 'pass memory="another/folder"'):
            disk.write_run({"nodes": [1]})
            with disk.lock("pq"):
                disk.merge_energies("p", row("bc", 3))
                disk.merge_energies("p", row("d", 1))
                disk.merge_energies("q", row("e"))
                disk.write_trajectory("p", trajectory(n_draws=6))
        expected = row("ab", 1).merge(row("bc", 3)).merge(row("d", 1))
        assert_same_row(disk.read_energies("p"), expected)
        assert_same_row(disk.read_energies("q"), row("e"))
        assert_same_trajectory(disk.read_trajectory("p"), trajectory(n_draws=6))
        assert disk.read_run() == {"nodes": [1]}
    assert not list(disk.location.rglob("*.tmp"))
    fresh = pickle.loads(pickle.dumps(disk))
    assert_same_row(fresh.read_energies("p"), row("ab", 1))
    assert fresh.read_trajectory("p").n_draws == 2
    disk.merge_energies("p", row("f"))  # the disk is back: what was kept goes there
    assert_same_row(fresh.read_energies("p"), expected.merge(row("f")))
    disk.write_trajectory("p", trajectory(n_draws=8))
    assert disk.read_trajectory("p").n_draws == fresh.read_trajectory("p").n_draws == 8


def test_root_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    store = open_store(tmp_path / "file", KEY)
    with one_warning("cannot be written", 'pass memory="another/folder"'):
        store.merge_energies("p", row("a"))
        store.merge_energies("p", row("b"))
    assert_same_row(store.read_energies("p"), row("ab"))


# ---------------------------------------------------------------- several processes (R29, R30)


@forks
@pytest.mark.parametrize("n_whole", range(5))
def test_killed_writer_leaves_whole_files_only(disk, n_whole):
    context = multiprocessing.get_context("fork")
    in_mid_write = context.Event()

    def write():  # writes n_whole files, and half of the next one
        write_bytes, sizes = Path.write_bytes, []

        def slow(path, data):
            sizes.append(len(data))
            write_bytes(path, data[: len(data) // 2] if len(sizes) > n_whole else data)
            if len(sizes) > n_whole:
                in_mid_write.set()
                time.sleep(60)

        Path.write_bytes = slow
        while True:
            disk.merge_energies("p", row("abc"))
            disk.write_trajectory("p", trajectory())

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
        process = context.Process(target=write)
        process.start()
    assert in_mid_write.wait(30)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with no_warning():  # of the files: key.json, energies, trajectory, energies, trajectory
        energies, states = disk.read_energies("p"), disk.read_trajectory("p")
        assert (energies is None, states is None) == (n_whole < 2, n_whole < 3)
        merged = disk.merge_energies("p", row("d"))  # its locks died with it
    assert_same_row(merged, row("d") if energies is None else row("abcd"))
    assert len(list(disk.location.rglob("*.tmp"))) == 1


def test_only_stale_temporary_files_are_removed(tmp_path, disk):
    disk.merge_energies("p", row("a"))
    for path in disk.location.rglob("*.*"):
        os.utime(path, (0, 0))
    for name, age in (("old.tmp", 4000), ("young.tmp", 10)):
        path = disk.location / "energies" / name
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    open_store(tmp_path, KEY)
    assert [p.name for p in disk.location.rglob("*.tmp")] == ["young.tmp"]
    os.utime(disk.location / "energies" / "young.tmp", (0, 0))
    disk.trim()
    assert not list(disk.location.rglob("*.tmp"))
    assert disk.read_energies("p") is not None


@forks
def test_processes_merging_into_one_source_lose_nothing(tmp_path):
    letters = "abcdefghijklmnopqrst"

    def merge(process):
        store = open_store(tmp_path, KEY)
        for letter in letters[process::4]:
            store.merge_energies("p", row(letter))

    in_processes(merge)
    assert_same_row(open_store(tmp_path, KEY).read_energies("p"), row(letters))


def in_threads(work, n: int = 4) -> None:
    with ThreadPoolExecutor(n) as pool:
        list(pool.map(work, range(n)))


@pytest.mark.parametrize("at_once", [pytest.param(in_processes, marks=forks), in_threads])
def test_lock_excludes(tmp_path, at_once):
    prompts = ["one", "two", "three"]
    counter = tmp_path / "counter"
    counter.write_text("0")

    def count(process):
        store = open_store(tmp_path, KEY)
        for _ in range(5):
            with store.lock(prompts[process % 2 :]):  # overlapping lists, no deadlock
                value = int(counter.read_text())
                time.sleep(0.002)
                counter.write_text(str(value + 1))

    at_once(count)
    assert counter.read_text() == "20"


def test_lock_may_be_nested_and_merging_does_not_wait_for_it(tmp_path, disk, monkeypatch):
    monkeypatch.setenv("CONJURE_KERNEL_LOCK_TIMEOUT", "0.2")
    other = open_store(tmp_path, KEY)
    with no_warning():
        with disk.lock(["p", "q"]), disk.lock(["p"]), other.lock(["q"]):
            disk.merge_energies("p", row("a"))
            other.merge_energies("p", row("b"))
    assert_same_row(disk.read_energies("p"), row("ab"))


@forks
def test_lock_held_too_long_warns_once_and_goes_on(tmp_path, disk, monkeypatch):
    context = multiprocessing.get_context("fork")
    held, done = context.Event(), context.Event()

    def hold():
        with open_store(tmp_path, KEY).lock(["p"]):
            held.set()
            done.wait(30)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
        process = context.Process(target=hold)
        process.start()
    try:
        assert held.wait(30)
        monkeypatch.setenv("CONJURE_KERNEL_LOCK_TIMEOUT", "0.1")
        with no_warning():
            disk.merge_energies("p", row("b"))  # merging does not wait for it
        monkeypatch.delenv("CONJURE_KERNEL_LOCK_TIMEOUT")
        with one_warning("compute is held by process", " on ", " since ", "goes on"):
            with disk.lock(["p", "q"], timeout=0.1):
                disk.merge_energies("p", row("a"))
            monkeypatch.setenv("CONJURE_KERNEL_LOCK_TIMEOUT", "0.1")
            with disk.lock(["p"]):
                pass
    finally:
        done.set()
        process.join()
    monkeypatch.setenv("CONJURE_KERNEL_LOCK_TIMEOUT", "soon")
    with pytest.raises(ValueError, match="CONJURE_KERNEL_LOCK_TIMEOUT='soon'"), disk.lock(["p"]):
        pass


def test_lock_passes_errors_on_and_lets_go(disk):
    with pytest.raises(OSError, match="mine"), disk.lock(["p"]):
        raise OSError("mine")
    with no_warning():
        with disk.lock(["p"], timeout=0.0):
            pass


def test_2000_prompts_do_not_need_2000_open_files(disk):
    with disk.lock([str(i) for i in range(2000)]):
        assert len(list((disk.location / "locks").iterdir())) <= 256


# ---------------------------------------------------------------- size (R31, R32)


def fill(store: DiskStore, prompts: str) -> None:
    for age, prompt in enumerate(reversed(prompts)):
        store.merge_energies(prompt, row("ab"))
        store.write_trajectory(prompt, trajectory(size=1000))
        path = store.location / "trajectories" / f"{digest(prompt)}.trajectory"
        os.utime(path, (time.time() - 100 * age - 100,) * 2)


def test_trim_evicts_the_least_recently_used_and_keeps_energies(tmp_path, disk, monkeypatch):
    other = open_store(tmp_path, {**KEY, "fingerprint": "another model"})
    fill(other, "x")  # younger than a and b
    fill(disk, "abc")
    one = (disk.location / "trajectories" / f"{digest('a')}.trajectory").stat().st_size
    assert disk.trim() == 0
    assert disk.read_trajectory("a") is not None  # now the youngest
    total = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    monkeypatch.setenv("CONJURE_KERNEL_CACHE_LIMIT", str(total - 1))
    assert disk.trim() == one
    assert [disk.read_trajectory(p) is None for p in "abc"] == [False, True, False]
    monkeypatch.setenv("CONJURE_KERNEL_CACHE_LIMIT", str(total - 3 * one))
    assert disk.trim() == 2 * one
    assert other.read_trajectory("x") is None  # the limit is that of the whole root
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= total - one
    monkeypatch.setenv("CONJURE_KERNEL_CACHE_LIMIT", "1")
    with pytest.warns(UserWarning, match="MB above CONJURE_KERNEL_CACHE_LIMIT without any"):
        assert disk.trim() == one
    assert all(disk.read_energies(p) is not None for p in "abc")
    assert other.read_energies("x") is not None
    assert MemoryStore().trim() == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 20e9),
        ("20GB", 20e9),
        ("500MB", 500e6),
        ("2GiB", 2 * 2**30),
        ("1.5 kb", 1500),
        ("7", 7),
        ("3T", 3e12),
    ],
)
def test_size_limit(monkeypatch, text, expected):
    monkeypatch.setenv("CONJURE_KERNEL_CACHE_LIMIT", text)
    assert _cachedir.size_limit() == expected


@pytest.mark.parametrize("text", ["much", "-1", "5 apples", "GB", "1e", "2iB"])
def test_bad_size_limit(tmp_path, monkeypatch, text):
    monkeypatch.setenv("CONJURE_KERNEL_CACHE_LIMIT", text)
    with pytest.raises(ValueError, match=f"CONJURE_KERNEL_CACHE_LIMIT='{text}'.*500MB"):
        open_store(tmp_path, KEY)


def test_cache_info_and_clear(tmp_path):
    (tmp_path / "yours.txt").write_text("not ours")
    assert cache_info(tmp_path).n_runs == clear_cache(tmp_path) == 0
    for changed in ({}, {"seed": 1}, {"fingerprint": "another model"}):
        fill(open_store(tmp_path, {**KEY, **changed}), "ab")
    info = cache_info(tmp_path)
    assert (info.n_models, info.n_runs, info.n_prompts) == (2, 3, 2)
    for suffix, counted in (
        (".energies", info.energy_bytes),
        (".trajectory", info.trajectory_bytes),
    ):
        assert counted == sum(path.stat().st_size for path in tmp_path.rglob(f"*{suffix}")) > 0
    assert info.location == tmp_path / "conjure_kernel-v2"
    assert clear_cache(tmp_path) >= info.energy_bytes + info.trajectory_bytes
    assert [path.name for path in tmp_path.iterdir()] == ["yours.txt"]
    assert cache_info(None).location is None
    assert clear_cache(None) == 0


def test_store_survives_clearing(tmp_path, disk):
    fill(disk, "a")
    clear_cache(tmp_path)
    assert disk.read_energies("a") is None
    disk.merge_energies("a", row("c"))
    assert cache_info(tmp_path).n_runs == 1


def test_number_of_files_is_that_of_prompts_not_of_pairs(disk):
    targets = "abcdefghij"
    for prompt in targets:
        disk.merge_energies(prompt, row(targets))
    files = [p for p in disk.location.rglob("*") if p.is_file() and p.parent.name != "locks"]
    assert len(files) == len(targets) + 1


def test_warm_read_of_500_sources_is_fast(disk):
    prompts = [str(i) for i in range(500)]
    targets = np.sort(np.array([digest(prompt) for prompt in prompts], dtype="S32"))
    energies = EnergyRow(targets, np.ones((500, 4, 10)))
    for prompt in prompts:
        disk.merge_energies(prompt, energies)
    start = time.process_time()
    for prompt in prompts:
        assert disk.read_energies(prompt, 10).take(targets, 4).shape == (500, 4, 10)
    assert time.process_time() - start < 1.5
