"""What a value or a module is by content, so that two processes write the same text of it.

Numbers, texts, tensors, arrays, images and plain objects have a content. Of a function only its
name can be written: that is enough where a library defines it, and not where a user does, as the
same name may do something else tomorrow. Such values are noted as `unnamed`.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import inspect
import itertools
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch

__all__ = ["FUSED", "bytes_of", "content_of", "digest_of", "glance", "module_facts", "parts_of"]

LIBRARIES = {"accelerate", "bitsandbytes", "diffusers", "functools", "gguf", "numpy", "peft"}
LIBRARIES |= {"torch", "torchao", "transformers", "builtins", "PIL", "quanto", "xformers"}
DEEPEST = 8
PROCESSORS = "diffusers.models.attention_processor"
# Attributes of modules that say how something was made, or how memory is saved.
BOOKKEEPING = {"config", "generation_config", "gradient_checkpointing", "inplace", "training"}
BOOKKEEPING |= {"all_tied_weights_keys", "device", "hf_device_map", "kernel_config", "loss_type"}
BOOKKEEPING |= {"name_or_path", "warnings_issued"}
BOOKKEEPING |= {"fused_projections", "lora_scale", "original_attn_processors", "slice_size"}
# Projections side by side, which say what those that they are made of say.
FUSED = re.compile(r"(^|\.)to_(added_)?q?kv$")
KERNELS = re.compile("Fused|XFormers|Sliced|2_0")  # in names of processors that compute the same
ADAPTER_FACTS = ("active_adapters", "disable_adapters", "merged_adapters")
HOOKS = ("_forward_hooks", "_forward_pre_hooks")
CAPTURING = "transformers.utils.output_capturing"  # hooks of a text encoder's first call
OFFLOADING: tuple[str, ...] = (
    "AlignDevicesHook",
    "CpuOffload",
    "UserCpuOffloadHook",
    "GroupOffloadingHook",
)
OFFLOADING += ("LazyPrefetchGroupOffloadingHook", "LayerExecutionTrackerHook")


def content_of(value: Any, name: str, unnamed: set[str], depth: int = 0) -> Any:
    """JSON-able content of a value; `name` joins `unnamed` if a part of it has none."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if (plain := _content_of_plain(value)) is not None:
        return plain
    if depth > DEEPEST:
        unnamed.add(name)
        return None
    inner = functools.partial(content_of, name=name, unnamed=unnamed, depth=depth + 1)
    if isinstance(value, Mapping):
        return sorted(([str(k), inner(v)] for k, v in value.items()), key=lambda item: item[0])
    if isinstance(value, list | tuple):
        return [inner(part) for part in value]
    if isinstance(value, set | frozenset):
        return sorted(map(repr, map(inner, value)))
    return _content_of_code(value, inner) or _content_of_object(value, name, unnamed, inner)


def _content_of_plain(value: Any) -> str | None:
    """Content of what has no parts: tensors, arrays, images and single values; else None."""
    if isinstance(value, torch.Tensor):
        return f"{value.dtype}{tuple(value.shape)}:{digest_of(bytes_of(value))}"
    if hasattr(value, "tobytes"):  # arrays and images
        size = getattr(value, "shape", getattr(value, "size", ""))
        kind = getattr(value, "dtype", getattr(value, "mode", ""))
        return f"{type(value).__name__}{kind}{size}:{digest_of(value.tobytes())}"
    if isinstance(value, torch.Generator):
        return digest_of(bytes_of(value.get_state()))
    single = isinstance(value, torch.dtype | torch.device | bytes | complex | enum.Enum | range)
    return repr(value) if single or isinstance(value, slice | os.PathLike) else None


def _content_of_code(value: Any, inner: Any) -> Any:
    """Name of a class, a function or a method; None if it is none of these, or is a user's."""
    if isinstance(value, functools.partial):
        return ["partial", inner(value.func), inner(value.args), inner(value.keywords)]
    if inspect.ismethod(value):
        function = value.__func__
        if not inspect.isroutine(function):  # torchao binds a partial
            return ["method", inner(function)]
        return f"method {function.__qualname__}" if _is_of_library(function) else None
    is_code = isinstance(value, type) or inspect.isroutine(value)
    return f"{value.__module__}.{value.__qualname__}" if is_code and _is_of_library(value) else None


def _content_of_object(value: Any, name: str, unnamed: set[str], inner: Any) -> Any:
    kind = type(value)
    plain = not (inspect.isroutine(value) or isinstance(value, type | torch.nn.Module))
    if not plain or not (_is_of_library(kind) or _is_importable(kind)):
        unnamed.add(name)
        return None
    own = {k: v for k, v in getattr(value, "__dict__", {}).items() if not k.startswith("_")}
    if kind.__module__ == PROCESSORS:
        return [KERNELS.sub("", kind.__qualname__), inner({**own, "slice_size": None})]
    return [f"{kind.__module__}.{kind.__qualname__}", inner(own)]


def _is_of_library(code: Any) -> bool:
    return (getattr(code, "__module__", None) or "").partition(".")[0] in LIBRARIES


def _is_importable(code: Any) -> bool:
    """Tell whether another process finds the same class under its name."""
    if code.__module__ == "__main__":
        return False
    found: Any = sys.modules.get(code.__module__)
    for part in code.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is code


def module_facts(module: torch.nn.Module, name: str, unnamed: set[str]) -> Iterator[Any]:
    """What changes a prediction and is no weight: classes, attributes, processors, hooks, patches.

    Private attributes are left out, as modules keep there what a call leaves behind; the
    behavioural probe sees those that matter.
    """
    for full, part in module.named_modules():
        path, kind = full.replace("_orig_mod", "").strip("."), type(part)
        if kind.__qualname__ == "OptimizedModule" or FUSED.search(path):
            continue  # what torch.compile puts around a module, or what is there twice
        facts = {k: v for k, v in vars(part).items() if v is not None and _is_fact(k, v)}
        place = f"{name}.{path}".rstrip(".")
        yield path, f"{kind.__module__}.{kind.__qualname__}", _own(facts, place, unnamed)
        if isinstance(getattr(part, "scaling", None), dict):
            yield [str(getattr(part, fact, None)) for fact in ADAPTER_FACTS]
        yield from _hooks(part, place, unnamed)


def glance(module: torch.nn.Module) -> Iterator[Any]:
    """The plain numbers among the facts, cheap enough for every call."""
    for part in module.modules():
        for name, value in vars(part).items():
            if name in ("scaling", "processor") and value is not None:
                own = value if isinstance(value, dict) else getattr(value, "__dict__", {})
                kind = type(value).__qualname__
                yield name, kind, [(k, v) for k, v in own.items() if _is_plain(v)]
                yield [str(getattr(part, fact, None)) for fact in ADAPTER_FACTS]
            elif _is_fact(name, value) and _is_plain(value):
                yield name, value


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)


def _is_fact(name: str, value: Any) -> bool:
    return not (name.startswith("_") or name in BOOKKEEPING or name == "forward")


def _own(facts: dict[str, Any], place: str, unnamed: set[str]) -> Any:
    return [[k, content_of(v, f"{place}.{k}", unnamed)] for k, v in sorted(facts.items())]


def _hooks(part: torch.nn.Module, place: str, unnamed: set[str]) -> Iterator[Any]:
    """Hooks and patched forwards of one module, without those that only move weights about."""
    own = vars(part)
    for kind in HOOKS:
        for hook in own.get(kind, {}).values():
            if getattr(hook, "__module__", None) == CAPTURING:
                continue
            yield kind, content_of(hook, f"a hook of {place}", unnamed)
    registry = own.get("_diffusers_hook")
    hooks = [*getattr(registry, "hooks", {}).values(), own.get("_hf_hook")]
    hooks = list(itertools.chain(*(getattr(hook, "hooks", [hook]) for hook in hooks)))
    for hook in hooks:
        if hook is not None and type(hook).__name__ not in OFFLOADING:
            yield "hook", content_of(hook, f"a hook of {place}", unnamed)
    patched = own.get("_old_forward") if own.get("_hf_hook") is not None else own.get("forward")
    if patched is not None and registry is None and not _is_own_method(patched, part):
        yield "forward", content_of(patched, f"the forward of {place}", unnamed)


def _is_own_method(function: Any, part: torch.nn.Module) -> bool:
    return getattr(function, "__func__", None) is type(part).forward


def digest_of(content: Any) -> str:
    """Digest of bytes."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def bytes_of(tensor: torch.Tensor) -> bytes:
    """Bytes of a tensor on any device, whatever its class."""
    with torch._C.DisableTorchFunctionSubclass():
        parts, more = parts_of(tensor)
        flat = [part.detach().cpu().contiguous().flatten().view(torch.uint8) for part in parts]
        return b"".join(part.numpy().tobytes() for part in flat) + more.encode()


def parts_of(tensor: torch.Tensor) -> tuple[list[torch.Tensor], str]:
    """Plain tensors that a tensor is made of, and in words what its class keeps beside them."""
    if hasattr(tensor, "__tensor_flatten__"):
        names, context = tensor.__tensor_flatten__()
        inner = [parts_of(getattr(tensor, name)) for name in names]
        return [part for parts, _ in inner for part in parts], f"{context}{[m for _, m in inner]}"
    if type(tensor) in (torch.Tensor, torch.nn.Parameter):
        return [tensor], ""
    large = torch.Tensor | torch.nn.Module
    own = {k: v for k, v in vars(tensor).items() if k[0] != "_" and not isinstance(v, large)}
    return [tensor], str(content_of(own, "", set()))
