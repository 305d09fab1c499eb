"""Prompts of any script in pictures: dollar signs stay, letters are found or said to be missing."""

import io
import re
import warnings

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import rc_context, rcParams
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

from conjure_kernel import ConjureWarning
from conjure_kernel.plot import font_context, fonts, plot_matrix, plot_overview
from pictures import PICTURES, J, axes

HARD = ["$100 and $200", "a_b^c", r"\alpha $x$"]
RARE = ["𓀀 one", "two 𓀀𓀁", "three"]  # letters that the fonts of matplotlib do not have


def texts_of(picture):
    """All that is written in a picture, and whether it is read as a formula."""
    figure = getattr(picture, "figure", picture)
    figure.savefig(io.BytesIO(), dpi=30)
    return [text for text in figure.findobj(Text) if text.get_text()]


@pytest.mark.filterwarnings("ignore::conjure_kernel.ConjureWarning")  # three pairs are few
@pytest.mark.parametrize("kind", PICTURES)
def test_a_dollar_sign_is_one_in_every_picture(kind):
    written = texts_of(PICTURES[kind](HARD))
    hard = [text for text in written if "$" in text.get_text()]
    assert hard
    for text in hard:
        # Not escaped dollars, the letter of a panel, and the powers of ten of an axis.
        known = r"\\\$|\$\\bf\{\([ab]\)\}\$|\$\\mathdefault\{.*\}\$"
        rest = re.sub(known, "", text.get_text())
        assert not text.get_parse_math() or "$" not in rest


def test_users_settings_of_formulas_and_tex_change_nothing():
    ax = axes()
    with rc_context({"text.usetex": True, "text.parse_math": True}):
        plot_matrix(J, HARD, ax=ax)
        assert not any(text.get_parse_math() for text in ax.get_yticklabels())
        assert not any(text.get_usetex() for text in ax.get_yticklabels())


@pytest.mark.filterwarnings("ignore:.*(constant|pairs)")
@pytest.mark.parametrize("kind", PICTURES)
def test_one_warning_names_the_letters_that_no_font_has(kind):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        written = "".join(text.get_text() for text in texts_of(PICTURES[kind](RARE)))
    told = [str(w.message) for w in caught if "labels:" in str(w.message)]
    assert len(told) == 1
    assert "𓀀" in told[0]
    assert not [w for w in caught if "missing from" in str(w.message)]  # matplotlib, once a letter
    assert "□" in written
    assert "𓀀" not in written


@pytest.fixture
def hieroglyphs(tmp_path):
    """A file of a font that has only a man and 'x'."""
    builder = FontBuilder(1000, isTTF=True)
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for point in [(500, 0), (500, 700), (0, 700)]:
        pen.lineTo(point)
    pen.closePath()
    glyph = pen.glyph()
    names = [".notdef", "man", "x"]
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord("𓀀"): "man", ord("x"): "x"})
    builder.setupGlyf(dict.fromkeys(names, glyph))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (600, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Seated Man", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path = tmp_path / "man.ttf"
    builder.save(path)
    before = list(fontManager.ttflist)
    yield path
    fontManager.ttflist[:] = before
    fonts._known.cache_clear()
    fonts._letters.cache_clear()
    fonts._fallback.cache_clear()


def test_an_installed_font_that_has_the_letters_stands_in(hieroglyphs):
    fontManager.addfont(hieroglyphs)
    ax = plot_matrix(J, ["𓀀 one", "two", "three"], ax=axes())
    labels = ax.get_yticklabels()
    assert {text.get_text() for text in labels} == {"𓀀 one", "two", "three"}
    assert all(text.get_fontfamily() == ["sans-serif", "Seated Man"] for text in labels)
    ax.figure.savefig(io.BytesIO())  # a warning would be an error
    assert rcParams["font.family"] == ["sans-serif"]


def test_a_font_may_be_given_as_a_file_or_a_name(hieroglyphs):
    with font_context(hieroglyphs):
        ax = plot_matrix(J, ["𓀀 one", "two", "three"], ax=axes())
    assert ax.get_yticklabels()[0].get_fontfamily() == ["Seated Man", "sans-serif"]
    ax.figure.savefig(io.BytesIO())
    with font_context("seated man"):
        assert rcParams["font.family"] == ["Seated Man", "sans-serif"]


def test_fonts_that_are_none_are_refused_in_words(tmp_path):
    with pytest.raises(ValueError, match="font='Dejavu Sanz': expected an installed font"):
        font_context("Dejavu Sanz").__enter__()
    path = tmp_path / "no.ttf"
    path.write_text("no font")
    with pytest.raises(ValueError, match="expected a font whose letters are outlines"):
        font_context(path).__enter__()


SCRIPTS = ["שלום עולם", "مرحبا بالعالم", "a مرحبا b", "👩\u200d🚀", "e\u0301\u200d", "\x07"]


@pytest.mark.parametrize("text", SCRIPTS)
def test_any_script_is_drawn(text):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        texts_of(plot_overview(J, [text, "b", "c"]))
    assert all(issubclass(w.category, ConjureWarning) for w in caught)
    assert len(caught) <= 1
