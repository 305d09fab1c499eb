"""Shapley values: the definition by brute force, and the laws that name them."""

from itertools import permutations

import numpy as np
import pytest

from conjure_kernel.method.shapley import all_coalitions, coalitions_of_orders

N = 4


def by_definition(game, n):
    """The mean, over all orders of joining, of what each player adds."""
    values = np.zeros(n)
    for order in (orders := list(permutations(range(n)))):
        for i, player in enumerate(order):
            values[player] += game(frozenset(order[: i + 1])) - game(frozenset(order[:i]))
    return values / len(orders)


def any_game(n=N, seed=0):
    numbers = np.random.default_rng(seed).normal(size=2**n)
    return lambda coalition: numbers[sum(1 << player for player in coalition)]


def played(coalitions, game):
    v = [game(frozenset(np.flatnonzero(members).tolist())) for members in coalitions.members]
    return coalitions.values(np.array(v))


def orders(n, n_pairs, seed=0):
    return np.array([np.random.default_rng((seed, i)).permutation(n) for i in range(n_pairs)])


@pytest.mark.parametrize("n", [1, 2, 4, 6])
def test_all_coalitions_give_the_definition(n):
    coalitions = all_coalitions(n)
    assert coalitions.members.shape == (2**n, n)
    (values,) = played(coalitions, any_game(n))
    np.testing.assert_allclose(values, by_definition(any_game(n), n), atol=1e-12)


def test_all_orders_give_the_definition():
    every = np.array(list(permutations(range(N))))
    values = played(coalitions_of_orders(every), any_game())
    assert values.shape == (24, N)
    np.testing.assert_allclose(values.mean(0), by_definition(any_game(), N), atol=1e-12)


def test_an_order_goes_with_its_reverse():
    game = any_game()
    (found,) = played(coalitions_of_orders(np.array([[2, 0, 1, 3]])), game)
    player_0 = game({2, 0}) - game({2}) + game({3, 1, 0}) - game({3, 1})
    assert found[0] == pytest.approx(player_0 / 2)


@pytest.mark.parametrize("n_pairs", [1, 3])
def test_each_estimate_shares_out_everything(n_pairs):
    game = any_game(7)
    values = played(coalitions_of_orders(orders(7, n_pairs)), game)
    np.testing.assert_allclose(values.sum(1), game(range(7)) - game([]), atol=1e-12)


@pytest.mark.parametrize("coalitions", [all_coalitions(5), coalitions_of_orders(orders(5, 4))])
def test_who_adds_nothing_gets_nothing(coalitions):
    game = any_game(5)
    values = played(coalitions, lambda coalition: game(frozenset(coalition) - {3}))
    np.testing.assert_allclose(values[:, 3], 0, atol=1e-12)
    assert np.abs(values.mean(0)[:3]).min() > 1e-3


def test_who_is_alike_gets_alike():
    (values,) = played(all_coalitions(5), lambda s: len(s) ** 2 + 3 * bool(s & {1, 4}))
    assert values[1] == pytest.approx(values[4])
    assert values[0] == pytest.approx(values[2])
    assert values[1] > values[0] + 1


def test_values_keep_the_axes_of_the_game():
    v = np.random.default_rng(0).normal(size=(16, 3, 2))
    values = all_coalitions(N).values(v)
    assert values.shape == (1, N, 3, 2)
    np.testing.assert_allclose(values[..., 1, 0], all_coalitions(N).values(v[:, 1, 0]))
