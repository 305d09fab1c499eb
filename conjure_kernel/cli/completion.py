"""`conjure completion`: a script with which a shell completes commands, options and files."""

from __future__ import annotations

import argparse
from argparse import Namespace
from typing import Any

from conjure_kernel._checks import import_optional
from conjure_kernel.cli import options

__all__ = ["add_verbs"]

COMPLETION = """\
examples:
  conjure completion bash > ~/.local/share/bash-completion/completions/conjure
  conjure completion zsh > ~/.zfunc/_conjure             with fpath+=~/.zfunc before compinit
  conjure completion fish > ~/.config/fish/completions/conjure.fish

Shells that start afterwards complete. Write the script again after an upgrade. It needs
pip install "conjure-kernel[completion]".
"""
FILES = ("FILE", "PAIRS", "OUTPUT", "PATH", "MODEL", "FILE[:SCALE]")  # what stands for a path


def add_verbs(add: options.Add) -> None:
    """Add the command; `add` makes a parser of a name, a function, a line and an epilog."""
    text = "print a script that completes commands and options in a shell"
    parser = add("completion", print_completion, text, COMPLETION)
    parser.add_argument("shell", choices=["bash", "zsh", "fish"], help="which shell")


def print_completion(args: Namespace) -> str:
    """The script for a shell."""
    shtab = import_optional("shtab", "completion", "conjure completion")
    for action in _actions(args.parser):
        if isinstance(action, argparse._SubParsersAction):
            action.help = None  # what help leaves out is not completed
        names = (action.metavar, action.dest.upper())
        if action.choices is None and any(name in FILES for name in names):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    return shtab.complete(args.parser, args.shell).rstrip("\n")


def _actions(parser: Any) -> list[argparse.Action]:
    """Arguments of a parser and of its commands."""
    found = list(parser._actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [inner for sub in action.choices.values() for inner in _actions(sub)]
    return found
