"""Python on the pages runs as it stands, each block after those above it; no page is missing."""

import ast
import importlib
import inspect
import itertools
import json
import re
from pathlib import Path

import diffusers
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs"
BLOCK = re.compile(r"(<!-- not run: [^\n]*-->\n)?```python\n(.*?)```", re.S)
ROOMS = {"": "conjure_kernel"}  # the public packages, by what their names are called in api.md
ROOMS |= {f"{room}.": f"conjure_kernel.{room}" for room in ("models", "evaluation", "plot")}


def read(page):
    return (PAGES / page).read_text(encoding="utf-8")


def blocks(page):
    """Blocks of a page that are to run."""
    return [block for skipped, block in BLOCK.findall(read(page)) if not skipped]


def run(page, names):
    """Run a page from its first block to its last."""
    for block in blocks(page):
        exec(compile(block, page, "exec"), names)
    return names


@pytest.mark.slow
def test_human_scores(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONJURE_KERNEL_CACHE", str(tmp_path))
    words = ["dog", "cat", "car", "bus", "apple", "pear", "rose", "fish", "hat"]
    pairs = enumerate(itertools.combinations(words, 2))
    lines = ["word1\tword2\tscore", *(f"{a}\t{b}\t{i % 7}" for i, (a, b) in pairs)]
    Path("pairs.tsv").write_text("\n".join(lines))
    names = {}
    first, *others = blocks("human_scores.md")
    exec(compile(first, "human_scores.md", "exec"), names)
    out = capsys.readouterr().out
    assert "-log R on pairs: 36 pairs" in out
    assert "| -log R | text encoder, cosine | 36 |" in out
    assert others
    for block in others:
        exec(compile(block, "human_scores.md", "exec"), names)
    assert names["predicted"].shape == (36,)


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.name)
def test_no_line_is_a_comment_by_its_first_sign(page):
    lines = page.read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if line.lstrip().startswith("%")]  # nobody would see it


@pytest.mark.slow
def test_quick_start(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CONJURE_KERNEL_CACHE", str(tmp_path))
    run("quick_start.md", {})
    assert capsys.readouterr().out.count("\n") == 9  # two matrices of 4 rows, and the clusters


@pytest.mark.slow
def test_the_home_page_shows_what_its_code_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CONJURE_KERNEL_CACHE", str(tmp_path))
    run("index.md", {})
    number = re.compile(r"-?\d+(?:\.\d+)?")
    shown = re.search("```text\n(.*?)```", read("index.md"), re.S)[1]
    printed = capsys.readouterr().out
    assert number.sub("0", " ".join(shown.split())) == number.sub("0", " ".join(printed.split()))
    both = [np.array(list(map(float, number.findall(text)))) for text in (shown, printed)]
    np.testing.assert_allclose(*both, rtol=0.05, atol=0.01)


def test_a_denoiser_of_ones_own():
    found = run("checkpoint.md", {})["measured"].values
    np.testing.assert_allclose(found, [[0, 0.5, 2], [0.5, 0, 0.5], [2, 0.5, 0]], rtol=0.01)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # some blocks show what goes wrong
def test_clustering(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CONJURE_KERNEL_CACHE", str(tmp_path))
    names = run("clustering.md", {})
    assert names["search"].best_estimator_[0].n_evaluations_ == 0
    out = capsys.readouterr().out
    scores = dict(re.findall(r"^(\w+, [\w ]+): (\S+)$", out, re.M))
    right = float(scores.pop("kernel, precomputed"))
    assert len(scores) == 3
    assert all(float(wrong) < right - 0.05 for wrong in scores.values())
    assert set(names["found"].names[0]) == set(names["COLOURS"])


@pytest.mark.slow
def test_many_machines(capsys):
    run("many_machines.md", {})
    assert capsys.readouterr().out == "True\n"


def test_the_examples_of_the_reference(capsys):
    names = run("api.md", {})
    paper, plan, *schedules = capsys.readouterr().out.splitlines()[:5]
    assert paper == "CompVis/stable-diffusion-v1-4 paper timesteps"
    assert plan == "3 3 798"
    kinds = [line.partition(" ")[0] for line in schedules]
    assert kinds == ["VariancePreserving", "FlowMatching", "Preconditioned"]
    assert names["result"].table.find(part="all")["spearman"] == 1


def test_the_formula_of_the_method_page_is_that_of_the_package(capsys):
    on_page, _ = blocks("method.md")
    in_package = inspect.getsource(importlib.import_module("conjure_kernel.method.formula"))
    assert bare_function(on_page, "jeffreys") == bare_function(in_package, "jeffreys")
    run("method.md", {})
    formula, engine, exact = map(float, capsys.readouterr().out.split())
    assert formula == engine
    assert formula == pytest.approx(exact, rel=1e-3)
    assert exact > 0.5


def bare_function(source, name):
    """Syntax tree of a function, without its docstring and types."""
    (function,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    )
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            node.annotation = None
    function.returns = None
    if ast.get_docstring(function) is not None:
        del function.body[0]
    return ast.dump(function)


TESTED_ALONE = {"api", "checkpoint", "clustering", "human_scores", "many_machines", "method"}
TESTED_ALONE |= {"index", "quick_start"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [p.name for p in sorted(PAGES.glob("*.md")) if p.stem not in TESTED_ALONE and blocks(p.name)],
)
def test_page(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONJURE_KERNEL_CACHE", str(tmp_path))
    run(page, {})
    assert capsys.readouterr().out


def python_of_all_pages():
    """Sources of pages (blocks that do not run, too), README, examples and notebooks."""
    for page in [ROOT / "README.md", *sorted(PAGES.glob("*.md"))]:
        for _, block in BLOCK.findall(page.read_text(encoding="utf-8")):
            yield page.name, block
    for script in [*sorted((ROOT / "examples").glob("*.py")), PAGES / "pictures.py"]:
        yield script.name, script.read_text(encoding="utf-8")
    for notebook in sorted((ROOT / "examples").glob("*.ipynb")):
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                yield notebook.name, "".join(cell["source"])


def test_no_block_is_overlooked():
    for page in [ROOT / "README.md", *sorted(PAGES.glob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        assert len(BLOCK.findall(text)) == text.count("```python"), page.name


def internal_imports(source):
    """Imports of this package that are not of a public name, from where it is public."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module, alias.name) for alias in node.names]
        else:
            continue
        for module, name in names:
            if module.partition(".")[0] != "conjure_kernel":
                continue
            public = module in ROOMS.values() and name in importlib.import_module(module).__all__
            if not public:
                yield f"{module} {name}".strip()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from conjure_kernel import plan\nfrom conjure_kernel.plot import stress", []),
        ("import numpy", []),
        ("from conjure_kernel.engine.plan import plan", ["conjure_kernel.engine.plan plan"]),
        ("def f():\n    import conjure_kernel._table", ["conjure_kernel._table"]),
        ("from conjure_kernel.plot import maps", ["conjure_kernel.plot maps"]),
        ("from conjure_kernel import ConjureDistances", ["conjure_kernel ConjureDistances"]),
    ],
)
def test_an_internal_import_is_found(source, found):
    assert list(internal_imports(source)) == found


def test_pages_and_examples_import_public_names_only():
    inside = {(page, i) for page, text in python_of_all_pages() for i in internal_imports(text)}
    assert inside == {("method.md", "conjure_kernel.method.reverse ChainSettings")}


LISTED = re.findall(r"^   ((?:\w+\.)*\w+)$", read("api.md"), re.M)


def test_the_reference_lists_exactly_the_public_names():
    from conjure_kernel import __all__ as top

    expected = {
        prefix + name
        for prefix, room in ROOMS.items()
        for name in importlib.import_module(room).__all__
        if not (prefix and name in top)
    }
    assert len(expected) > 60
    assert sorted(LISTED) == sorted(expected)


def test_a_name_of_two_packages_is_one_thing():
    from conjure_kernel import __all__ as top

    whole = importlib.import_module("conjure_kernel")
    for room in list(ROOMS.values())[1:]:
        part = importlib.import_module(room)
        for name in {*part.__all__} & {*top}:
            assert getattr(part, name) is getattr(whole, name)


@pytest.mark.parametrize("name", LISTED)
def test_every_name_of_the_reference_has_an_example(name):
    """In its docstring, or on the page."""
    module, _, last = f"conjure_kernel.{name}".rpartition(".")
    thing = getattr(importlib.import_module(module), last)
    used = {
        node.id
        for block in blocks("api.md")
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Name)
    }
    assert last in used or (not isinstance(thing, dict) and ">>>" in thing.__doc__)


def test_one_table_of_contents_has_every_page_once():
    text = read("index.md")
    trees = re.findall(r"```{toctree}\n:maxdepth: 1\n:caption: ([^\n]*)\n\n(.*?)```", text, re.S)
    captions = [caption for caption, _ in trees]
    assert captions == ["Tutorials", "How-to guides", "Explanation", "Reference"]
    listed = [page for _, pages in trees for page in pages.split()]
    notebooks = {f"gallery/{p.stem}" for p in (ROOT / "examples").glob("*.ipynb")}
    written = {p.stem for p in PAGES.glob("*.md")} - {"index"}
    assert sorted(listed) == sorted(written | notebooks | {"gallery/index"})
    others = [ROOT / "examples" / "GALLERY_HEADER.rst", *(PAGES / f"{p}.md" for p in written)]
    another = re.compile(r"^(```{toctree}|\.\. toctree::)", re.M)
    assert not [p.name for p in others if another.search(p.read_text(encoding="utf-8"))]


def test_the_page_of_the_layout_says_what_the_house_is():
    text, package = read("code_layout.md"), ROOT / "conjure_kernel"
    (plan,) = (
        node.value
        for node in ast.parse((ROOT / "tests" / "test_house.py").read_text("utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ROOMS"
    )
    assert re.findall(r"^\| `(\w+)/` \|", text, re.M) == ast.literal_eval(plan).split()
    paths = set(re.findall(r"`([\w/]+\.pyi?)`", text)) - {"tests/test_house.py", "registry.py"}
    assert len(paths) > 20
    assert not [path for path in sorted(paths) if not (package / path).exists()]
    places = re.findall(r"`(\w+)` (?:in|of) `([\w/]+\.py)`", text)
    assert len(places) > 6
    for name, path in places:
        assert re.search(rf"\b{name}\b", (package / path).read_text("utf-8")), (name, path)


def rows_of(page, begin, end):
    """Cells of the table between two marks of a page."""
    text = read(page).partition(begin)[2].partition(end)[0]
    return [line.strip("| ").split(" | ") for line in text.strip().splitlines()[2:]]


def test_the_published_models_are_of_the_families_and_guided_as_by_default():
    families = rows_of("models.md", "<!-- table: made from the tests -->", "<!-- end of the table")
    pipelines = {family: cells[0].strip("`") for family, *cells in families}
    rows = rows_of("models.md", "<!-- models -->", "<!-- end of models")
    assert len(rows) > 15
    for family, w, billions, gigabytes, line in rows:
        call = ast.parse(line.strip("`")).body[0].value
        assert call.func.id == "ConjureDistance"
        assert "/" in ast.literal_eval(call.args[0])
        call_of = inspect.signature(getattr(diffusers, pipelines[family]).__call__).parameters
        for keyword in call.keywords:
            assert keyword.arg == "model_kwargs"
            assert set(ast.literal_eval(keyword.value)) <= set(call_of)
        assert float(gigabytes) == pytest.approx(2 * float(billions), 0.01)
        assert w == "1" or float(w.split(",")[0]) == call_of["guidance_scale"].default
