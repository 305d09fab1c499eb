"""A table of results: prints as Markdown, converts to pandas and to JSON."""

from __future__ import annotations

import html
import math
import re
import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from conjure_kernel._checks import import_optional, quote

__all__ = ["Facts", "Sheet", "Shown", "Table", "divergence_sheet", "jsonable"]
__all__ += ["with_error", "words_html"]

TINTS = ("14, 96, 150", "196, 90, 17")  # above and below 0, in red, green, blue
MOST_SHOWN = 12  # rows and columns of a result that is shown
WIDTH, MOST_LETTERS = 80, 24  # of a line, and of a text in it, at the prompt
# Heading, names of the columns, rows, and how many rows there are in all.
Sheet = tuple[str, Sequence[str], Sequence[Sequence[str]], int]
NUMBER = re.compile(r"-?[\d,.]*(e[+-]?\d+)?( |$|%)")  # what a cell begins with
LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"±": r"$\pm$", "\n": " "}
)


class Table:
    """Rows of named values, all with the same names in the same order.

    Attributes
    ----------
    rows : list of dict
        Name to value; the names are the columns. A value `x` may have its interval beside it as
        `x_low` and `x_high`, its p-value as `x_p` and its standard error over draws as `x_draw_se`.
    """

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows = list(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return self.rows[i]

    def find(self, **wanted: Any) -> dict[str, Any]:
        """The first row that has these values; a KeyError where none has."""
        for row in self.rows:
            if all(row[name] == value for name, value in wanted.items()):
                return row
        asked = ", ".join(f"{name}={quote(value)}" for name, value in wanted.items())
        raise KeyError(f"{asked}: expected the values of a row; print the table to see its rows.")

    def to_pandas(self) -> Any:
        """Pandas DataFrame with the same rows and columns."""
        pd = import_optional("pandas", "tables", "to_pandas")

        return pd.DataFrame(self.rows)

    def to_markdown(self) -> str:
        """Markdown table, each interval in brackets after its value, without empty columns."""
        names, *rows = self._filled()
        lines = [names, ["---"] * len(names), *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def to_latex(self) -> str:
        """LaTeX table with the rules of the package booktabs, and the cells of `to_markdown`."""
        names, *rows = (
            [cell.replace("\\|", "|").translate(LATEX) for cell in line] for line in self._filled()
        )
        lines = [rf"{' & '.join(line)} \\" for line in (names, *rows)]
        form, rule = "l" + "r" * (len(names) - 1), r"\midrule"
        parts = [rf"\begin{{tabular}}{{{form}}}", r"\toprule", lines[0], rule, *lines[1:]]
        return "\n".join([*parts, r"\bottomrule", r"\end{tabular}"])

    def _filled(self) -> list[list[str]]:
        """Names of the columns that are not empty, and the cells of each row."""
        rows = [_fold(row) for row in self.rows]
        names = [name for name in (rows[0] if rows else ()) if any(r[name] != "" for r in rows)]
        return [names, *([row[name] for name in names] for row in rows)]

    def __str__(self) -> str:
        return self.to_markdown()

    def __repr__(self) -> str:
        return f"<Table of {len(self)} rows>\n{self}"

    def texts(self, *names: str) -> list[list[str]]:
        """Texts of these columns, those of `to_markdown`."""
        rows = [_fold(row) for row in self.rows]
        return [[row[name].replace("\\|", "|") for name in names] for row in rows]

    def _repr_html_(self) -> str:
        rows = [_fold(row) for row in self.rows]
        cells = [[cell.replace("\\|", "|") for cell in row.values()] for row in rows]
        return _html(list(rows[0]) if rows else [], cells)


class Shown:
    """Mixin of results that print as a heading and a few rows, and are a table in a notebook.

    `_shown` returns the heading, the names of the columns, the rows as texts, and how many rows
    there are in all.
    """

    _shown: Callable[[], Sheet]

    def __repr__(self) -> str:
        heading, names, rows, n = self._shown()
        lines = textwrap.wrap(heading, WIDTH, subsequent_indent="  ")
        columns = map(_column, names, zip(*rows[:MOST_SHOWN], strict=True)) if rows else ()
        cells = list(zip(*columns, strict=True))
        widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
        while len(widths) > 1 and sum(widths) + 2 * len(widths) > WIDTH - 2:
            del widths[-1]
        cut = bool(cells) and len(widths) < len(cells[0])
        for row in cells:
            line = "  ".join(map(_pad, row, widths)).rstrip()
            lines.append(f"{line}  …" if cut else line)
        if n > MOST_SHOWN and rows:
            lines.append(f"… and {n - MOST_SHOWN:,} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        heading, names, rows, n = self._shown()
        return f"<p>{html.escape(heading)}</p>" + _html(names, rows[:MOST_SHOWN], n > MOST_SHOWN)


def divergence_sheet(
    a: Sequence[str], b: Sequence[str], values: Any, errors: Any, name: str
) -> Sheet:
    """The first rows and columns of a matrix, or of pairs, with standard errors."""
    n, heading = MOST_SHOWN, f"{name}, {' x '.join(map(str, values.shape))}"
    if values.ndim == 1:
        cells = zip(values[:n].tolist(), errors[:n].tolist(), strict=True)
        pairs = zip(a[:n], b[:n], cells, strict=True)
        name = name.partition(",")[0]
        return heading, ["", "", name], [[x, y, with_error(*c)] for x, y, c in pairs], len(values)
    rows = [
        [x, *map(with_error, row[:n].tolist(), error[:n].tolist())]
        for x, row, error in zip(a[:n], values[:n], errors[:n], strict=True)
    ]
    return heading, ["", *b[:n]], rows, max(values.shape)


class Facts:
    """Mixin of results that print as a line for each of their `_facts`, name to text."""

    _facts: Callable[[], dict[str, str]]

    def __repr__(self) -> str:
        facts = self._facts()
        wide = max(map(len, facts)) + 2
        return "\n".join(
            textwrap.fill(f"{name:{wide}}{text}", WIDTH, subsequent_indent=" " * wide)
            for name, text in facts.items()
        )

    def _repr_html_(self) -> str:
        return _html(["", ""], list(map(list, self._facts().items())))


def words_html(explanation: Any) -> str:
    """HTML strips of a prompt, each word tinted by its nats: J without it, its Shapley value."""
    words, whole = explanation.words, f"“{explanation.prompt}”"
    strips = [(f"J of {whole} and the same without the word", explanation.divergences)]
    errors = [explanation.standard_errors]
    if (shapley := explanation.shapley) is not None:
        strips.append((f"Shares of the words in J of {whole} and “”", shapley.values))
        errors.append(shapley.standard_errors)
    return "".join(
        f"<p>{html.escape(title)}, nats</p><p>{_strip(words, values.tolist(), error.tolist())}</p>"
        for (title, values), error in zip(strips, errors, strict=True)
    )


def _strip(words: Sequence[str], values: Sequence[float], errors: Sequence[float]) -> str:
    """Words with their values below, the tint as deep as the value is large."""
    most = max(map(abs, values)) or 1.0
    return " ".join(
        f'<span style="display: inline-block; text-align: center; padding: 0.2em 0.4em; '
        f'background: rgba({TINTS[value < 0]}, {0.6 * abs(value) / most:.2f})">'
        f"{html.escape(word)}<br><small>{with_error(value, error)}</small></span>"
        for word, value, error in zip(words, values, errors, strict=True)
    )


def with_error(value: float, error: float) -> str:
    """Text "value ± standard error"; the value alone where the error is unknown (NaN)."""
    return f"{value:.3g}" + (f" ± {error:.2g}" if math.isfinite(error) else "")


def _html(names: Sequence[str], rows: Sequence[Sequence[str]], cut: bool = False) -> str:
    """Rows of text as an HTML table, escaped."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    more = f"<caption>The first {MOST_SHOWN}.</caption>" if cut else ""
    return f"<table>{more}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _column(name: str, cells: Sequence[str]) -> list[str]:
    """Name and cells of a column: texts are cut, numbers are not, and the name as its cells are."""
    are_numbers = all(NUMBER.match(cell) for cell in cells)
    shown = [_cut(cell, WIDTH if are_numbers else MOST_LETTERS) for cell in cells]
    return [_cut(name, max(12, *map(_width, shown))), *shown]


def _cut(cell: str, most: int) -> str:
    """A cell on one line, without letters that a terminal obeys."""
    line = "".join(c if c.isprintable() else " " for c in " ".join(cell.split()))
    if _width(line) <= most:
        return line
    ends = accumulate(map(_width, line))
    return f"{line[: sum(end < most for end in ends)].rstrip()}…"


def _width(text: str) -> int:
    """Columns of a terminal that a text takes: wide letters and emoji two, accents none."""
    kept = [c for c in text if unicodedata.category(c) not in ("Mn", "Me", "Cf")]
    return len(kept) + sum(unicodedata.east_asian_width(c) in "WF" for c in kept)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _plain(text: str) -> str:
    """A text on one line, whose control characters are spaces."""
    return "".join(" " if unicodedata.category(c) == "Cc" else c for c in text)


def jsonable(value: Any) -> Any:
    """The value with arrays as lists, tables as their rows, and NaN as None: strict JSON."""
    if isinstance(value, Table):
        return jsonable(value.rows)
    if isinstance(value, dict):
        return {str(name): jsonable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(inner) for inner in value]
    if hasattr(value, "tolist"):
        return jsonable(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int | str | bool | None) else str(value)


def _fold(row: dict[str, Any]) -> dict[str, str]:
    """Texts of a row: "value [low, high] ± draw_se (p ...)" where the row has those."""
    texts = {}
    for name, value in row.items():
        if name.endswith(("_low", "_high", "_p", "_draw_se")):
            continue
        text = _text(value)
        if _known(row.get(f"{name}_low")):
            text += f" [{_text(row[f'{name}_low'])}, {_text(row[f'{name}_high'])}]"
        if _known(row.get(f"{name}_draw_se")):
            text += f" ± {_text(row[f'{name}_draw_se'])}"
        if _known(row.get(f"{name}_p")):
            text += f" (p {_small(row[f'{name}_p'])})"
        texts[name.replace("_", " ")] = text
    return texts


def _known(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _small(p: float) -> str:
    return f"{p:.2g}" if p >= 1e-4 else "< 1e-4"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if math.isfinite(value) else ""
    return "" if value is None else _plain(str(value)).replace("|", "\\|")
