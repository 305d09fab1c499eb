"""The `conjure` command: compare and explain prompts, measure a matrix, draw a map, the cache.

Results go to stdout or into a file; the cost, the progress bar, warnings and errors go to stderr,
one line each. Exit codes: 0; 2, something that came cannot be used; 130, Ctrl-C; 1, a fault of
ours. CONJURE_DEBUG=1 shows tracebacks. Each file of this folder has some verbs, and adds them
with `add_verbs`. Layer 6.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from conjure_kernel import __version__
from conjure_kernel.cli import maps, measure, models, scores, vectors
from conjure_kernel.cli.options import Parser, say

__all__ = ["main"]

BAD_INPUT = (ValueError, TypeError, OSError, FloatingPointError, ImportError, RuntimeError)

ABOUT = """\
How far apart are texts, judged by the images that they evoke in a text-to-image diffusion model?

J is the Jeffreys divergence, half the sum of both directed KL divergences, in nats. It is
measured on the small model in the package, offline, unless --model names another one.
"""
EXAMPLES = """\
examples:
  conjure compare "a snowman" "a dog"
  conjure matrix prompts.txt -o matrix.npz
  conjure map -o map.png
  conjure explain "a snowman" "a dog"
  conjure drift --model embedded --model my-fine-tune prompts.txt
  conjure agree --model embedded --model my-fine-tune prompts.txt
  conjure evaluate --task pairs.tsv
  conjure embed prompts.txt -o vectors.npz
  conjure neighbors prompts.txt "a puppy"
  conjure cache info

"conjure COMMAND --help" has more.
"""
VERBS = (measure, maps, models, scores, vectors)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = Namespace(cache="auto")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = _show_warning
            args = _build_parser().parse_args(argv)
            if text := args.run(args):
                print(text)
    except SystemExit as stop:  # of --help and --version
        return int(stop.code or 0)
    except KeyboardInterrupt:
        say(f"stopped: {_kept(args)}.")
        return 130
    except Exception as error:
        if os.environ.get("CONJURE_DEBUG", "0") not in ("", "0"):
            raise
        if isinstance(error, BAD_INPUT):
            say(_describe(error))
            return 2
        say(f"a fault of ours, {type(error).__name__}: {error} (CONJURE_DEBUG=1 shows where)")
        return 1
    return 0


def _build_parser() -> Parser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("conjure", description=ABOUT, epilog=EXAMPLES, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"conjure-kernel {__version__}")
    parsers = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")

    def add(name: str, function: Callable[[Namespace], str], text: str, epilog: str) -> Parser:
        made = parsers.add_parser(
            name, help=text, description=f"{text}.", epilog=epilog, formatter_class=raw
        )
        made.set_defaults(run=function)
        return made

    for module in VERBS:
        module.add_verbs(add)
    return parser


def _kept(args: Namespace) -> str:
    if args.cache is None:
        return "without a cache nothing is kept"
    return "what is finished is kept in the cache, and the same command goes on from there"


def _describe(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{os.fspath(error.filename)!r}: {error.strerror}."
    return str(error) or type(error).__name__


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"warning: {message}")


if __name__ == "__main__":
    sys.exit(main())
