"""Sections of the pages, the commands that they name, and what those printed: docs/outputs/.

An output begins with its command and the weights of the embedded model that it was measured with.
A number of a section must be in the outputs of its commands, rounded as the page rounds it: each in
a table, but for the first column, and in prose each with a decimal point. What no command prints is
said to be so, in words that people read, too:

    *Measured with earlier weights of the embedded model.*      a line of its own: the whole section
    The column "all-MiniLM-L6-v2" is from an earlier run.       a column of its tables
    ... which the command does not print ...                    the paragraph or bullet that says it
"""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from conjure_kernel.models.pretrained.fingerprint import fingerprint_folder

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
OUTPUTS = ROOT / "docs" / "outputs"
PAGES = sorted((ROOT / "docs").glob("*.md"))
MODEL = ROOT / "conjure_kernel" / "models" / "embedded" / "model"
EARLIER = "*Measured with earlier weights of the embedded model.*"
COLUMN = re.compile(r'[Cc]olumn\s+"([^"]+)"\s+is\s+from\s+an\s+earlier\s+run')
UNPRINTED = re.compile(r"command\s+does\s+not\s+print")
COMMAND = re.compile(r"(?:^    |`)python (benchmarks/[^`\n]+)", re.MULTILINE)
IMPORT = re.compile(r"^(?:from|import) (\w+)", re.MULTILINE)
HEADING = re.compile(r"^(?=#+ )", re.MULTILINE)
CODE = re.compile(r"^```.*?^```|^    .*?$|`[^`]*`|\]\([^)]*\)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"\n\s*\n|\n(?=\* )")
TABLE = re.compile(r"^\|.*\n\|[-:| ]+\|\n(?:\|.*\n?)*", re.MULTILINE)
NUMBER = re.compile(r"(?<![\w.,-])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w-])")
UNKEPT = "What these commands printed was not kept. Their figures on the pages are of weights"
# Scripts that measure other models, time and memory, or folders of fine-tunes that are made before.
OTHER = re.compile(
    r"closed_form|interval_coverage|large|states|stopping|series"
    r"|algorithm_1|gpu|growth|html_map|overhead|throughput|workers|--model gaussian"
)


class Output(NamedTuple):
    """What a command printed, with which weights and by which text of its script."""

    weights: str
    script: str
    text: str


@cache
def weights() -> str:
    """Twelve digits that tell the weights of the embedded model from others."""
    return fingerprint_folder(MODEL)[:12]


def script(command: str) -> str:
    """Digits that tell the text of a command's script, with those that it imports, from others."""
    text = b"".join(path.read_bytes() for path in sorted(scripts_of(ROOT / command.split()[0])))
    return hashlib.sha256(text).hexdigest()[:12]


def scripts_of(path: Path) -> set[Path]:
    """A script, and the files beside it and in benchmarks/ that it imports."""
    found, left = set(), [path]
    while left:
        one = left.pop()
        found.add(one)
        names = IMPORT.findall(one.read_text(encoding="utf-8"))
        places = [folder / f"{name}.py" for name in names for folder in {one.parent, BENCHMARKS}]
        left += [place for place in places if place.exists() and place not in found]
    return found


def measures_model(command: str) -> bool:
    """Whether what a command prints depends on the weights of the embedded model."""
    return OTHER.search(command) is None


def file_of(command: str) -> Path:
    """Where the output of a command is kept."""
    return OUTPUTS / f"{re.sub(r'[^a-z0-9]+', '_', command.lower()).strip('_')}.txt"


def read(command: str) -> Output | None:
    """The output of a command, if it is kept."""
    path = file_of(command)
    if not path.exists():
        return None
    head, facts, text = path.read_text(encoding="utf-8").split("\n", 2)
    found = re.match(r"weights (\w+), script (\w+)", facts)
    if head != f"$ python {command}" or found is None:
        raise ValueError(f"{path}: expected the command and its weights first; run it again.")
    return Output(found[1], found[2], text)


def write(command: str, seconds: float, text: str) -> None:
    """Keep the output of a command."""
    facts = f"weights {weights()}, script {script(command)}, {seconds:.0f} s"
    OUTPUTS.mkdir(exist_ok=True)
    file_of(command).write_text(f"$ python {command}\n{facts}\n{text}", encoding="utf-8")


def unkept() -> tuple[str, list[str]]:
    """The weights that the figures of some commands were measured with, and these commands."""
    first, *lines = (OUTPUTS / "unkept.txt").read_text(encoding="utf-8").splitlines()
    return first.split()[-1], lines


def shorten_unkept() -> None:
    """Take from the list of `unkept` the commands whose output is kept."""
    old, lines = unkept()
    left = "".join(f"{line}\n" for line in lines if read(line) is None)
    (OUTPUTS / "unkept.txt").write_text(f"{UNKEPT} {old}\n{left}", encoding="utf-8")


def measured_with(command: str) -> str:
    """The weights that the figures of a command on the pages were measured with."""
    kept = read(command)
    old, lines = unkept()
    return kept.weights if kept else old if command in lines else "no weights"


def commands_of(text: str) -> list[str]:
    """Commands that a text names, each once."""
    found = [" ".join(line.split()) for line in COMMAND.findall(text)]
    return sorted({line for line in found if "FILE" not in line and "MODEL" not in line})


def all_commands() -> list[str]:
    """What the pages say to run, but for lists of commands whose figures stand nowhere."""
    pages = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    return commands_of("".join(part for part in split(pages) if not lists_commands(part)))


def split(page: str) -> list[str]:
    """The sections of a page, each with its heading; together they are the page."""
    return HEADING.split(page)


def renew(section: str) -> str:
    """A section with the tables that its commands printed, and a remark if it is of old weights.

    A table is taken where the header is the same to the letter, but for spaces.
    """
    commands = [command for command in commands_of(section) if measures_model(command)]
    if not commands or lists_commands(section):
        return section
    section = section.replace(f"{EARLIER}\n\n", "")
    if any(measured_with(command) != weights() for command in commands):
        heading, _, rest = section.partition("\n\n")
        return f"{heading}\n\n{EARLIER}\n\n{rest}"
    kept = "\n".join(found.text for command in commands if (found := read(command)))
    printed = {header(table): table for table in TABLE.findall(f"{kept}\n")}
    aside = set(COLUMN.findall(section))
    return TABLE.sub(lambda found: written(found[0], printed, aside), section)


def written(table: str, printed: dict[tuple[str, ...], str], aside: set[str]) -> str:
    """A table as it was printed; columns `aside`, which must be the last, stay as they are."""
    names = header(table)
    own = tuple(name for name in names if name not in aside)
    if own not in printed or own != names[: len(own)]:
        return table
    if own == names:
        return printed[own]
    old = {cells(row)[0]: cells(row)[len(own) :] for row in table.splitlines()}
    rest = ["" for _ in names[len(own) :]]
    rows = [cells(row) for row in printed[own].splitlines()]
    lines = [f"| {' | '.join([*row, *old.get(row[0], rest)])} |\n" for row in rows]
    lines[1] = f"|{'|'.join([*rows[1], *('--:' for _ in rest)])}|\n"
    return "".join(lines)


def lists_commands(section: str) -> bool:
    """Whether a section is a list of commands, whose figures stand elsewhere."""
    return section.lower().startswith("## commands")


def header(table: str) -> tuple[str, ...]:
    """Names of a table's columns."""
    return tuple(cells(table.partition("\n")[0]))


def cells(row: str) -> list[str]:
    """Cells of a row of a table."""
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def faults(section: str) -> list[str]:
    """What is wrong with the figures of a section, one line a fault."""
    commands = [command for command in commands_of(section) if measures_model(command)]
    if not commands or EARLIER in section or lists_commands(section):
        return []
    old = [command for command in commands if measured_with(command) != weights()]
    if old:
        return [
            f"`python {command}`: measured with {measured_with(command)}, but the package has"
            f" weights {weights()}; run `make figures`, or write under the heading: {EARLIER}"
            for command in old
        ]
    outputs = [read(command) for command in commands_of(section)]
    if not all(outputs):
        return []  # of the present weights, and what was printed is not kept
    known = [number for found in outputs if found for number in numbers(found.text)]
    return [
        f"{shown}: not in the output of `python {'`, `python '.join(commands)}`; see docs/outputs,"
        " and write the number that is there, or say that the command does not print it"
        for shown, percent in shown_numbers(section)
        if not any(agrees(shown, value, percent) for value in known)
    ]


def shown_numbers(section: str) -> list[tuple[str, bool]]:
    """Numbers of a section that are to be in an output, and whether each may be a percentage."""
    aside = set(COLUMN.findall(section))
    found = []
    for table in TABLE.findall(section):
        names = header(table)
        for row in table.splitlines()[2:]:
            for name, cell in zip(names[1:], cells(row)[1:], strict=False):
                if name not in aside:
                    found += [(shown, "%" in name + cell) for shown in NUMBER.findall(cell)]
    for block in BLOCK.split(CODE.sub(" ", TABLE.sub("", section))):
        if not UNPRINTED.search(block):
            shares = NUMBER.findall(block)
            found += [(shown, "%" in block) for shown in shares if "." in shown]
    return found


def numbers(text: str) -> list[float]:
    """All numbers of a text."""
    return [float(found.replace(",", "").rstrip(".")) for found in NUMBER.findall(text)]


def agrees(shown: str, value: float, percent: bool) -> bool:
    """Whether `shown` is `value`, or a hundred times that if it is a percentage, rounded."""
    mantissa, _, power = shown.replace(",", "").partition("e")
    half = 0.5 * 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))
    wanted = float(shown.replace(",", ""))
    values = (value, 100 * value, 100 - 100 * value) if percent else (value,)
    return any(abs(wanted - v) <= half * (1 + 1e-6) + 1e-12 for v in values)
