"""One folder of the cache, in which nothing that goes wrong stops the work.

A file that is not what was written is set aside under another name, told of once, and counts as
missing. Where the disk cannot be read or written, there is one warning.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from conjure_kernel._checks import CacheWarning
from conjure_kernel.cache import folder as cachedir
from conjure_kernel.cache import locks

__all__ = ["Disk"]

T = TypeVar("T")
_UNUSABLE: set[Path] = set()  # caches of which was told, whatever their run

GOES_ON = "this process goes on without waiting, and may do work twice."
WAITS = (
    "this process waits for it, at most for CONJURE_KERNEL_LOCK_TIMEOUT, and uses what it computes."
)


class Disk:
    """The folder of one run.

    Parameters
    ----------
    location : Path
        The folder.
    key : dict
        The run key, which is written there for people to read: every file has its digest inside.
    """

    def __init__(self, location: Path, key: dict[str, Any]) -> None:
        self.location, self.key = location, key
        self._told: set[str] = set()

    def read(self, name: str, load: Callable[[Path], T]) -> T | None:
        """Return what `load` makes of a file; None where there is none, or one that is damaged."""
        path = self.location / name
        try:
            return load(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._tell_of_disk(cachedir.unreadable(path, error))
        except Exception as error:  # a damaged file may raise anything
            damage = cachedir.Damaged(str(error) or type(error).__name__)
            self.tell(cachedir.unreadable(path, damage), name)
            with suppress(OSError):
                os.replace(path, path.with_name(f"{path.name}{cachedir.DAMAGED}"))
        return None

    def write(self, name: str, data: bytes) -> bool:
        """Write a file; tell whether that was possible."""
        try:
            if not (key := self.location / cachedir.KEY).exists():
                cachedir.replace(key, cachedir.pretty(self.key))
            cachedir.replace(self.location / name, data)
        except OSError as error:
            self._tell_of_disk(cachedir.unwritable(self.location, error))
            return False
        _UNUSABLE.discard(self.root)
        return True

    def names(self, folder: str, suffix: str) -> list[str]:
        """Return the files of a folder in it, sorted; none where it cannot be read."""
        try:
            with os.scandir(self.location / folder) as entries:
                found = sorted(entry.name for entry in entries if entry.name.endswith(suffix))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self._tell_of_disk(cachedir.unreadable(self.location / folder, error))
            return []
        return [f"{folder}/{name}" for name in found]

    @contextmanager
    def locked(self, names: list[str], timeout: float) -> Iterator[bool]:
        """Hold locks, and tell whether that was possible within `timeout` seconds."""
        folder, deadline = self.location / cachedir.LOCKS, time.monotonic() + timeout
        got = True
        with ExitStack() as held:
            try:
                for name in names:
                    held.enter_context(locks.hold(folder / name, deadline, self._tell_holder))
            except locks.LockHeld as error:
                held.close()
                self.tell(f"{folder / name} is held by {error}: {GOES_ON}", "lock")
                got = False
            except OSError as error:
                held.close()
                self._tell_of_disk(cachedir.unwritable(self.location, error))
                got = False
            yield got

    def tell(self, text: str, about: str) -> None:
        """Warn, once for each thing that it is about."""
        if about not in self._told:
            self._told.add(about)
            warnings.warn(text, category=CacheWarning, stacklevel=5)

    @property
    def root(self) -> Path:
        """The folder of the whole cache."""
        return self.location.parents[1]

    def _tell_of_disk(self, text: str) -> None:
        """Warn once of a whole cache that cannot be used, until it can be written again."""
        if self.root not in _UNUSABLE:
            _UNUSABLE.add(self.root)
            warnings.warn(text, category=CacheWarning, stacklevel=5)

    def _tell_holder(self, holder: str) -> None:
        self.tell(f"{self.location} is in use by {holder}: {WAITS}", "wait")
