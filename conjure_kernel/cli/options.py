"""Options that commands share, what they mean to the library, and the lines on stderr.

The defaults are those of `engine.parameters`. Importing this loads no torch.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import unicodedata
from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from conjure_kernel.cli import values
from conjure_kernel.cli.given import Given
from conjure_kernel.cli.pictures import add_picture
from conjure_kernel.engine.parameters import Measurement

__all__ = [
    "UNWRITTEN",
    "Add",
    "Parser",
    "add_cache",
    "add_model",
    "add_output",
    "add_pair",
    "add_prompts",
    "add_reading",
]
__all__ += ["as_options", "format_row", "say", "say_written", "settings_of", "two_models"]
__all__ += ["drop_output", "put", "visible"]

# The options under which parameters of the library are given on the command line.
OPTIONS = {
    "adapters": "--adapter",
    "batch_size": "--batch-size",
    "columns": "--columns",
    "delimiter": "--delimiter",
    "encoding": "--encoding",
    "font": "--font",
    "quoting": "--quote",
    "config": "--config",
    "device": "--device",
    "draw": "--draw",
    "dtype": "--dtype",
    "guidance_scale": "--guidance",
    "leg": "--leg",
    "memory": "--cache",
    "method": "--layout",
    "metric": "--baseline",
    "model": "--model",
    "n_components": "--components",
    "n_draws": "--draws",
    "n_images": "--images",
    "n_neighbors": "--neighbors",
    "n_orders": "--orders",
    "n_points": "--points",
    "n_steps": "--steps",
    "n_worst": "--worst",
    "random_state": "--seed",
    "revision": "--revision",
    "sampler": "--sampler",
    "shapley": "--shapley",
    "size": "--size",
    "source": "PAIRS",
    "origin": "--origin",
    "split": "--split",
    "token_env": "--token-env",
    "variant": "--variant",
}
# What is quoted, as prompts are, is left as it is.
TEXT = r"""(?<!\w){0}(?:\\.|[^{0}\\])*?(?:{0}(?!\w)|\.\.\.)"""
QUOTED = re.compile(f"""({TEXT.format("'")}|{TEXT.format('"')})""")
# A parameter with its value anywhere; its name alone only where it is no English word.
PARAMETER = re.compile(rf"(?<![\w\"'./-])({'|'.join(OPTIONS)})(?==)")
NAME = re.compile(rf"(?<![\w\"'./-])({'|'.join(n for n in OPTIONS if '_' in n)})(?![\w=(])")


UNWRITTEN: list[str] = []  # outputs of this command that are in another place than asked for


class Parser(argparse.ArgumentParser):
    """A parser whose errors are exceptions, one line each, and that notes which options it got."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register("action", None, Given)

    def error(self, message: str) -> NoReturn:  # noqa: D102
        raise ValueError(f"{message}; see {self.prog} --help.")

    def print_help(self, file: Any = None) -> None:  # noqa: D102
        put(self.format_help())  # argparse would swallow errors


Add = Callable[[str, Callable[[Namespace], str], str, str], Parser]  # a verb: see `add_verbs`


def add_pair(parser: Parser) -> None:
    """Add two prompts."""
    parser.add_argument("a", metavar="PROMPT_A", help="any text")
    parser.add_argument("b", metavar="PROMPT_B", help="any text")


def add_prompts(parser: Parser, required: bool = True) -> None:
    """Add the file of prompts, its column and how it is read."""
    text = "prompts, one a line, or a table or records with --column; - reads stdin"
    if required:
        parser.add_argument("prompts", metavar="FILE", help=text)
    else:
        text += "; default: a list in the package"
        parser.add_argument("prompts", metavar="FILE", help=text, nargs="?")
    text = "its name, or place from 1; a nested key as a.b (default: prompt, text or caption)"
    parser.add_argument("--column", metavar="NAME", help=text)
    add_reading(parser)


def add_reading(parser: Parser) -> None:
    """Add how a file is read."""
    group = parser.add_argument_group("how FILE is read")
    text = "a character, or tab, comma, semicolon, pipe, space (default: found)"
    group.add_argument("--delimiter", metavar="D", help=text)
    group.add_argument("--encoding", metavar="NAME", help="as latin-1 (default: found)")
    text = "around fields; none where quotes are letters"
    group.add_argument("--quote", metavar="Q", default="auto", help=text)
    group.add_argument("--comment", metavar="C", help="leave out lines that begin so, as '#'")
    group.add_argument("--no-header", action="store_true", help="the first row is no header")


def add_output(
    parser: Parser, endings: str, default: str | None = None, required: bool = True
) -> None:
    """Add -o and --force."""
    text = f"file to write: {endings}" + ("" if default is None else " (default: %(default)s)")
    output: dict[str, Any] = {"type": Path, "default": default}
    output["required"] = required and default is None
    parser.add_argument("-o", "--output", metavar="OUTPUT", help=text, **output)
    parser.add_argument("--force", action="store_true", help="overwrite OUTPUT")
    if ".pdf" in endings:
        add_picture(parser, default)


def add_model(
    parser: Parser, n_models: int | None = 1, cached: bool = True, by_position: bool = False
) -> None:
    """Add one model, two, or any number (None), and how and where they are measured."""
    group = parser.add_argument_group("model and measurement")
    add, default = group.add_argument, Measurement
    text = "embedded (the small one in the package), a hub id, a folder, or a .safetensors file"
    if by_position:
        parser.add_argument("model", metavar="MODEL", help=text)
    elif n_models is None:
        add("--model", action="append", help=f"{text}; may be given several times")
    elif n_models > 1:
        add("--model", action="append", required=True, help=f"{text}; give it twice, for A and B")
    else:
        add("--model", default=default.model, help=f"{text} (default: %(default)s)")
    add("--revision", help="branch, tag or commit of a hub id")
    add("--token-env", metavar="NAME", help="environment variable that holds a hub token")
    add("--variant", help="variant of the files, such as fp16")
    add("--config", metavar="PATH", help="folder with the configs of a single .safetensors file")
    text = "LoRA file, and its scale (default 1); may be given several times"
    add("--adapter", metavar="FILE[:SCALE]", action="append", type=values.adapter, help=text)
    text = "argument of the pipeline's call, e.g. height=512; may be given several times"
    add("--set", metavar="NAME=VALUE", action="append", type=values.assignment, help=text)
    text = "noise levels (default: %(default)s)"
    add("--steps", metavar="T", type=int, default=default.n_steps, help=text)
    text = "draws per prompt (default: %(default)s); errors fall as 1/sqrt(K)"
    add("--draws", metavar="K", type=int, default=default.n_draws, help=text)
    text = "guidance scale (default: %(default)g, the model itself; other values cost more)"
    add("--guidance", metavar="W", type=float, default=default.guidance_scale, help=text)
    text = "sde, ode, sde1 or ode1 (default: %(default)s)"
    add("--sampler", default=default.sampler, help=text)
    text = "seed of all noise (default: %(default)s)"
    add("--seed", metavar="N", type=int, default=default.random_state, help=text)
    text = "auto, cpu, cuda, ... (default: %(default)s)"
    add("--device", default=default.device, help=text)
    text = "auto, float32, float16 or bfloat16 (default: %(default)s)"
    add("--dtype", default=default.dtype, help=text)
    text = "rows per network call, or auto (default: %(default)s)"
    add("--batch-size", metavar="N", type=values.rows, default=default.batch_size, help=text)
    if cached:
        add_cache(group)
    else:
        parser.set_defaults(cache=None)
    add("--quiet", action="store_true", help="show warnings, but no cost and no progress bar")


def add_origin(parser: Parser) -> None:
    """Add --origin."""
    text = "empty: J relative to how far both prompts are from the empty one (default: J in nats)"
    parser.add_argument("--origin", metavar="ORIGIN", help=text)


def add_cache(parser: Any) -> None:
    """Add --cache."""
    text = "a folder, auto, or none: what it holds is not computed again (default: %(default)s)"
    default = Measurement.memory
    parser.add_argument("--cache", metavar="PATH", type=values.folder, default=default, help=text)


def settings_of(args: Namespace) -> dict[str, Any]:
    """Parameters of the library from the options of a command; `model` as it was given."""
    options = {"revision": args.revision, "token_env": args.token_env, "variant": args.variant}
    options |= {"config": args.config, "adapters": dict(args.adapter or []) or None}
    return {
        "model": args.model,
        "model_kwargs": {
            **{name: value for name, value in options.items() if value is not None},
            **dict(args.set or []),
        },
        "n_steps": args.steps,
        "n_draws": args.draws,
        **_origin(args),
        "guidance_scale": args.guidance,
        "sampler": args.sampler,
        "memory": args.cache,
        "device": args.device,
        "dtype": args.dtype,
        "batch_size": args.batch_size,
        "random_state": args.seed,
        "verbose": int(not args.quiet and sys.stderr is not None and sys.stderr.isatty()),
    }


def _origin(args: Namespace) -> dict[str, str | None]:
    """The origin, where a command knows any."""
    if not hasattr(args, "origin"):
        return {}
    return {"origin": None if args.origin in (None, "none") else args.origin}


def two_models(args: Namespace) -> tuple[str, str]:
    """The models of a command that compares two."""
    if len(args.model) != 2:
        raise ValueError(f"--model: expected two models, A and B, got {len(args.model)}.")
    return args.model[0], args.model[1]


def as_options(message: str) -> str:
    """A message of the library with the options in place of its parameters."""
    parts = QUOTED.split(message.replace("header=False", "--no-header"))
    for i in range(0, len(parts), 2):
        for pattern in (PARAMETER, NAME):
            parts[i] = pattern.sub(lambda match: OPTIONS[match[1]], parts[i])
    return "".join(parts)


def say(text: str) -> None:
    """Write one line to stderr, if that takes it."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"conjure: {visible(' '.join(text.split()))}\n")


def put(text: str) -> None:
    """Write to stdout, now, so that an error is one of the command and not of Python's exit."""
    if sys.stdout is None:
        raise ValueError("stdout: expected an open stream, got a closed one; redirect it.")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        raise OSError(f"stdout: {error.strerror}.") from error


def drop_output() -> None:
    """Let what stdout still holds go nowhere, so that Python has nothing to complain of at exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def visible(text: str) -> str:
    """A text whose control characters are shown, so that a terminal does not obey them."""
    return "".join(
        f"\\x{ord(c):02x}" if unicodedata.category(c) == "Cc" and c not in "\n\t" else c
        for c in text
    )


def say_written(n_evaluations: int, args: Namespace) -> None:
    """Say what a command that wrote a file has cost, unless it is to be quiet."""
    if not args.quiet and not UNWRITTEN:
        say(f"{n_evaluations:,} noise predictions made, '{args.output}' written")


def format_row(row: Mapping[str, Any]) -> str:
    """A prompt of a list, with its J (or relative divergence) and standard error in front."""
    value = row["divergence"] if "divergence" in row else row["relative_divergence"]
    return f"{value:<10.4g} ± {row['standard_error']:<8.2g}  {row['prompt']}"
