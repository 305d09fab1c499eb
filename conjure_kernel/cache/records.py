"""What the cache knows of one source prompt, and the bytes it is kept in.

`EnergyRow` holds the energies e[a, b, k, t] of one source prompt a. A row is kept as npz, a
trajectory as safetensors, both with the prompt's `digest` and a checksum inside; loading unpickles
nothing and raises on whatever is not exactly such a file.
"""

from __future__ import annotations

import hashlib
import io
import json
import unicodedata
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save

from conjure_kernel.models.task import Trajectory

__all__ = ["EnergyRow", "count_draws", "digest", "dump_row", "dump_trajectory", "load_row"]
__all__ += ["load_trajectory"]

DIGEST = np.dtype("S32")
PARTS = ("x", "eps", "x0")


@lru_cache(maxsize=2**16)
def digest(prompt: str) -> str:
    """Name of a prompt on disk: 32 hex digits, blake2b of its NFC-normalised text."""
    text = unicodedata.normalize("NFC", prompt).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


@dataclass
class EnergyRow:
    """All that is known of the energies e[a, b, k, t] of ONE source prompt a.

    Parameters
    ----------
    targets : array of shape (M,)
        Digests of the target prompts b. Kept sorted, `values` with them.
    values : array of shape (M, K, T)
        Energies, float32, finite and >= 0; NaN where a draw is not computed yet.
    truncated, tokens
        Copied from the trajectory of a, so that a warm run needs no trajectory.
    """

    targets: np.ndarray
    values: np.ndarray
    truncated: bool = False
    tokens: str = ""

    def __post_init__(self) -> None:
        self.targets = np.asarray(self.targets, dtype=DIGEST)
        self.values = np.asarray(self.values, dtype=np.float32)
        shapes = f"targets {self.targets.shape}, values {self.values.shape}"
        _expect(self.values.ndim == 3, f"{shapes}: expected (M,) and (M, K, T)")
        _expect(self.targets.shape == self.values.shape[:1], f"{shapes}: expected one M")
        if not np.all(self.targets[:-1] < self.targets[1:]):
            self.targets, first = np.unique(self.targets, return_index=True)
            repeats = len(self.values) - len(first)
            _expect(repeats == 0, f"{repeats} targets repeat: expected each once")
            self.values = self.values[first]
        wrong = np.sum(self.values < 0) + np.sum(np.isinf(self.values))
        _expect(wrong == 0, f"{wrong} energies are negative or infinite: expected >= 0 or NaN")

    @classmethod
    def empty(cls, n_nodes: int) -> EnergyRow:
        """Row of no targets and no draws at T = `n_nodes` nodes."""
        return cls(np.empty(0, DIGEST), np.empty((0, 0, n_nodes), np.float32))

    @property
    def n_nodes(self) -> int:
        """T, the number of nodes."""
        return self.values.shape[2]

    def merge(self, other: EnergyRow) -> EnergyRow:
        """Union of targets and draws; `other` wins wherever it has a value."""
        came = f"a row of {other.n_nodes} nodes"
        _expect(other.n_nodes == self.n_nodes, f"{came}: one of {self.n_nodes} is needed")
        targets = np.union1d(self.targets, other.targets)
        n_draws = max(self.values.shape[1], other.values.shape[1])
        old, new = self.take(targets, n_draws), other.take(targets, n_draws)
        values = np.where(np.isnan(new), old, new)
        truncated = self.truncated or other.truncated
        return EnergyRow(targets, values, truncated, other.tokens or self.tokens)

    def take(self, targets: np.ndarray, n_draws: int) -> np.ndarray:
        """Energies of these targets, in their order, (n, n_draws, T); NaN where unknown."""
        wanted = np.asarray(targets, dtype=DIGEST)
        taken = np.full((len(wanted), n_draws, self.n_nodes), np.nan, np.float32)
        if len(self.targets) == 0:
            return taken
        at = np.minimum(np.searchsorted(self.targets, wanted), len(self.targets) - 1)
        known = self.targets[at] == wanted
        taken[known, : self.values.shape[1]] = self.values[at[known], :n_draws]
        return taken


def dump_row(row: EnergyRow, name: str) -> bytes:
    """Bytes of an npz file, uncompressed; `name` is the digest of the source prompt."""
    facts = {"prompt": name, "truncated": row.truncated, "tokens": row.tokens}
    buffer = io.BytesIO()
    np.savez(buffer, targets=row.targets, values=row.values, facts=np.array(json.dumps(facts)))
    return buffer.getvalue()


def load_row(path: Path, name: str, n_nodes: int | None = None) -> EnergyRow:
    """Row of the prompt with digest `name`; raises on any other file."""
    with path.open("rb") as whole, np.load(whole, allow_pickle=False) as file:
        facts = json.loads(str(file["facts"]))
        row = EnergyRow(file["targets"], file["values"], facts["truncated"], facts["tokens"])
    _expect(facts["prompt"] == name, "it belongs to another prompt")
    _expect(n_nodes in (None, row.n_nodes), f"it has {row.n_nodes} nodes, not {n_nodes}")
    return row


def dump_trajectory(trajectory: Trajectory, name: str) -> bytes:
    """Bytes of a safetensors file, any dtype; `name` is the digest of the prompt."""
    tensors = {
        part: getattr(trajectory, part).detach().cpu().clone(memory_format=torch.contiguous_format)
        for part in PARTS
    }
    facts = {"prompt": name, "tokens": trajectory.tokens, "checksum": _checksum(tensors)}
    return save(tensors, metadata=facts | {"truncated": json.dumps(bool(trajectory.truncated))})


def load_trajectory(path: Path, name: str, n_nodes: int | None = None) -> Trajectory:
    """Trajectory of the prompt with digest `name`; raises on any other file."""
    with safe_open(path, framework="pt") as file:
        facts = file.metadata()
        tensors = {part: file.get_tensor(part).clone() for part in PARTS}
    found = tensors["x"].shape[1]
    _expect(facts["prompt"] == name, "it belongs to another prompt")
    _expect(facts["checksum"] == _checksum(tensors), "its checksum is wrong")
    _expect(n_nodes in (None, found), f"it has {found} nodes, not {n_nodes}")
    return Trajectory(**tensors, truncated=json.loads(facts["truncated"]), tokens=facts["tokens"])


def count_draws(path: Path, name: str, n_nodes: int) -> int:
    """Draws in the trajectory of `name`, off the file's header; 0 where it has other nodes."""
    with safe_open(path, framework="pt") as file:
        _expect(file.metadata()["prompt"] == name, "it belongs to another prompt")
        n_draws, found, *_ = file.get_slice("x").get_shape()
    return n_draws if found == n_nodes else 0


def _checksum(tensors: dict[str, torch.Tensor]) -> str:
    crc = 0
    for tensor in tensors.values():
        crc = zlib.crc32(f"{tensor.dtype} {tuple(tensor.shape)}".encode(), crc)
        crc = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, crc)
    return f"{crc:08x}"


def _expect(fine: bool, problem: str) -> None:
    if not fine:
        raise ValueError(problem)
