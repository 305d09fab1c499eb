"""Locks: who holds them is said, a stopped process is not waited for, and flock is not needed."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings

import pytest

from conjure_kernel.cache import locks
from conjure_kernel.cache.store import clear_cache, digest, open_store

KEY = {"fingerprint": "0123456789abcdef"}
HOLD = """
import sys, time
from pathlib import Path
from conjure_kernel.cache.locks import hold
with hold(Path(sys.argv[1]), time.monotonic() + 30, print):
    print("held", flush=True)
    sys.stdin.readline()
"""
posix = pytest.mark.skipif(os.name != "posix", reason="needs signals")


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock `tmp_path/lock` until its stdin is closed."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.send_signal(signal.SIGCONT)
        process.stdin.close()


def take(path, seconds=0.0, tell=print):
    with locks.hold(path, time.monotonic() + seconds, tell):
        return True


@pytest.fixture
def no_flock(monkeypatch, request):
    def refuse(file):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(locks, "_lock", refuse)


UNSUPPORTED = pytest.mark.parametrize("no_flock", [errno.ENOSYS, errno.ENOLCK], indirect=True)


@posix
def test_the_holder_is_named_and_told_of_once(holder, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "TELL_SECONDS", 0.1)
    told = []
    with pytest.raises(locks.LockHeld, match=f"process {holder.pid} on .* since .*:"):
        take(tmp_path / "lock", 0.5, told.append)
    (who,) = told
    assert who.startswith(f"process {holder.pid} on {socket.gethostname()} since ")


@posix
def test_a_stopped_process_is_not_waited_for(holder, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "STOPPED_SECONDS", 0.2)
    os.kill(holder.pid, signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(locks.LockHeld, match=f"process {holder.pid} .*, which is stopped"):
        take(tmp_path / "lock", 30)
    assert time.monotonic() - begun < 10
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert take(tmp_path / "lock", 5)  # the lock went with it


@posix
def test_a_stopped_process_costs_one_warning_and_no_value(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "STOPPED_SECONDS", 0.2)
    store = open_store(tmp_path, KEY)
    lock = store.location / "locks" / f"{digest('p')[:2]}.compute"
    command = [sys.executable, "-c", HOLD, str(lock)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        os.kill(process.pid, signal.SIGSTOP)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(2):
                with store.lock(["p"]):
                    pass
        (text,) = [str(warning.message) for warning in caught]
        assert "which is stopped: this process goes on" in text
        os.kill(process.pid, signal.SIGCONT)
        process.stdin.close()


@UNSUPPORTED
def test_without_flock_a_soft_lock_excludes_and_goes_away(no_flock, tmp_path, recwarn):
    path = tmp_path / "lock"
    with locks.hold(path, 0.0, print):
        assert json.loads((tmp_path / "lock.soft").read_bytes())["pid"] == os.getpid()
        assert locks._try(path) is None
    assert not (tmp_path / "lock.soft").exists()
    assert take(path)
    assert not recwarn.list


def soft(path, **facts):
    mine = {"pid": os.getpid(), "host": socket.gethostname(), "since": "12:00:00"}
    path.write_text(json.dumps({**mine, **facts}))


@UNSUPPORTED
def test_a_soft_lock_whose_owner_is_gone_counts_for_nothing(no_flock, tmp_path):
    path = tmp_path / "lock.soft"
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    soft(path, pid=gone.pid)
    assert take(tmp_path / "lock", 1)
    soft(path, host="elsewhere")
    with pytest.raises(locks.LockHeld, match="on elsewhere since 12:00:00"):
        take(tmp_path / "lock")
    os.utime(path, (0, 0))
    assert take(tmp_path / "lock", 1)


@UNSUPPORTED
def test_a_store_without_flock_works_and_warns_of_nothing(no_flock, tmp_path, recwarn):
    store = open_store(tmp_path, KEY)
    with store.lock(["p", "q"]):
        store.write_run({"nodes": [1]})
    assert store.read_run() == {"nodes": [1]}
    assert not recwarn.list
    assert not list(tmp_path.rglob("*.soft"))


@posix
def test_clearing_leaves_locks_that_are_held(holder, tmp_path):
    folder = tmp_path / "conjure_kernel-v2" / "model" / "run" / "locks"
    with locks.hold(folder / "held", time.monotonic() + 5, print):
        (folder / "free").touch()
        clear_cache(tmp_path)
        assert [path.name for path in folder.iterdir()] == ["held"]
    clear_cache(tmp_path)
    assert not folder.exists()


@posix
def test_a_lock_that_was_removed_meanwhile_is_taken_again(tmp_path):
    path = tmp_path / "lock"
    with locks.hold(path, time.monotonic() + 5, print):
        path.unlink()  # by hand
        assert locks._try(path) is not None  # another file, so another lock
