"""Run the notebooks of examples/ where they are, so that the forge shows their pictures.

    make notebooks

Pages of more than 100 kB, such as an interactive map, are not kept. The site shows them, because
its build runs the notebooks again.
"""

import os
from pathlib import Path

import nbclient
import nbformat

EXAMPLES = Path(__file__).parents[1] / "examples"
LARGEST = 100_000


def main() -> None:
    """Run all of them."""
    os.environ.pop("MPLBACKEND", None)  # a backend named here keeps pictures out
    for path in sorted(EXAMPLES.glob("*.ipynb")):
        notebook = nbformat.read(path, 4)
        nbclient.NotebookClient(notebook, record_timing=False).execute()
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                shown = output.get("data", {})
                if len(shown.get("text/html", "")) > LARGEST:
                    shown["text/html"] = "<em>Too large to be kept here: see the site.</em>"
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
