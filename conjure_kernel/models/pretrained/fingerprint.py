"""What tells two models apart in the cache: digests of pipelines, folders and call arguments.

A digest covers everything that changes a prediction. Path, device, offload and batch size are left
out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from conjure_kernel.models.pretrained.content import FUSED, bytes_of, content_of
from conjure_kernel.models.pretrained.instrument import exclusively
from conjure_kernel.models.pretrained.state import modules_of, read_facts

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["fingerprint_call", "fingerprint_file", "fingerprint_folder", "fingerprint_pipeline"]


def fingerprint_pipeline(pipeline: DiffusionPipeline) -> str:
    """Digest of a pipeline object: all that `read_facts` reads, and every weight."""
    with exclusively(pipeline):  # while it is measured, it has another scheduler
        return _fingerprint(pipeline)


def _fingerprint(pipeline: DiffusionPipeline) -> str:
    state = hashlib.blake2b(digest_size=16)
    state.update(read_facts(pipeline)[0].encode())
    for name, component in modules_of(pipeline):
        for key, tensor in sorted(_tensors_of(component).items()):
            if not (tensor.is_meta or FUSED.search(key.rpartition(".")[0])):
                state.update(f"{name}.{key}:{tensor.dtype}{tuple(tensor.shape)}".encode())
                state.update(bytes_of(tensor))
    return state.hexdigest()


def fingerprint_folder(folder: Path) -> str:
    """Digest of the names and bytes of all files in a folder, without hidden ones."""
    state = hashlib.blake2b(digest_size=16)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder)
        if not any(part.startswith(".") for part in name.parts):
            state.update(name.as_posix().encode())
            state.update(fingerprint_file(path))
    return state.hexdigest()


def fingerprint_file(path: Path) -> bytes:
    """Digest of the bytes of a file, read once for each time it was changed."""
    stat = path.stat()
    return _hash_file(path, stat.st_size, stat.st_mtime_ns)


def fingerprint_call(call_kwargs: Mapping[str, Any]) -> tuple[str, set[str]]:
    """Text that tells call arguments apart by their content, and those that have none."""
    unnamed: set[str] = set()
    named = {name: content_of(value, name, unnamed) for name, value in call_kwargs.items()}
    return json.dumps(named, sort_keys=True), unnamed


@cache
def _hash_file(path: Path, size: int, modified: int) -> bytes:
    state = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            state.update(block)
    return state.digest()


def _tensors_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights and buffers, also where they are offloaded and placeholders stand for them.

    Not the `state_dict`, for whose sake some quantised modules pack their weights anew.
    """
    tensors: dict[str, torch.Tensor] = {**dict(module.named_parameters())}
    tensors |= dict(module.named_buffers())
    if not any(tensor.is_meta for tensor in tensors.values()):
        return tensors
    from accelerate.utils import align_module_device, has_offloaded_params

    offloaded = [(n, part) for n, part in module.named_modules() if has_offloaded_params(part)]
    for name, part in offloaded:
        with align_module_device(part, "cpu"):
            own = part.named_parameters(recurse=False)
            tensors |= {f"{name}.{key}".lstrip("."): tensor.data for key, tensor in own}
    return tensors
