"""Options that commands share, what they mean to the library, and the lines on stderr.

The defaults are those of `engine.parameters`. Importing this loads no torch.
"""

from __future__ import annotations

import argparse
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from conjure_kernel.engine.parameters import Measurement

__all__ = ["Add", "Parser", "add_cache", "add_measurement", "add_model", "add_output"]
__all__ += ["add_prompts", "add_two_models", "say", "settings_of", "two_models"]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are exceptions, one line each."""

    def error(self, message: str) -> NoReturn:  # noqa: D102
        raise ValueError(f"{message}. See {self.prog} --help.")


Add = Callable[[str, Callable[[Namespace], str], str, str], Parser]  # a verb: see `add_verbs`


def add_prompts(parser: Parser, required: bool = True) -> None:
    """Add the file of prompts and its column."""
    text = "prompts, one a line, or a CSV file with --column; - reads stdin"
    if required:
        parser.add_argument("prompts", metavar="FILE", help=text)
    else:
        text += "; left out: a list in the package"
        parser.add_argument("prompts", metavar="FILE", help=text, nargs="?")
    parser.add_argument("--column", metavar="NAME", help="column of the CSV file")


def add_output(
    parser: Parser, endings: str, default: str | None = None, required: bool = True
) -> None:
    """Add -o and --force."""
    text = endings + ("" if default is None else " (%(default)s)")
    output: dict[str, Any] = {"type": Path, "default": default}
    output["required"] = required and default is None
    parser.add_argument("-o", "--output", metavar="OUTPUT", help=text, **output)
    parser.add_argument("--force", action="store_true", help="overwrite OUTPUT")


def add_model(parser: Parser) -> None:
    """Add --model, and the options of a measurement."""
    text = "embedded, a hub id, or a folder (%(default)s)"
    parser.add_argument("--model", default=Measurement.model, help=text)
    add_measurement(parser)


def add_two_models(parser: Parser) -> None:
    """Add --model, to be given twice, and the options of a measurement."""
    text = "embedded, a hub id, or a folder; pass it twice"
    parser.add_argument("--model", action="append", required=True, help=text)
    add_measurement(parser)


def add_measurement(parser: Parser) -> None:
    """Add how and where a model is measured."""
    add = parser.add_argument_group("model and measurement").add_argument
    of = Measurement
    add("--revision", help="branch, tag or commit of a hub id")
    add("--token-env", metavar="NAME", help="environment variable that holds a hub token")
    add("--steps", metavar="T", type=int, default=of.n_steps, help="noise levels (%(default)s)")
    text = "trajectories per prompt (%(default)s); errors fall as 1/sqrt(K), the cost grows as K"
    add("--draws", metavar="K", type=int, default=of.n_draws, help=text)
    text = "guidance scale (%(default)g: none, the model itself; others cost more)"
    add("--guidance", metavar="W", type=float, default=of.guidance_scale, help=text)
    add("--sampler", default=of.sampler, help="sde, ode, sde1 or ode1 (%(default)s)")
    text = "of all noise (%(default)s)"
    add("--seed", metavar="N", type=int, default=of.random_state, help=text)
    add("--device", default=of.device, help="auto, cpu, cuda, ... (%(default)s)")
    add("--dtype", default=of.dtype, help="auto, float32, float16 or bfloat16 (%(default)s)")
    text = "rows per network call, or auto (%(default)s)"
    add("--batch-size", metavar="N", type=_rows, default=of.batch_size, help=text)
    add("--quiet", action="store_true", help="no cost, no progress bar; warnings are shown")


def add_cache(parser: Parser) -> None:
    """Add --cache."""
    text = "a folder, auto, or none (%(default)s): what is there is not computed again"
    default = Measurement.memory
    parser.add_argument("--cache", metavar="PATH", type=_folder, default=default, help=text)


def settings_of(args: Namespace) -> dict[str, Any]:
    """Parameters of the library from the options of a command; `model` as it was given."""
    options = {"revision": args.revision, "token_env": args.token_env}
    return {
        "model": args.model,
        "model_kwargs": {name: value for name, value in options.items() if value is not None},
        "n_steps": args.steps,
        "n_draws": args.draws,
        "guidance_scale": args.guidance,
        "sampler": args.sampler,
        "memory": args.cache,
        "device": args.device,
        "dtype": args.dtype,
        "batch_size": args.batch_size,
        "random_state": args.seed,
        "verbose": int(not args.quiet and sys.stderr.isatty()),
    }


def two_models(args: Namespace) -> tuple[str, str]:
    """The models of a command that compares two."""
    if len(args.model) != 2:
        raise ValueError(f"--model was given {len(args.model)} times: pass it twice, A and B.")
    return args.model[0], args.model[1]


def say(text: str) -> None:
    """Write one line to stderr."""
    sys.stderr.write(f"conjure: {' '.join(text.split())}\n")


def _rows(text: str) -> int | str:
    return text if text == "auto" else int(text)


_rows.__name__ = "number of rows"  # argparse puts it into its message


def _folder(text: str) -> str | None:
    return None if text == "none" else text
