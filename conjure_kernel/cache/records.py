"""What the cache knows of one source prompt, and the bytes in which it is kept.

`EnergyRow` holds the energies e[a, b, k, t] of one source prompt a. Rows and trajectories are kept
as `container` says: loading raises an error on every file that is not exactly such a file.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from conjure_kernel.cache.container import Label, dump, load, load_facts
from conjure_kernel.models.task import Trajectory

__all__ = ["EnergyRow", "count_draws", "digest", "dump_row", "dump_trajectory", "load_row"]
__all__ += ["load_trajectory"]

DIGEST = np.dtype("S32")
PARTS = ("x", "eps", "x0")


@lru_cache(maxsize=2**16)
def digest(prompt: str) -> str:
    """Return the name of a prompt on disk: 32 hex digits, blake2b of its NFC-normalised text."""
    text = unicodedata.normalize("NFC", prompt).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


@dataclass
class EnergyRow:
    """All that is known of the energies e[a, b, k, t] of ONE source prompt a.

    Parameters
    ----------
    targets : array of shape (M,)
        The digests of the target prompts b. They are kept sorted, and `values` with them.
    values : array of shape (M, K, T)
        The energies, float32, finite and >= 0; NaN at all nodes where a draw is not computed
        yet.
    truncated, tokens : bool, str
        What the trajectory of a says of its text, so that a warm run needs no trajectory.
    """

    targets: np.ndarray
    values: np.ndarray
    truncated: bool = False
    tokens: str = ""

    def __post_init__(self) -> None:
        self.targets = np.asarray(self.targets, dtype=DIGEST)
        self.values = np.asarray(self.values, dtype=np.float32)
        shapes = f"got {self.targets.shape} and {self.values.shape}"
        fitting = self.values.ndim == 3 and self.targets.shape == self.values.shape[:1]
        _expect(fitting, f"targets and values: expected shapes (M,) and (M, K, T), {shapes}")
        if not np.all(self.targets[:-1] < self.targets[1:]):
            self.targets, first = np.unique(self.targets, return_index=True)
            repeats = len(self.values) - len(first)
            _expect(repeats == 0, f"targets: expected each once, got {repeats} again")
            self.values = self.values[first]
        known = ~np.isnan(self.values[:, :, :1])  # a draw is known at all nodes or at none
        finite = (self.values >= 0) & (self.values < np.inf)
        wrong = np.sum(~np.where(known, finite, np.isnan(self.values)))
        _expect(wrong == 0, f"energies: expected finite and >= 0, got {wrong} that are not")

    @classmethod
    def empty(cls, n_nodes: int) -> EnergyRow:
        """Return a row of no targets and no draws at T = `n_nodes` nodes."""
        return cls(np.empty(0, DIGEST), np.empty((0, 0, n_nodes), np.float32))

    @property
    def n_nodes(self) -> int:
        """T, the number of nodes."""
        return self.values.shape[2]

    def merge(self, other: EnergyRow) -> EnergyRow:
        """Return the union of targets and draws; `other` wins wherever it has a value."""
        _expect_nodes(self.n_nodes, other.n_nodes)
        targets = np.union1d(self.targets, other.targets)
        n_draws = max(self.values.shape[1], other.values.shape[1])
        old, new = self.take(targets, n_draws), other.take(targets, n_draws)
        values = np.where(np.isnan(new), old, new)
        truncated = self.truncated or other.truncated
        return EnergyRow(targets, values, truncated, other.tokens or self.tokens)

    def take(self, targets: np.ndarray, n_draws: int) -> np.ndarray:
        """Return the energies of these targets, in their order, (n, n_draws, T); NaN if unknown."""
        wanted = np.asarray(targets, dtype=DIGEST)
        taken = np.full((len(wanted), n_draws, self.n_nodes), np.nan, np.float32)
        if len(self.targets) == 0:
            return taken
        at = np.minimum(np.searchsorted(self.targets, wanted), len(self.targets) - 1)
        known = self.targets[at] == wanted
        taken[known, : self.values.shape[1]] = self.values[at[known], :n_draws]
        return taken


def dump_row(row: EnergyRow, label: Label) -> bytes:
    """Return the bytes of a row's file."""
    facts = {"truncated": bool(row.truncated), "tokens": row.tokens}
    return dump(label, facts, {"targets": row.targets, "values": row.values})


def load_row(path: Path, label: Label, n_nodes: int | None = None) -> EnergyRow:
    """Load the row with this label; any other file raises an error."""
    facts, arrays = load(path, label)
    row = EnergyRow(arrays["targets"], arrays["values"], facts["truncated"], facts["tokens"])
    _expect_nodes(n_nodes, row.n_nodes)
    return row


def dump_trajectory(trajectory: Trajectory, label: Label) -> bytes:
    """Return the bytes of a trajectory's file, any dtype."""
    tensors = {part: getattr(trajectory, part).detach().cpu().contiguous() for part in PARTS}
    facts: dict[str, Any] = {
        part: [str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
        for part, tensor in tensors.items()
    }
    facts |= {"truncated": bool(trajectory.truncated), "tokens": trajectory.tokens}
    raw = {part: t.reshape(-1).view(torch.uint8).numpy() for part, t in tensors.items()}
    return dump(label, facts, raw)


def load_trajectory(path: Path, label: Label, n_nodes: int | None = None) -> Trajectory:
    """Load the trajectory with this label; any other file raises an error."""
    facts, raw = load(path, label)
    tensors = {}
    for part in PARTS:
        dtype, shape = facts[part]
        tensors[part] = torch.from_numpy(raw[part]).view(getattr(torch, dtype)).reshape(shape)
    _expect_nodes(n_nodes, tensors["x"].shape[1])
    return Trajectory(**tensors, truncated=facts["truncated"], tokens=facts["tokens"])


def count_draws(path: Path, label: Label, n_nodes: int) -> int:
    """Read off a file's header how many draws it has; 0 where it has other nodes."""
    _, (n_draws, n_nodes_kept, *_) = load_facts(path, label)["x"]
    return n_draws if n_nodes_kept == n_nodes else 0


def _expect_nodes(n_nodes: int | None, got: int) -> None:
    _expect(n_nodes in (None, got), f"expected {n_nodes} nodes, got {got}")


def _expect(fine: bool, problem: str) -> None:
    if not fine:
        raise ValueError(problem)
