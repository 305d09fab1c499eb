"""From the bytes of a file to its text: packed or not, in the encoding that it has.

An encoding is found by what cannot be chance: a byte-order mark, valid UTF-8, the zeros of UTF-16.
The rest is read as Western European (cp1252, or Latin-1 where that has no such letter) and told, as
statistics of letters are wrong more often than not on lists as short as these.
"""

from __future__ import annotations

import codecs
import gzip
import re
import sys
import warnings
import zlib
from pathlib import Path

from conjure_kernel._checks import PromptWarning

__all__ = ["decode", "read_bytes"]

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
CONTROL = re.compile("[\x00-\x08\x0e-\x1f]")  # letters that no text has


def read_bytes(source: str | Path) -> bytes:
    """Bytes of a file, unpacked if it is gzip; "-" is stdin."""
    if str(source) == "-":
        if sys.stdin is None:
            raise ValueError("stdin: expected a file, got a closed stream.")
        data = sys.stdin.buffer.read()
    else:
        data = Path(source).expanduser().read_bytes()
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"'{source}': expected a whole gzip file, got {error}.") from None


def decode(data: bytes, name: str, encoding: str | None = None) -> tuple[str, str]:
    """Text of a file, with line ends as one letter, and the encoding that it was read in.

    Parameters
    ----------
    data : bytes
    name : str
        The file, for messages.
    encoding : str, optional
        What it is written in. Default: it is found, and told where it is no kind of Unicode.

    Raises
    ------
    ValueError
        The encoding is unknown or another one, or the file is no text; the message has the line.
    """
    found = encoding or _find(data)
    try:
        text = data.decode(found)
    except LookupError:
        raise ValueError(
            f"encoding={found!r}: expected a name that Python knows, as utf-8 or cp1252."
        ) from None
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{name}: expected {found}, got byte {data[error.start]:#04x} in line {line}; pass "
            "encoding=... with another one."
        ) from None
    if bad := CONTROL.search(text):
        line = text[: bad.start()].count("\n") + 1
        raise ValueError(
            f"{name}: expected text, got the character {ord(bad[0]):#04x} in line {line}; save it "
            "as UTF-8."
        )
    if encoding is None and not found.startswith("utf"):
        warnings.warn(
            f"{name}: no UTF-8, read as {found}; if letters look wrong, pass encoding=...",
            category=PromptWarning,
            stacklevel=2,
        )
    text = text.replace("\ufeff", "")  # the mark of a file that was appended to another
    return text.replace("\r\n", "\n").replace("\r", "\n"), found.removesuffix("-sig")


def _find(data: bytes) -> str:
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            return encoding
    even, odd = data[::2].count(0), data[1::2].count(0)
    if max(even, odd) > len(data) / 8 and not len(data) % 2:
        return "utf-16-le" if odd > even else "utf-16-be"
    for encoding in ("utf-8", "cp1252"):
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"
