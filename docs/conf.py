"""The site: `make docs`. Nothing is fetched, neither by the build nor by the pages."""

import os
import re
from typing import Any

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx_gallery.scrapers import figure_rst

import conjure_kernel

os.environ.pop("MPLBACKEND", None)  # a backend named here would keep pictures out of notebooks

project, author = "conjure_kernel", "The conjure_kernel developers"
version = release = conjure_kernel.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "jupyter_execute", "templates", "gallery/plot_*.ipynb"]
templates_path = ["templates"]
autodoc_typehints = "none"  # the docstrings say more
default_role = "py:obj"  # `name` in a docstring is a link where there is such a name
html_theme = "furo"
html_title = project
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["math.css", "figures.css"]
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]  # of save_figure: each build is a full one
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
numpydoc_show_class_members = False  # autodoc lists them


def save_figure(block: Any, block_vars: Any, gallery_conf: Any) -> str:
    """Picture of a `figure` that pyplot knows nothing of, as `plot_overview` makes."""
    figure = block_vars["example_globals"].pop("figure", None)
    if figure is None:
        return ""
    path = next(block_vars["image_path_iterator"])
    figure.savefig(path)
    return figure_rst([path], gallery_conf["src_dir"])


sphinx_gallery_conf = {
    "image_scrapers": ["matplotlib", save_figure],
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "/plot_",
    "ignore_pattern": "reproduce_paper|train_lora",
    "copyfile_regex": r".*\.ipynb",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_signature": False,
    "capture_repr": (),  # the picture of axes, and not their name
    "write_computation_times": False,  # its page would load scripts from elsewhere
}


def write_math(translator: Any, node: Any) -> None:
    """Formulas as MathML, which browsers draw without a script."""
    block = node.tagname == "math_block"
    translator.body.append(latex2mathml.tex2mathml(node.astext(), as_block=block))
    raise nodes.SkipNode


def link_notebooks(_app: Any, _page: str, source: list[str]) -> None:
    """Links to notebooks lead to examples/ on the forge, and to the gallery on the site."""
    source[0] = re.sub(r"\]\(\.\./examples/(\w+\.ipynb)\)", r"](gallery/\1)", source[0])


def escape_stars(*event: Any) -> None:
    """The star of a shape, (K, T, *shape), begins no emphasis."""
    lines = event[-1]
    lines[:] = [re.sub(r"(?<=, )\*(?=shape\))", r"\*", line) for line in lines]


def setup(app: Any) -> None:
    """Sphinx asks for this: our renderer of formulas, and what is changed before pages are read."""
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
    app.connect("source-read", link_notebooks)
    app.connect("autodoc-process-docstring", escape_stars, priority=100)  # before numpydoc's
