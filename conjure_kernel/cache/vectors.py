"""The vectors that prompts have on one pool, kept in files that are added and never changed."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import numpy as np

from conjure_kernel.cache import container
from conjure_kernel.cache.container import Label
from conjure_kernel.cache.folder import FOLDERS, VECTORS
from conjure_kernel.cache.store import DiskStore, MemoryStore, digest

__all__ = ["VectorStore"]


class VectorStore:
    """The vector of each prompt, in memory and, given a store on disk, in its folder.

    Every process writes files of its own, so that nothing is locked. A file that is not what was
    written counts as missing. Where the disk cannot be used, there is one warning, and this process
    keeps the vectors.

    Parameters
    ----------
    store : MemoryStore or DiskStore
        That of the run whose chains make the pool.
    pool : str
        The digest of what else fixes a vector.
    n_components : int
        The length of a vector.
    """

    def __init__(self, store: MemoryStore | DiskStore, pool: str, n_components: int | None) -> None:
        self.pool, self.run = pool, store.name
        self._disk, self._label = store.disk, Label("vectors", store.name, pool)
        self._width = n_components
        self._rows: dict[str, np.ndarray] = {}
        self._truncated: set[str] = set()
        self._unwritten: list[str] = []
        for name in self._disk.names(self._folder, VECTORS) if self._disk else ():
            self._read(name)

    @property
    def _folder(self) -> str:
        return f"{FOLDERS[VECTORS]}/{self.pool}"

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
        if self._disk is None or not names:
            return
        arrays = {
            "names": np.array(names, "S32"),
            "vectors": np.stack([self._rows[name] for name in names]),
            "truncated": np.array([name in self._truncated for name in names]),
        }
        data = container.dump(self._label, {}, arrays)
        self._disk.write(f"{self._folder}/{uuid.uuid4().hex}{VECTORS}", data)

    def _read(self, name: str) -> None:
        assert self._disk is not None
        arrays = self._disk.read(name, lambda p: self._check(container.load(p, self._label)[1]))
        if arrays is None:
            return
        names = [name.decode() for name in arrays["names"].tolist()]
        self._rows |= zip(names, arrays["vectors"], strict=True)
        cut = zip(names, arrays["truncated"].tolist(), strict=True)
        self._truncated |= {name for name, is_cut in cut if is_cut}

    def _check(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The arrays of a file, if they are n names, n finite vectors of equal length, n flags."""
        vectors, n = arrays["vectors"], len(arrays["names"])
        width = vectors.shape[1] if self._width is None else self._width
        if vectors.shape != (n, width) or arrays["truncated"].shape != (n,):
            raise ValueError(f"expected vectors of length {width}, got {vectors.shape}")
        if not np.isfinite(vectors).all():
            raise ValueError("expected finite vectors, got NaN or infinity")
        self._width = width
        return arrays
