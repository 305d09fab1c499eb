"""Matrices and pairs: their laws, their cost, and what they say to bad input (R1-R7, R15, R46)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from conjure_kernel import ConjureDistance, GaussianDenoiser, paired_divergence, pairwise_divergence
from worlds import N_DRAWS, N_STEPS, SMALL, SUBSTEPS, cold, make_world

T, K, S = N_STEPS, N_DRAWS, N_STEPS * SUBSTEPS


def pairwise(world, a, b=None, **settings):
    return pairwise_divergence(a, b, **{"model": world, "memory": None, **SMALL, **settings})


def paired(world, a, b=None, **settings):
    return paired_divergence(a, b, **{"model": world, "memory": None, **SMALL, **settings})


# ---------------------------------------------------------------- laws of the matrix


@pytest.mark.filterwarnings("ignore:.*lies at the last noise level")
@pytest.mark.parametrize("w", [1.0, 3.0])
@pytest.mark.parametrize("weighting", ["jeffreys", "paper", "noise"])
def test_symmetric_zero_diagonal_finite_non_negative(w, weighting):
    world, prompts = make_world()
    found = pairwise(world, prompts, guidance_scale=w, weighting=weighting)
    values = found.values
    assert values.dtype == np.float64
    assert values.shape == (6, 6)
    assert np.array_equal(values, values.T)
    assert np.array_equal(found.legs[0], found.legs[1].T)
    assert np.array_equal(found.standard_errors, found.standard_errors.T)
    assert (np.diag(values) == 0).all()
    assert (np.diag(found.standard_errors) == 0).all()
    assert np.isfinite(values).all()
    assert (values[~np.eye(6, dtype=bool)] > 0).all()
    assert found.n_evaluations == world.rows == cold(6, w)


def test_duplicates_are_at_zero_and_cost_nothing():
    world, prompts = make_world(4)
    whole = pairwise(world, prompts)
    world.rows = 0
    rows, columns = [0, 1, 0, 3], [2, 2, 0]
    again = pairwise(world, [prompts[i] for i in rows], [prompts[j] for j in columns])
    np.testing.assert_allclose(again.values, whole.values[np.ix_(rows, columns)], rtol=1e-6)
    assert (again.values[[0, 2], 2] == 0).all()
    once = pairwise(make_world(4)[0], [prompts[i] for i in (0, 1, 3)], [prompts[j] for j in (2, 0)])
    assert world.rows == once.n_evaluations


def test_permuting_prompts_permutes_the_matrix(tmp_path):
    world, prompts = make_world()
    whole = pairwise(world, prompts, memory=tmp_path)
    order = np.random.default_rng(0).permutation(6)
    shuffled = [prompts[i] for i in order]
    read = pairwise(world, shuffled, memory=tmp_path)
    assert np.array_equal(read.values, whole.values[np.ix_(order, order)])
    anew = pairwise(world, shuffled)
    np.testing.assert_allclose(anew.values, read.values, rtol=1e-6)


def test_a_subset_gives_the_sub_matrix():
    world, prompts = make_world()
    whole = pairwise(world, prompts)
    np.testing.assert_allclose(
        pairwise(world, prompts[1:3], prompts[2:6]).values, whole.values[1:3, 2:6], rtol=1e-6
    )


def test_rectangle_has_the_legs_of_the_right_sides():
    world, prompts = make_world()
    whole, part = pairwise(world, prompts), pairwise(world, prompts[:4], prompts[3:])
    for leg, of_whole in zip(part.legs, whole.legs, strict=True):
        np.testing.assert_allclose(leg, of_whole[:4, 3:], rtol=1e-6)
    back = pairwise(world, prompts[3:], prompts[:4])
    np.testing.assert_allclose(back.values, part.values.T, rtol=1e-6)


def test_one_prompt_alone():
    world, prompts = make_world()
    assert pairwise(world, prompts[:1]).values.tolist() == [[0.0]]


# ---------------------------------------------------------------- pairs


def test_pairs_are_the_entries_of_the_matrix(tmp_path):
    world, prompts = make_world()
    i, j = np.array([0, 3, 5, 1, 0, 2, 4]), np.array([1, 0, 4, 0, 1, 2, 5])
    a, b = ([prompts[k] for k in side] for side in (i, j))
    pairs, whole = paired(world, a, b), pairwise(world, prompts, memory=tmp_path)
    np.testing.assert_allclose(pairs.values, whole.values[i, j], rtol=1e-6)
    np.testing.assert_allclose(pairs.legs[0], whole.legs[0][i, j], rtol=1e-6)
    np.testing.assert_allclose(pairs.standard_errors, whole.standard_errors[i, j], rtol=1e-5)
    world.rows = 0
    cached = paired(world, a, b, memory=tmp_path)
    assert world.rows == 0
    assert np.array_equal(cached.values, whole.values[i, j])
    assert np.array_equal(cached.draws, whole.draws[i, j])
    listed = paired(world, list(zip(a, b, strict=True)), memory=tmp_path)
    table = paired(world, pd.DataFrame({"a": a, "b": b}), memory=tmp_path)
    assert np.array_equal(listed.values, cached.values)
    assert np.array_equal(table.values, cached.values)


def test_pairs_that_share_a_text_share_its_trajectories():
    world, prompts = make_world()
    star = [(prompts[0], other) for other in prompts[1:]]
    assert paired(world, star).n_evaluations == world.rows == 6 * S * K + 2 * 5 * T * K
    world.rows = 0
    assert paired(world, [*star, *star, (prompts[0],) * 2]).n_evaluations == world.rows
    assert world.rows == 6 * S * K + 2 * 5 * T * K


@pytest.mark.filterwarnings("ignore:n_draws=1")
def test_pairs_of_one_draw_do_not_run_one_by_one():
    world, prompts = make_world(40)
    paired(world, prompts[:20], prompts[20:], n_draws=1, batch_size=16)
    assert world.n_predict <= 4  # 40 rows at 16 a call, in tiles of 16 sources
    assert world.rows == 40 * (S + T)


# ---------------------------------------------------------------- random_state


def test_a_seed_repeats_and_another_differs_by_about_the_stated_error():
    world, prompts = make_world(8)
    one, same = (pairwise(world, prompts, n_draws=16) for _ in range(2))
    assert np.array_equal(one.draws, same.draws)
    upper, ratios = np.triu_indices(8, 1), []
    for seed in range(1, 5):
        other = pairwise(world, prompts, n_draws=16, random_state=seed)
        error = np.hypot(one.standard_errors, other.standard_errors)[upper]
        ratios.append((one.values - other.values)[upper] / error)
    assert 0.6 < np.sqrt(np.mean(np.square(ratios))) < 1.6


def test_four_times_the_draws_halve_the_error():
    world, prompts = make_world(8)

    def mean_error(n_draws):
        runs = [pairwise(world, prompts, n_draws=n_draws, random_state=s) for s in range(6)]
        return np.sqrt(np.mean([run.standard_errors**2 for run in runs]))

    assert 1.7 < mean_error(8) / mean_error(32) < 2.3


def test_random_state_none_warns_and_leaves_the_disk_alone(tmp_path):
    world, prompts = make_world(3)
    results = []
    for _ in range(2):
        with pytest.warns(UserWarning, match="random_state=None: every call has a new seed"):
            results.append(pairwise(world, prompts, random_state=None, memory=tmp_path).values)
    assert not np.array_equal(*results)
    assert list(tmp_path.iterdir()) == []
    pairwise(world, prompts, random_state=None, memory=None)  # no cache was asked for: silent


def test_random_state_instance_gives_the_seed():
    world, prompts = make_world(3)
    one, same, other = (
        pairwise(world, prompts, random_state=np.random.RandomState(seed)).values
        for seed in (1, 1, 2)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


# ---------------------------------------------------------------- warnings and bad input


def test_one_draw_has_no_error_and_says_so():
    world, prompts = make_world(3)
    with pytest.warns(UserWarning, match="n_draws=1: there is no standard error"):
        found = pairwise(world, prompts, n_draws=1)
    assert np.isnan(found.standard_errors).all()


def test_a_divergence_that_hangs_on_the_cut_off_is_reported():
    world, prompts = make_world(3)
    with pytest.warns(UserWarning, match=r"% of the divergence lies at the last noise level"):
        pairwise(world, prompts, log_snr_range=(-8, 0))


BAD_PROMPTS = [
    ([], ValueError, "{}: expected at least one prompt, got none"),
    ("a dog", ValueError, r"{}='a dog': expected a list of strings.*write \['a dog'\]"),
    (b"a dog", ValueError, "{}=b'a dog': expected a list of strings, got one string"),
    (7, TypeError, "{}=7: expected a list of strings"),
    ({"prompt 0"}, TypeError, "{}={{'prompt 0'}}: expected a list of strings, got set"),
    (["prompt 0", None], TypeError, r"{}\[1\]=None: expected a string, got NoneType"),
    (["prompt 0", float("nan")], TypeError, r"{}\[1\]=nan: expected a string, got float"),
    (["prompt 0", pd.NA], TypeError, r"{}\[1\]=<NA>: expected a string, got NAType"),
    (pd.Series(["prompt 0", None]), TypeError, r"{}\[1\]=(nan|None): expected a string"),
    ([3.5], TypeError, r"{}\[0\]=3\.5: expected a string, got float"),
    (np.zeros(2), TypeError, r"{}\[0\]=.*: expected a string, got float64"),
    (np.array([["a", "b"]]), ValueError, r"{}: expected one column of text, got shape \(1, 2\)"),
    (np.array("a"), ValueError, r"{}: expected one column of text, got shape \(\)"),
    (["prompt 0", "a unicorn"], ValueError, "prompt 'a unicorn' is not in this world"),
    (["prompt 0", "\ud83d"], ValueError, r"{}\[1\]='\\ud83d': expected valid text, got half"),
]


@pytest.mark.parametrize(("prompts", "error", "message"), BAD_PROMPTS)
def test_bad_prompts(prompts, error, message):
    world, _ = make_world(2)
    with pytest.raises(error, match=message.format("a")):
        pairwise(world, prompts)
    with pytest.raises(error, match=message.format("b")):
        pairwise(world, ["prompt 0"], prompts)
    with pytest.raises(error, match=message.format("prompts")):
        ConjureDistance(world, memory=None, **SMALL).fit(prompts)
    fitted = ConjureDistance(world, memory=None, **SMALL).fit(["prompt 0"])
    with pytest.raises(error, match=message.format("prompts")):
        fitted.transform(prompts)


BAD_PAIRS = [
    ((["x"], ["y", "z"]), ValueError, "a and b: expected equally many prompts, got 1 and 2"),
    (([],), ValueError, "a: expected at least one pair, got none"),
    ((["ab"],), ValueError, r"a\[0\]='ab': expected a pair \(text_a, text_b\)"),
    (([("x", "y", "z")],), ValueError, r"a\[0\]=\('x', 'y', 'z'\): expected a pair"),
    (("xy",), TypeError, "a='xy': expected a list of"),
    (([("x", None)],), TypeError, r"a\[:, 1\]\[0\]=None: expected a string"),
]


@pytest.mark.parametrize(("sides", "error", "message"), BAD_PAIRS)
def test_bad_pairs(sides, error, message):
    with pytest.raises(error, match=message):
        paired(make_world(2)[0], *sides)


BAD_SETTINGS = [
    ({"n_draws": 0}, ValueError, "n_draws=0: expected an integer of at least 1"),
    ({"n_draws": 2.0}, ValueError, r"n_draws=2\.0: expected an integer"),
    ({"n_draws": True}, ValueError, "n_draws=True: expected an integer"),
    ({"n_steps": "10"}, ValueError, "n_steps='10': expected an integer of at least 1"),
    ({"substeps": 0}, ValueError, "substeps=0: expected an integer"),
    ({"batch_size": 0}, ValueError, "batch_size=0: expected an integer of at least 1"),
    ({"guidance_scale": np.nan}, ValueError, "guidance_scale=nan: expected a finite number"),
    ({"guidance_scale": -1}, ValueError, "guidance_scale=-1: expected a finite number above 0"),
    ({"guidance_scale": 0.0}, ValueError, r"guidance_scale=0\.0: .* above 0"),  # all would be 0
    ({"sampler": "ddim"}, ValueError, "sampler='ddim': expected one of 'sde', 'ode'"),
    ({"weighting": None}, ValueError, "weighting=None: expected one of 'jeffreys'"),
    ({"nodes": "sigma"}, ValueError, "nodes='sigma': expected one of 'log_snr'"),
    ({"log_snr_range": (3, 1)}, ValueError, r"log_snr_range=\(3, 1\): expected two finite rising"),
    ({"log_snr_range": (0, np.inf)}, ValueError, r"log_snr_range=\(0, inf\)"),
    ({"random_state": -1}, ValueError, "random_state=-1: expected an integer of at least 0"),
    ({"random_state": "x"}, ValueError, "'x' cannot be used to seed"),
    ({"memory": 3}, TypeError, 'memory=3: expected "auto", None, a folder'),
    ({"steps": 4}, TypeError, "steps: expected settings among n_steps, guidance_scale"),
    ({"device": "cuda"}, ValueError, "device='cuda', .*: expected the defaults, as a Denoiser"),
    ({"model": 3}, TypeError, "model=3: expected 'embedded', a hub id, a folder"),
]


@pytest.mark.parametrize(("setting", "error", "message"), BAD_SETTINGS)
def test_bad_settings(setting, error, message):
    world, prompts = make_world(2)
    for measure in (pairwise, paired):
        with pytest.raises(error, match=message):
            measure(world, prompts, prompts, **setting)
    if "steps" not in setting:
        with pytest.raises(error, match=message):
            ConjureDistance(**{"model": world, "memory": None, **setting}).fit(prompts)
    assert world.rows == 0


@pytest.mark.parametrize("prompt", ["a (red:1.3) car", "a {red|blue} car", "a __color__ car"])
def test_a_syntax_that_is_not_read_is_told(prompt):
    world = GaussianDenoiser({prompt: 0.3, "a car": 0.7})
    with pytest.warns(UserWarning, match=r"1 prompts have weights or wildcards"):
        pairwise_divergence([prompt, "a car"], model=world, memory=None, check_steps=0)
