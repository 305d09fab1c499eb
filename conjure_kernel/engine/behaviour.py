"""A model that is not what the cache or an open engine takes it for is noticed here."""

from __future__ import annotations

import warnings
from itertools import count
from typing import Any

from conjure_kernel._checks import CacheWarning
from conjure_kernel.cache.store import DiskStore, MemoryStore
from conjure_kernel.engine.settings import Settings
from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.probe import same_answer

__all__ = ["check_memory", "check_unchanged", "matching_store"]

_TOLD: set[tuple[str, ...]] = set()


def check_memory(memory: Any, denoiser: Denoiser) -> Any:
    """`memory`; None where a part of the model has no content, which is said once."""
    if memory is None or not (names := tuple(denoiser.unnamed)):
        return memory
    if names not in _TOLD:
        _TOLD.add(names)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        warnings.warn(
            f"{denoiser.name}: {', '.join(names[:3])}{more} cannot be told apart by content (a "
            "function, or a class that is defined in a script), so nothing is kept in the cache.",
            category=CacheWarning,
            stacklevel=5,
        )
    return None


def check_unchanged(denoiser: Denoiser, settings: Settings, key: dict[str, Any]) -> None:
    """Raise ValueError if a model in memory is no longer the one of this key."""
    denoiser.refresh()
    if settings.key(denoiser) != key:
        raise ValueError(
            f"{denoiser.name}: expected the model that was fitted, but its weights, adapters, "
            "processors or settings have changed since; fit again, so that no result mixes two "
            "models."
        )


def matching_store(
    store: MemoryStore | DiskStore, key: dict[str, Any], denoiser: Denoiser
) -> MemoryStore | DiskStore:
    """The store of a loaded model: a sibling where the cache was filled by another behaviour."""
    for number in count(1):
        facts = store.read_run()
        if facts is None or same_answer(denoiser.probe, facts.get("probe"), denoiser.dtype):
            return store
        if number == 1:
            warnings.warn(
                "the model's predictions have changed since this cache was filled (same weights, "
                "other behaviour): its values are computed again and kept apart.",
                category=CacheWarning,
                stacklevel=5,
            )
        store = store.sibling({**key, "behaviour": number})
    raise AssertionError
