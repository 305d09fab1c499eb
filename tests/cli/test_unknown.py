"""Words that the embedded model was not taught, in every command that measures prompts."""

import os
from argparse import Namespace

import pytest

from conjure_kernel.cli import build_parser
from conjure_kernel.cli.unknown import tell_unknown
from conjure_kernel.models.pretrained.pipeline import PretrainedDenoiser

ODD, PLAIN = "a theory", "a dog"
TOLD = "conjure: warning: probably unknown to the embedded model: 'theory'"
COMMANDS = {
    "compare": [ODD, PLAIN],
    "matrix": ["FILE", "-o", "x.npz"],
    "explain": [ODD, PLAIN],
    "words": [ODD],
    "pairs": ["PAIRS"],
    "evaluate": ["PAIRS"],
    "ablate": ["PAIRS"],
    "map": ["FILE"],
    "embed": ["FILE", "-o", "x.npz"],
    "neighbors": ["FILE", PLAIN],
    "vividness": ["FILE"],
    "report": ["embedded", "--scores", "PAIRS"],
    "drift": ["FILE", "--model", "embedded", "--model", "embedded"],
    "erasure": [ODD, "--model", "embedded", "--model", "embedded"],
    "agree": ["FILE", "--model", "embedded", "--model", "embedded"],
}


class Begun(BaseException):
    """What is raised where a command would go on to measure."""


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Run in a folder with a list of prompts and scored pairs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts.txt").write_text(f"{PLAIN}\n{ODD}\na bus\n")
    pairs = f"word1,word2,score\n{ODD},{PLAIN},1\n{PLAIN},a cat,2\na bus,a cat,3\n"
    (tmp_path / "pairs.csv").write_text(pairs)
    return {"FILE": "prompts.txt", "PAIRS": "pairs.csv"}


@pytest.fixture
def unloaded(monkeypatch):
    """Models whose weights are not to be read."""

    def begin(*_):
        raise Begun

    monkeypatch.setattr(PretrainedDenoiser, "load", begin)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_tells_unknown_words_once_before_it_measures(
    call, sources, unloaded, capsys, command
):
    words = [sources.get(word, word) for word in COMMANDS[command]]
    cached = [] if command in ("words", "explain") else ["--cache", "none"]
    with pytest.raises(Begun):
        call(command, *words, *cached)
    err = capsys.readouterr().err
    assert err.count("unknown") == err.count(TOLD) == 1


def test_a_plan_tells_unknown_words(call, sources):
    code, out, err = call("plan", "prompts.txt", "--json")
    assert code == 0
    assert out.startswith("{")
    assert err.count(TOLD) == 1


@pytest.mark.parametrize(
    ("given", "prompts", "told"),
    [
        ({}, ["a dog", ""], ""),
        ({}, ["a theory"], "'theory'; its"),
        (
            {},
            ["a theory", "Theory, quark", "a dog", "a dog"],
            "'Theory', 'quark' (2 of 3 prompts);",
        ),
        ({}, ["v1 w1 x1 y1 z1 v2 w2"], "'v1', 'w1', 'x1', 'y1', 'z1' and 2 more; its"),
        ({"model": ["other", "embedded"]}, ["a theory"], "'theory'; its"),
        ({"model": "other"}, ["a theory"], ""),
        ({"adapter": [("lora.safetensors", 1.0)]}, ["a theory"], ""),  # it may know others
    ],
)
def test_words_that_are_told(capsys, given, prompts, told):
    tell_unknown(Namespace(**{"model": "embedded", "adapter": None, **given}), prompts)
    err = capsys.readouterr().err
    assert told in err
    assert bool(told) == bool(err)


def test_every_command_that_measures_prompts_is_here():
    others = {"plan", "cache", "check", "completion"}
    (verbs,) = (a.choices for a in build_parser()._actions if isinstance(a.choices, dict))
    assert set(verbs) - others == set(COMMANDS)


def test_scores_of_a_report_may_come_from_a_pipe(call, tmp_path, monkeypatch):
    """What can be read once is not read for a warning."""

    def begin(*_, **__):
        raise Begun

    monkeypatch.setattr("conjure_kernel.report.report.report_model", begin)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(Begun):
        call("report", "embedded", "--scores", pipe, "-o", tmp_path / "x.json")
