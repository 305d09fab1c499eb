"""Locks between processes, in files that say who holds them.

The operating system's own lock goes with its process, however that ends. Where a file system has
none, a file of the same name with `.soft` stands for it: its owner removes it, and one whose owner
has died, or that is older than an hour, counts for nothing. A lock may be nested in one thread.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from conjure_kernel.cache.folder import open_plain

__all__ = ["LockHeld", "hold", "remove_unheld"]

TELL_SECONDS = 10.0  # of waiting, until it is said who holds the lock
STOPPED_SECONDS = 30.0  # of waiting for a process that is stopped
ABANDONED_SECONDS = 3600.0  # age of a soft lock of another machine that counts for nothing
POLL_SECONDS = 0.02
UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
LONGEST_OWNER = 1000
LOCKED_BYTE = 2**30  # on Windows, where a locked byte cannot be read

_LOCAL = threading.local()


class LockHeld(Exception):
    """Another process or thread holds the lock; the message says which."""


@contextmanager
def hold(path: Path, deadline: float, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock.

    Parameters
    ----------
    path : Path
        Its file.
    deadline : float
        Until when to wait, by `time.monotonic`; `LockHeld` is raised then.
    tell : callable
        Takes the name of the holder after ten seconds of waiting.
    """
    if getattr(_LOCAL, "process", None) != os.getpid():  # a fork holds nothing
        _LOCAL.process, _LOCAL.held = os.getpid(), set()
    if path in _LOCAL.held:
        yield
        return
    release = _acquire(path, deadline, tell)
    _LOCAL.held.add(path)
    try:
        yield
    finally:
        _LOCAL.held.discard(path)
        release()


def remove_unheld(path: Path) -> None:
    """Remove a lock's file unless the lock is held."""
    if path.suffix == ".soft":
        _remove_abandoned(path)
    else:
        with suppress(OSError):
            if (release := _try_system(path)) is not None:
                with suppress(OSError):
                    path.unlink()
                release()


def _acquire(path: Path, deadline: float, tell: Callable[[str], None]) -> Callable[[], None]:
    begun, told = time.monotonic(), False
    while (release := _try(path)) is None:
        now = time.monotonic()
        waits_long = now - begun > STOPPED_SECONDS
        if now >= deadline or (waits_long and _is_stopped(_owner(path))):
            raise LockHeld(_describe(_owner(path)))
        if now - begun > TELL_SECONDS and not told:
            told = True
            tell(_describe(_owner(path)))
        time.sleep(POLL_SECONDS)
    return release


def _try(path: Path) -> Callable[[], None] | None:
    try:
        return _try_system(path)
    except FileNotFoundError:  # the folder is new, or was cleared
        path.parent.mkdir(parents=True, exist_ok=True)
        return None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in UNSUPPORTED:
            raise
        return _try_soft(_soft(path))


def _try_system(path: Path) -> Callable[[], None] | None:
    """Take the operating system's lock; None if it is held."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    try:
        _lock(file)
        if os.path.samestat(os.stat(path), os.fstat(file)):  # not one that was removed meanwhile
            with suppress(OSError):
                os.ftruncate(file, 0)
                os.write(file, _me())
            return lambda: _unlock(file)
    except (BlockingIOError, FileNotFoundError, PermissionError):
        pass
    except BaseException:
        os.close(file)
        raise
    os.close(file)
    return None


def _lock(file: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        os.lseek(file, LOCKED_BYTE, os.SEEK_SET)
        getattr(msvcrt, "locking")(file, getattr(msvcrt, "LK_NBLCK"), 1)  # noqa: B009
        os.lseek(file, 0, os.SEEK_SET)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unlock(file: int) -> None:
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)  # also for processes that were forked meanwhile
    os.close(file)


def _try_soft(path: Path) -> Callable[[], None] | None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        _remove_abandoned(path)
        return None
    mine = _me()
    with os.fdopen(file, "wb") as whole:
        whole.write(mine)

    def release() -> None:
        with suppress(OSError):
            if path.read_bytes() == mine:
                path.unlink()

    return release


def _remove_abandoned(path: Path) -> None:
    """Remove a soft lock whose owner is gone: moved first, so that no new one is removed."""
    with suppress(OSError):
        before, age = path.read_bytes(), time.time() - path.stat().st_mtime
        if not (_is_dead(_parse(before)) or age > ABANDONED_SECONDS):
            return
        aside = path.with_name(f"{uuid.uuid4().hex}.tmp")
        os.rename(path, aside)
        if aside.read_bytes() != before:
            with suppress(OSError):
                os.link(aside, path)
        aside.unlink()


def _soft(path: Path) -> Path:
    return path.with_name(f"{path.name}.soft")


def _me() -> bytes:
    facts = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%H:%M:%S")}
    return json.dumps({**facts, "thread": threading.get_ident()}).encode()


def _owner(path: Path) -> dict[str, Any]:
    for place in (_soft(path), path):
        with suppress(OSError, ValueError), open_plain(place) as file:
            if owner := _parse(file.read(LONGEST_OWNER)):
                return owner
    return {}


def _parse(text: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        owner = json.loads(text)
        if isinstance(owner, dict) and isinstance(owner.get("pid"), int) and owner["pid"] > 0:
            return owner
    return {}


def _describe(owner: dict[str, Any]) -> str:
    if not owner:
        return "another process"
    stopped = ", which is stopped" if _is_stopped(owner) else ""
    since = owner.get("since")
    return f"process {owner['pid']} on {owner.get('host')} since {since}{stopped}"


def _is_stopped(owner: dict[str, Any]) -> bool:
    """Tell whether a process of this machine is stopped, as by Ctrl-Z; False if unknown."""
    if owner.get("host") == socket.gethostname():
        with suppress(OSError, IndexError):
            text = Path(f"/proc/{owner['pid']}/stat").read_text()
            return text.rpartition(")")[2].split()[0] in "Tt"
    return False


def _is_dead(owner: dict[str, Any]) -> bool:
    if owner.get("host") == socket.gethostname() and os.name == "posix":
        try:
            os.kill(owner["pid"], 0)
        except ProcessLookupError:
            return True
        except OSError:
            pass
    return False
