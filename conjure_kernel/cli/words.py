"""`conjure words`: what each word of a prompt does. Importing this loads no torch."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from conjure_kernel.cli import options
from conjure_kernel.cli.options import say, say_written, settings_of
from conjure_kernel.cli.unknown import tell_unknown
from conjure_kernel.engine.parameters import EXPLAINED_DRAWS

if TYPE_CHECKING:
    from conjure_kernel.engine.words import WordExplanation

__all__ = ["add_verbs"]

ARRAYS = ("prompt", "words", "divergences", "standard_errors", "heat", "images")  # beside levels
WORDS = """\
examples:
  conjure words "a cat on a blue background"          writes words.png
  conjure words "a cat on a blue background" -o words.html
  conjure words "two red apples" --shapley -o words.npz

Prints J of the prompt and the prompt without each word, in nats, with its standard error. Words are
what white space separates; a prompt of one word is compared with the empty one. Nothing is cached.
With --shapley, also how up to 8 words share J of the prompt and the empty prompt: they are added in
as many orders as --orders says, or in all where that costs no more.

.png, .pdf, .svg  nats of each word, the noise levels and pixels that hold them, images without it
.html             the prompt, each word tinted by its nats
.npz              arrays words, divergences, standard_errors, profile, heat, images, ...
"""


def add_verbs(add: options.Add) -> None:
    """Add the command; `add` makes a parser of a name, a function, a line and an epilog."""
    text = "show what each word of a prompt does: how many nats, at which noise, and where"
    parser = add("words", explain_prompt, text, WORDS)
    parser.add_argument("prompt", metavar="PROMPT", help="any text of one word or more")
    options.add_output(parser, ".png, .pdf, .svg, .html or .npz", default="words.png")
    text = "share out J of the prompt and the empty prompt among the words, too"
    parser.add_argument("--shapley", action="store_true", help=text)
    text = "orders of the words for --shapley, an even number (default: %(default)s)"
    parser.add_argument("--orders", metavar="N", type=int, default=16, help=text)
    options.add_model(parser, cached=False)
    parser.set_defaults(draws=EXPLAINED_DRAWS)


def explain_prompt(args: Namespace) -> str:
    """Write a picture, a page or the arrays of what each word does; print its nats."""
    from conjure_kernel.cli import files

    files.check_output(args.output, [*files.PICTURES, ".html", ".npz"], args.force)
    from conjure_kernel.engine.words import cost_of_words, explain_words

    settings = {**settings_of(args), "shapley": args.shapley, "n_orders": args.orders}
    cost = cost_of_words(args.prompt, **settings)
    tell_unknown(args, [args.prompt])
    if not args.quiet:
        say(f"about {cost:,} noise predictions for {len(args.prompt.split())} words")
    explanation = explain_words(args.prompt, **settings)
    kind = args.output.suffix.lower()
    if kind == ".npz":
        files.write_explanation(args.output, explanation, ARRAYS, **_shares(explanation))
    elif kind == ".html":
        files.write_page(args.output, _page(explanation))
    else:
        from conjure_kernel.plot import plot_words

        files.write_figure(args.output, args, explanation.provenance, plot_words, explanation)
    say_written(cost, args)
    return _lines(explanation)


def _shares(explanation: WordExplanation) -> dict[str, Any]:
    if (shapley := explanation.shapley) is None:
        return {}
    arrays = {"values": shapley.values, "standard_errors": shapley.standard_errors}
    arrays |= {"sampling_errors": shapley.sampling_errors, "profile": shapley.profile}
    return {f"shapley_{name}": array for name, array in arrays.items()}


def _lines(explanation: WordExplanation) -> str:
    """A line for each word: J ± standard error, then its Shapley value if there is one."""
    columns = [(explanation.divergences, explanation.standard_errors)]
    if (shapley := explanation.shapley) is not None:
        columns.append((shapley.values, shapley.standard_errors))
    rows = zip(*(zip(*column, strict=True) for column in columns), explanation.words, strict=True)
    return "\n".join(
        "".join(f"{value:<10.4g} ± {error:<8.2g}  " for value, error in numbers) + word
        for *numbers, word in rows
    )


def _page(explanation: WordExplanation) -> str:
    """The strip of words as a page that says where it comes from."""
    import html
    import json

    facts = html.escape(json.dumps(explanation.provenance, indent=1))
    return (
        '<!doctype html>\n<html><head><meta charset="utf-8">'
        f"<title>{html.escape(explanation.prompt)}, word by word</title></head>\n"
        '<body style="font-family: sans-serif; margin: 2em">'
        f"{explanation._repr_html_()}\n"
        f"<details><summary>Model and settings</summary><pre>{facts}</pre></details>"
        "</body></html>\n"
    )
