"""The jackknife over pairs and texts: its formula by a plain loop, and what its intervals cover."""

import itertools

import numpy as np
import pytest
from scipy import stats

from conjure_kernel.evaluation.correlation import correlate, interval_of, leave_out_correlation
from conjure_kernel.evaluation.uncertainty import Pairing, estimate, estimate_difference, leave_out

RNG = np.random.default_rng(0)


def rho(x, y):
    return float(np.corrcoef(x, y)[0, 1])


def by_hand(pairs, x, y):
    """Error of atanh of Pearson's correlation and degrees of freedom, as the formula reads."""
    n, texts = len(pairs), sorted({t for pair in pairs for t in pair})
    z = np.arctanh(rho(x, y))

    def without(gone):
        keep = np.array([not gone(pair) for pair in pairs])
        return np.arctanh(rho(x[keep], y[keep]))

    phi = {p: (n - 1) * (z - without(lambda q, p=p: q == p)) for p in pairs}
    phi = {p: value - np.mean(list(phi.values())) for p, value in phi.items()}
    degree = {t: sum(t in pair for pair in pairs) for t in texts}
    free = [t for t in texts if degree[t] < n]
    shares = np.array([degree[t] ** 2 for t in free])
    effective = 1 / np.sum((shares / shares.sum()) ** 2)
    shrink = np.sqrt((effective - 1) / effective)
    s = {
        t: n * shrink * (z - without(lambda q, t=t: t in q))
        if degree[t] > 1
        else next(value for pair, value in phi.items() if t in pair)
        for t in free
    }
    squares = sum(value**2 for value in phi.values())
    both = sum(v**2 for pair, v in phi.items() if set(pair) <= set(free) and len(set(pair)) == 2)
    variance = max(sum(v**2 for v in s.values()) - both, squares)
    own = {t: sum(v**2 for pair, v in phi.items() if t in pair) for t in free}
    spread = sum(max(s[t] ** 2 - own[t], 0) ** 2 for t in free)
    spread += sum(v**4 for v in phi.values()) / 3
    return np.sqrt(variance) / n, max(effective - 1, variance**2 / spread, 1)


DESIGNS = {
    "distinct": [(f"a{i}", f"b{i}") for i in range(20)],
    "one hub": [("dog", f"b{i}") for i in range(20)],
    "two hubs": [(hub, f"{hub}{i}") for hub in ("dog", "cat") for i in range(10)],
    "all pairs": list(itertools.combinations("abcdefg", 2)),
    "chain": [(f"a{i:02}", f"a{i + 1:02}") for i in range(20)],
    "itself": [("dog", "dog"), ("dog", "cat"), *((f"a{i}", f"b{i}") for i in range(12))],
}


@pytest.mark.parametrize("design", DESIGNS)
def test_the_interval_is_the_formula(design):
    pairs = DESIGNS[design]
    x, noise = RNG.normal(size=(2, len(pairs)))
    y = x + noise
    error, freedom = by_hand(pairs, x, y)
    found = interval_of("pearson", x, y, Pairing.of(*zip(*pairs, strict=True)))
    reach = stats.t.ppf(0.975, freedom) * error
    expected = np.tanh(np.arctanh(rho(x, y)) + np.array([-reach, reach]))
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    if design == "distinct":
        assert found.p == pytest.approx(stats.pearsonr(x, y).pvalue)
    else:
        assert found.p == pytest.approx(2 * stats.t.sf(np.arctanh(rho(x, y)) / error, freedom))


@pytest.mark.parametrize("statistic", ["spearman", "pearson", "kendall"])
def test_the_fast_way_leaves_out_what_the_slow_way_does(statistic):
    pairs = [*DESIGNS["two hubs"], ("dog", "cat"), ("cat", "dog"), ("x", "x")]
    x, y = RNG.normal(size=(2, len(pairs))).round(1)
    pairing = Pairing.of(*zip(*pairs, strict=True))
    slow = leave_out(lambda a, b: correlate(statistic, a, b), pairing, (x, y))
    np.testing.assert_allclose(leave_out_correlation(statistic, x, y, pairing), slow, atol=1e-12)
    assert len(slow) == 1 + 22 + 23


def test_pairs_that_come_twice_count_once():
    pairs = DESIGNS["chain"]
    x, noise = RNG.normal(size=(2, 20))
    once = interval_of("pearson", x, x + noise, Pairing.of(*zip(*pairs, strict=True)))
    twice = [*pairs, *((b, a) for a, b in pairs)]
    sides = np.tile(x, 2), np.tile(x + noise, 2)
    again = interval_of("pearson", *sides, Pairing.of(*zip(*twice, strict=True)))
    assert again == pytest.approx(once, rel=0.02)
    pairing = Pairing.of(*zip(*[*pairs[:9]] * 3, strict=True))
    few = interval_of("pearson", *RNG.normal(size=(2, 27)), pairing)
    assert np.isnan(few).all()  # 9 different pairs


def test_a_hub_alone_keeps_the_interval_open_and_a_null_difference_is_one():
    """The issue's case: 60 pairs with "dog" had [0.616, 0.616], and p = 0.002 of no difference."""
    pairing = Pairing.of(["dog"] * 60, [f"partner {i}" for i in range(60)])
    rng = np.random.default_rng(1)
    y = rng.normal(size=60)
    one, other = (y + 1.2 * rng.normal(size=60) for _ in range(2))
    found = interval_of("spearman", one, y, pairing)
    value = correlate("spearman", one, y)
    alone = Pairing.of([f"a{i}" for i in range(60)], [f"b{i}" for i in range(60)])
    apart = interval_of("spearman", one, y, alone)
    assert found.low < value - 0.1 < value + 0.05 < found.high
    assert (found.low, found.high) == pytest.approx((apart.low, apart.high), abs=0.01)
    left_out = [leave_out_correlation("spearman", x, y, pairing) for x in (one, other)]
    gap = estimate_difference(*left_out, pairing)
    assert gap.p > 0.05
    assert gap.low < 0 < gap.high


def test_equal_scorers_differ_by_nothing_for_sure():
    pairing = Pairing.of(*zip(*DESIGNS["chain"], strict=True))
    values = leave_out_correlation("spearman", *RNG.normal(size=(2, 20)), pairing)
    same = estimate_difference(values, values, pairing)
    assert (same.low, same.high, same.p) == (0, 0, 1)


def test_a_difference_is_significant_where_its_interval_leaves_zero_out():
    pairing, rng = Pairing.of(*zip(*DESIGNS["distinct"], strict=True)), np.random.default_rng(4)
    for _ in range(40):
        y, noise, more = rng.normal(size=(3, 20))
        left_out = [leave_out_correlation("pearson", y + v, y, pairing) for v in (noise, 2 * more)]
        found = estimate_difference(*left_out, pairing)
        assert -2 < found.low < left_out[0][0] - left_out[1][0] < found.high < 2
        assert (found.p > 0.05) == (found.low < 0 < found.high)


def test_a_perfect_order_is_not_certain_to_be_perfect():
    pairing = Pairing.of(*zip(*DESIGNS["distinct"], strict=True))
    x = np.arange(20.0)
    up, down = (interval_of("spearman", x, y, pairing) for y in (x**3, -(x**3)))
    assert up.high == 1
    assert 0.8 < up.low < 1 - 1e-4
    assert (down.low, down.high) == pytest.approx((-1, -up.low))


def test_correlations_near_one_are_not_cut():
    pairing = Pairing.of(*zip(*DESIGNS["distinct"], strict=True))
    x, noise = RNG.normal(size=(2, 20))
    y = x + 0.001 * noise
    found = interval_of("pearson", x, y, pairing)
    assert 0.99999 < found.low < rho(x, y) < found.high < 1


def test_fewer_than_ten_pairs_have_no_interval():
    pairs = DESIGNS["distinct"]
    for n, finite in ((9, False), (10, True)):
        x, y = RNG.normal(size=(2, n))
        found = interval_of("kendall", x, y, Pairing.of(*zip(*pairs[:n], strict=True)))
        assert np.isfinite(found.low) == np.isfinite(found.high) == finite
        assert found.p == pytest.approx(stats.kendalltau(x, y).pvalue)


def cover(a, b, n_worlds, share=0.9, rho=0.6):
    """Share of simulated worlds whose intervals hold the truth: Spearman, and a null difference."""
    held, n_texts = np.zeros(2), max(*a, *b) + 1
    truth = 6 / np.pi * np.arcsin(rho / 2)
    pairing = Pairing.of(*(np.char.mod("%03d", side) for side in (a, b)))
    for seed in range(n_worlds):
        rng = np.random.default_rng(seed)

        def three(size, rng=rng):
            y = rng.normal(size=size)
            return [y, *(rho * y + np.sqrt(1 - rho**2) * rng.normal(size=size) for _ in "ab")]

        parts = zip(three(n_texts), three(len(a)), strict=True)
        of_text, of_pair = np.sqrt(share / 2), np.sqrt(1 - share)
        y, x, other = (of_text * (u[a] + u[b]) + of_pair * e for u, e in parts)
        values, others = (leave_out_correlation("spearman", v, y, pairing) for v in (x, other))
        found = estimate(values, pairing)
        gap = estimate_difference(values, others, pairing)
        held += [found.low <= truth <= found.high, gap.low <= 0 <= gap.high]
    return held / n_worlds


@pytest.mark.parametrize("design", ["one hub", "all pairs of 12"])
def test_intervals_cover_where_texts_repeat(design):
    full = np.triu_indices(12, 1)
    a, b = (np.zeros(40, int), np.arange(1, 41)) if design == "one hub" else full
    covered = cover(a, b, 150)
    assert (covered > 0.9).all()
    assert (covered < 1).all()
    if design != "one hub":  # as if the pairs were independent: too narrow
        distinct = Pairing.of(*(np.char.mod(f"{s}%03d", np.arange(66)) for s in "ab"))
        y, x = np.random.default_rng(0).normal(size=(2, 12))
        sides = x[a] + x[b], y[a] + y[b]
        texts = Pairing.of(*(np.char.mod("%03d", side) for side in full))
        wide, narrow = (interval_of("spearman", *sides, p) for p in (texts, distinct))
        assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
