"""The table of docs/models.md, made anew by `PYTHONPATH=tests/shared python -m pipelines.table`."""

from pathlib import Path
from typing import Any

from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.pretrained.load import load_denoiser
from pipelines.registry import FAMILIES, Family

PAGE = Path(__file__).parents[3] / "docs" / "models.md"
BEGIN, END = "<!-- table: made from the tests -->\n", "<!-- end of the table -->\n"
HEAD = "| family | pipeline | the network says | guidance | prompts a call | options, notes |\n"
DIALECTS = {"flow": "velocity (flow)", "sample": "x_0", "v_prediction": "v", "epsilon": "eps"}
DIALECTS |= {"edm_epsilon": "EDM", "edm_v_prediction": "EDM, v"}


def row_of(family: Family, denoiser: Any) -> str:
    """What loading the tiny pipeline found out about it."""
    found = denoiser.calibration
    guidance = "any w"
    if found.guidance_offset is None:
        guidance = "only w = 1"
    elif found.guidance_fault:
        guidance = "only w = 1: a guided call fails"
    elif found.both_branches:
        guidance = "any w, at full cost: not linear"
    options = [f"`{name}={value!r}`" for name, value in family.call.items()]
    options = [text for text in options if "height" not in text and "width" not in text]
    if found.leading_steps:
        options.append("one step more: it brings a first state of its own")
    cells = [
        family.name,
        f"`{type(denoiser.pipeline).__name__}`",
        DIALECTS[found.dialect.prediction],
        guidance,
        "many" if found.prompts_share_a_call else "one",
        "; ".join([*options, *([family.note] if family.note else [])]),
    ]
    return "| " + " | ".join(cells) + " |\n"


def table_of(rows: list[str]) -> str:
    """Lines between the marks of the page."""
    return HEAD + "|---" * 6 + "|\n" + "".join(rows)


def committed() -> str:
    """The table that stands in the page."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    def load(family: Family) -> Denoiser:
        return load_denoiser(family.build(), **family.call)

    made = table_of([row_of(family, load(family)) for family in FAMILIES])
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + made + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
