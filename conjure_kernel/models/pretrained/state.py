"""What is in a pipeline now: read when it is loaded, and again to see whether it has changed."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import torch

from conjure_kernel.models.pretrained.content import (
    content_of,
    digest_of,
    glance,
    module_facts,
    parts_of,
)

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["State", "check_evaluation_mode", "glance_at", "modules_of", "read_facts", "read_state"]

UNREAD = "safety_checker"  # of pictures, which no measurement reads
BOOKKEEPING = {"architectures", "dtype", "torch_dtype", "transformers_version"}
IGNORED = {*BOOKKEEPING, UNREAD, f"requires_{UNREAD}"}
INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
RANDOM = ("Dropout", "BatchNorm", "DropPath", "FeatureAlpha")  # in names of modules in training
STAGES = ("normalizer", "pre_tokenizer", "post_processor", "decoder")  # of a fast tokenizer
_RULES: WeakKeyDictionary[Any, tuple[Any, str]] = WeakKeyDictionary()


class State(NamedTuple):
    """Digest of all that is no weight, sums of all weights, and what has no content."""

    facts: str
    weights: list[tuple[str, int, int]]
    unnamed: frozenset[str]


def read_state(pipeline: DiffusionPipeline) -> State:
    """State of a pipeline in memory, which another process would write in another way."""
    facts, unnamed = read_facts(pipeline)
    return State(facts, _weigh(pipeline), frozenset(unnamed))


def read_facts(pipeline: DiffusionPipeline) -> tuple[str, set[str]]:
    """Digest of all that is no weight and changes a prediction; what in it has no content.

    Read are classes, configs, tokenizers, the scheduler's table, adapters, attention processors,
    hooks, patched forwards, and the public attributes of the pipeline and of every module.
    """
    unnamed: set[str] = set()
    kind, own = type(pipeline), vars(pipeline).items()
    facts: list[Any] = [f"{kind.__module__}.{kind.__qualname__}", _public(pipeline.config)]
    plain = [(k, v) for k, v in sorted(own) if isinstance(v, bool | int | float | str)]
    facts += [(k, v) for k, v in plain if not k.startswith(("_", "fusing_"))]
    patched = {k: v for k, v in own if inspect.isroutine(v) or inspect.ismethod(v)}
    facts.append(content_of(patched, "a patched method of the pipeline", unnamed))
    for name, component in sorted(pipeline.components.items()):
        if name == UNREAD:
            continue
        facts += [name, *_facts_of(name, component, unnamed)]
    return hashlib.blake2b(_json(facts), digest_size=16).hexdigest(), unnamed


def glance_at(pipeline: DiffusionPipeline) -> int:
    """Hash of the plain numbers in `read_state`, cheap enough for every call of the pipeline."""
    modules = [m for name, m in modules_of(pipeline) if not name.startswith("vae")]
    return hash(repr([list(glance(module)) for module in modules]))


def check_evaluation_mode(pipeline: DiffusionPipeline, name: str) -> None:
    """Raise ValueError if a module, or a part of one that draws random numbers, is in training.

    Or if a network skips work in steps that are like the one before.
    """
    for place, module in modules_of(pipeline):
        if getattr(module, "is_cache_enabled", False):
            raise ValueError(
                f"{name}: expected a network that sees each state anew, got {place} with a cache "
                f"that is carried from step to step; call pipeline.{place}.disable_cache()."
            )
        parts = [
            (f"{place}.{path}".rstrip("."), part)
            for path, part in module.named_modules()
            if part.training
            and (part is module or any(word in type(part).__name__ for word in RANDOM))
            and getattr(part, "p", 1) != 0
        ]
        for path, part in parts:
            raise ValueError(
                f"{name}: expected evaluation mode, got {path} ({type(part).__name__}) in training "
                f"mode; call .eval() on pipeline.{place}."
            )


def _weigh(pipeline: DiffusionPipeline) -> list[tuple[str, int, int]]:
    """Name, version and sum of every tensor in memory: cheap, and for one process only."""
    sums, names = list[torch.Tensor](), []
    for name, component in modules_of(pipeline):
        every = [*component.named_parameters(), *component.named_buffers()]
        for key, tensor in every:
            if not tensor.is_meta:
                version = 0 if tensor.is_inference() else tensor._version
                names.append((f"{name}.{key}", version))
                sums.append(_sum_of(tensor.detach()))
    return [(*named, int(total)) for named, total in zip(names, sums, strict=True)]


def _facts_of(name: str, component: Any, unnamed: set[str]) -> Iterator[Any]:
    component = getattr(component, "_orig_mod", component)
    yield type(component).__qualname__
    config: Any = getattr(component, "config", None)
    if hasattr(config, "items") or hasattr(config, "to_dict"):
        yield _public(config.to_dict() if hasattr(config, "to_dict") else config)
    if isinstance(table := getattr(component, "alphas_cumprod", None), torch.Tensor):
        yield content_of(table, name, unnamed)
    if hasattr(component, "get_vocab"):
        yield _tokenizer_facts(component)
    if isinstance(component, torch.nn.Module) and not name.startswith("vae"):
        yield from module_facts(component, name, unnamed)


def modules_of(pipeline: DiffusionPipeline) -> Iterator[tuple[str, torch.nn.Module]]:
    """Names and modules of a pipeline, without the wrappers of torch.compile."""
    for name, component in sorted(pipeline.components.items()):
        module = getattr(component, "_orig_mod", component)
        if isinstance(module, torch.nn.Module) and name != UNREAD:
            yield name, module


def _sum_of(tensor: torch.Tensor) -> torch.Tensor:
    """Sum of a tensor's bits as integers; of a subclass, of what it is made of."""
    with torch._C.DisableTorchFunctionSubclass():
        sums = [_bits_of(part).sum(dtype=torch.int64) for part in parts_of(tensor)[0]]
        return sum(sums[1:], sums[0])


def _bits_of(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    return tensor if tensor.dtype == torch.bool else tensor.view(INTEGERS[tensor.element_size()])


def _json(facts: Any) -> bytes:
    return json.dumps(facts, sort_keys=True, default=str).encode()


def _public(config: Any) -> dict[str, Any]:
    """Fields of a config that change what a component does, not how it was made or saved."""
    return {k: v for k, v in dict(config).items() if k[0] != "_" and k not in IGNORED}


def _tokenizer_facts(tokenizer: Any) -> dict[str, Any]:
    """Everything that turns text into tokens, without what a fast tokenizer keeps of a call."""
    limits = (tokenizer.model_max_length, tokenizer.padding_side, tokenizer.truncation_side)
    facts = {"limits": limits, "special": tokenizer.special_tokens_map}
    if (backend := getattr(tokenizer, "backend_tokenizer", None)) is None:
        return facts | {"vocabulary": tokenizer.get_vocab()}
    mark = (id(backend), len(tokenizer), *_settings_of(backend))
    if (known := _RULES.get(tokenizer)) is None or known[0] != mark:
        rules = json.loads(backend.to_str())
        rules = {k: v for k, v in rules.items() if k not in ("truncation", "padding")}
        known = _RULES[tokenizer] = mark, digest_of(_json(rules))
    return facts | {"rules": known[1]}


def _settings_of(backend: Any) -> list[Any]:
    """What can be edited in a fast tokenizer without another vocabulary; cheap to read."""
    parts = (getattr(backend, name) for name in STAGES)
    stages = [None if part is None else part.__getstate__() for part in parts]
    model = backend.model
    options = {name: getattr(model, name) for name in dir(model) if not name.startswith("_")}
    return [*stages, {n: v for n, v in options.items() if not callable(v)}]
