"""How many files a new weighting, output, verb and cache backend touch: 1, 1, 2 and 1.

A copy of the package gets one of each, in those files and nowhere else; a script then uses them as
a user would. CONTRIBUTING.md names the same places.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import conjure_kernel

PACKAGE = Path(conjure_kernel.__file__).parent

# Of each new thing: file, the line that it stands below, and what is written there.
NEW = {
    "weighting": [
        ("method/grid.py", "WEIGHTINGS: ", '    "even": lambda grid: np.ones(grid.n_nodes),')
    ],
    "output": [("estimators/base.py", "OUTPUTS: ", '    "log": np.log1p,')],
    "verb": [
        (
            "cli/greet.py",
            "",
            "def add_verbs(add):\n    add('greet', lambda _: 'hello', 'say it', '')",
        ),
        ("cli/__init__.py", "VERBS = ", "from conjure_kernel.cli import greet\nVERBS += (greet,)"),
    ],
    "backend": [
        (
            "cache/store.py",
            "def open_store(",
            '    if memory == "attic":\n        return ATTIC.setdefault(str(key), MemoryStore())',
        ),
        ("cache/store.py", "from conjure_kernel.cache.folder", "ATTIC = {}"),
    ],
}
SCRIPT = """
import json
import numpy as np
from conjure_kernel import *
from conjure_kernel.cli import main
from conjure_kernel.evaluation import SWEEPS, ScoredPairs

prompts = ["a", "b", "c"]
world = GaussianDenoiser(dict(zip(prompts, [0.7, -0.4, 2.0])))
run = {"model": world, "n_steps": 3, "n_draws": 2, "memory": None}

even = ConjureDistance(**run, weighting="even", output="divergence")
plain = pairwise_divergence(prompts, **run)
pairs = ScoredPairs("toy", ["a", "a", "b"], ["b", "c", "c"], np.arange(3.0))
ablation = ablate(pairs, sweeps={"weighting": SWEEPS["weighting"]}, **run)
weighting = {
    "given": even.fit_transform(prompts).tolist(),
    "expected": ((plain.forward + plain.backward).sum(-1).mean(-1) / 2).tolist(),
    "vectors": ConjureEmbedding(world, n_steps=3, memory=None, weighting="even")
    .fit(prompts).transform(prompts).shape,
    "swept": [row["value"] for row in ablation.table.rows],
}

def paint(prompt, n):
    return np.random.default_rng(ord(prompt)).integers(0, 255, (n, 8, 8, 3)).astype(np.uint8)

output = {}
for made in (ConjureDistance(**run, output="log"), ImageDistance(paint, output="log")):
    matrix = made.fit_transform(prompts).tolist()
    output[type(made).__name__] = matrix, np.log1p(made.divergences_).tolist()

attic = {**run, "memory": "attic"}
found = [ConjureDistance(**attic).fit(prompts) for _ in range(2)]
backend = {
    "costs": [one.n_evaluations_ for one in found],
    "equal": found[0].divergences_.tolist() == found[1].divergences_.tolist(),
    "planned": plan(prompts, **attic).n_predictions,
}
print(json.dumps({"weighting": weighting, "output": output, "backend": backend}))
main(["greet"])
"""


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """What a script finds that uses one new thing of each kind, and the line that a verb says."""
    root = tmp_path_factory.mktemp("house")
    ignored = shutil.ignore_patterns("__pycache__", "embedded")
    shutil.copytree(PACKAGE, root / PACKAGE.name, ignore=ignored)
    for places in NEW.values():
        for name, line, added in places:
            insert(root / PACKAGE.name / name, line, added)
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    facts, said = done.stdout.splitlines()
    return {**json.loads(facts), "verb": said}


def insert(path, line, added):
    """Write something below the line that starts so, or into a new file."""
    lines = path.read_text(encoding="utf-8").splitlines() if line else []
    (at,) = [i for i, text in enumerate(lines) if text.startswith(line)] or [-1]
    path.write_text("\n".join([*lines[: at + 1], added, *lines[at + 1 :], ""]), encoding="utf-8")


def test_places():
    files = {thing: len({name for name, *_ in places}) for thing, places in NEW.items()}
    assert files == {"weighting": 1, "output": 1, "verb": 2, "backend": 1}


@pytest.mark.slow
def test_a_weighting_is_one_entry(used):
    found = used["weighting"]
    np.testing.assert_allclose(found["given"], found["expected"], rtol=1e-6)
    assert np.min(np.array(found["given"])[~np.eye(3, dtype=bool)]) > 0
    assert found["vectors"][0] == 3
    assert {"even", "jeffreys"} < set(found["swept"])


@pytest.mark.slow
def test_an_output_is_one_entry(used):
    assert set(used["output"]) == {"ConjureDistance", "ImageDistance"}
    for given, expected in used["output"].values():
        np.testing.assert_array_equal(given, expected)
        assert np.max(given) > 0


@pytest.mark.slow
def test_a_verb_is_a_file_and_its_name_in_the_list(used):
    assert used["verb"] == "hello"


@pytest.mark.slow
def test_a_cache_backend_is_one_folder(used):
    first, second = used["backend"]["costs"]
    assert first > 0 == second == used["backend"]["planned"]
    assert used["backend"]["equal"]
