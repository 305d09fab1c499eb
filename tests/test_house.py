"""The plan of the house as a test: who may import whom, and where each foreign library lives.

`find_faults` reads one source text and lists what breaks the plan; `find_circles` reads the imports
of many. Both are tried on small wrong texts first, then run over every file of the package.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]
NAME = "conjure_kernel"

# Each folder uses those before it, itself, and the two files that all may use.
ROOMS = "method models cache engine estimators evaluation plot report cli"
FOLDERS = ROOMS.split()
COMMON = ["_checks", "_table"]
ROOF = ["__init__", "__main__"]  # the public names, and the command as a module
HOMES = {
    "diffusers": "models/pretrained",
    "filelock": "models/pretrained",
    "joblib": "engine/workers",
    "matplotlib": "plot",
    "transformers": "models/pretrained",
}
NUMPY_ONLY = [
    "_checks",
    "_table",
    "cache/folder",
    "cache/container",
    "cache/locks",
    "engine/parameters",
    "estimators/images",
]
NUMPY_ONLY += [f"method/{name}" for name in ("schedule", "prediction", "divergence", "kernels")]
NUMPY_ONLY += ["method/jackknife", "method/shapley", "plot"]
NUMPY_ONLY += [f"evaluation/{name}" for name in ("correlation", "delete_one", "uncertainty")]
# Below the estimators all randomness is keyed: two files draw seeds and choices, one the noise.
DRAWING = ["method/reverse", "engine/opening", "engine/pool"]
RANDOM_ROOTS = ("random.", "numpy.random.", "torch.random.", "torch.Generator", "secrets.")
RANDOM_NAMES = {
    *("bernoulli", "default_rng", "manual_seed", "multinomial", "normal", "normal_", "poisson"),
    *("rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randn_tensor"),
    *("random_", "randperm", "rvs", "uniform_"),
}
MAX_FILE, MAX_FUNCTION = 300, 60


def find_faults(path: str, source: str) -> list[str]:
    """List what is wrong with the source of `path`, which is relative to the package."""
    room = path.removesuffix(".py").removesuffix("/__init__")
    folder = room.partition("/")[0]
    if folder not in [*FOLDERS, *COMMON, *ROOF]:
        return [f"{path}: unknown folder {folder}: give it a floor in {Path(__file__).name}"]
    tree = ast.parse(source)
    imports = list(imported(path, tree))
    faults = [
        *arrow_faults(folder, imports),
        *home_faults(room, imports),
        *random_faults(room, folder, tree, imports),
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


def floor(folder):
    """Number of a floor; the roof, which has the public names, is the last one."""
    return -1 if folder in COMMON else [*FOLDERS, *ROOF].index(folder)


def arrow_faults(folder, imports):
    for line, name, _ in imports:
        root, *rest = name.split(".")
        if root != NAME or rest == ["__version__"]:
            continue
        target = rest[0] if rest and rest[0] in [*FOLDERS, *COMMON] else "__init__"
        if floor(target) > floor(folder):
            yield f"{line}: {folder} imports {target}, which is above it"


def home_faults(room, imports):
    for line, name, _ in imports:
        root, *rest = name.split(".")
        homes = HOMES.get(root, "")
        homes = (homes,) if isinstance(homes, str) else homes
        if not lives_in(room, homes):
            yield f"{line}: {root} outside {', '.join(homes)}"
        if root == "torch" and lives_in(room, NUMPY_ONLY):
            yield f"{line}: torch in {room}, which is numpy only"
        if root == "sklearn" and any(part.startswith("_") for part in rest):
            yield f"{line}: private name {name}"


def lives_in(room, homes):
    return any(room == home or room.startswith(f"{home}/") or not home for home in homes)


def random_faults(room, folder, tree, imports):
    if floor(folder) >= floor("estimators") or room in DRAWING:
        return
    roots = {local: name for _, _, bound in imports for local, name in bound.items()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            head, dot, tail = ast.unparse(node.func).partition(".")
            name = roots.get(head, head) + dot + tail
            if name.startswith(RANDOM_ROOTS) or name.rpartition(".")[2] in RANDOM_NAMES:
                yield f"{node.lineno}: {name}() draws outside {', '.join(DRAWING)}"


def size_faults(source, tree):
    if (n_lines := len(source.splitlines())) > MAX_FILE:
        yield f"1: {n_lines} lines, at most {MAX_FILE}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = ast.get_docstring(node, clean=False) is not None
            start = node.body[0].end_lineno + 1 if documented else node.body[0].lineno
            if (n_lines := node.end_lineno - start + 1) > MAX_FUNCTION:
                yield f"{node.lineno}: {node.name} has {n_lines} lines, at most {MAX_FUNCTION}"


def find_circles(sources: dict[str, str]) -> list[str]:
    """Files, by their paths in the package, that import each other in a circle."""
    rooms = {path.removesuffix(".py").removesuffix("/__init__"): path for path in sources}
    graph = {}
    for room, path in rooms.items():
        graph[room] = set()
        for _, name, _ in imported(path, ast.parse(sources[path])):
            root, *rest = name.split(".")
            ends = ("/".join(rest[:n]) for n in range(len(rest), 0, -1))
            found = next((end for end in ends if end in rooms), None) if root == NAME else None
            if found and found != room:
                graph[room].add(found)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("new.py", "", "new.py: unknown folder new: give it a floor in test_house.py"),
        ("new/part.py", "", "new/part.py: unknown folder new"),
        # upward arrows, in each spelling
        (
            "cache/store.py",
            "import conjure_kernel.estimators.distance",
            "cache/store.py:1: cache imports estimators, which is above it",
        ),
        ("cache/store.py", "from conjure_kernel.estimators.distance import X", "estimators"),
        ("cache/store.py", "from conjure_kernel.estimators import distance as d", "estimators"),
        ("cache/store.py", "from conjure_kernel import ConjureDistance", "imports __init__"),
        ("cache/store.py", "from .. import estimators", "cache imports estimators"),
        ("cache/store.py", "from ..estimators.distance import X", "cache imports estimators"),
        (
            "cache/store.py",
            "def f():\n    from ..cli import main",
            "store.py:2: cache imports cli",
        ),
        ("engine/explanation.py", "from conjure_kernel.plot import X", "engine imports plot"),
        ("models/pair.py", "from conjure_kernel.engine.batches import X", "models imports engine"),
        ("models/pretrained/load.py", "from ...engine.engine import X", "models imports engine"),
        ("models/pretrained/__init__.py", "from ...cache import X", "models imports cache"),
        ("_checks.py", "from conjure_kernel.method import kernels", "_checks imports method"),
        # homes
        ("engine/engine.py", "import diffusers", "diffusers outside models/pretrained"),
        ("cli/files.py", "def f():\n    from transformers import X", "transformers outside"),
        ("cli/files.py", "import matplotlib.pyplot as plt", "matplotlib outside plot"),
        ("plot/maps.py", "from joblib import Parallel", "joblib outside engine/workers"),
        ("method/kernels.py", "import torch.nn", "torch in method/kernels, which is numpy only"),
        ("estimators/base.py", "from sklearn.utils._tags import T", "name sklearn.utils._tags"),
        ("estimators/base.py", "from sklearn.utils import _safe", "name sklearn.utils._safe"),
        # randomness below the estimators
        ("models/pair.py", "import torch\ntorch.randn(3)", "pair.py:2: torch.randn() draws"),
        ("models/pair.py", "import torch\ntorch.Generator('cpu')", "torch.Generator() draws"),
        ("models/pair.py", "import torch\ntorch.empty(3).normal_()", "normal_() draws"),
        ("models/pair.py", "from torch import randn as r\nr(3)", "torch.randn() draws"),
        ("engine/engine.py", "import numpy as np\nnp.random.rand(3)", "numpy.random.rand() draws"),
        ("cache/store.py", "import numpy.random\nnumpy.random.beta(1, 2)", "random.beta() draws"),
        ("cache/store.py", "from numpy import random as r\nr.beta(1, 2)", "random.beta() draws"),
        ("cache/store.py", "import random\nrandom.shuffle([1])", "random.shuffle() draws"),
        ("cache/store.py", "from random import choice\nchoice([1])", "random.choice() draws"),
        # sizes
        ("cache/store.py", "x = 1\n" * 301, "cache/store.py:1: 301 lines, at most 300"),
        ("cache/store.py", "def f():\n" + "    x = 1\n" * 61, "f has 61 lines, at most 60"),
    ],
)
def test_a_fault_is_found(path, source, fault):
    faults = find_faults(path, source)
    assert len(faults) == 1
    assert fault in faults[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("estimators/drift.py", "from conjure_kernel.cache.store import X\nfrom . import base"),
        ("models/pretrained/load.py", "from .pipeline import X\nfrom ...method import reverse"),
        ("models/pretrained/load.py", "import diffusers\nfrom filelock import FileLock"),
        (
            "cli/measure.py",
            "from conjure_kernel import __version__\nfrom conjure_kernel import plot",
        ),
        ("engine/engine.py", "from conjure_kernel._checks import check_number"),
        ("__init__.py", "def __getattr__(name):\n    from . import cli"),
        ("__main__.py", "from conjure_kernel.cli import main"),
        ("plot/maps.py", "from matplotlib import colormaps"),
        ("method/reverse.py", "import torch\ntorch.randn(3, generator=torch.Generator())"),
        ("estimators/gp.py", "import numpy as np\nnp.random.default_rng(0)"),
        ("models/gaussian.py", "import torch\ndef f(generator: torch.Generator): return generator"),
        ("models/gaussian.py", "from ..method.reverse import standard_normal as s\ns(3)"),
        ("cache/store.py", "x = 1\n" * 300),
        ("cache/store.py", "def f():\n    '''" + "\n" * 99 + "    '''\n" + "    x = 1\n" * 60),
    ],
)
def test_what_is_allowed_passes(path, source):
    assert find_faults(path, source) == []


def test_a_circle_is_found():
    chain = {"cache/a.py": "from .b import X", "cache/b.py": "from conjure_kernel.cache import c"}
    assert find_circles({**chain, "cache/c.py": ""}) == []
    circle = find_circles({**chain, "cache/c.py": "def f():\n    import conjure_kernel.cache.a"})
    assert {*circle} == {"cache/a", "cache/b", "cache/c"}


FILES = sorted((ROOT / NAME).rglob("*.py"))
SOURCES = {f.relative_to(ROOT / NAME).as_posix(): f.read_text(encoding="utf-8") for f in FILES}


def test_the_folders_are_those_of_the_list():
    found = {path.partition("/")[0] for path in SOURCES if "/" in path}
    assert found == set(FOLDERS)


def test_no_public_name_is_also_a_module():
    # Importing the module would put it in the name's place.
    from conjure_kernel import __all__

    assert "explain" in __all__
    assert not set(__all__) & {f.stem for f in FILES if f.parent.name == NAME}


def test_nothing_imports_in_a_circle():
    assert find_circles(SOURCES) == []


@pytest.mark.parametrize("path", SOURCES)
def test_the_package_keeps_to_the_plan(path):
    assert find_faults(path, SOURCES[path]) == []
