"""What the text encoders of a model read of prompts, and what they lost."""

from __future__ import annotations

import re
from collections.abc import Mapping

from conjure_kernel._checks import PromptWarning
from conjure_kernel.engine.engine import Engine
from conjure_kernel.engine.ledger import Known
from conjure_kernel.models.task import Reading, Trajectory

__all__ = ["report_reading"]

# (word:1.3), {one|other}, __wildcard__, <lora:name:1>
SYNTAX = re.compile(r"\([^()]*:\s*\d*\.?\d+\)|\{[^{}]*\|[^{}]*\}|__\w+__|<lora:")


def report_reading(engine: Engine, known: Mapping[str, Known | Reading | Trajectory]) -> None:
    """Warn of prompts that the text encoders cut, and of those that they cannot tell apart."""
    if weighted := [prompt for prompt in known if SYNTAX.search(prompt)]:
        engine.tell(
            f"{len(weighted)} prompts have weights or wildcards, e.g. {weighted[0][:60]!r}: this "
            "syntax of other programs is not read, the text encoder sees it letter by letter; give "
            "such prompts as embeddings (load_denoiser(..., embeddings=)).",
            PromptWarning,
        )
    cut = [prompt for prompt, row in known.items() if row.truncated]
    if cut:
        engine.tell(
            f"{len(cut)} of {len(known)} prompts are longer than every text encoder of this model "
            f"reads and were cut, e.g. {cut[0][:60]!r}; shorten them (`truncated_` names them).",
            PromptWarning,
        )
    readers: dict[str, list[str]] = {}
    for prompt in cut:
        readers.setdefault(known[prompt].tokens, []).append(prompt)
    alike = [group for group in readers.values() if len(group) > 1]
    if alike:
        engine.tell(
            f"{sum(map(len, alike))} prompts are indistinguishable after the cut, e.g. "
            f"{alike[0][0][:40]!r} and {alike[0][1][:40]!r}, so that J is 0; shorten them.",
            PromptWarning,
        )
