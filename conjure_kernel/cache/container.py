"""The one format of all files of the cache: a header, arrays, and a checksum over all of it.

::

    8 bytes   MAGIC, with the version of the format
    16        blake2b of the next two parts
    8         length of the header, little-endian
    header    JSON: kind, key and name of the file, its facts, the dtype and shape of each array,
              the length of the arrays and their blake2b
    arrays    raw bytes, each from a multiple of 64 bytes on

Whatever does not verify raises `Damaged`. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from conjure_kernel.cache.folder import Damaged, open_plain, plain

__all__ = ["Damaged", "Label", "dump", "load", "load_facts"]

MAGIC = b"CONJURE\x02"
DIGEST, LENGTH, ALIGNMENT = 16, 8, 64
PREFIX = len(MAGIC) + DIGEST + LENGTH
LONGEST_HEADER = 2**28


class Label(NamedTuple):
    """What a file holds: its kind, the digest of the run's key, and the digest of the prompt."""

    kind: str
    key: str
    name: str = ""


def dump(label: Label, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the bytes of a file."""
    parts, shapes = [], {}
    for name, array in arrays.items():
        shapes[name] = [array.dtype.str, array.shape]
        parts += [array.tobytes(), bytes(-array.nbytes % ALIGNMENT)]
    body = b"".join(parts)
    fields = {**label._asdict(), "facts": facts, "arrays": shapes}
    fields |= {"n_bytes": len(body), "blake2b": _digest(body).hex()}
    header = json.dumps(fields, default=plain).encode()
    header += b" " * (-(PREFIX + len(header)) % ALIGNMENT)
    length = len(header).to_bytes(LENGTH, "little")
    return b"".join([MAGIC, _digest(length, header), length, header, body])


def load(path: Path, label: Label) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the facts and the arrays of a file, all of it verified."""
    with open_plain(path) as file:
        header = _read_header(file, label)
        body = bytearray(file.read())
    if len(body) != header["n_bytes"] or _digest(body).hex() != header["blake2b"]:
        raise Damaged("expected the arrays that were written, got others")
    arrays, start = {}, 0
    for name, (kind, shape) in header["arrays"].items():
        dtype, count = np.dtype(kind), math.prod(shape)
        arrays[name] = np.frombuffer(body, dtype, count, start).reshape(shape)
        start += -(-count * dtype.itemsize // ALIGNMENT) * ALIGNMENT
    return header["facts"], arrays


def load_facts(path: Path, label: Label) -> dict[str, Any]:
    """Return the facts of a file, which are verified, and leave its arrays unread."""
    with open_plain(path) as file:
        return _read_header(file, label)["facts"]


def _read_header(file: BinaryIO, label: Label) -> dict[str, Any]:
    prefix = file.read(PREFIX)
    if len(prefix) < PREFIX or not prefix.startswith(MAGIC):
        raise Damaged("expected a file of this version of the cache, got another one")
    digest, length = prefix[len(MAGIC) : -LENGTH], prefix[-LENGTH:]
    n_bytes = int.from_bytes(length, "little")
    header = file.read(n_bytes) if n_bytes <= LONGEST_HEADER else b""
    if len(header) != n_bytes or _digest(length, header) != digest:
        raise Damaged("expected the header that was written, got another one")
    fields = json.loads(header)
    for name, wanted in label._asdict().items():
        if fields[name] != wanted:
            raise Damaged(f"expected the {name} {wanted!r}, got {fields[name]!r}")
    return fields


def _digest(*parts: bytes | bytearray) -> bytes:
    whole = hashlib.blake2b(digest_size=DIGEST)
    for part in parts:
        whole.update(part)
    return whole.digest()
