"""500 command lines and 500 calls of the library, drawn from a seed: handled, whatever they are.

A command line ends with 0, or with 2 and lines that begin with "conjure:"; a call returns finite
numbers, or raises ValueError, TypeError or MemoryError. The measurement itself is left out.
"""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest

from conjure_kernel import (
    ConjureDistance,
    ConjureEmbedding,
    ConjureNeighbors,
    ConjurePairs,
    TextKFold,
    accuracy_bound,
    cli,
    divergence_for_accuracy,
    pairwise_divergence,
)
from conjure_kernel.engine.engine import Engine
from conjure_kernel.plot import layout
from worlds import make_world

NUMBERS = ["0", "-1", "1", "2", "3", "1e3", "nan", "inf", "-inf", "", "x", "9" * 30, "9" * 400]
NUMBERS += ["1" * 5000, "0x10", "\uff11", "2.5", " 3", "1_000", "True"]
TEXTS = ["", " ", "a", "auto", "none", "None", "../x", "/dev/null", "\x1b[31m", "é" * 300, "=1+1"]
TEXTS += ["a=b", "--", "-x", "sde", "cuda", "cuda:99", "meta", "float16", "*", "~nobody/x", "🐕"]
OPTIONS = {
    **dict.fromkeys(["--steps", "--draws", "--guidance", "--seed", "--batch-size"], NUMBERS),
    **dict.fromkeys(["--images", "--components", "--points", "-k", "--neighbors"], NUMBERS),
    **dict.fromkeys(["--draw", "--bootstrap", "--pairs"], NUMBERS),
    **dict.fromkeys(["--sampler", "--device", "--dtype", "--column", "--layout", "--leg"], TEXTS),
    **dict.fromkeys(["--revision", "--token-env", "--split", "--columns", "--baseline"], TEXTS),
    "--sweep": ["weighting=x", "leg=", "levels=all,x", "n_steps=0", "n_draws=-1", "nonsense", "="],
}
VERBS = {
    "compare": ["A", "B"],
    "matrix": ["FILE", "-o", "OUT"],
    "plan": ["FILE"],
    "explain": ["A", "B", "-o", "OUT"],
    "map": ["FILE", "-o", "OUT"],
    "embed": ["FILE", "-o", "OUT"],
    "neighbors": ["FILE", "A"],
    "agree": ["FILE", "--model", "embedded", "--model", "embedded"],
    "evaluate": ["PAIRS"],
    "ablate": ["PAIRS"],
}
FILES = {
    "plain.txt": b"a dog\na cat\n",
    "empty.txt": b"",
    "nul.txt": b"\0\0\n\0",
    "latin.txt": "é\n".encode("latin-1"),
    "cr.txt": b"a\rb\r",
    "words.csv": b'a,b\r"x\ny",1\r\n',
    "broken.csv": b'a,"b\n',
    "none.npz": b"",
    "zip.npz": b"PK\x03\x04" + b"\0" * 50,
    "pairs.tsv": b"sentence1\tsentence2\tscore\na\tb\t1\nc\td\tnan\n",
    "good.tsv": b"sentence1\tsentence2\tscore\na\tb\t1\nc\td\t2\ne\tf\t3\n",
}
OUTPUTS = ["o.npz", "o.csv", "o.png", "o.html", "o.pdf", "o", "no/o.npz", "folder.npz"]
OUTPUTS += ["x" * 251 + ".npz", "x" * 300 + ".html", "o.NPZ", "plain.txt"]


class Reached(ValueError):
    """Everything was in order: the measurement would begin."""


def command_line(rng: random.Random) -> list[str]:
    verb = rng.choice(list(VERBS))
    words = [verb]
    for word in VERBS[verb]:
        draws = {"FILE": list(FILES), "PAIRS": ["pairs.tsv", "good.tsv", "words.csv", "sts99"]}
        draws |= {"OUT": OUTPUTS, "A": TEXTS, "B": TEXTS}
        words.append(rng.choice(draws.get(word, [word])))
    for option in rng.sample(list(OPTIONS), rng.randrange(4)):
        words += [option, rng.choice(OPTIONS[option])]
    return [*words, "--quiet", *(["--force"] if rng.random() < 0.5 else [])]


def test_500_command_lines(tmp_path, monkeypatch, capsys):
    def reached(*args, **kwargs):
        raise Reached("the measurement would begin.")

    for method in ("measure", "load", "trajectories", "cost"):
        monkeypatch.setattr(Engine, method, reached)
    monkeypatch.setenv("CONJURE_KERNEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.npz").mkdir()
    rng, wrong, codes = random.Random(0), [], []
    for _ in range(500):
        for name, data in FILES.items():
            (tmp_path / name).write_bytes(data)
        words = command_line(rng)
        code = cli.main(words)
        err = capsys.readouterr().err.splitlines()
        codes.append(code)
        fine = code in (0, 2) and all(line.startswith("conjure: ") for line in err)
        if not fine or (code == 2 and not 1 <= len(err) <= 3):
            wrong.append((code, words, err))
    assert wrong == []
    assert codes.count(2) > 400


# ---------------------------------------------------------------- the library

ODD = [None, True, 0, -1, 2.5, float("nan"), float("inf"), 10**400, 1 + 2j, "", "x", b"x", [], {}]
ODD += [np.nan, np.int64(2), np.array([1, 2]), object(), (1, 2), (2, 1), "a" * 10_000]
PROMPTS = [["prompt 0", "prompt 1"], ["prompt 0", None], [], "prompt 0", [1, 2], [b"prompt 0"]]
PROMPTS += [["prompt 0"], np.array([["prompt 0", "prompt 1"]]), {"prompt 0"}, ["\ud800"], None, 3]
PARAMETERS = ["n_steps", "n_draws", "guidance_scale", "weighting", "sampler", "substeps", "nodes"]
PARAMETERS += ["log_snr_range", "memory", "batch_size", "random_state", "check_steps", "tol"]
PARAMETERS += ["chains_per_draw", "shared_noise", "max_draws"]
GOOD = {
    "n_steps": [1, 2, 3],
    "n_draws": [1, 2, 3],
    "guidance_scale": [1.0, 2, 7.5],
    "weighting": ["paper", "noise"],
    "sampler": ["ode", "sde1", "ode1"],
    "substeps": [1, 3],
    "nodes": ["timesteps"],
    "log_snr_range": [(-4, 4.0), [-1, 1]],
    "batch_size": [1, 2, "auto"],
    "random_state": [1, None, np.random.RandomState(0)],
    "check_steps": [1],
    "tol": [0.9],
    "chains_per_draw": [2],
    "shared_noise": [True, False],
    "output": ["divergence", "kl", "kernel"],
    "bandwidth": [0.5, "median"],
    "psd": ["clip"],
    "n_components": [24, None],
    "n_references": [1, 2],
    "n_points": [8, 16],
    "n_blocks": [2, 4],
    "n_neighbors": [1],
}
OWN = {
    ConjureDistance: ["output", "bandwidth", "psd"],
    ConjureEmbedding: ["n_components", "n_references", "n_points", "n_blocks"],
    ConjureNeighbors: ["n_neighbors"],
    ConjurePairs: [],
}
SKIPPED = {ConjureEmbedding: ["check_steps", "tol", "n_draws", "max_draws", "chains_per_draw"]}
PLAIN = {
    accuracy_bound: [1, -1, 10**400, 1 + 2j, "", "x", [], {}, [-1.0, 2.0], object(), np.inf],
    divergence_for_accuracy: [*ODD, 0.4, 0.5, 0.75, 1.0, 1.1],
    layout: [np.zeros((3, 3)), np.full((3, 3), np.nan), np.zeros((3, 3), complex), *ODD],
}


def one_call(rng: random.Random, world) -> tuple[str, object]:
    """A description of a call, and the call."""
    kind = rng.random()
    if kind < 0.2:
        function = rng.choice(list(PLAIN))
        value = rng.choice(PLAIN[function])
        return f"{function.__name__}({value!r:.200})", lambda: function(value)
    if kind < 0.25:
        value = rng.choice(ODD)
        return f"TextKFold({value!r:.80})", lambda: list(TextKFold(value).split(PROMPTS[0] * 3))
    prompts = PROMPTS[0] if rng.random() < 0.7 else rng.choice(PROMPTS)
    estimator = rng.choice([pairwise_divergence, *OWN])
    names = [name for name in PARAMETERS if name not in SKIPPED.get(estimator, [])]
    names += OWN.get(estimator, [])
    options = {
        name: rng.choice(GOOD[name] if name in GOOD and rng.random() < 0.6 else ODD)
        for name in rng.sample(names, rng.randrange(1, 4))
    }
    whole = {"memory": None, "n_steps": 3, **options}
    if estimator is ConjureNeighbors:
        whole = {"n_neighbors": 1, **whole}
    text = f"{estimator.__name__}({whole!r:.200}), {prompts!r:.80}"
    if estimator is pairwise_divergence:
        return text, lambda: pairwise_divergence(prompts, model=world, **whole).values
    if estimator is ConjurePairs:
        return text, lambda: ConjurePairs(world, **whole).fit_transform([prompts])
    return text, lambda: estimator(world, **whole).fit_transform(prompts)


def is_finite(value) -> bool:
    if hasattr(value, "toarray"):
        value = value.toarray()
    if isinstance(value, np.ndarray | float | list):
        array = np.asarray(value)
        return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())
    return True


@pytest.mark.parametrize(
    "call",
    [
        lambda world: ConjureEmbedding(world, memory=None, n_components=10**9).fit(PROMPTS[0]),
        lambda world: ConjureEmbedding(world, memory=None, n_points=10**9).fit(PROMPTS[0]),
        lambda world: ConjureDistance(world, memory=None, n_steps=10**9).fit(PROMPTS[0]),
        lambda world: ConjureDistance(world, memory=None, n_draws=10**9).fit(PROMPTS[0]),
    ],
)
def test_what_no_memory_can_hold_is_refused_before_the_work(call, monkeypatch):
    monkeypatch.setattr("conjure_kernel._checks.os.sysconf", lambda name: 2**17)  # 17 GB
    monkeypatch.setattr(Engine, "load", lambda self: pytest.fail("the work began"))
    with pytest.raises(MemoryError, match=r"n_\w+=1000000000.*: .* GB, of 17.2 GB in all"):
        call(make_world(3)[0])


@pytest.mark.slow
def test_500_calls_of_the_library(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng, wrong, world, n_fine = random.Random(1), [], make_world(3)[0], 0
    for _ in range(500):
        text, call = one_call(rng, world)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if not is_finite(call()):
                    wrong.append((text, "not finite"))
                n_fine += 1
            except (ValueError, TypeError, MemoryError) as error:
                if not str(error).strip():
                    wrong.append((text, "no message"))
            except Exception as error:
                wrong.append((text, f"{type(error).__name__}: {error}"[:200]))
    assert wrong == []
    assert n_fine > 100
