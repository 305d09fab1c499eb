"""A device that is not there: tensors that say `sim:0`, with their data on the CPU.

The rules are those of a real accelerator: tensors of two devices do not mix (but for numbers, and
for copies), `.numpy()` is refused, and a generator of the CPU draws on the CPU. So a path that
works here does not forget to move something.
"""

import functools

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

NAME = "sim"
MOVES = ("_to_copy", "copy_", "to", "index_put_", "index_put", "index")
_SEEN = {"calls": 0, "moves": 0}


@functools.cache
def register():
    """Give torch's private backend this name, once in a process."""
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend(NAME)


class Simulated(torch.Tensor):
    """A tensor on the simulated device; `raw` has its data."""

    @staticmethod
    def __new__(cls, raw):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            raw.size(),
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=torch.device(NAME, 0),
            requires_grad=False,
        )
        made.raw = raw
        return made

    def __repr__(self):
        return f"Simulated({self.raw!r})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})


class Device(TorchDispatchMode):
    """Within it, the simulated device is there."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})


def dispatch(func, args, kwargs):
    name = func._schema.name.partition("::")[2]
    given = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, torch.Tensor)]
    there = [isinstance(t, Simulated) for t in given]
    target = kwargs.get("device")
    asked = None if target is None else torch.device(target).type == NAME
    if any(there) and name not in MOVES:
        for tensor, is_there in zip(given, there, strict=True):
            if not is_there and tensor.dim() > 0:
                raise RuntimeError(
                    f"{name}: expected all tensors to be on the same device, but found at least "
                    f"two devices, {NAME}:0 and {tensor.device}!"
                )
    generator = kwargs.get("generator")
    if (asked or (asked is None and any(there))) and isinstance(generator, torch.Generator):
        raise RuntimeError(f"{name}: expected a {NAME} device type for generator, got cpu.")
    if asked is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if kwargs.get("pin_memory"):
        kwargs = {**kwargs, "pin_memory": False}
    raw_args, raw_kwargs = tree_map(_raw, (args, kwargs))
    _SEEN["calls"] += any(there)
    made = func(*raw_args, **raw_kwargs)
    if name == "copy_" or (name.endswith("_") and not name.endswith("__")):
        return args[0]
    if "out" in kwargs:
        return kwargs["out"]
    stays = any(there) if asked is None else asked
    if asked is not None and given and asked != any(there):
        _SEEN["moves"] += 1
    return tree_map(_wrap, made) if stays else made


def _raw(value):
    return value.raw if isinstance(value, Simulated) else value


def _wrap(value):
    return Simulated(value) if isinstance(value, torch.Tensor) else value


def to_device(pipe):
    """Put every module of a pipeline on the device, buffers too."""
    register()
    with Device(), torch.no_grad():
        for module in pipe.components.values():
            if isinstance(module, torch.nn.Module):
                for part in module.modules():
                    for name, weight in list(part._parameters.items()):
                        if weight is not None:
                            moved = Simulated(weight.detach().clone())
                            part._parameters[name] = torch.nn.Parameter(moved, requires_grad=False)
                    for name, buffer in list(part._buffers.items()):
                        if buffer is not None:
                            part._buffers[name] = Simulated(buffer.clone())
    return pipe


def reopen(name, options, fingerprint):
    """Open the model of a path in a worker, on a device of its own."""
    opened = _open(name)
    assert opened.fingerprint == fingerprint
    return opened


@functools.cache
def _open(name):
    from conjure_kernel.models.pretrained.load import load_denoiser
    from paths import PATHS

    register()
    Device().__enter__()  # until the process ends
    return load_denoiser(to_device(PATHS[name].models()[0]))
