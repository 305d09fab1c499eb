"""ConjureEmbedding against closed forms: what its distances are, what they cost, what is kept."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist, squareform
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

import pipelines
from conjure_kernel import ConjureEmbedding, GaussianDenoiser, pairwise_divergence
from conjure_kernel.engine.pool import _take_turns, choose_references, n_draws_needed
from conjure_kernel.models.pretrained.load import load_denoiser
from worlds import Counting, make_world

FEW = {"n_steps": 4, "n_references": 4, "n_points": 8, "n_blocks": 4}


def embedding(world, **options):
    return ConjureEmbedding(world, **{"memory": None, "n_components": None, **FEW, **options})


def equal_variances(n=6, dim=3):
    """A world in which eps_a - eps_b does not depend on the point: pooled divergence is J."""
    means = np.random.default_rng(1).normal(size=(n, dim))
    return Counting({f"prompt {i}": mean for i, mean in enumerate(means)})


# ---------------------------------------------------------------- what the distances are


def test_where_predictions_part_alike_everywhere_the_exact_path_is_j():
    world = equal_variances()
    squares = pdist(embedding(world).fit_transform(world.prompts), "sqeuclidean")
    exact = pairwise_divergence(world.prompts, model=world, n_steps=4, n_draws=2, memory=None)
    np.testing.assert_allclose(squares, exact.values[np.triu_indices(6, 1)], rtol=1e-5)


def test_a_pool_of_the_pair_alone_gives_j_whatever_the_variances():
    world, prompts = make_world(2)
    model = embedding(world, n_references=2, n_points=16, n_blocks=8)
    (square,) = pdist(model.fit_transform(prompts), "sqeuclidean")
    # Points at one node are chain 0 and 1 in turn, so half of each: J of the same 8 draws.
    whole = {"chains_per_draw": 1, "check_steps": 0, "memory": None}
    exact = pairwise_divergence(prompts, model=world, n_steps=4, n_draws=8, **whole)
    assert square == pytest.approx(exact.values[0, 1], rel=1e-5)


@pytest.mark.parametrize("weighting", ["paper", "noise"])
def test_other_weightings_are_those_of_the_distance(weighting):
    world = equal_variances()
    kind = {"n_steps": 4, "weighting": weighting}
    squares = pdist(embedding(world, **kind).fit_transform(world.prompts), "sqeuclidean")
    exact = pairwise_divergence(world.prompts, model=world, n_draws=2, memory=None, **kind)
    np.testing.assert_allclose(squares, exact.values[np.triu_indices(6, 1)], rtol=1e-5)


def test_guidance_counts_as_in_the_distance():
    means = np.random.default_rng(1).normal(size=(5, 3))
    world = GaussianDenoiser({"" if i == 0 else f"p{i}": mean for i, mean in enumerate(means)})
    prompts, kind = world.prompts[1:], {"n_steps": 4, "guidance_scale": 3.0}
    squares = pdist(embedding(world, **kind).fit_transform(prompts), "sqeuclidean")
    exact = pairwise_divergence(prompts, model=world, n_draws=2, memory=None, **kind)
    np.testing.assert_allclose(squares, exact.values[np.triu_indices(4, 1)], rtol=1e-5)


def test_the_sketch_is_unbiased_and_as_noisy_as_stated():
    world = equal_variances(12, 64)
    exact = pdist(embedding(world).fit_transform(world.prompts), "sqeuclidean")
    errors = []
    for seed in range(6):
        model = embedding(world, n_components=64, random_state=seed)
        errors.append(pdist(model.fit_transform(world.prompts), "sqeuclidean") / exact - 1)
    assert abs(np.mean(errors)) < 0.03
    assert np.std(errors) == pytest.approx(np.sqrt(2 / 64), rel=0.2)


def test_standard_errors_are_those_of_other_seeds():
    world, prompts = make_world(6, dim=64)
    found, told = [], []
    for seed in range(30):
        model = embedding(
            world, n_components=64, n_points=8, n_blocks=8, n_references=6, random_state=seed
        )
        vectors = model.fit_transform(prompts[:6])
        found.append(np.linalg.norm(vectors[0] - vectors[1]))
        told.append(model.distance_standard_error(prompts[:1], prompts[1:2])[0])
    assert np.sqrt(np.mean(np.square(told))) == pytest.approx(np.std(found, ddof=1), rel=0.35)


def test_of_equal_prompts_there_is_no_error_and_no_distance():
    world, prompts = make_world(3)
    model = embedding(world, n_components=16).fit(prompts)
    vectors = model.transform([prompts[0], prompts[0]])
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert np.isnan(model.distance_standard_error(prompts[:1], prompts[:1])).all()


def test_the_gaussian_kernel_of_the_vectors_is_positive_where_that_of_j_is_not():
    means = np.random.default_rng(2).normal(size=60)
    variances = np.random.default_rng(3).uniform(0.05, 20, size=60)
    names = [f"prompt {i}" for i in range(60)]
    world = GaussianDenoiser(
        dict(zip(names, means, strict=True)), dict(zip(names, variances, strict=True))
    )
    vectors = embedding(world, n_components=64, n_steps=10).fit_transform(names).astype(float)
    squares = squareform(pdist(vectors, "sqeuclidean"))
    divergences = pairwise_divergence(names, model=world, n_draws=2, memory=None).values
    smallest = []
    for matrix in (squares, divergences):
        values = np.linalg.eigvalsh(np.exp(-matrix / np.median(matrix)))
        smallest.append(values[0] / values[-1])
    assert smallest[0] > -1e-10
    assert smallest[1] < -1e-4


# ---------------------------------------------------------------- the pool


def test_every_block_has_draws_of_its_own_and_no_point_comes_twice():
    for n, n_points, n_blocks in [(4, 8, 4), (16, 16, 8), (1, 16, 8), (3, 16, 4), (20, 8, 8)]:
        for t in range(5):
            points = _take_turns(t, n, n_points, n_blocks)
            assert len(set(points)) == n_points
            assert max(k for _, k in points) < n_draws_needed(n, n_points, n_blocks)
            for i, (reference, draw) in enumerate(points):
                assert draw % n_blocks == i // (n_points // n_blocks)
                assert 0 <= reference < n


def test_references_are_drawn_from_the_prompts_with_equal_chances_and_for_nothing():
    prompts = [f"p{i}" for i in range(12)]
    draws = [choose_references(prompts, 4, seed) for seed in range(300)]
    assert all(len(set(names)) == 4 and set(names) <= {*prompts} for names in draws)
    counts = Counter(name for names in draws for name in names)
    assert 70 <= min(counts.values()) <= max(counts.values()) <= 130  # 100 ± 8
    assert choose_references(prompts, 12, 0) == choose_references(prompts, 99, 1) == prompts
    world, prompts = make_world(9)
    model = embedding(world, random_state=5).fit([*prompts, prompts[0]])
    assert model.references_ == choose_references(prompts, 4, 5)
    assert model.n_evaluations_ == 4 * 4 * 8  # chains alone


def test_given_references_make_vectors_of_today_like_those_of_then():
    world, prompts = make_world(9)
    first = embedding(world).fit(prompts[:6])
    again = embedding(world, references=np.array(first.references_ * 2)).fit(prompts[6:])
    assert again.references_ == first.references_
    np.testing.assert_array_equal(again.transform(prompts), first.transform(prompts))
    other = embedding(world).fit(prompts[6:])
    assert not np.allclose(other.transform(prompts), first.transform(prompts))
    assert again.n_predictions(3) == again.n_evaluations_ + 3 * 4 * 8
    with pytest.raises(ValueError, match="references='p': expected a list of strings"):
        embedding(world, references="p").fit(prompts)


def test_images_of_many_prompts_share_calls_and_cost_what_was_said():
    denoiser = load_denoiser(pipelines.stable_diffusion())
    sizes = {"n_components": None, "n_steps": 2, "memory": None, "n_references": 2}
    model = ConjureEmbedding(denoiser, **sizes, n_points=2, n_blocks=2, guidance_scale=3.0)
    prompts = ["a dog", "a cat", "a red car", "a bus", "a dog"]
    model.fit_transform(prompts)
    images = model.conjure_images(prompts, 2)
    assert denoiser.n_evaluations <= model.n_predictions(5, 2)
    alone = np.concatenate([model.conjure_images([prompt], 2) for prompt in prompts])
    assert np.abs(images.astype(int) - alone).max() <= 1
    assert images[0].std() > 0


# ---------------------------------------------------------------- cost, order, batches


def test_a_prompt_costs_its_points_and_a_known_one_nothing():
    world, prompts = make_world(9)
    model = embedding(world).fit(prompts[:4])
    assert model.n_evaluations_ == world.rows == 4 * 4 * 8  # chains: references x draws x S
    before = world.rows
    model.transform([*prompts, *prompts])
    assert world.rows - before == 9 * 4 * 8  # prompts x T x M
    model.transform(prompts[::-1])
    assert world.rows - before == 9 * 4 * 8


@pytest.mark.parametrize("n_components", [None, 16])
def test_neither_batches_nor_order_change_a_row(n_components):
    world, prompts = make_world(7)
    whole = embedding(world, n_components=n_components).fit_transform(prompts)
    for size in (1, 3, 24):
        model = embedding(world, n_components=n_components, batch_size=size).fit(prompts)
        parts = [model.transform(prompts[4:])[::-1], model.transform(prompts[:4])[::-1]]
        np.testing.assert_allclose(np.concatenate(parts)[::-1], whole, atol=1e-5)


def test_memory_that_runs_out_halves_the_calls():
    world, prompts = make_world(7)
    whole = embedding(world, n_components=16).fit_transform(prompts)
    world.limit = 3  # less than a prompt's 8 points
    small = embedding(world, n_components=16, batch_size=64).fit_transform(prompts)
    assert world.n_refused > 0
    np.testing.assert_allclose(small, whole, atol=1e-5)


def test_workers_find_the_same_vectors():
    world, prompts = make_world(7)
    alone = embedding(world, n_components=16, batch_size=16)
    shared = embedding(world, n_components=16, batch_size=16, n_jobs=2)
    np.testing.assert_array_equal(shared.fit_transform(prompts), alone.fit_transform(prompts))


# ---------------------------------------------------------------- what is kept


def test_the_cache_makes_a_second_run_free_and_grows(tmp_path):
    world, prompts = make_world(9)
    first = embedding(world, memory=tmp_path).fit(prompts[:5])
    vectors = first.transform(prompts[:5])
    before = world.rows
    again = embedding(world, memory=tmp_path).fit(prompts[:5])
    np.testing.assert_array_equal(again.transform(prompts[:5]), vectors)
    assert world.rows == before
    again.transform(prompts)
    assert world.rows - before == 4 * 4 * 8


def test_other_pools_have_other_vectors(tmp_path):
    world, prompts = make_world(9)
    embedding(world, memory=tmp_path).fit_transform(prompts)
    other = embedding(world, memory=tmp_path, n_points=4).fit(prompts)
    assert other.transform(prompts).shape == (9, 4 * 4 * 3)


def test_a_broken_file_is_made_anew_with_a_warning(tmp_path):
    world, prompts = make_world(4)
    whole = embedding(world, memory=tmp_path).fit_transform(prompts)
    (file,) = tmp_path.rglob("vectors/*/*.vectors")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.warns(UserWarning, match="cannot be read"):
        again = embedding(world, memory=tmp_path).fit_transform(prompts)
    np.testing.assert_array_equal(again, whole)


def test_what_was_finished_before_an_error_is_kept(tmp_path):
    world, prompts = make_world(8)
    model = embedding(world, memory=tmp_path, batch_size=8).fit(prompts[:4])
    world.limit, world.error = 8, KeyboardInterrupt()
    seen = world.rows
    original = world._eps

    def interrupted(names, x, alpha, sigma):
        if world.rows - seen >= 3 * 4 * 8:
            raise KeyboardInterrupt
        return original(names, x, alpha, sigma)

    world._eps = interrupted
    with pytest.raises(KeyboardInterrupt):
        model.transform(prompts)
    del world._eps
    before = world.rows
    embedding(world, memory=tmp_path, batch_size=8).fit(prompts[:4]).transform(prompts)
    assert world.rows - before == 5 * 4 * 8


def test_pickles_leave_the_pool_behind_and_rebuild_it_from_its_seed():
    world, prompts = make_world(6)
    model = embedding(world, n_components=16).fit(prompts)
    vectors = model.transform(prompts)
    twin = pickle.loads(pickle.dumps(model))
    assert twin._pool is None
    np.testing.assert_allclose(twin.transform(prompts), vectors, atol=1e-6)


# ---------------------------------------------------------------- scikit-learn


def test_first_step_of_a_pipeline_with_names_and_clones():
    world, prompts = make_world(8)
    target = [float(world._of(prompt).means[0, 0]) for prompt in prompts]
    pipeline = make_pipeline(embedding(world, n_components=32), Ridge(1e-3)).fit(prompts, target)
    assert pipeline.score(prompts, target) > 0.9
    table = clone(pipeline[0]).set_output(transform="pandas").fit_transform(prompts)
    assert list(table.columns[:2]) == ["conjureembedding0", "conjureembedding1"]
    assert table.shape == (8, 32)


def test_wrong_input_says_what_is_needed():
    world, prompts = make_world(3)
    with pytest.raises(NotFittedError):
        embedding(world).transform(prompts)
    with pytest.raises(ValueError, match="n_points=6: expected a multiple of n_blocks=4"):
        embedding(world, n_points=6).fit(prompts)
    with pytest.raises(ValueError, match="n_components=10: expected a multiple"):
        embedding(world, n_components=10).fit(prompts)
    with pytest.raises(ValueError, match="a and b: expected equally many prompts, got 1 and 2"):
        embedding(world).fit(prompts).distance_standard_error(prompts[:1], prompts[:2])


class Broken(Counting):
    def _eps(self, prompts, x, alpha, sigma):
        eps = super()._eps(prompts, x, alpha, sigma)
        if "prompt 2" in prompts:
            eps[[p == "prompt 2" for p in prompts for _ in range(len(x) // len(prompts))]] = np.nan
        return eps


def test_a_nan_names_its_prompt():
    world, prompts = make_world(4, kind=Broken)
    model = embedding(world).fit(prompts[:2])
    with pytest.raises(FloatingPointError, match="'prompt 2': the model predicted NaN"):
        model.transform(prompts)


def test_a_pipeline_of_diffusers_gives_vectors_that_resemble_its_divergences():
    denoiser = load_denoiser(pipelines.stable_diffusion())
    prompts = ["a photo of a cat", "two red boats on the sea"]
    model = ConjureEmbedding(
        denoiser, memory=None, n_steps=3, n_references=2, n_points=4, n_blocks=2, n_components=None
    )
    (square,) = pdist(model.fit_transform(prompts), "sqeuclidean")
    whole = {"n_steps": 3, "n_draws": 2, "chains_per_draw": 1, "check_steps": 0, "memory": None}
    exact = pairwise_divergence(prompts, model=denoiser, **whole)
    assert square == pytest.approx(exact.values[0, 1], rel=1e-3)
    assert torch.is_tensor(model._pool.x)


# ---------------------------------------------------------------- seen from the empty prompt


def from_empty(n=6, dim=3):
    """Equal variances and an empty prompt: each vector is a mean, seen from the empty one's."""
    means = np.random.default_rng(2).normal(size=(n + 1, dim))
    world = Counting({"" if i == n else f"prompt {i}": mean for i, mean in enumerate(means)})
    return world, world.prompts[:n], means[:n] - means[n]


def test_the_cosine_is_that_of_the_means_seen_from_the_empty_prompt():
    world, prompts, seen = from_empty()
    model = embedding(world, origin="empty").fit(prompts)
    units = seen / np.linalg.norm(seen, axis=1)[:, None]
    found = [model.similarity([a] * 6, prompts) for a in prompts]
    np.testing.assert_allclose(found, units @ units.T, atol=1e-4)
    np.testing.assert_allclose(model.similarity(prompts, prompts), 1, rtol=1e-9)


def test_normalized_vectors_have_the_cosines_as_products():
    world, prompts, _ = from_empty()
    settings = {"origin": "empty", "n_components": 64}
    vectors = embedding(world, normalize=True, **settings).fit_transform(prompts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    model = embedding(world, **settings).fit(prompts)
    products = (vectors[0] * vectors).sum(1)
    np.testing.assert_allclose(products, model.similarity(prompts[:1] * 6, prompts), atol=1e-5)
    assert np.linalg.eigvalsh((vectors @ vectors.T).astype(float)).min() > -1e-5


def test_an_origin_moves_no_distance():
    world, prompts, _ = from_empty()
    plain, moved = (embedding(world, n_components=64, origin=o) for o in (None, "empty"))
    squares = [pdist(model.fit_transform(prompts), "sqeuclidean") for model in (plain, moved)]
    np.testing.assert_allclose(*squares, rtol=1e-3)
    errors = [m.distance_standard_error(prompts[:3], prompts[3:]) for m in (plain, moved)]
    np.testing.assert_allclose(*errors, rtol=1e-2)
    assert moved.n_evaluations_ == plain.n_evaluations_ + 4 * 8  # the empty prompt's own vector
    assert moved.n_predictions(6) == plain.n_predictions(6) + 4 * 8


def test_errors_of_cosines_are_those_of_other_seeds():
    rng = np.random.default_rng(3)
    names = ["", "a", "b", "c"]
    means = {name: rng.normal(size=16) for name in names}
    world = GaussianDenoiser(means, {name: rng.uniform(0.3, 2, 16) for name in names})
    found, errors = [], []
    for seed in range(40):
        options = {"origin": "empty", "n_blocks": 8, "n_components": 64, "random_state": seed}
        model = embedding(world, **options).fit(names[1:])
        found.append(model.similarity(["a", "a", "b"], ["b", "c", "c"]))
        errors.append(model.similarity_standard_error(["a", "a", "b"], ["b", "c", "c"]))
    ratio = np.std(found, 0) / np.sqrt(np.mean(np.square(errors), 0))
    assert 0.7 < ratio.mean() < 1.3


def test_what_has_no_direction_is_refused():
    world, prompts, _ = from_empty()
    model = embedding(world, origin="empty", normalize=True).fit(prompts)
    for refused in (lambda: model.transform([""]), lambda: model.similarity([prompts[0]], [""])):
        with pytest.raises(ValueError, match="something else than the empty prompt, got ''"):
            refused()
    with pytest.raises(ValueError, match="normalize=True: expected False without an origin"):
        embedding(world, normalize=True).fit(prompts)
    with pytest.raises(ValueError, match='origin=None: expected "empty", from which'):
        embedding(world).fit(prompts).similarity(prompts[:1], prompts[1:2])
    with pytest.raises(ValueError, match="equally many prompts, got 1 and 2"):
        model.similarity(prompts[:1], prompts[1:3])


def test_a_pickle_with_an_origin_gives_the_same_cosines(tmp_path):
    world, prompts, _ = from_empty()
    model = embedding(world, origin="empty", memory=tmp_path).fit(prompts)
    expected = model.similarity(prompts[:3], prompts[3:])
    again = pickle.loads(pickle.dumps(model)).set_params(model=world)
    np.testing.assert_array_equal(again.similarity(prompts[:3], prompts[3:]), expected)


def test_other_weightings_have_no_limit_in_nats():
    world = GaussianDenoiser({"": [0.0], "p": [0.1], "q": [0.12]})
    options = {"origin": "empty", "n_components": 64, "weighting": "noise", "n_references": 2}
    model = embedding(world, **options).fit(["p", "q"])
    assert model.similarity(["p"], ["q"])[0] == pytest.approx(1, abs=1e-3)
    with pytest.raises(ValueError, match=r"got '' at 0 squared length from it"):
        model.similarity(["p"], [""])
    with pytest.raises(ValueError, match="normalize='yes': expected True or False"):
        embedding(world, normalize="yes").fit(["p", "q"])


def test_vividness_is_the_squared_distance_from_the_empty_prompt():
    world = GaussianDenoiser({"": [0.0, 0.0], "a": [1.0, 0.0], "b": [2.0, 1.0], "c": [0.3, 0.0]})
    settings = {"n_components": None, "memory": None}
    plain = ConjureEmbedding(world, **settings).fit(["a", "b", "c"])
    vectors = plain.transform(["", "a", "b", "c"])
    wanted = ((vectors[1:] - vectors[0]) ** 2).sum(1)
    seen = ConjureEmbedding(
        world, origin="empty", normalize=True, references=plain.references_, **settings
    ).fit(["a", "b", "c"])
    np.testing.assert_allclose(seen.vividness(["a", "b", "c"]), wanted, rtol=1e-5)
    with pytest.raises(ValueError, match='expected "empty"'):
        plain.vividness(["a"])
