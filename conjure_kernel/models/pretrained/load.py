"""Pipelines by name, folder or object: `load_denoiser`.

"embedded" is the small model that ships with the package; it is loaded as any folder is.
"""

from __future__ import annotations

import getpass
import os
import pickle
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import torch
from filelock import FileLock, Timeout

from conjure_kernel._checks import quote
from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.pretrained.arguments import owned
from conjure_kernel.models.pretrained.embeddings import Embeddings, check_embeddings
from conjure_kernel.models.pretrained.fingerprint import fingerprint_call
from conjure_kernel.models.pretrained.pipeline import PretrainedDenoiser
from conjure_kernel.models.pretrained.single_step import compute_dtype, networks_of
from conjure_kernel.models.pretrained.sources import Source, find_source

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["has_bfloat16", "load_denoiser", "open_denoiser"]

DTYPES = ("auto", "float32", "float16", "bfloat16")
UNTOUCHED = ("auto", "auto", False, None, None)
OTHER_GPUS = ("xpu", "npu")
_OPENED: WeakValueDictionary[bytes, Denoiser] = WeakValueDictionary()
_TAKEN: list[FileLock] = []


def load_denoiser(
    model: Any = "embedded",
    *,
    revision: str | None = None,
    variant: str | None = None,
    token_env: str | None = None,
    config: str | None = None,
    adapters: Mapping[Any, float] | None = None,
    embeddings: Mapping[str, Any] | None = None,
    device: str = "auto",
    dtype: str = "auto",
    compile: bool = False,
    **call_kwargs: Any,
) -> Denoiser:
    """Load a text-to-image diffusion model, ready to be measured.

    Parameters
    ----------
    model : str, path or DiffusionPipeline
        "embedded" (ships with the package), a folder made by `save_pretrained`, a hub id such as
        "stable-diffusion-v1-5/stable-diffusion-v1-5", or a pipeline of your own, which is
        measured as it is and not changed. A whole checkpoint in one .safetensors file, too.
    revision, variant : str, optional
        Branch, tag or commit on the hub; file variant such as "fp16".
    token_env : str, optional
        The NAME of the environment variable that holds a hub token.
    config : str, optional
        For a single file: a folder or hub id with the configs that belong to its weights.
    adapters : dict of path to float, optional
        LoRA files and their scales, for a model by name; needs the package peft.
    embeddings : dict of str to tensor or dict of tensors
        Prompts that are no text of the encoders: a name, and the arguments of the pipeline's call
        that stand for it (`prompt_embeds` alone, or with `pooled_prompt_embeds` and the like), as
        Compel and other programs make them, of one row each. The name is used as any prompt is.
    device : str
        "auto" takes CUDA, then Apple's MPS, then another accelerator (XPU, NPU), then the CPU.
    dtype : {"auto", "float32", "float16", "bfloat16"}
        "auto" is bfloat16 on a GPU for weights that were published in it; for others float16, or
        bfloat16 where they overflow. Elsewhere it is bfloat16 on processors that multiply it
        themselves (AVX-512 BF16, AMX), else float32: docs/engine.md says what that costs.
    compile : bool
        Whether to compile the network with `torch.compile`, which takes a minute or more at the
        first full call and makes later ones faster. Short calls are filled up, so that there is
        one graph (two with guidance).
    **call_kwargs
        Passed on to every call of the pipeline, e.g. height=512, width=512.

    Returns
    -------
    denoiser : Denoiser
        The model with its weights in memory: `trace`, `predict`, `decode` and `fingerprint`.

    Raises
    ------
    OSError
        The model is no folder with a pipeline, and the hub does not give it.
    TypeError
        `model` is none of these kinds, or one of `call_kwargs` is unknown or is chosen by each
        measurement.
    ValueError
        Its scheduler, guidance or layout cannot be measured, or device or dtype are given for a
        pipeline object.

    Examples
    --------
    >>> load_denoiser("embedded").shape
    (4, 8, 8)
    """
    options: dict[str, Any] = {"revision": revision, "variant": variant, "token_env": token_env}
    options |= {"config": config, "adapters": adapters, "embeddings": embeddings}
    options |= {"device": device, "dtype": dtype, "compile": compile}
    return open_denoiser(model, **options, **call_kwargs).load()


def open_denoiser(
    model: Any,
    *,
    revision: str | None = None,
    variant: str | None = None,
    token_env: str | None = None,
    config: str | None = None,
    adapters: Mapping[Any, float] | None = None,
    embeddings: Mapping[str, Any] | None = None,
    device: str = "auto",
    dtype: str = "auto",
    compile: bool = False,
    **call_kwargs: Any,
) -> Denoiser:
    """Do what `load_denoiser` does, but read the weights only when they are needed."""
    given, embeddings = (device, dtype, compile, config, adapters), check_embeddings(embeddings)
    call_kwargs = owned(call_kwargs)
    is_pipeline = _is_pipeline(model)
    if (is_pipeline or isinstance(model, Denoiser)) and given != UNTOUCHED:
        raise ValueError(
            f"device={device!r}, dtype={dtype!r}, compile={compile!r}: expected the defaults, as a "
            "model that is passed in stays where and as it is; move it or load its adapters "
            "yourself and leave them out."
        )
    if isinstance(model, Denoiser):
        return model
    if is_pipeline:
        return _from_object(model, call_kwargs, embeddings)
    if not isinstance(model, str | os.PathLike):
        raise TypeError(
            f"model={quote(model)}: expected 'embedded', a hub id, a folder, a .safetensors "
            f"file, a diffusers pipeline or a Denoiser, got {type(model).__name__}; pass one (of "
            "a modular pipeline, the DiffusionPipeline of the same components)."
        )
    place = _pick_device(device)
    source = find_source(os.fspath(model), revision, variant, token_env, config, adapters)
    number = _pick_dtype(dtype, place, source)
    overflows = dtype == "auto" and number == torch.float16

    def read(number: torch.dtype) -> DiffusionPipeline:
        if place.type == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                f"device={device!r}: expected a GPU that this build of PyTorch can use, got none; "
                "use 'cpu' or 'auto', or install PyTorch with CUDA."
            )
        pipeline = source.read(number).to(place)
        if place.type == "cuda":  # convolutions; on CPUs it gained nothing
            for network in networks_of(pipeline):
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return pipeline

    again: dict[str, Any] = {"revision": revision, "variant": variant, "token_env": token_env}
    again |= {"config": config, "adapters": adapters, "embeddings": embeddings}
    again |= {"device": device, "dtype": str(number).removeprefix("torch."), "compile": compile}
    return PretrainedDenoiser(
        open_pipeline=read,
        name=os.fspath(model),
        fingerprint=source.fingerprint,
        dtype=number,
        call_kwargs=call_kwargs,
        reopen=(_reopen, (os.fspath(model), again | call_kwargs)),
        compiled=compile,
        spare_dtype=torch.bfloat16 if overflows else None,
        embeddings=embeddings,
    )


def _is_pipeline(model: Any) -> bool:
    """Whether it is an object of diffusers, which is not imported for the sake of a name."""
    if isinstance(model, str | os.PathLike | Denoiser):
        return False
    from diffusers import DiffusionPipeline

    return isinstance(model, DiffusionPipeline)


def _reopen(model: str, options: dict[str, Any], fingerprint: str) -> Denoiser:
    """Open what a pickle names in another process: one object for each model."""
    key = pickle.dumps((model, options, fingerprint))
    if (opened := _OPENED.get(key)) is None:
        opened = open_denoiser(model, **{**options, "device": _own_device(options["device"])})
        if opened.fingerprint != fingerprint:
            raise ValueError(
                f"model={model!r}: expected the model that was pickled, with fingerprint "
                f"{fingerprint}, got another one, {opened.fingerprint}; restore its files."
            )
        _OPENED[key] = opened
    return opened


def _own_device(device: str) -> str:
    """The device, or with several GPUs and "auto" one that no other worker here has taken."""
    if device != "auto" or (count := torch.cuda.device_count()) < 2:
        return device
    for i in range(count):
        name = getattr(torch.cuda.get_device_properties(i), "uuid", i)
        lock = FileLock(Path(tempfile.gettempdir(), f"conjure_kernel-{getpass.getuser()}-{name}"))
        with suppress(Timeout):
            lock.acquire(timeout=0)
            _TAKEN.append(lock)  # until this process ends
            return f"cuda:{i}"
    return f"cuda:{os.getpid() % count}"


def _from_object(
    pipeline: DiffusionPipeline, call_kwargs: dict[str, Any], embeddings: Embeddings
) -> Denoiser:
    """Denoiser around a pipeline: the same one while anybody uses it, so that it learns once."""
    content, unnamed = fingerprint_call({**call_kwargs, "embeddings": embeddings})
    key = pickle.dumps((id(pipeline), content))
    if not unnamed and (opened := _OPENED.get(key)) is not None:
        opened.refresh()
        return opened
    made = PretrainedDenoiser(
        open_pipeline=lambda dtype: pipeline,
        name=type(pipeline).__name__,
        fingerprint=None,
        dtype=compute_dtype(pipeline),
        call_kwargs=call_kwargs,
        embeddings=embeddings,
    )
    if not unnamed:
        _OPENED[key] = made
    return made


def _pick_device(device: str) -> torch.device:
    if device != "auto":
        try:
            return torch.device(device)
        except RuntimeError:
            need = "expected 'auto', 'cpu', 'cuda' or another device of torch"
            raise ValueError(f"device={device!r}: {need}.") from None
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    accelerator: Any = getattr(torch, "accelerator", None)  # older PyTorch has none
    if accelerator and accelerator.is_available():
        found = accelerator.current_accelerator()
        if found.type in OTHER_GPUS:
            return found
    return torch.device("cpu")


def _pick_dtype(
    dtype: str | torch.dtype, device: torch.device, source: Source | None = None
) -> torch.dtype:
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise ValueError(f"dtype={dtype!r}: expected one of {', '.join(map(repr, DTYPES))}.")
    if name != "auto":
        return getattr(torch, name)
    if device.type == "cpu":
        return torch.bfloat16 if has_bfloat16() else torch.float32
    if device.type == "mps":
        return torch.float32
    return torch.bfloat16 if source and source.is_stored_in_bfloat16() else torch.float16


def has_bfloat16() -> bool:
    """Tell whether this processor multiplies bfloat16 itself, at twice the speed of float32."""
    capabilities: Any = getattr(torch.cpu, "get_capabilities", dict)()  # older PyTorch cannot tell
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
