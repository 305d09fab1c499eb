"""The site: `make docs`. Nothing is fetched, neither by the build nor by the pages."""

import os
from typing import Any

from docutils import nodes
from docutils.utils.math import latex2mathml

import conjure_kernel

os.environ.setdefault("MPLBACKEND", "Agg")  # of the notebooks' processes

project, author = "conjure_kernel", "The conjure_kernel developers"
version = release = conjure_kernel.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "templates", "gallery/plot_*.ipynb"]
templates_path = ["templates"]
autodoc_typehints = "none"  # the docstrings say more
default_role = "py:obj"  # `name` in a docstring is a link where there is such a name
html_theme = "furo"
html_title = project
html_math_renderer = "mathml"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
numpydoc_show_class_members = False  # autodoc lists them
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "/plot_",
    "ignore_pattern": "reproduce_paper",
    "copyfile_regex": r".*\.ipynb",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,  # its page would load scripts from elsewhere
}


def write_math(translator: Any, node: Any) -> None:
    """Formulas as MathML, which browsers draw without a script."""
    block = node.tagname == "math_block"
    translator.body.append(latex2mathml.tex2mathml(node.astext(), as_block=block))
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Sphinx asks for this: ours is the renderer of formulas."""
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
