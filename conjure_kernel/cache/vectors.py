"""The vectors that prompts have on one pool, kept in files that are added and never changed."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from conjure_kernel.cache.folder import TRAJECTORY, replace, unreadable, unwritable
from conjure_kernel.cache.store import digest

__all__ = ["VectorStore"]


class VectorStore:
    """The vector of each prompt, in memory and, given a folder, on disk.

    Every process writes files of its own, so that nothing is locked. A file that cannot be read
    counts as missing. Where the disk cannot be written, there is one warning, and this process
    keeps the vectors.

    Parameters
    ----------
    folder : Path or None
        The folder of one pool under one model; None keeps the vectors in this process.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._rows: dict[str, np.ndarray] = {}
        self._truncated: set[str] = set()
        self._unwritten: list[str] = []
        for path in sorted(folder.glob(f"*{TRAJECTORY}")) if folder else ():
            self._read(path)

    def __contains__(self, prompt: str) -> bool:
        return digest(prompt) in self._rows

    def __getitem__(self, prompt: str) -> np.ndarray:
        return self._rows[digest(prompt)]

    def truncated(self, prompt: str) -> bool:
        """Tell whether every text encoder lost a part of the prompt."""
        return digest(prompt) in self._truncated

    def add(self, prompts: Sequence[str], vectors: np.ndarray, truncated: Sequence[bool]) -> None:
        """Keep vectors (n, n_components), to be written with the next `flush`."""
        for prompt, vector, cut in zip(prompts, vectors, truncated, strict=True):
            name = digest(prompt)
            self._rows[name] = vector
            self._unwritten.append(name)
            if cut:
                self._truncated.add(name)

    def flush(self) -> None:
        """Write the vectors that were added since the last `flush`."""
        names, self._unwritten = self._unwritten, []
        if self.folder is None or not names:
            return
        data = {
            "names": torch.frombuffer(bytearray("".join(names), "ascii"), dtype=torch.uint8),
            "vectors": torch.from_numpy(np.stack([self._rows[name] for name in names])),
            "truncated": torch.tensor([name in self._truncated for name in names]),
        }
        try:
            replace(self.folder / f"{uuid.uuid4().hex}{TRAJECTORY}", save(data))
        except OSError as error:
            warnings.warn(unwritable(self.folder, error), stacklevel=4)

    def _read(self, path: Path) -> None:
        try:
            data = load(path.read_bytes())
            text = data["names"].numpy().tobytes().decode("ascii")
            names = [text[i : i + 32] for i in range(0, len(text), 32)]
            rows = dict(zip(names, data["vectors"].numpy(), strict=True))
            cut = zip(names, data["truncated"].tolist(), strict=True)
            self._truncated |= {name for name, is_cut in cut if is_cut}
        except FileNotFoundError:
            return
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            warnings.warn(unreadable(path, error), stacklevel=4)
            return
        self._rows |= rows
