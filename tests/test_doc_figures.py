"""Figures of the pages are those that the commands beside them printed, with today's weights."""

import pytest

import sections

COMMAND = "benchmarks/vividness.py"
OUTPUT = "| words | n | share |\n|---|--:|--:|\n| names | 1,200 | 0.857 |\n"
SECTION = f"## Words\n\n    python {COMMAND}\n\n{OUTPUT}\nIn 85.7 % of cases.\n"


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """One output of the present weights."""
    monkeypatch.setattr(sections, "OUTPUTS", tmp_path)
    (tmp_path / "unkept.txt").write_text("Weights of these: 0123\nbenchmarks/words.py\n")
    sections.write(COMMAND, 3, OUTPUT)
    return tmp_path


@pytest.mark.parametrize("page", sections.PAGES, ids=lambda page: page.name)
def test_the_figures_of_a_page(page):
    text, line = page.read_text(encoding="utf-8"), 1
    found = []
    for section in sections.split(text):
        title = section.partition("\n")[0]
        found += [f"{page.name}:{line}: {title}: {fault}" for fault in sections.faults(section)]
        line += section.count("\n")
    assert not found, "\n".join(found)


def test_each_command_has_an_output_or_is_listed():
    commands = [c for c in sections.all_commands() if sections.measures_model(c)]
    without = [command for command in commands if not sections.file_of(command).exists()]
    assert sections.unkept()[1] == without


def test_a_section_as_printed_has_no_faults(kept):
    assert sections.faults(SECTION) == []
    assert sections.renew(SECTION) == SECTION


@pytest.mark.parametrize(
    ("old", "new", "number"),
    [("0.857", "0.858", "0.858"), ("1,200", "1,201", "1,201"), ("85.7 %", "85.8 %", "85.8")],
)
def test_a_number_that_was_not_printed(kept, old, new, number):
    (fault,) = sections.faults(SECTION.replace(old, new))
    assert fault.startswith(f"{number}: not in the output of `python {COMMAND}`")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("| 0.857", "| 0.86"),
        ("85.7 % of cases", "14.3 % of the others"),
        ("In 85.7 %", 'The column "share" is from an earlier run. 85.7 %'),
        ("In 85.7 % of cases.", "Of 1.5, which the command does not print."),
    ],
)
def test_what_a_page_may_say(kept, old, new):
    assert sections.faults(SECTION.replace(old, new)) == []


def test_a_column_of_an_earlier_run(kept):
    wrong = SECTION.replace("0.857", "0.3")
    assert sections.faults(wrong)
    assert sections.faults(f'{wrong}\nThe column "share" is from an earlier run.\n') == []


def test_a_table_is_written_anew(kept):
    assert sections.renew(SECTION.replace("0.857", "0.3")) == SECTION


def test_a_column_of_an_earlier_run_stays_in_a_table_that_is_written_anew(kept):
    wide = SECTION.replace("share |", "share | old |").replace("--:|\n", "--:|--:|\n")
    wide = wide.replace("0.857 |", "0.857 | 0.7 |") + 'The column "old" is from an earlier run.\n'
    assert sections.renew(wide.replace("0.857", "0.3")) == wide


def test_other_weights(kept, monkeypatch):
    monkeypatch.setattr(sections, "weights", lambda: "fedc")
    (fault,) = sections.faults(SECTION)
    assert "the package has weights fedc" in fault
    marked = sections.renew(SECTION)
    assert marked == SECTION.replace("Words\n", f"Words\n\n{sections.EARLIER}\n")
    assert sections.faults(marked) == []
    assert sections.renew(marked) == marked
    sections.write(COMMAND, 3, OUTPUT)
    assert sections.renew(marked) == SECTION


def test_figures_whose_output_was_not_kept(kept, monkeypatch):
    section = SECTION.replace(COMMAND, "benchmarks/words.py")
    assert "measured with 0123" in sections.faults(section)[0]
    monkeypatch.setattr(sections, "weights", lambda: "0123")
    assert sections.faults(section) == []


def test_a_script_is_another_when_one_that_it_imports_is(tmp_path, monkeypatch):
    monkeypatch.setattr(sections, "ROOT", tmp_path)
    monkeypatch.setattr(sections, "BENCHMARKS", tmp_path / "benchmarks")
    scores = tmp_path / "benchmarks" / "scores"
    scores.mkdir(parents=True)
    (scores / "levels.py").write_text("import torch\nfrom _pairs import choose\n")
    (scores / "_pairs.py").write_text("from _results import markdown\n")
    (tmp_path / "benchmarks" / "_results.py").write_text("def markdown(): ...\n")
    before = sections.script("benchmarks/scores/levels.py MEN.tsv")
    (tmp_path / "benchmarks" / "words.py").write_text("def other(): ...\n")
    assert sections.script("benchmarks/scores/levels.py MEN.tsv") == before
    (tmp_path / "benchmarks" / "_results.py").write_text("def markdown(): return 1\n")
    assert sections.script("benchmarks/scores/levels.py MEN.tsv") != before
