"""Shell completion: the script of each shell, and what bash completes with it."""

import shutil
import subprocess
import sys

import pytest


def test_without_its_package_one_line_says_what_to_install(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    code, out, err = call("completion", "bash")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert 'pip install "conjure-kernel[completion]"' in err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_names_commands_and_options(call, shell):
    pytest.importorskip("shtab")
    code, out, err = call("completion", shell)
    assert (code, err) == (0, "")
    for word in ("evaluate", "neighbors", "worst", "batch-size", "vividness"):
        assert word in out


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("words", "wanted"),
    [("ev", ["evaluate"]), ("evaluate --wor", ["--worst"]), ("cache ", ["info", "clear"])],
)
def test_bash_completes(call, tmp_path, words, wanted):
    pytest.importorskip("shtab")
    script = tmp_path / "conjure"
    script.write_text(call("completion", "bash")[1])
    ask = f'. {script}; COMP_WORDS=(conjure {words}""); COMP_CWORD={len(words.split(" "))}; '
    ask += "run=$(complete -p conjure | sed 's/.*-F //; s/ .*//'); "
    ask += '$run conjure "${COMP_WORDS[COMP_CWORD]}" ""; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=False)
    assert done.stdout.split() == wanted, done.stderr
