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
from typing import Any

import torch
from diffusers import DiffusionPipeline

__all__ = ["fingerprint_call", "fingerprint_folder", "fingerprint_pipeline"]

BOOKKEEPING = {"architectures", "dtype", "torch_dtype", "transformers_version"}
ADAPTER_FACTS = ("scaling", "active_adapters", "disable_adapters", "merged_adapters")


def fingerprint_pipeline(pipeline: DiffusionPipeline) -> str:
    """Digest of a pipeline object: classes, configs, tokenizers, parameters and adapters."""
    state = hashlib.blake2b(digest_size=16)
    state.update(_json(_public(pipeline.config)))
    for name, component in sorted(pipeline.components.items()):
        state.update(f"{name}:{type(component).__qualname__}".encode())
        config: Any = getattr(component, "config", None)
        if hasattr(config, "items") or hasattr(config, "to_dict"):
            state.update(_json(_public(config.to_dict() if hasattr(config, "to_dict") else config)))
        if hasattr(component, "get_vocab"):
            state.update(_json(_tokenizer_facts(component)))
        if isinstance(component, torch.nn.Module):
            _hash_tensors(state, component)
            state.update(_json(_adapter_facts(component)))
    return state.hexdigest()


def fingerprint_folder(folder: Path) -> str:
    """Digest of the names and bytes of all files in a folder, without hidden ones."""
    state = hashlib.blake2b(digest_size=16)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder)
        if not any(part.startswith(".") for part in name.parts):
            stat = path.stat()
            state.update(name.as_posix().encode())
            state.update(_hash_file(path, stat.st_size, stat.st_mtime_ns))
    return state.hexdigest()


def fingerprint_call(call_kwargs: Mapping[str, Any]) -> str:
    """Text that tells call arguments apart: tensors, arrays and images by their content."""
    return json.dumps(dict(call_kwargs), sort_keys=True, default=_describe)


def _describe(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        content, facts = _bytes_of(value).tobytes(), f"{value.dtype}{tuple(value.shape)}"
    elif hasattr(value, "tobytes"):  # arrays and images
        content = value.tobytes()
        facts = f"{type(value).__name__}{getattr(value, 'shape', getattr(value, 'size', ''))}"
    else:
        return repr(value)
    return f"{facts}:{hashlib.blake2b(content, digest_size=16).hexdigest()}"


@cache
def _hash_file(path: Path, size: int, modified: int) -> bytes:
    state = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            state.update(block)
    return state.digest()


def _json(facts: Any) -> bytes:
    return json.dumps(facts, sort_keys=True, default=str).encode()


def _public(config: Any) -> dict[str, Any]:
    """Fields of a config that change what a component does, not how it was made or saved."""
    return {k: v for k, v in dict(config).items() if k[0] != "_" and k not in BOOKKEEPING}


def _tokenizer_facts(tokenizer: Any) -> dict[str, Any]:
    """Everything that turns text into tokens, without what a fast tokenizer keeps of a call."""
    limits = (tokenizer.model_max_length, tokenizer.padding_side, tokenizer.truncation_side)
    facts = {"limits": limits, "special": tokenizer.special_tokens_map}
    if (backend := getattr(tokenizer, "backend_tokenizer", None)) is None:
        return facts | {"vocabulary": tokenizer.get_vocab()}
    rules = json.loads(backend.to_str())
    return facts | {k: v for k, v in rules.items() if k not in ("truncation", "padding")}


def _hash_tensors(state: Any, module: torch.nn.Module) -> None:
    for key, tensor in sorted(_tensors_of(module).items()):
        if isinstance(tensor, torch.Tensor) and not tensor.is_meta:
            state.update(f"{key}:{tensor.dtype}{tuple(tensor.shape)}".encode())
            state.update(_bytes_of(tensor))


def _tensors_of(module: torch.nn.Module) -> dict[str, Any]:
    """State of a module, also where its weights are offloaded and placeholders stand for them."""
    tensors = module.state_dict()
    if not any(isinstance(tensor, torch.Tensor) and tensor.is_meta for tensor in tensors.values()):
        return tensors
    from accelerate.utils import align_module_device, has_offloaded_params

    offloaded = [(n, part) for n, part in module.named_modules() if has_offloaded_params(part)]
    for name, part in offloaded:
        with align_module_device(part, "cpu"):
            own = part.named_parameters(recurse=False)
            tensors |= {f"{name}.{key}".lstrip("."): tensor.data for key, tensor in own}
    return tensors


def _bytes_of(tensor: torch.Tensor) -> Any:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()


def _adapter_facts(module: torch.nn.Module) -> list[Any]:
    """Names, scales and switches of the adapters on each layer."""
    return [
        (name, *(getattr(part, fact, None) for fact in ADAPTER_FACTS))
        for name, part in module.named_modules()
        if isinstance(getattr(part, "scaling", None), dict)
    ]
