"""Streams and output files: nothing is lost at the end, and nobody is told lies."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from commands import prompts_in
from conjure_kernel import cli
from conjure_kernel.cache import folder
from conjure_kernel.cli import files, options

posix = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")


def shell(line, **environment):
    """Run a line of shell with `conjure` in it."""
    line = line.replace("conjure", f"{sys.executable} -m conjure_kernel", 1)
    return subprocess.run(
        line,
        shell=True,
        capture_output=True,
        text=True,
        encoding="latin-1",
        env={**os.environ, **environment},
        check=False,
    )


@posix
@pytest.mark.parametrize("command", ["cache info --cache x", "--help", "map --help"])
def test_a_closed_pipe_ends_it_as_it_ends_other_tools(command):
    done = shell(f"(conjure {command}; echo $? >&2) | true")
    assert done.stderr in ("141\n", "0\n")  # the pipe may be closed too late
    done = shell(f"conjure {command} >&-")
    assert "Exception ignored" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["cache info --cache x", "--help"])
def test_a_full_device_is_one_line(command):
    done = shell(f"conjure {command} > /dev/full")
    assert (done.returncode, done.stderr) == (2, "conjure: stdout: No space left on device.\n")


@posix
@pytest.mark.parametrize("closed", ["2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_crash(closed):
    done = shell(f"conjure cache info --cache none {closed}")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_closed_stdin_is_an_error(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ValueError, match="stdin: expected a file, got a closed"):
        prompts_in("-")


@posix
def test_an_encoding_without_the_letters_does_not_fail():
    done = shell("conjure cache info --cache /日本", PYTHONIOENCODING="cp1252")
    assert done.returncode == 0
    assert r"\u65e5\u672c" in done.stdout


def test_terminal_escapes_are_shown(capsys):
    assert options.visible("a\x1b[31mb\x07\tc\nd\x9b") == "a\\x1b[31mb\\x07\tc\nd\\x9b"
    options.say("\x1b]0;title\x07 done")
    assert capsys.readouterr().err == "conjure: \\x1b]0;title\\x07 done\n"


# ---------------------------------------------------------------- input files


def test_bare_line_ends_and_long_fields_are_read(tmp_path):
    path, long = tmp_path / "words.csv", "x" * 200_000
    path.write_bytes(f"word,n\rcat,1\rdog,2\r\n{long},3".encode())
    assert prompts_in(path, "--column", "word") == ["cat", "dog", long]
    (tmp_path / "words.txt").write_bytes(b"cat\rdog\r\nbird")
    assert prompts_in(tmp_path / "words.txt") == ["cat", "dog", "bird"]


@pytest.mark.parametrize("damage", [lambda d: b"", lambda d: d[:100], lambda d: b"\0" * len(d)])
def test_a_damaged_matrix_is_an_error(damage, tmp_path):
    path = tmp_path / "m.npz"
    np.savez_compressed(path, divergences=np.zeros((2, 2)), prompts=np.array(["a", "b"]))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"m.npz': expected a matrix that `conjure matrix"):
        files.read_matrix(str(path))


# ---------------------------------------------------------------- output files


def test_cells_that_a_spreadsheet_would_run_are_text(tmp_path):
    rows = [{"prompt": p, "x": -1.5} for p in ("=1+1", "+1", "-1", "@a", "a=1", "'=")]
    files.write_rows(tmp_path / "rows.csv", rows, {})
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    expected = [f"{p},-1.5" for p in ("'=1+1", "'+1", "'-1", "'@a", "a=1", "'=")]
    assert lines == ["prompt,x", *expected]


@posix
def test_force_keeps_the_mode_and_the_link(tmp_path):
    real, link = tmp_path / "real.html", tmp_path / "link.html"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    files.check_output(link, [".html"], force=True)
    files.write_page(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


@pytest.mark.parametrize("n", [200, 219, 240, 255])
def test_names_of_any_length_are_written(n, tmp_path):
    path = tmp_path / ("x" * (n - 5) + ".html")
    files.check_output(path, [".html"], force=False)
    files.write_page(path, "page")
    assert path.read_text() == "page"


def test_names_that_are_too_long_are_found_before_the_work(tmp_path):
    for name in ("x" * 251 + ".html", "x" * 250 + ".csv"):  # the second has a .csv.json beside it
        with pytest.raises((OSError, ValueError), match="too long"):
            files.check_output(tmp_path / name, [".html", ".csv"], force=False)


@posix
def test_a_pipe_is_no_output(tmp_path):
    os.mkfifo(tmp_path / "o.html")
    with pytest.raises(ValueError, match="got a pipe or a device"):
        files.check_output(tmp_path / "o.html", [".html"], force=True)


@pytest.fixture
def full(tmp_path, monkeypatch):
    """Only the folder `spare` takes files."""
    spare, replace = tmp_path / "spare", folder.replace
    spare.mkdir()

    def refuse(path, data, **options):
        if path.parent != spare:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        replace(path, data, **options)

    monkeypatch.setattr(files, "replace", refuse)
    monkeypatch.setattr(tempfile, "tempdir", str(spare))
    return spare


def test_a_disk_that_is_full_at_the_end_loses_nothing(full, tmp_path, capsys):
    options.UNWRITTEN.clear()
    files.write_page(tmp_path / "o.html", "page")
    (kept,) = full.iterdir()
    assert kept.read_text() == "page"
    expected = f"'{tmp_path / 'o.html'}': cannot be written (No space left on device); "
    assert expected + f"the result is in '{kept}'." in capsys.readouterr().err
    assert options.UNWRITTEN == [str(tmp_path / "o.html")]
    options.UNWRITTEN.clear()


def test_a_result_in_another_place_is_no_success(full, tmp_path, capsys, monkeypatch):
    from conjure_kernel.cli import measure

    def work(args):
        files.write_page(args.output, "page")
        return "numbers"

    monkeypatch.setattr(measure, "measure_table", work)
    assert cli.main(["matrix", "p.txt", "-o", str(tmp_path / "o.npz")]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("numbers\n", 1)
    assert "the result is in" in err
