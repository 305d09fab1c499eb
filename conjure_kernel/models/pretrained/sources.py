"""Where a model's files are, and how a pipeline is read from them: folders, single files, adapters.

Its fingerprint is made of the bytes of these files, so that it is known without reading weights.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open

from conjure_kernel._checks import check_number
from conjure_kernel.models.pretrained.fingerprint import fingerprint_file, fingerprint_folder
from conjure_kernel.models.pretrained.instrument import quiet

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["Source", "find_source", "is_adapter"]

# Parts of the names of weights that only one family has, the most telling first.
FAMILIES = {
    "conditioner.embedders.1": "StableDiffusionXLPipeline",
    "joint_blocks": "StableDiffusion3Pipeline",
    "double_blocks": "FluxPipeline",
    "cond_stage_model": "StableDiffusionPipeline",
}
ADAPTERS = ("lora", "hada_w")  # what the names of weights that are added to others hold


@dataclass(frozen=True)
class Source:
    """Files of a model: the folder of a pipeline, or one file of weights, and its adapters.

    Attributes
    ----------
    path : Path
        The folder or the file.
    variant : str, optional
        Variant of the files in a folder, such as "fp16".
    config : str, optional
        For a single file: a folder or hub id whose configs and tokenizers belong to the weights.
    adapters : dict of Path to float
        LoRA files and their scales.
    """

    path: Path
    variant: str | None = None
    config: str | None = None
    adapters: Mapping[Path, float] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Digest of the bytes of all files, and of the scales of adapters."""
        if self.path.is_dir():
            own = fingerprint_folder(self.path)
        else:
            own = fingerprint_file(self.path).hex() + str(self.config)
            if self.config is not None and Path(self.config).is_dir():
                own = fingerprint_file(self.path).hex() + fingerprint_folder(Path(self.config))
        if not self.adapters:
            return own
        parts = sorted((fingerprint_file(file).hex(), s) for file, s in self.adapters.items())
        return hashlib.blake2b(json.dumps([own, parts]).encode(), digest_size=16).hexdigest()

    def read(self, dtype: torch.dtype) -> DiffusionPipeline:
        """The pipeline in memory, in this dtype."""
        import diffusers

        with quiet():
            if self.path.is_dir():
                pipeline = diffusers.DiffusionPipeline.from_pretrained(
                    self.path,
                    variant=self.variant,
                    dtype=dtype,
                    use_safetensors=True,
                    local_files_only=True,
                    **self._left_out(),
                )
            else:
                kind: Any = getattr(diffusers, self._class_name())
                options = {} if self.config is None else {"config": self.config}
                pipeline = kind.from_single_file(str(self.path), torch_dtype=dtype, **options)
            return self._adapted(pipeline)

    def is_stored_in_bfloat16(self) -> bool:
        """Tell whether the weights were published in bfloat16, and may overflow in float16."""
        paths = [self.path]
        if self.path.is_dir():
            paths = [p for n in ("unet", "transformer") for p in (self.path / n).glob("*.safe*rs")]
        for path in sorted(paths)[:1]:
            with safe_open(path, "pt") as weights:
                return weights.get_slice(next(iter(weights.keys()))).get_dtype() == "BF16"
        return False

    def _left_out(self) -> dict[str, None]:
        """Parts that a folder was saved without, which diffusers wants to be told."""
        index = json.loads((self.path / "model_index.json").read_text(encoding="utf-8"))
        return {name: None for name, part in index.items() if part == [None, None]}

    def _class_name(self) -> str:
        """Name of the pipeline class of a single file."""
        if self.config is not None and Path(self.config, "model_index.json").is_file():
            index = json.loads(Path(self.config, "model_index.json").read_text(encoding="utf-8"))
            return index["_class_name"]
        with safe_open(self.path, "pt") as weights:
            names = list(weights.keys())
        for part, name in FAMILIES.items():
            if any(part in key for key in names):
                return name
        raise OSError(
            f"model {str(self.path)!r}: expected the weights of a whole Stable Diffusion, XL, 3 or "
            "Flux checkpoint; name the folder of a pipeline like it with config=..., or load it "
            "yourself and pass the pipeline."
        )

    def _adapted(self, pipeline: Any) -> Any:
        if not self.adapters:
            return pipeline
        if not hasattr(pipeline, "load_lora_weights"):
            raise ValueError(f"adapters: {type(pipeline).__name__} takes none; leave them out.")
        names = [f"adapter_{i}" for i in range(len(self.adapters))]
        for name, path in zip(names, self.adapters, strict=True):
            try:
                pipeline.load_lora_weights(
                    str(path.parent), weight_name=path.name, adapter_name=name
                )
            except Exception as error:  # a file of other weights may raise anything
                kind = ImportError if isinstance(error, ImportError) else ValueError
                raise kind(
                    f"adapters: {str(path)!r} could not be loaded ({str(error)[:200]}); expected a "
                    "LoRA file of this model, and the package peft."
                ) from error
        pipeline.set_adapters(names, list(self.adapters.values()))
        for part in pipeline.components.values():
            if isinstance(part, torch.nn.Module):
                part.eval()  # what is added is in training mode
        return pipeline


def is_adapter(model: Any) -> bool:
    """Whether a model's name is that of a LoRA file, and not of a whole checkpoint."""
    if not isinstance(model, str | os.PathLike):
        return False
    file = Path(model).expanduser()
    if file.suffix != ".safetensors" or not file.is_file():
        return False
    with safe_open(file, "pt") as weights:
        return any(part in key.lower() for key in weights.keys() for part in ADAPTERS)


def find_source(
    model: str,
    revision: str | None = None,
    variant: str | None = None,
    token_env: str | None = None,
    config: str | None = None,
    adapters: Mapping[Any, float] | None = None,
) -> Source:
    """Find a model's files here or on the hub; OSError if it is in neither place."""
    checked = {}
    for name, scale in (adapters or {}).items():
        path = Path(name).expanduser()
        if not path.is_file():
            raise OSError(f"adapters: {str(path)!r} is no file; pass a LoRA's .safetensors file.")
        checked[path] = check_number(scale, "adapters", least=-100)
    file = Path(model).expanduser()
    if file.suffix == ".safetensors" and file.is_file():
        return Source(file, None, config, checked)
    if config is not None:
        raise ValueError(
            f"config={config!r}: expected only with a single .safetensors file, got {model!r}."
        )
    return Source(_find_folder(model, revision, variant, token_env), variant, None, checked)


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
    if not _is_hub_id(model):
        raise OSError(
            f"model {model!r}: expected a folder or file that exists, got a path with nothing "
            "there; pass 'embedded', a hub id or a path that exists."
        )
    from diffusers import DiffusionPipeline

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


def _is_hub_id(name: str) -> bool:
    """Whether a name that is no file here may be one of the hub: no path, and no name of a file."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return not name.endswith((".safetensors", ".ckpt", ".bin", ".json"))


def _token(token_env: str | None) -> str | None:
    if token_env is None:
        return None
    if token_env not in os.environ:
        raise ValueError(
            f"token_env={token_env!r}: expected the name of an environment variable that is set; "
            "set it, or leave token_env out."
        )
    return os.environ[token_env]
