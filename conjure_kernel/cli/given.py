"""Which options were given, and whether a file that is there was made with what they say."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

__all__ = ["Given", "check_given"]


class Given(argparse.Action):
    """Store a value, and that its option was given, also where the value is the default."""

    def __call__(self, parser: Any, args: Any, value: Any, option: str | None = None) -> None:
        """Store it in `args`, whose `given` holds the names of what was given."""
        setattr(args, self.dest, value)
        args.given = {*getattr(args, "given", ()), self.dest}


def check_given(
    args: argparse.Namespace, names: Mapping[str, str], made: Mapping[str, Any], source: str
) -> None:
    """Raise an error if an option says something else than the provenance of a file.

    `names` has the name in the provenance of each option; the rest of the message is `source`.
    """
    for option, name in names.items():
        given, known = getattr(args, option, None), made.get(name)
        wanted = "none" if known is None else repr(known)
        if option in getattr(args, "given", ()) and given not in (known, wanted):
            raise ValueError(f"--{option}={given!r}: expected {wanted}, with which {source}")
