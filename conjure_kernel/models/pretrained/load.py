"""Pipelines by name, folder or object: `load_denoiser`.

"embedded" is the small model that ships with the package; it is loaded as any folder is.
"""

from __future__ import annotations

import getpass
import os
import pickle
import tempfile
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch
from diffusers import DiffusionPipeline
from filelock import FileLock, Timeout
from safetensors import safe_open

from conjure_kernel._checks import quote
from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.pretrained.fingerprint import fingerprint_call, fingerprint_folder
from conjure_kernel.models.pretrained.instrument import quiet
from conjure_kernel.models.pretrained.pipeline import PretrainedDenoiser
from conjure_kernel.models.pretrained.single_step import compute_dtype, network_of

__all__ = ["load_denoiser", "open_denoiser"]

DTYPES = ("auto", "float32", "float16", "bfloat16")
_OPENED: WeakValueDictionary[bytes, Denoiser] = WeakValueDictionary()
_TAKEN: list[FileLock] = []


def load_denoiser(
    model: Any = "embedded",
    *,
    revision: str | None = None,
    variant: str | None = None,
    token_env: str | None = None,
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
        measured as it is and not changed.
    revision, variant : str, optional
        Branch, tag or commit on the hub; file variant such as "fp16".
    token_env : str, optional
        The NAME of the environment variable that holds a hub token.
    device : str
        "auto" takes CUDA, then Apple's MPS, then the CPU.
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
    options |= {"device": device, "dtype": dtype, "compile": compile}
    return open_denoiser(model, **options, **call_kwargs).load()


def open_denoiser(
    model: Any,
    *,
    revision: str | None = None,
    variant: str | None = None,
    token_env: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    compile: bool = False,
    **call_kwargs: Any,
) -> Denoiser:
    """Do what `load_denoiser` does, but read the weights only when they are needed."""
    given = (device, dtype, compile)
    if isinstance(model, Denoiser | DiffusionPipeline) and given != ("auto", "auto", False):
        raise ValueError(
            f"device={device!r}, dtype={dtype!r}, compile={compile!r}: expected the defaults, as a "
            "model that is passed in stays where and as it is; move it yourself with .to(...) and "
            "leave them out."
        )
    if isinstance(model, Denoiser):
        return model
    if isinstance(model, DiffusionPipeline):
        return _from_object(model, call_kwargs)
    if not isinstance(model, str | os.PathLike):
        raise TypeError(
            f"model={quote(model)}: expected 'embedded', a hub id, a folder, a diffusers pipeline "
            f"or a Denoiser, got {type(model).__name__}; pass one of these."
        )
    place = _pick_device(device)
    folder = _find_folder(os.fspath(model), revision, variant, token_env)
    number = _pick_dtype(dtype, place, folder)
    overflows = dtype == "auto" and number == torch.float16

    def read(number: torch.dtype) -> DiffusionPipeline:
        if place.type == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                f"device={device!r}: expected a GPU that this build of PyTorch can use, got none; "
                "use 'cpu' or 'auto', or install PyTorch with CUDA."
            )
        pipeline = _read_pipeline(folder, variant, number).to(place)
        if place.type == "cuda":  # convolutions; on CPUs it gained nothing
            network: Any = network_of(pipeline)
            network.to(memory_format=torch.channels_last)
        return pipeline

    again: dict[str, Any] = {"revision": revision, "variant": variant, "token_env": token_env}
    again |= {"device": device, "dtype": str(number).removeprefix("torch."), "compile": compile}
    return PretrainedDenoiser(
        open_pipeline=read,
        name=os.fspath(model),
        fingerprint=lambda: fingerprint_folder(folder),
        dtype=number,
        call_kwargs=call_kwargs,
        reopen=(_reopen, (os.fspath(model), again | call_kwargs)),
        compiled=compile,
        spare_dtype=torch.bfloat16 if overflows else None,
    )


def _reopen(model: str, options: dict[str, Any]) -> Denoiser:
    """Open what a pickle names in another process: one object for each model."""
    key = pickle.dumps((model, options))
    if (opened := _OPENED.get(key)) is None:
        opened = open_denoiser(model, **{**options, "device": _own_device(options["device"])})
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


def _from_object(pipeline: DiffusionPipeline, call_kwargs: dict[str, Any]) -> Denoiser:
    """Denoiser around a pipeline: the same one while anybody uses it, so that it learns once."""
    content, unnamed = fingerprint_call(call_kwargs)
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
    )
    if not unnamed:
        _OPENED[key] = made
    return made


def _find_folder(
    model: str, revision: str | None, variant: str | None, token_env: str | None
) -> Path:
    if model == "embedded":
        return Path(str(files("conjure_kernel.models") / "embedded" / "model"))
    if (folder := Path(model).expanduser()).is_dir():
        if not (folder / "model_index.json").is_file():  # before gigabytes are hashed
            raise OSError(
                f"model {str(folder)!r} has no model_index.json: expected a folder made by a "
                "pipeline's save_pretrained; pass such a folder."
            )
        return folder
    token = _token(token_env)
    try:
        snapshot = DiffusionPipeline.download(
            model,
            revision=revision,
            variant=variant,
            token=token,
            use_safetensors=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise OSError(
            f"model {model!r}: not a folder here, and the hub did not give it "
            f"({type(error).__name__}: {str(error).strip().splitlines()[0][:160]}); if it was "
            "removed or renamed, try a mirror's id or an earlier revision=...; for a private one "
            "name its token with token_env=...; offline, pass the folder of a pipeline saved with "
            "save_pretrained, or model='embedded'."
        ) from error
    return Path(snapshot)


def _token(token_env: str | None) -> str | None:
    if token_env is None:
        return None
    if token_env not in os.environ:
        raise ValueError(
            f"token_env={token_env!r}: expected the name of an environment variable that is set; "
            "set it, or leave token_env out."
        )
    return os.environ[token_env]


def _read_pipeline(folder: Path, variant: str | None, dtype: torch.dtype) -> DiffusionPipeline:
    with quiet():
        return DiffusionPipeline.from_pretrained(
            folder, variant=variant, dtype=dtype, use_safetensors=True, local_files_only=True
        )


def _pick_device(device: str) -> torch.device:
    if device != "auto":
        try:
            return torch.device(device)
        except RuntimeError:
            need = "expected 'auto', 'cpu', 'cuda' or another device of torch"
            raise ValueError(f"device={device!r}: {need}.") from None
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _pick_dtype(
    dtype: str | torch.dtype, device: torch.device, folder: Path | None = None
) -> torch.dtype:
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise ValueError(f"dtype={dtype!r}: expected one of {', '.join(map(repr, DTYPES))}.")
    if name != "auto":
        return getattr(torch, name)
    if device.type == "cpu":
        return torch.bfloat16 if _has_bfloat16() else torch.float32
    if device.type == "mps":
        return torch.float32
    return torch.bfloat16 if folder and _is_stored_in_bfloat16(folder) else torch.float16


def _is_stored_in_bfloat16(folder: Path) -> bool:
    """Tell whether the weights were published in bfloat16, and may overflow in float16."""
    for name in ("unet", "transformer"):
        for path in sorted((folder / name).glob("*.safetensors"))[:1]:
            with safe_open(path, "pt") as weights:
                return weights.get_slice(next(iter(weights.keys()))).get_dtype() == "BF16"
    return False


def _has_bfloat16() -> bool:
    """Tell whether this processor multiplies bfloat16 itself, at twice the speed of float32."""
    capabilities: Any = getattr(torch.cpu, "get_capabilities", dict)()  # older PyTorch cannot tell
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
