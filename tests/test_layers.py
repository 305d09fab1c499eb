"""The house plan as a test: imports point down, and each foreign library has one home.

`find_faults` reads one source text and lists what breaks the plan; it is tried on small wrong
texts first, then run over every file of the package.
"""

import ast
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]
NAME = "conjure_kernel"

LAYERS = {
    "_cachedir": 0,
    "_checks": 0,
    "_table": 0,
    "schedule": 0,
    "divergence": 1,
    "jackknife": 1,
    "kernels": 1,
    "reverse": 1,
    "denoiser": 2,
    "embedded": 2,
    "gaussian": 2,
    "pretrained": 2,
    "_records": 3,
    "batches": 3,
    "energies": 3,
    "ledger": 3,
    "pool": 3,
    "model_pair": 3,
    "settings": 3,
    "store": 3,
    "vectors": 3,
    "workers": 3,
    "_crowd": 4,
    "_layout": 4,
    "distance": 4,
    "drift": 4,
    "embedding": 4,
    "estimator": 4,
    "folds": 4,
    "gp": 4,
    "image_distance": 4,
    "images": 4,
    "neighbors": 4,
    "opening": 4,
    "pairs": 4,
    "pairwise": 4,
    "planner": 4,
    "prompt_matrix": 4,
    "references": 4,
    "sequential": 4,
    "scorers": 4,
    "ablation": 5,
    "comparison": 5,
    "correlation": 5,
    "datasets": 5,
    "evaluation": 5,
    "explanation": 5,
    "interactive": 5,
    "mteb_model": 5,
    "plot": 5,
    "_cli_commands": 6,
    "_cli_files": 6,
    "_cli_models": 6,
    "_cli_scores": 6,
    "_cli_vectors": 6,
    "cli": 6,
    "__init__": 6,  # the public names; imports them lazily
}
HOMES = {
    "bokeh": {"interactive"},
    "diffusers": {"pretrained"},
    "transformers": {"pretrained"},
    "matplotlib": {"plot"},
    "joblib": {"distance", "store", "workers"},
}
NO_TORCH = {
    "_cachedir",
    "_checks",
    "_table",
    "image_distance",
    "images",
    "prompt_matrix",
    "schedule",
    "divergence",
    "jackknife",
    "kernels",
}
RANDOM_ROOTS = ("random.", "numpy.random.", "torch.random.", "torch.Generator", "secrets.")
RANDOM_NAMES = {
    *("bernoulli", "default_rng", "manual_seed", "multinomial", "normal", "normal_", "poisson"),
    *("rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randn_tensor"),
    *("random_", "randperm", "rvs", "uniform_"),
}
MAX_FILE, MAX_FUNCTION = 300, 60


def find_faults(path: str, source: str) -> list[str]:
    """List what is wrong with the source of `path`, which is relative to the package."""
    module = path.partition("/")[0].removesuffix(".py")
    if module not in LAYERS:
        return [f"{path}: unknown module {module}: give it a layer in {Path(__file__).name}"]
    tree = ast.parse(source)
    imports = list(imported(path, tree))
    faults = [
        *arrow_faults(module, imports),
        *home_faults(module, imports),
        *random_faults(module, tree, imports),
        *size_faults(source, tree),
    ]
    return [f"{path}:{fault}" for fault in dict.fromkeys(faults)]


def imported(path, tree):
    """Yield (line, full dotted name, {local name: what it stands for}) of all imports, lazy too."""
    package = [NAME, *PurePosixPath(path).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.partition(".")[0]
                bound = {alias.asname: alias.name} if alias.asname else {root: root}
                yield node.lineno, alias.name, bound
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *([node.module] if node.module else [])]
            for alias in node.names:
                name = ".".join([*base, alias.name])
                yield node.lineno, name, {alias.asname or alias.name: name}


def arrow_faults(module, imports):
    for line, name, _ in imports:
        root, *rest = name.split(".")
        if root != NAME:
            continue
        target = rest[0] if rest and rest[0] in LAYERS else "__init__"
        if LAYERS[target] > LAYERS[module]:
            yield f"{line}: {module} (layer {LAYERS[module]}) imports {target} ({LAYERS[target]})"


def home_faults(module, imports):
    for line, name, _ in imports:
        root, *rest = name.split(".")
        if module not in HOMES.get(root, {module}):
            yield f"{line}: {root} outside {', '.join(sorted(HOMES[root]))}"
        if root == "torch" and module in NO_TORCH:
            yield f"{line}: torch in {module}, which is numpy only"
        if root == "sklearn" and any(part.startswith("_") for part in rest):
            yield f"{line}: private name {name}"


def random_faults(module, tree, imports):
    if LAYERS[module] >= 4 or module == "reverse":
        return
    roots = {local: name for _, _, bound in imports for local, name in bound.items()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            head, dot, tail = ast.unparse(node.func).partition(".")
            name = roots.get(head, head) + dot + tail
            if name.startswith(RANDOM_ROOTS) or name.rpartition(".")[2] in RANDOM_NAMES:
                yield f"{node.lineno}: {name}() draws outside reverse.py"


def size_faults(source, tree):
    if (n_lines := len(source.splitlines())) > MAX_FILE:
        yield f"1: {n_lines} lines, at most {MAX_FILE}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = ast.get_docstring(node, clean=False) is not None
            start = node.body[0].end_lineno + 1 if documented else node.body[0].lineno
            if (n_lines := node.end_lineno - start + 1) > MAX_FUNCTION:
                yield f"{node.lineno}: {node.name} has {n_lines} lines, at most {MAX_FUNCTION}"


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("new.py", "", "new.py: unknown module new: give it a layer in test_layers.py"),
        ("new/part.py", "", "new/part.py: unknown module new"),
        # upward arrows, in each spelling
        (
            "store.py",
            "import conjure_kernel.distance",
            "store.py:1: store (layer 3) imports distan",
        ),
        ("store.py", "from conjure_kernel.distance import X", "imports distance (4)"),
        ("store.py", "from conjure_kernel import distance as d", "imports distance (4)"),
        ("store.py", "from conjure_kernel import ConjureDistance", "imports __init__ (6)"),
        ("store.py", "from . import distance", "imports distance (4)"),
        ("store.py", "from .distance import X", "imports distance (4)"),
        (
            "store.py",
            "def f():\n    from .cli import main",
            "store.py:2: store (layer 3) imports cli",
        ),
        ("pretrained/load.py", "from ..energies import X", "imports energies (3)"),
        ("pretrained/load.py", "from .. import energies", "imports energies (3)"),
        ("pretrained/__init__.py", "from ..store import X", "imports store (3)"),
        # homes
        ("energies.py", "import diffusers", "diffusers outside pretrained"),
        ("cli.py", "def f():\n    from transformers import X", "transformers outside pretrained"),
        ("interactive.py", "import matplotlib.pyplot as plt", "matplotlib outside plot"),
        ("plot.py", "from joblib import Parallel", "joblib outside distance, store, workers"),
        ("kernels.py", "import torch.nn", "torch in kernels, which is numpy only"),
        ("distance.py", "from sklearn.utils._tags import Tags", "private name sklearn.utils._tags"),
        ("distance.py", "from sklearn.utils import _safe", "private name sklearn.utils._safe"),
        # randomness below layer 4
        ("gaussian.py", "import torch\ntorch.randn(3)", "gaussian.py:2: torch.randn() draws"),
        ("gaussian.py", "import torch\ntorch.Generator('cpu')", "torch.Generator() draws"),
        ("gaussian.py", "import torch\ntorch.empty(3).normal_()", "normal_() draws"),
        ("gaussian.py", "from torch import randn as r\nr(3)", "torch.randn() draws"),
        ("store.py", "import numpy as np\nnp.random.rand(3)", "numpy.random.rand() draws"),
        ("store.py", "import numpy.random\nnumpy.random.beta(1, 2)", "numpy.random.beta() draws"),
        ("store.py", "from numpy import random as r\nr.beta(1, 2)", "numpy.random.beta() draws"),
        ("store.py", "import random\nrandom.shuffle([1])", "random.shuffle() draws"),
        ("store.py", "from random import choice\nchoice([1])", "random.choice() draws"),
        # sizes
        ("store.py", "x = 1\n" * 301, "store.py:1: 301 lines, at most 300"),
        ("store.py", "def f():\n" + "    x = 1\n" * 61, "store.py:1: f has 61 lines, at most 60"),
    ],
)
def test_a_fault_is_found(path, source, fault):
    faults = find_faults(path, source)
    assert len(faults) == 1
    assert fault in faults[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("distance.py", "from conjure_kernel.store import X\nfrom . import energies, schedule"),
        (
            "pretrained/load.py",
            "from .pipeline import X\nfrom ..reverse import Y\nimport diffusers",
        ),
        ("cli.py", "from conjure_kernel import ConjureDistance\nfrom . import plot"),
        ("__init__.py", "def __getattr__(name):\n    from . import cli"),
        ("plot.py", "from matplotlib import colormaps"),
        ("reverse.py", "import torch\ntorch.randn(3, generator=torch.Generator())"),
        ("distance.py", "import numpy as np\nnp.random.default_rng(0)"),
        ("gaussian.py", "import torch\ndef f(generator: torch.Generator): return generator"),
        ("gaussian.py", "from conjure_kernel.reverse import standard_normal\nstandard_normal(3)"),
        ("store.py", "x = 1\n" * 300),
        ("store.py", "def f():\n    '''" + "\n" * 99 + "    '''\n" + "    x = 1\n" * 60),
    ],
)
def test_what_is_allowed_passes(path, source):
    assert find_faults(path, source) == []


FILES = sorted((ROOT / NAME).rglob("*.py"))


def test_no_public_name_is_also_a_module():
    # Importing the module would put it in the name's place.
    from conjure_kernel import __all__

    assert "explain" in __all__
    assert not set(__all__) & {file.stem for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_package_keeps_to_the_plan(file):
    path = file.relative_to(ROOT / NAME).as_posix()
    assert find_faults(path, file.read_text(encoding="utf-8")) == []
