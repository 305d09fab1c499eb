"""Shapley values: what each player adds to a game, on average over all orders of joining.

A game has a value v(S) for each coalition S of its n players. Player i's Shapley value is the mean,
over all orders, of v(S and i) - v(S), where S are those that came before i. The values sum to
v(all) - v(none). They are linear in v, so all that is needed are the coalitions and the coefficient
with which each enters the value of each player.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial
from typing import NamedTuple

import numpy as np

from conjure_kernel._table import with_error
from conjure_kernel.method.draws import variance_of

__all__ = ["Coalitions", "ShapleyValues", "all_coalitions", "coalitions_of_orders"]


@dataclass(frozen=True, repr=False)
class ShapleyValues:
    """Shapley values of n words, in nats: their shares in J(prompt, empty prompt).

    A word that takes the prompt away from what it shows has a negative one.

    Attributes
    ----------
    estimates : float64 array of shape (P, n, K, T)
        P estimates, each of an order of the words and its reverse, by draw and noise level; one
        where all orders are counted.

    Examples
    --------
    >>> from conjure_kernel import GaussianDenoiser, explain_words
    >>> world = GaussianDenoiser({"": [0, 0], "red": [2, 0], "heart": [0, 3], "red heart": [2, 3]})
    >>> shapley = explain_words("red heart", model=world, shapley=True).shapley
    >>> shapley.values.round(2), shapley.sampling_errors
    (array([2. , 4.5]), array([0., 0.]))
    """

    estimates: np.ndarray

    def __repr__(self) -> str:
        shown = zip(self.values.tolist(), self.standard_errors.tolist(), strict=True)
        return f"<ShapleyValues in nats: {', '.join(with_error(*pair) for pair in shown)}>"

    @property
    def values(self) -> np.ndarray:
        """The values, (n,); they sum to J(prompt, empty prompt)."""
        return self.profile.sum(-1)

    @property
    def profile(self) -> np.ndarray:
        """Part of each value that each noise level holds, (n, T), noisiest first."""
        return self.estimates.mean((0, 2))

    @property
    def sampling_errors(self) -> np.ndarray:
        """Part of the standard errors that comes from the choice of orders, (n,); 0 if exact."""
        if len(self.estimates) == 1:
            return np.zeros(self.estimates.shape[1])
        return np.sqrt(variance_of(self.estimates.mean(2).sum(-1).T))

    @property
    def standard_errors(self) -> np.ndarray:
        """Standard errors of the values, (n,), from draws and orders; NaN with one draw.

        The values are linear in the draws, so that the part from draws, an error of a mean, is what
        a jackknife gives.
        """
        from_draws = variance_of(self.estimates.mean(0).sum(-1))
        return np.sqrt(from_draws + self.sampling_errors**2)


class Coalitions(NamedTuple):
    """The coalitions that are asked for, and how Shapley values follow from their values.

    Attributes
    ----------
    members : bool array of shape (m, n)
        Who is in each coalition.
    coefficients : float array of shape (P, n, m)
        P independent estimates of all n values, of which the mean is taken; one where it is exact.
    """

    members: np.ndarray
    coefficients: np.ndarray

    def values(self, v: np.ndarray) -> np.ndarray:
        """Each estimate of each player's value: v of the coalitions (m, ...) -> (P, n, ...)."""
        return np.tensordot(self.coefficients, v, 1)


def all_coalitions(n: int) -> Coalitions:
    """All 2^n coalitions of n players, from which the values are exact."""
    members = (np.arange(2**n)[:, None] >> np.arange(n)) & 1 == 1
    last = np.array([factorial(s - 1) * factorial(n - s) if s else 0 for s in range(n + 1)])
    next_ = np.array([factorial(s) * factorial(n - s - 1) if s < n else 0 for s in range(n + 1)])
    sizes = members.sum(1)
    coefficients = np.where(members.T, last[sizes], -next_[sizes]) / factorial(n)
    return Coalitions(members, coefficients[None])


def coalitions_of_orders(orders: np.ndarray) -> Coalitions:
    """The coalitions that form when n players join in each order, and in its reverse: (P, n).

    An order and its reverse make one estimate: who came late in one comes early in the other, so
    that much of the error cancels.
    """
    n_orders, n = orders.shape
    found: dict[frozenset[int], int] = {}
    steps = []
    for pair, order in enumerate(orders.tolist()):
        for path in (order, order[::-1]):
            ways = [frozenset(path[:i]) for i in range(n + 1)]
            places = [found.setdefault(way, len(found)) for way in ways]
            steps += [(pair, *step) for step in zip(path, places[:-1], places[1:], strict=True)]
    coefficients = np.zeros((n_orders, n, len(found)))
    pairs, players, before, after = np.array(steps).T
    np.add.at(coefficients, (pairs, players, after), 0.5)
    np.add.at(coefficients, (pairs, players, before), -0.5)
    members = np.array([[player in way for player in range(n)] for way in found])
    return Coalitions(members, coefficients)
