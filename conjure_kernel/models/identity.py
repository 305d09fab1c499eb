"""What tells two models apart without reading their weights, where they are given by name."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

__all__ = ["DetachedModel", "detach", "identify"]


class DetachedModel:
    """Stands for a model object in a pickled estimator, as weights do not travel."""

    left_behind = True

    def __init__(self, name: str, fingerprint: str) -> None:
        self.name, self.fingerprint = name, fingerprint

    def __repr__(self) -> str:
        return f"<{self.name} {self.fingerprint[:8]} left behind>"


def detach(model: Any) -> Any:
    """A model as it is pickled: a pipeline, or a `Denoiser` made of one, is left behind."""
    if hasattr(model, "components"):
        from conjure_kernel.models.pretrained.fingerprint import fingerprint_pipeline

        return DetachedModel(type(model).__name__, fingerprint_pipeline(model))
    if getattr(model, "travels", True):
        return model
    return DetachedModel(model.name, model.fingerprint)


def identify(model: Any, revision: str | None = None) -> str:
    """Digest of a folder's files by name, size and time, or the commit that a hub id stands for.

    Empty for all other models, which have their fingerprint in their own state.
    """
    if not isinstance(model, str | os.PathLike) or model == "embedded":
        return ""
    if (folder := Path(model).expanduser()).is_dir():
        state = hashlib.blake2b(digest_size=16)
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            stat = path.stat()
            name = path.relative_to(folder).as_posix()
            state.update(f"{name}|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
        return state.hexdigest()
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(os.fspath(model), "model_index.json", revision=revision)
    except ValueError:  # no name of a repository
        return ""
    return Path(found).parent.name if isinstance(found, str) else ""
