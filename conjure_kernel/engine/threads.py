"""How many threads of torch a call on the CPU takes: those that are set, or one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["may_choose", "threads"]

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def may_choose(device: torch.device) -> bool:
    """Whether nobody has said how many threads calls on this device take, and there are several.

    What a variable of the environment says is said; so is a number that torch does not choose by
    itself, which is that of the cores or of their threads.
    """
    if device.type != "cpu" or any(os.environ.get(name) for name in VARIABLES):
        return False
    return torch.get_num_threads() > 1 and torch.get_num_threads() in _numbers_of_torch()


@contextmanager
def threads(number: int | None) -> Iterator[None]:
    """So many threads meanwhile; None leaves the number as it is."""
    before = torch.get_num_threads()
    if number is None or number == before:
        yield
        return
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _numbers_of_torch() -> set[int]:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    return {n // share for n in (os.cpu_count() or 1, allowed) for share in (1, 2)}
