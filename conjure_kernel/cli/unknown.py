"""Words that a model probably does not know, told on stderr. Importing this loads no torch."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from typing import Any

from conjure_kernel._checks import quote
from conjure_kernel.cli.options import say
from conjure_kernel.engine.parameters import Measurement

__all__ = ["tell_unknown", "tell_unread"]

EMBEDDED, SHOWN = "embedded", 5  # words in a message


def tell_unknown(args: Namespace, prompts: Iterable[str]) -> None:
    """Say which words the embedded model was not taught, if it is measured as it is."""
    from conjure_kernel.models.vocabulary import untaught_words

    given = args.model or Measurement.model
    if EMBEDDED not in ([given] if isinstance(given, str) else given) or args.adapter:
        return
    distinct = dict.fromkeys(prompts)
    found = {prompt: words for prompt in distinct if (words := untaught_words(prompt))}
    if found:
        among = f" ({len(found)} of {len(distinct)} prompts)" if len(distinct) > 1 else ""
        listed = _listed(word for words in found.values() for word in words)
        say(
            f"warning: probably unknown to the embedded model: {listed}{among}; its pictures of "
            "them mean little. See conjure_kernel.embedded_vocabulary()."
        )


def tell_unread(args: Namespace, denoisers: Iterable[Any], prompts: Iterable[str]) -> None:
    """Say which words the text encoders of other models in memory take for strings of letters."""
    texts = list(dict.fromkeys(prompts))
    for model, denoiser in zip(args.model or [Measurement.model], denoisers, strict=True):
        pipeline = getattr(denoiser, "pipeline", None)
        if pipeline is None or (model == EMBEDDED and not args.adapter):
            continue
        from conjure_kernel.models.pretrained.unknown import unknown_words

        if words := unknown_words(pipeline, texts):
            say(
                f"warning: {denoiser.name}: probably unknown, as its text encoder takes them for "
                f"strings of letters: {_listed(words)}; it draws something all the same, and "
                "similarities of their pairs mean little."
            )


def _listed(words: Iterable[str]) -> str:
    """Some different words, and how many more there are."""
    distinct = list({word.lower(): word for word in words}.values())
    more = f" and {len(distinct) - SHOWN} more" if len(distinct) > SHOWN else ""
    return ", ".join(map(quote, distinct[:SHOWN])) + more
