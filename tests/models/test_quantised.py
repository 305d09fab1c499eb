"""Networks whose weights are not numbers of one dtype, as quantisers leave them.

The stand-ins do what GGUF, torchao and bitsandbytes do, none of which is needed here: the weights
are bytes of a class that answers torch itself, or are packed anew whenever a `state_dict` is asked
for; a method is bound to a partial; rows are rounded together.
"""

import functools
import types

import pytest
import torch

import pipelines
from conjure_kernel import pairwise_divergence
from conjure_kernel.models.pretrained.fingerprint import fingerprint_pipeline
from conjure_kernel.models.pretrained.load import load_denoiser
from measured import IGNORED, A, B

pytestmark = [pytest.mark.filterwarnings(IGNORED), pytest.mark.filterwarnings("ignore:n_draws=1")]
RUN = {"n_steps": 2, "n_draws": 1, "chains_per_draw": 1, "check_steps": 0, "memory": None}


class Bytes(torch.nn.Parameter):
    """Weights as bytes; what torch makes of them is of this class again, and has a kind."""

    def __new__(cls, data, kind="eight bits"):
        made = torch.Tensor._make_subclass(cls, data, False)
        made.kind = kind
        return made

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        made = super().__torch_function__(func, types, args, kwargs or {})
        if isinstance(made, torch.Tensor) and made.ndim < 2:
            raise IndexError("tuple index out of range")
        return made


class Quantised(torch.nn.Linear):
    """A layer that computes in the dtype of its input."""

    @classmethod
    def of(cls, layer, kind="eight bits"):
        scale = float(layer.weight.abs().max()) / 127
        levels = (layer.weight / scale).round().to(torch.int8).view(torch.uint8)
        layer.__class__, layer.scale = cls, scale
        layer.weight = Bytes(levels, kind)
        return layer

    def forward(self, x):
        with torch._C.DisableTorchFunctionSubclass():
            weight = self.weight.view(torch.int8).to(x.dtype)
        return torch.nn.functional.linear(x, self.scale * weight, self.bias)

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        self.weight.data.add_(1)  # packed in another way
        super()._save_to_state_dict(destination, prefix, keep_vars)


def linears(pipe):
    blocks = pipe.transformer.transformer_blocks
    return [m for m in blocks.modules() if isinstance(m, torch.nn.Linear)]


def quantised(dtype=torch.float32, kind="eight bits"):
    pipe = pipelines.stable_diffusion_3().to(dtype)
    for layer in linears(pipe):
        Quantised.of(layer, kind)
    pipe.transformer.hf_quantizer = types.SimpleNamespace(compute_dtype=dtype)
    first = pipe.transformer._parameters
    pipe.transformer._parameters = {"first": Bytes(torch.zeros(2, 2, dtype=torch.uint8)), **first}
    return pipe


def test_quantised_weights_are_measured_and_named_by_content():
    plain, pipe = pipelines.stable_diffusion_3(), quantised()
    found = pairwise_divergence([A, B], model=pipe, **RUN).values[0, 1]
    assert found == pytest.approx(
        pairwise_divergence([A, B], model=plain, **RUN).values[0, 1], rel=0.2
    )
    names = [fingerprint_pipeline(p) for p in (pipe, quantised(), quantised(kind="four bits"))]
    assert names[0] == names[1] != names[2]
    linears(pipe)[0].weight.data[0, 0] += 1
    assert fingerprint_pipeline(pipe) != names[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_times_are_those_of_the_dtype_in_which_it_computes(dtype):
    denoiser = load_denoiser(quantised(dtype))
    assert next(denoiser.pipeline.transformer.parameters()).dtype == torch.uint8
    assert denoiser.dtype == dtype
    assert denoiser.make_grid(4).times.max() > 900  # bytes would stop at 255


def test_a_method_that_is_bound_to_a_partial_has_a_content():
    def named(word):
        pipe = pipelines.stable_diffusion_3()
        layer = linears(pipe)[0]
        layer.extra_repr = types.MethodType(
            functools.partial(torch.nn.Linear.extra_repr, word), layer
        )
        return load_denoiser(pipe)

    one, two, other = named("one"), named("one"), named("other")
    assert not one.unnamed
    assert one.fingerprint == two.fingerprint != other.fingerprint


class Together(torch.nn.Linear):
    """A layer whose rows are rounded by what is largest among them all."""

    def forward(self, x):
        x = x * (1 + 0.1 * torch.tanh(x.flatten(1).abs().sum() / 1e3))
        return super().forward(x)


def test_rows_that_depend_on_how_many_there_are_are_refused():
    pipe = pipelines.stable_diffusion_3()
    pipe.transformer.proj_out.__class__ = Together
    with pytest.raises(
        ValueError, match=r"answers each as it answers one alone, got 0\.\d+ of the diff.*quantise"
    ):
        load_denoiser(pipe)
