"""How one prompt gets several rows, and whether prompts leave each other's rows as they are.

Whatever changes a row is compared with the difference between two prompts, which is what will be
measured, and with the rounding of calls of another size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from conjure_kernel.models.pretrained.single_step import Bench
from conjure_kernel.models.probe import PROMPTS, SAME

__all__ = ["Companions"]


@dataclass
class Companions:
    """Calls with several rows, all at one state of one noise level.

    Parameters
    ----------
    bench : Bench
    argument : str
        The argument for several rows of a prompt; empty where the prompt is repeated.
    states : tensor of shape ``(1, 1, *shape)``
        The state.
    level : slice
        Its noise level.
    alone : tensor of shape ``(2, *shape)``
        Predictions for both prompts alone.
    rounding : float
        Relative, of the network's dtype.
    options : dict
        Further arguments of every call.
    """

    bench: Bench
    argument: str
    states: torch.Tensor
    level: slice
    alone: torch.Tensor
    rounding: float
    options: dict[str, Any]

    def find(self) -> bool:
        """Find the argument that makes rows; tell if two prompts may share a call.

        Raises
        ------
        ValueError
            Nothing makes rows, or a row depends on how many others there are.
        """
        one, two = PROMPTS
        moved = None
        for argument in dict.fromkeys([self.argument, ""]):
            self.argument = argument
            # Where each call has a step too many, the control is smaller.
            alike = self.ask([one] if self.bench.leading else [one, one], 2)
            if alike is not None and self._moved(alike) <= 1:
                mixed = self.ask([one, two], 2)
                return mixed is not None and self._is_alone(mixed, alike)
            alone = self.ask([one], 4)  # as many rows of one prompt
            if alone is not None and (moved := self._moved(alone)) <= 1:
                return False
        need = f"{self.bench.name}: expected a call that makes several rows of one prompt "
        raise ValueError(
            need + "(num_images_per_prompt, or the prompt repeated); it cannot be measured, use "
            "another pipeline."
            if moved is None
            else need + f"and answers each as it answers one alone, got {moved * SAME:.2g} of the "
            "difference between two prompts, as something depends on the other rows (activations "
            "that are quantised as they come, masks that are cut for one row); switch that off."
        )

    def ask(self, prompts: Sequence[str], each: int, **options: Any) -> torch.Tensor | None:
        """Predictions at some rows of each prompt; None if the call cannot do that."""
        named = {self.argument: each} if self.argument else {}
        listed = prompts if named else [prompt for prompt in prompts for _ in range(each)]
        n = each * len(prompts)
        states = self.states.repeat(1, n, *[1] * (self.states.ndim - 2))
        try:
            seen = self.bench.ask(
                listed, states, self.level, **{**self.options, **named, **options}
            )
        except FloatingPointError:
            raise
        except Exception:  # a pipeline's own, of whatever kind
            return None
        branches = seen.rows[0] / n
        kept = len(seen.eps[0]) == n and torch.equal(seen.x[0], states[0])
        return seen.eps[0] if kept and branches == (2 if options else 1) else None

    def guided_alike(self, guided: torch.Tensor, **options: Any) -> bool:
        """Tell whether guided rows of the first prompt are as the `guided` one alone."""
        made = self.ask(PROMPTS[:1], 2, **options)
        return made is not None and self._moved(made, guided, options["guidance_scale"]) <= 1

    def _moved(
        self, eps: torch.Tensor, expected: torch.Tensor | None = None, scale: float = 1.0
    ) -> float:
        """How far rows of the first prompt are from it alone, in units of what is allowed."""
        expected = self.alone[0] if expected is None else expected
        apart = (self.alone[0] - self.alone[1]).norm()
        allowed = SAME * scale * apart + 8 * self.rounding * expected.norm()
        return float((eps - expected).flatten(1).norm(dim=1).max() / allowed)

    def _is_alone(self, mixed: torch.Tensor, alike: torch.Tensor) -> bool:
        """Tell whether a companion leaves a prompt's rows as they are, and in their place."""
        own = (mixed[:2] - alike[:2]).flatten(1).norm(dim=1).max()
        its = (mixed[2:] - self.alone[1]).flatten(1).norm(dim=1).max()
        apart, size = (self.alone[0] - self.alone[1]).norm(), self.alone[1].norm()
        return bool(own <= SAME * apart and its <= SAME * apart + 4 * self.rounding * size)
