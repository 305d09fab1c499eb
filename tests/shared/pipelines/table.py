"""The table of docs/models.md, made anew by `PYTHONPATH=tests/shared python -m pipelines.table`."""

from pathlib import Path
from typing import Any

from conjure_kernel.models.denoiser import Denoiser
from conjure_kernel.models.pretrained.load import load_denoiser
from pipelines.registry import FAMILIES, REFUSED, Family

PAGE = Path(__file__).parents[3] / "docs" / "models.md"
TOY = {"height", "width", "max_sequence_length"}  # sizes, which are small only here
REASONS = "<!-- refused: made from the tests -->\n"
BEGIN, END = "<!-- table: made from the tests -->\n", "<!-- end of the table -->\n"
HEAD = "| family | pipeline | the network says | guidance | prompts a call | options, notes |\n"
DIALECTS = {"flow": "velocity (flow)", "sample": "x_0", "v_prediction": "v", "epsilon": "eps"}
DIALECTS["inverted_flow"] = "velocity (flow, reversed)"
DIALECTS |= {"edm_epsilon": "EDM", "edm_v_prediction": "EDM, v"}


def row_of(family: Family, denoiser: Any) -> str:
    """What loading the tiny pipeline found out about it."""
    found = denoiser.calibration
    guidance = "any w"
    if found.guidance_offset is None:
        guidance = "only w = 1"
    elif found.guidance_fault:
        guidance = "only w = 1: a guided call fails"
    elif found.least_w > 1:
        guidance = f"w = 1, any w above {found.least_w:g}"
    elif found.both_branches:
        guidance = "any w, at full cost: not linear"
    options = [
        f"`{name}={value!r}`" if len(repr(value)) < 50 else f"`{name}=...`"
        for name, value in family.call.items()
        if name not in TOY
    ]
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


def refusals() -> str:
    """Lines of the table of what is refused."""
    rows = [f"| {r.name} | {r.reason} | {r.remedy} |\n" for r in REFUSED]
    return "| what | why | what to do |\n" + "|---" * 3 + "|\n" + "".join(rows)


def committed(begin: str = BEGIN) -> str:
    """The table that stands in the page."""
    return PAGE.read_text(encoding="utf-8").partition(begin)[2].partition(END)[0]


def main() -> None:
    def load(family: Family) -> Denoiser:
        return load_denoiser(family.build(), **family.call)

    made = table_of([row_of(family, load(family)) for family in FAMILIES])
    for begin, lines in ((BEGIN, made), (REASONS, refusals())):
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
        PAGE.write_text(before + begin + lines + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
