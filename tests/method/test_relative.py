"""Divergences relative to the empty prompt: right, with right errors, whatever the draws."""

import numpy as np
import pytest

from conjure_kernel import GaussianDenoiser, paired_divergence, pairwise_divergence
from conjure_kernel.method.jackknife import jackknife_se
from worlds import SMALL, make_world

NAMES = ["a", "b", "c", "d"]
EMPTY = {"memory": None, "origin": "empty", "check_steps": 0}


def world_of(seed):
    rng = np.random.default_rng(seed)
    names = ["", *NAMES]
    means = {name: rng.normal(size=4) for name in names}
    variances = {name: rng.uniform(0.3, 2, size=4) for name in names}
    return GaussianDenoiser(means, variances)


def exact(world, a, b):
    """R in closed form."""
    j, ja, jb = (world.exact(*pair).jeffreys for pair in ((a, b), (a, ""), (b, "")))
    return j / np.sqrt(ja * jb)


def test_many_draws_find_the_closed_form():
    world = world_of(0)
    settings = {**EMPTY, "n_draws": 300, "n_steps": 40}
    measured = pairwise_divergence(NAMES, model=world, **settings)
    truth = [[exact(world, a, b) if a != b else 0 for b in NAMES] for a in NAMES]
    np.testing.assert_allclose(measured.values, truth, rtol=0.03)
    assert (measured.values.diagonal() == 0).all()


@pytest.mark.parametrize(("n_draws", "n_chains", "shared"), [(2, 3, False), (3, 1, True)])
def test_errors_and_intervals_are_those_of_other_seeds(n_draws, n_chains, shared):
    world, above = world_of(1), np.triu_indices(4, 1)
    settings = {**EMPTY, "n_draws": n_draws, "chains_per_draw": n_chains, "shared_noise": shared}
    many = {**settings, "n_draws": 300, "chains_per_draw": 3}
    truth = pairwise_divergence(NAMES, model=world, **many).values[above]
    values, errors, hits = [], [], []
    for seed in range(50):
        measured = pairwise_divergence(NAMES, model=world, random_state=seed + 1, **settings)
        low, high = measured.interval()
        values.append(measured.values[above])
        errors.append(measured.standard_errors[above])
        hits.append((low[above] <= truth) & (truth <= high[above]))
    ratio = np.std(values, 0) / np.sqrt(np.mean(np.square(errors), 0))
    assert 0.85 < np.mean(ratio) < 1.15
    assert 0.92 < np.mean(hits) < 0.985


def test_pairs_are_entries_of_the_matrix():
    world, prompts = make_world(4)
    settings = {**SMALL, **EMPTY, "model": world}
    matrix = pairwise_divergence(prompts, **settings)
    pairs = [(prompts[i], prompts[j]) for i in range(4) for j in range(4)]
    paired = paired_divergence(pairs, **settings)
    for name, numbers in paired.numbers().items():
        np.testing.assert_allclose(numbers, matrix.numbers()[name].ravel(), rtol=1e-12)
    for one, other in zip(paired.level_ratios, matrix.level_ratios, strict=True):
        np.testing.assert_allclose(one, other.reshape(16, -1), rtol=1e-12)


def test_other_rows_than_columns():
    world, prompts = make_world(5)
    settings = {**SMALL, **EMPTY, "model": world}
    whole = pairwise_divergence(prompts, **settings)
    part = pairwise_divergence(prompts[:2], prompts[1:], **settings)
    for name, numbers in part.numbers().items():
        np.testing.assert_allclose(numbers, whole.numbers()[name][:2, 1:], rtol=1e-12)


def test_exchanging_prompts_exchanges_the_legs_and_no_more():
    world, (a, b) = make_world(2)
    settings = {**SMALL, **EMPTY, "model": world}
    one, other = (paired_divergence([pair], **settings).numbers() for pair in ((a, b), (b, a)))
    exchanged = {"kl_ab": "kl_ba", "kl_ba": "kl_ab"}
    for name, numbers in one.items():
        np.testing.assert_allclose(numbers, other[exchanged.get(name, name)], rtol=1e-12)


def test_the_jackknife_of_the_replicates_is_near_the_standard_error():
    world, prompts = make_world(4)
    settings = {**EMPTY, "model": world, "n_steps": 6}
    measured = pairwise_divergence(prompts, n_draws=60, **settings)
    above = np.triu_indices(4, 1)
    ours = jackknife_se(measured.replicates)[above]
    np.testing.assert_allclose(ours, measured.standard_errors[above], rtol=0.25)


@pytest.mark.filterwarnings("ignore:.* above tol=")
def test_tol_draws_more_of_some_pairs_and_the_errors_follow():
    world, prompts = make_world(4)
    settings = {**EMPTY, "model": world, "n_steps": 4, "tol": 0.1, "max_draws": 256}
    measured = pairwise_divergence(prompts, **settings)
    assert len(np.unique(measured.pairs.draws_used)) > 1
    above = np.triu_indices(4, 1)
    relative = measured.standard_errors[above] / measured.values[above]
    assert (relative < 0.25).all()
    low, high = measured.interval()
    assert (low[above] < measured.values[above]).all()
    assert (measured.values[above] < high[above]).all()


def test_one_draw_has_no_error():
    world, prompts = make_world(2)
    with pytest.warns(UserWarning, match="n_draws=1"):
        measured = pairwise_divergence(prompts, model=world, **{**SMALL, **EMPTY, "n_draws": 1})
    assert np.isnan(measured.standard_errors[0, 1])
    assert np.isnan(measured.interval()[0][0, 1])
    assert measured.values[0, 1] > 0


def test_a_prompt_that_says_nothing_is_named():
    world = GaussianDenoiser({"": 0.0, "a dog": 1.0, "hm": 0.01})
    settings = {"model": world, **EMPTY}
    for prompts, named in ((["a dog", ""], "''"), (["hm", "a dog"], "'hm'")):
        with pytest.raises(ValueError, match=f"the empty prompt, got {named} at "):
            pairwise_divergence(prompts, **settings)
        with pytest.raises(ValueError, match=f"the empty prompt, got {named} at "):
            paired_divergence([prompts], **{**settings, "weighting": "noise"})


@pytest.mark.filterwarnings("ignore:.*lies at the last noise level")
@pytest.mark.parametrize("weighting", ["paper", "noise"])
def test_other_weightings_have_a_ratio_of_their_own(weighting):
    world, (a, b) = make_world(2)
    settings = {"memory": None, "model": world, "weighting": weighting, "check_steps": 0}
    pairs = [(a, b), (a, ""), (b, "")]
    plain = paired_divergence(pairs, **settings).values
    relative = paired_divergence(pairs[:1], origin="empty", **settings)
    assert relative.values[0] == pytest.approx(plain[0] / np.sqrt(plain[1] * plain[2]))


def test_the_scale_of_j_does_not_matter():
    # A world twice as far apart in every direction has four times each J.
    values = [
        pairwise_divergence(
            ["a", "b"], model=GaussianDenoiser({"": 0.0, "a": s, "b": -2 * s}), **EMPTY
        ).values
        for s in (0.2, 1.0, 3.0)
    ]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-6)
    np.testing.assert_allclose(values[0], values[2], rtol=1e-6)
    assert values[0][0, 1] == pytest.approx(9 / np.sqrt(1 * 4), rel=1e-3)


def test_a_table_and_a_notebook_show_it():
    world, prompts = make_world(3)
    measured = pairwise_divergence(prompts, model=world, **{**SMALL, **EMPTY})
    frame = measured.to_pandas()
    assert list(frame.columns)[:3] == ["prompt_a", "prompt_b", "relative_divergence"]
    assert len(frame) == 9
    assert "J relative" in measured._repr_html_()


def test_an_unknown_origin_is_refused():
    world, prompts = make_world(2)
    with pytest.raises(ValueError, match="origin='nothing': expected one of 'empty'"):
        pairwise_divergence(prompts, model=world, memory=None, origin="nothing")
