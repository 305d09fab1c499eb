"""Files of vectors: what `conjure embed` writes, maps read, and later prompts are added to."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from conjure_kernel.cache import locks
from conjure_kernel.cache.folder import lock_timeout
from conjure_kernel.cli import files
from conjure_kernel.cli.given import check_given
from conjure_kernel.cli.options import say

__all__ = ["Embedded", "extend_embedded", "held", "holds_vectors"]
__all__ += ["read_embedded", "write_embedded"]

SETTINGS = {  # of the options of a command: the name in the provenance, and in the library
    "steps": ("n_steps", "n_steps"),
    "guidance": ("guidance_scale", "guidance_scale"),
    "sampler": ("sampler", "sampler"),
    "seed": ("seed", "random_state"),
    "points": ("n_points", "n_points"),
    "components": ("n_components", "n_components"),
}
MODEL = ("fingerprint", "dtype")
FIXED = ("n_blocks", "origin", "normalize", "references")  # what no option of a command changes


@dataclass(frozen=True)
class Embedded:
    """Prompts, their vectors and the images of each, (n, n_images, H, W, 3), if there are any.

    The first `n_first` were embedded together; their places on a map stay when others are added.
    """

    prompts: list[str]
    vectors: np.ndarray
    images: np.ndarray | None
    provenance: dict[str, Any]
    n_first: int

    @property
    def n_images(self) -> int:
        """Images of each prompt."""
        return 0 if self.images is None else self.images.shape[1]

    def settings(self) -> dict[str, Any]:
        """Parameters of `ConjureEmbedding` with which further prompts get such vectors."""
        known = {own: self.provenance[name] for name, own in SETTINGS.values()}
        return known | {name: self.provenance[name] for name in FIXED}

    def check_options(self, args: Namespace, source: str) -> None:
        """Raise an error if an option was given that says something else than the file."""
        names = {option: name for option, (name, _) in SETTINGS.items()}
        anew = "leave it out, or embed all prompts anew with -o."
        check_given(args, names, self.provenance, f"the vectors of {source!r} were made; {anew}")
        if args.normalize and not self.provenance["normalize"]:
            raise ValueError(
                f"--normalize: expected vectors of length 1 in {source!r}, got others; {anew}"
            )

    def add(
        self,
        prompts: Sequence[str],
        vectors: np.ndarray,
        images: np.ndarray | None,
    ) -> Embedded:
        """These prompts, and further ones after them."""
        both = None if self.images is None else np.concatenate([self.images, images])
        return replace(
            self,
            prompts=[*self.prompts, *prompts],
            vectors=np.concatenate([self.vectors, vectors]),
            images=both,
        )


def holds_vectors(source: str) -> bool:
    """Whether an .npz has vectors, and not a matrix."""
    try:
        with open(source, "rb") as whole, np.load(whole, allow_pickle=False) as file:
            return "vectors" in file
    except OSError:
        raise
    except Exception:  # no .npz at all, as whoever reads it will say
        return False


def read_embedded(source: str | Path) -> Embedded:
    """What `conjure embed` wrote as .npz."""
    try:
        with open(source, "rb") as whole, np.load(whole, allow_pickle=False) as file:
            read = Embedded(
                [str(prompt) for prompt in file["prompts"]],
                file["vectors"],
                file["images"] if "images" in file else None,
                json.loads(str(file["provenance"])),
                int(file["n_first"]),
            )
            read.settings()
            return read
    except OSError:
        raise
    except Exception as error:  # a file of something else may raise anything
        raise ValueError(
            f"'{source}': expected vectors that `conjure embed -o NAME.npz` wrote, got another "
            f"file ({type(error).__name__}: {error})."
        ) from error


def write_embedded(path: Path, embedded: Embedded) -> None:
    """Write vectors as .npz, or as .parquet with places on a map."""
    if path.suffix.lower() != ".npz":
        from conjure_kernel.plot.atlas import atlas_table

        first = None if embedded.images is None else embedded.images[:, 0]
        table = atlas_table(embedded.prompts, vectors=embedded.vectors, images=first)
        return files.write_frame(path, table, embedded.provenance)
    buffer = io.BytesIO()
    pictures: dict[str, Any] = {} if embedded.images is None else {"images": embedded.images}
    np.savez_compressed(
        buffer,
        prompts=np.array(embedded.prompts),
        vectors=embedded.vectors,
        references=np.array(embedded.provenance["references"]),
        provenance=np.array(json.dumps(embedded.provenance, indent=1)),
        n_first=np.array(embedded.n_first),
        **pictures,
    )
    files.write_output(path, buffer.getvalue())


def extend_embedded(
    path: Path,
    known: Embedded,
    prompts: Sequence[str],
    vectors: np.ndarray,
    images: np.ndarray | None,
) -> None:
    """Add prompts to a file that held `known`, and keep those that were added to it since then."""
    with held(path):
        now = read_embedded(path) if path.exists() else known
        if _kind(now) != _kind(known):
            raise ValueError(
                f"'{path}': expected the vectors that were there when this command began, got "
                "others, of another model or with other settings; run it again."
            )
        there = set(now.prompts)
        new = [i for i, prompt in enumerate(prompts) if prompt not in there]
        pictures = None if images is None else images[new]
        write_embedded(path, now.add([prompts[i] for i in new], vectors[new], pictures))


def _kind(embedded: Embedded) -> tuple[Any, ...]:
    """What two files have alike if prompts of one may go into the other."""
    about = embedded.provenance
    return embedded.settings(), embedded.n_images, [about[name] for name in MODEL]


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a file for writing against other commands; its lock stands beside it meanwhile."""
    target = Path(os.path.realpath(path))
    name = hashlib.blake2b(target.name.encode(), digest_size=8).hexdigest()
    lock, deadline = target.with_name(f".conjure-{name}.lock"), time.monotonic() + lock_timeout()
    try:
        with locks.hold(lock, deadline, lambda holder: say(f"'{path}' is in use by {holder}")):
            yield
    except locks.LockHeld as error:
        raise ValueError(
            f"'{path}': expected no other command that writes into it, got {error}; run this one "
            "again when that is done."
        ) from error
    finally:
        locks.remove_unheld(lock)
