"""The `conjure` command: compare and explain prompts, measure a matrix, draw a map, the cache.

Results go to stdout or into a file; the cost, the progress bar, warnings and errors go to stderr,
one line each. Exit codes: 0; 2, something that came cannot be used; 130, Ctrl-C; 1, a fault of
ours. CONJURE_DEBUG=1 shows tracebacks. What the commands do is in `_cli_commands`. Layer 6.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from argparse import Namespace
from pathlib import Path
from typing import Any, NoReturn

from conjure_kernel import __version__
from conjure_kernel import _cli_commands as commands
from conjure_kernel import _cli_models as models
from conjure_kernel import _cli_scores as scores
from conjure_kernel import _cli_vectors as vectors
from conjure_kernel._cli_commands import say

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
COMPARE = """\
examples:
  conjure compare "a snowman" "a dog"
  conjure compare "a snowman" "a dog" --draws 16      standard errors half as large
  conjure compare tomato strawberry --json            for machines
  conjure compare "a doctor" "a man" --model stable-diffusion-v1-5/stable-diffusion-v1-5

similarity is exp(-J). The last two lines say how well anyone can tell from one image which of two
equally likely prompts made it: from the image itself, and from one with noise added.
"""
MATRIX = """\
examples:
  conjure matrix prompts.txt -o matrix.npz
  conjure matrix words.csv --column word -o matrix.csv --draws 8
  printf 'lemon\\npear\\nbus\\n' | conjure matrix - -o matrix.parquet

.npz      arrays prompts, divergences, standard_errors, kl (row || column), provenance (JSON), and
          with --images N what each prompt conjures, for `conjure map OUTPUT -o map.html`
.csv      a line per cell, with its 95 % interval; the provenance is in OUTPUT.json
.parquet  the same table, the provenance in its attrs; pip install "conjure-kernel[parquet]"
"""
PLAN = """\
examples:
  conjure plan prompts.txt
  conjure plan prompts.txt --draws 8 --guidance 5 --json
  conjure plan prompts.txt --neighbors 15

What the cache holds is not counted again. Unless it holds everything, the model is loaded and timed
for a few seconds; the options are those of `conjure matrix`.
"""
MAP = """\
examples:
  conjure map                                         a bundled list, drawn into map.png
  conjure map prompts.txt -o map.pdf --layout umap
  conjure map prompts.txt -o map.html                 one file to explore in a browser
  conjure map prompts.txt -o map.png --guidance 3 --force
  conjure map matrix.npz -o map.html                  redraw a saved matrix

Of more than 1,000 prompts the map is made of vectors (see `conjure embed`), into .html only: dots
for all, images for 300 that stand for the others; --draws has no meaning then.

For .html: pip install "conjure-kernel[html]". A matrix of `conjure matrix --images 4` is redrawn
with its images, another one with dots.
"""
EXPLAIN = """\
examples:
  conjure explain tomato strawberry                   drawn into explain.png
  conjure explain "a snowman" "a dog" -o explain.pdf --guidance 3
  conjure explain tomato strawberry -o explain.npz    heat, views, profile, morph, ...

Both prompts are asked at the same noisy points: the clean image that each sees there, where in the
image they differ, J over the noise levels, and what a chain of the first becomes if the second
takes over. Nothing is cached.
"""
CACHE = """\
examples:
  conjure cache info
  conjure cache clear --yes
  conjure cache info --cache /scratch/conjure

"auto" is the folder CONJURE_KERNEL_CACHE, else one per user. Above CONJURE_KERNEL_CACHE_LIMIT
(20GB) trajectories are evicted, least recently used first; energies, which are small, are kept.
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = Namespace(cache="auto")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = _show_warning
            args = _parser().parse_args(argv)
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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}. See {self.prog} --help.")


def _parser() -> _Parser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser("conjure", description=ABOUT, epilog=EXAMPLES, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"conjure-kernel {__version__}")
    parsers = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    run, store = _run_options(), _cache_options()

    def add(name: str, function: Any, text: str, epilog: str, *parents: _Parser) -> _Parser:
        options: dict[str, Any] = {"help": text, "description": f"{text}.", "epilog": epilog}
        made = parsers.add_parser(name, parents=parents, formatter_class=raw, **options)
        made.set_defaults(run=function)
        return made

    two = add(
        "compare", commands.compare, "print how far apart two prompts are", COMPARE, run, store
    )
    two.add_argument("a", metavar="PROMPT")
    two.add_argument("b", metavar="PROMPT")
    two.add_argument("--json", action="store_true", help="print JSON")

    text = "measure all pairs of prompts, into a file"
    table = add("matrix", commands.measure_table, text, MATRIX, run, store)
    _add_files(table, ".npz, .csv or .parquet")
    text = "images of each prompt in .npz (%(default)s; at most --draws)"
    table.add_argument("--images", metavar="N", type=int, default=0, help=text)

    text = "print what a matrix would cost: predictions, time, disk, memory"
    cost = add("plan", commands.plan_table, text, PLAN, run, store)
    _add_prompts(cost)
    text = "of the K nearest of each prompt instead (ConjureNeighbors), from an empty cache"
    cost.add_argument("--neighbors", metavar="K", type=int, help=text)
    cost.add_argument("--json", action="store_true", help="print JSON")

    text = "draw the matrix, and a map with the image that each prompt conjures"
    picture = add("map", commands.draw_map, text, MAP, run, store)
    _add_files(picture, ".png, .pdf, .svg or .html", default="map.png")
    text = "images of each prompt in .html (%(default)s; at most --draws)"
    picture.add_argument("--images", metavar="N", type=int, default=4, help=text)
    text = "mds or umap (mds; of more than 1,000 prompts umap)"
    picture.add_argument("--layout", help=text)

    text = "draw where and when two prompts part, and as what pictures"
    parted = add("explain", commands.draw_explanation, text, EXPLAIN, run)
    parted.set_defaults(cache=None)
    parted.add_argument("a", metavar="PROMPT")
    parted.add_argument("b", metavar="PROMPT")
    _add_output(parted, ".png, .pdf, .svg or .npz", default="explain.png")
    parted.add_argument("--draw", metavar="K", type=int, default=0, help="chain to show (0)")

    models.add_commands(add, _run_options(two_models=True), store)
    scores.add_commands(add, run, store)
    vectors.add_commands(add, run, store)

    keep = add(
        "cache", commands.look_after_cache, "show or clear what is kept on disk", CACHE, store
    )
    keep.add_argument("action", choices=["info", "clear"])
    keep.add_argument("--yes", action="store_true", help="clear without asking back")
    return parser


def _add_files(parser: _Parser, endings: str, default: str | None = None) -> None:
    _add_prompts(parser, required=default is None)
    _add_output(parser, endings, default)


def _add_prompts(parser: _Parser, required: bool = True) -> None:
    text = "prompts, one a line, or a CSV file with --column; - reads stdin"
    if required:
        parser.add_argument("prompts", metavar="FILE", help=text)
    else:
        text += "; left out: a list in the package"
        parser.add_argument("prompts", metavar="FILE", help=text, nargs="?")
    parser.add_argument("--column", metavar="NAME", help="column of the CSV file")


def _add_output(parser: _Parser, endings: str, default: str | None = None) -> None:
    text = endings + ("" if default is None else " (%(default)s)")
    output: dict[str, Any] = {"type": Path, "default": default, "required": default is None}
    parser.add_argument("-o", "--output", metavar="OUTPUT", help=text, **output)
    parser.add_argument("--force", action="store_true", help="overwrite OUTPUT")


def _run_options(two_models: bool = False) -> _Parser:
    parser = _Parser(add_help=False)
    add = parser.add_argument_group("model and measurement").add_argument
    if two_models:
        text = "embedded, a hub id, or a folder; pass it twice"
        add("--model", action="append", required=True, help=text)
    else:
        text = "embedded, a hub id, or a folder (%(default)s)"
        add("--model", default="embedded", help=text)
    add("--revision", help="branch, tag or commit of a hub id")
    add("--token-env", metavar="NAME", help="environment variable that holds a hub token")
    add("--steps", metavar="T", type=int, default=10, help="noise levels (%(default)s)")
    text = "trajectories per prompt (%(default)s); errors fall as 1/sqrt(K), the cost grows as K"
    add("--draws", metavar="K", type=int, default=4, help=text)
    text = "guidance scale (%(default)g: none, the model itself; others cost more)"
    add("--guidance", metavar="W", type=float, default=1.0, help=text)
    add("--sampler", default="sde", help="sde, ode, sde1 or ode1 (%(default)s)")
    add("--seed", metavar="N", type=int, default=0, help="of all noise (%(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda, ... (%(default)s)")
    add("--dtype", default="auto", help="auto, float32, float16 or bfloat16 (%(default)s)")
    text = "rows per network call, or auto (%(default)s)"
    add("--batch-size", metavar="N", type=_rows, default="auto", help=text)
    add("--quiet", action="store_true", help="no cost, no progress bar; warnings are shown")
    return parser


def _cache_options() -> _Parser:
    parser = _Parser(add_help=False)
    text = "a folder, auto, or none (%(default)s): what is there is not computed again"
    parser.add_argument("--cache", metavar="PATH", type=_folder, default="auto", help=text)
    return parser


def _rows(text: str) -> int | str:
    return text if text == "auto" else int(text)


_rows.__name__ = "number of rows"  # argparse puts it into its message


def _folder(text: str) -> str | None:
    return None if text == "none" else text


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
