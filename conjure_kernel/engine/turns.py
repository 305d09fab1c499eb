"""Threads that measure with one model take turns, so that each counts its own predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from threading import Lock, RLock
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from conjure_kernel.models.denoiser import Denoiser

__all__ = ["in_turn", "turn"]

T = TypeVar("T", bound=Callable)
_LOCKS: WeakKeyDictionary[Denoiser, Any] = WeakKeyDictionary()
_GUARD = Lock()


@contextmanager
def turn(denoiser: Denoiser) -> Iterator[None]:
    """Have a model, or both of a pair, for this thread alone; turns may be nested."""
    models = getattr(denoiser, "models", (denoiser,))
    with ExitStack() as held:
        for model in sorted(models, key=id):
            with _GUARD:
                lock = _LOCKS.setdefault(model, RLock())
            held.enter_context(lock)
        yield


def in_turn(work: T) -> T:
    """Do work in turn; its first argument has the model as its `denoiser`."""

    @wraps(work)
    def run(first: Any, *args: Any, **kwargs: Any) -> Any:
        with turn(first.denoiser):
            return work(first, *args, **kwargs)

    return run  # type: ignore[return-value]
