"""How much is measured: each section gets a share of the predictions that may be made."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from conjure_kernel.report.section import Section

__all__ = ["SHARES", "left_out", "most_within", "shares"]

# Of the predictions of a report, by the name of the section; what is not asked for is divided
# among the others.
SHARES = {"map": 0.35, "vividness": 0.25, "stability": 0.2, "people": 0.3, "change": 0.3}


def shares(names: Iterable[str], budget: int) -> dict[str, float]:
    """Predictions for each of these sections."""
    parts = {name: SHARES[name] for name in names if name in SHARES}
    return {name: budget * part / sum(parts.values()) for name, part in parts.items()}


def most_within(price: Callable[[int], int], most: int, budget: float) -> int:
    """The largest n from 0 to `most` with a price(n), which grows with n, within a budget."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if price(middle) <= budget else (low, middle - 1)
    return low


def left_out(name: str, title: str, needed: int, budget: float) -> Section:
    """A section whose share does not pay for the least that says anything."""
    found = (
        f"Left out: it needs {needed:,} noise predictions, and its share of the budget is "
        f"{int(budget):,}. A larger budget pays for it."
    )
    return Section(name, title, found, {"needed": needed}, measured=False)
