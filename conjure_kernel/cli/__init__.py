"""The `conjure` command, which `python -m conjure_kernel` runs, too.

Results go to stdout or into a file. The cost, the progress bar, warnings and errors go to stderr,
one line each; errors name the options and not the parameters of the library. Exit codes: 0 for
success, 2 for input that cannot be used, 130 for Ctrl-C, 1 for an internal error. CONJURE_DEBUG=1
shows tracebacks. Each file of this folder has some verbs, and adds them with `add_verbs`.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable
from types import ModuleType
from typing import Any

from conjure_kernel import __version__
from conjure_kernel.cli import (
    ablation,
    check,
    compare,
    completion,
    drift,
    maps,
    measure,
    models,
    pairs,
    report,
    scores,
    vectors,
    vividness,
    words,
)
from conjure_kernel.cli.options import UNWRITTEN, Parser, as_options, drop_output, put, say, visible
from conjure_kernel.cli.pictures import check_picture

__all__ = ["build_parser", "main"]

BAD_INPUT: tuple[type[Exception], ...]
BAD_INPUT = (ValueError, TypeError, OSError, FloatingPointError, ImportError, RuntimeError)
BAD_INPUT += (MemoryError, OverflowError, EOFError, csv.Error)
BROKEN_PIPE = 141  # what a shell shows for a program that SIGPIPE has ended

ABOUT = """\
How far apart are texts, judged by the images that they evoke in a text-to-image diffusion model?

J is the Jeffreys divergence, half the sum of both directed KL divergences, in nats. It is measured
with the small model in the package, without a network, unless --model names another one.
"""
EXAMPLES = """\
examples:
  conjure compare "a snowman" "a dog"
  conjure matrix prompts.txt -o matrix.npz
  conjure check my-fine-tune
  conjure report my-fine-tune -o report.html
  conjure plan prompts.txt
  conjure explain "a snowman" "a dog"
  conjure words "a cat on a blue background"
  conjure cache info
  conjure map -o map.png
  conjure drift --model embedded --model my-fine-tune prompts.txt
  conjure drift --model base-folder --series step-*/ --target "my cat" -o run.html
  conjure erasure --model embedded --model erased "a strawberry" --synonym "a red berry"
  conjure agree --model embedded --model my-fine-tune prompts.txt
  conjure evaluate pairs.tsv
  conjure ablate pairs.tsv
  conjure embed prompts.txt -o vectors.npz
  conjure neighbors prompts.txt "a puppy"
  conjure vividness prompts.txt
  conjure completion bash

"conjure COMMAND --help" shows the options of a command, and more examples.
"""
VERBS: tuple[ModuleType, ...]
VERBS = (compare, measure, pairs, words, check, report, maps, drift, models)
VERBS += (scores, ablation, vectors, vividness, completion)


def main(argv: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : list of str, optional
        The words after `conjure`. Default: those of the process.

    Returns
    -------
    code : int
        The exit code.
    """
    args = Namespace(cache="auto")
    _prepare_streams()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = _show_warning
            args = build_parser().parse_args(argv)
            check_picture(args)
            _check_apart(args)
            if text := args.run(args):
                put(visible(text) + "\n")
    except SystemExit as stop:  # raised by --help and --version
        return int(stop.code or 0) or _flushed()
    except KeyboardInterrupt:
        say(f"stopped: {_kept(args)}.")
        return 130
    except BrokenPipeError:
        drop_output()
        return BROKEN_PIPE
    except Exception as error:
        if os.environ.get("CONJURE_DEBUG", "0") not in ("", "0"):
            raise
        if isinstance(error, BAD_INPUT):
            say(as_options(_describe(error)))
            return 2
        what = ": ".join(filter(None, [type(error).__name__, str(error)]))
        say(f"internal error: {what}; please report it, CONJURE_DEBUG=1 shows where.")
        return 1
    return 2 if UNWRITTEN else 0


def build_parser() -> Parser:
    """The parser of the command and of all its verbs."""
    raw, usage = argparse.RawDescriptionHelpFormatter, "conjure [-h] [--version] COMMAND ..."
    parser = Parser("conjure", usage=usage, description=ABOUT, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"conjure-kernel {__version__}")
    hidden = {"help": argparse.SUPPRESS}  # the commands are listed below, without line breaks
    parsers = parser.add_subparsers(prog="conjure", metavar="COMMAND", required=True, **hidden)
    commands = ["commands:"]

    def add(name: str, function: Callable[[Namespace], str], text: str, epilog: str) -> Parser:
        commands.append(f"  {name:<11}{text}")
        about = f"{text[0].upper()}{text[1:]}."
        verb = parsers.add_parser(
            name, help=text, description=about, epilog=epilog, formatter_class=raw
        )
        verb.set_defaults(run=function)
        return verb

    for module in VERBS:
        module.add_verbs(add)
    parser.set_defaults(parser=parser)
    parser.epilog = "\n".join([*commands, "", EXAMPLES])
    return parser


def _check_apart(args: Namespace) -> None:
    """Raise an error if what a command reads would be overwritten with its result."""
    output = getattr(args, "output", None)
    for source in (getattr(args, name, None) for name in ("prompts", "pairs", "task")):
        if output is not None and isinstance(source, str) and os.path.exists(source):
            if os.path.realpath(source) == os.path.realpath(output):
                raise ValueError(f"'{output}': expected another file than the one that is read.")


def _kept(args: Namespace) -> str:
    if args.cache is None:
        return "without a cache nothing is kept"
    return "what is finished is kept in the cache, and the same command goes on from there"


def _describe(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{os.fspath(error.filename)!r}: {error.strerror}."
    if isinstance(error, MemoryError):
        what = str(error) or "an array does not fit"
        return f"memory ran out ({what}); use fewer prompts, draws, steps or components."
    return str(error) or type(error).__name__


def _prepare_streams() -> None:
    """Make the standard streams such that writing to them does not fail after the work."""
    UNWRITTEN.clear()
    for number in range(3):  # a file must not get the number of a stream that is closed
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _flushed() -> int:
    """Code of a command that has printed: that of a broken pipe if nobody reads it."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
        return BROKEN_PIPE
    except OSError as error:
        drop_output()
        say(f"stdout: {error.strerror}.")
        return 2
    return 0


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"warning: {as_options(str(message))}")
