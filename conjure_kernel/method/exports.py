"""A `Divergence` in the forms of other packages: tables, xarray, rsatoolbox."""

from __future__ import annotations

from typing import Any

import numpy as np

from conjure_kernel._checks import import_optional
from conjure_kernel._table import Sheet, Shown, divergence_sheet

__all__ = ["Exports", "LongTable"]

LEGS = ("forward", "backward")


class LongTable(Shown):
    """Mixin of results on pairs with their `numbers` as a table."""

    def columns(self: Any) -> dict[str, Any]:
        """Long table by columns: the prompts and `numbers`, one entry per pair or cell."""
        a, b = self.prompts_a, self.prompts_b
        if not self.paired:
            a, b = [x for x in a for _ in b], [y for _ in a for y in b]
        flat = {name: np.ravel(array) for name, array in self.numbers().items()}
        return {"prompt_a": a, "prompt_b": b, **flat}

    def to_pandas(self: Any) -> Any:
        """`columns` as a pandas DataFrame."""
        return import_optional("pandas", "tables", "to_pandas").DataFrame(self.columns())


class Exports(LongTable):
    """Mixin of `Divergence` with its ways out."""

    def numbers(self: Any) -> dict[str, np.ndarray]:
        """What is known of each pair, by name: arrays of the shape of `values`.

        J, its standard error and 95 % interval and both legs, in nats, then sqrt(J): "divergence",
        "standard_error", "low", "high", "kl_ab", "kl_ba" and "distance".
        """
        (low, high), (forward, backward) = self.interval(), self.legs
        return {
            "divergence": self.values,
            "standard_error": self.standard_errors,
            "low": low,
            "high": high,
            "kl_ab": forward,
            "kl_ba": backward,
            "distance": self.distances,
        }

    def to_xarray(self: Any) -> Any:
        """Energies and results as an `xarray.Dataset` with named dimensions.

        Returns
        -------
        dataset : xarray.Dataset
            "forward" and "backward", the energies, have the dimensions prompt_a, prompt_b, draw
            and level (or pair, draw and level, with the prompts as coordinates of the pair), and
            "draws", J of each draw in nats, has all but the last; "divergence" and
            "standard_error" have those of the pairs. The coordinates "log_snr" and "weight" belong
            to the level: a leg is the sum of energy times weight over the levels.

        Examples
        --------
        >>> from conjure_kernel import GaussianDenoiser, pairwise_divergence
        >>> world = GaussianDenoiser({"a dog": 0.7, "a cat": -0.4})
        >>> measured = pairwise_divergence(["a dog", "a cat"], model=world, memory=None)
        >>> dict(measured.to_xarray().sizes)
        {'prompt_a': 2, 'prompt_b': 2, 'draw': 2, 'level': 10}
        """
        xarray = import_optional("xarray", "exports", "to_xarray")
        of_pair = ["pair"] if self.paired else ["prompt_a", "prompt_b"]
        of_draw, numbers = [*of_pair, "draw"], self.numbers()
        data = {name: ([*of_draw, "level"], getattr(self, name)) for name in LEGS}
        data["draws"] = (of_draw, self.draws)
        data |= {name: (of_pair, numbers[name]) for name in ("divergence", "standard_error")}
        if self.draw_weights is not None:
            data["draw_weight"] = (of_draw, self.draw_weights)
        coordinates: dict[str, Any] = {
            "prompt_a": (of_pair[0], self.prompts_a),
            "prompt_b": (of_pair[-1], self.prompts_b),
            "log_snr": ("level", self.grid.node_log_snr),
            "weight": ("level", self.grid.weights(self.weighting)),
        }
        return xarray.Dataset(data, coordinates, {"weighting": self.weighting})

    def to_rdms(self: Any) -> Any:
        """Dissimilarity matrices as `rsatoolbox.rdm.RDMs`: J of each draw, in nats.

        Returns
        -------
        rdms : rsatoolbox.rdm.RDMs
            One matrix a draw; the descriptor "prompt" names the patterns, and "draw" the
            matrices. A draw that a pair did not use (`tol=`) is NaN there.

        Raises
        ------
        ValueError
            The result is not that of all pairs of one list of prompts.
        """
        rsatoolbox = import_optional("rsatoolbox", "exports", "to_rdms")
        if self.paired or self.prompts_a != self.prompts_b:
            raise ValueError(
                "to_rdms: expected all pairs of one list of prompts, got other pairs; measure them "
                "with pairwise_divergence(prompts)."
            )
        draws = np.moveaxis(self.draws, -1, 0)
        return rsatoolbox.rdm.RDMs(
            draws,
            dissimilarity_measure=f"Jeffreys divergence ({self.weighting})",
            rdm_descriptors={"draw": list(range(len(draws)))},
            pattern_descriptors={"prompt": list(self.prompts_a)},
        )

    def _shown(self: Any) -> Sheet:
        parts = self.prompts_a, self.prompts_b, self.values, self.standard_errors
        return divergence_sheet(*parts, f"J{self.unit}, {self.n_draws} draws")
