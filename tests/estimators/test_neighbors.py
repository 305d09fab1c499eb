"""ConjureNeighbors: the graph against the whole matrix, what it costs, and who can use it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.cluster import DBSCAN, HDBSCAN, SpectralClustering
from sklearn.exceptions import NotFittedError
from sklearn.manifold import Isomap
from sklearn.pipeline import make_pipeline

from conjure_kernel import ConjureEmbedding, ConjureNeighbors, pairwise_divergence
from conjure_kernel.estimators.race import race
from worlds import SMALL, Counting, make_world

EXACT = {"n_steps": 4, "n_components": None, "n_references": 4, "n_points": 8, "n_blocks": 4}


def neighbors(world, n_neighbors=2, **options):
    vectors = ConjureEmbedding(memory=None, **EXACT)
    settings = {"memory": None, "embedding": vectors, **SMALL, "n_draws": 2, **options}
    return ConjureNeighbors(world, n_neighbors=n_neighbors, **settings)


def two_groups(n=12):
    """A world of two groups far from each other."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(n, 2)) * 0.3 + np.repeat([[0.0, 0.0], [4.0, 0.0]], n // 2, axis=0)
    return Counting(dict(zip([f"prompt {i}" for i in range(n)], means, strict=True)))


def matrix(world, prompts, n_draws=2):
    settings = {**SMALL, "n_draws": n_draws}
    return pairwise_divergence(prompts, model=world, memory=None, **settings).values


# ---------------------------------------------------------------- what is found


def test_with_all_candidates_the_neighbors_are_those_of_the_matrix():
    world, prompts = make_world(8)
    model = neighbors(world, 3, n_candidates=7).fit(prompts)
    exact = matrix(world, prompts)
    np.fill_diagonal(exact, np.inf)
    distances, indices = model.kneighbors()
    np.testing.assert_array_equal(indices, np.argsort(exact, axis=1)[:, :3])
    np.testing.assert_allclose(distances, np.sqrt(np.sort(exact, axis=1)[:, :3]))


def test_what_is_measured_is_j_and_its_error_on_both_sides():
    world, prompts = make_world(8)
    model = neighbors(world, 2, n_candidates=3).fit(prompts)
    exact = pairwise_divergence(prompts, model=world, memory=None, **{**SMALL, "n_draws": 2})
    i, j = model.divergences_.nonzero()
    assert 8 * 3 <= len(i) < 8 * 7
    np.testing.assert_allclose(model.divergences_[i, j].A1, exact.values[i, j])
    np.testing.assert_allclose(model.standard_errors_[i, j].A1, exact.standard_errors[i, j])
    assert abs(model.divergences_ - model.divergences_.T).nnz == 0


def test_far_groups_are_never_neighbors():
    world = two_groups()
    _, indices = neighbors(world, 3).fit(world.prompts).kneighbors()
    assert ((indices < 6) == (np.arange(12) < 6)[:, None]).all()


def test_new_prompts_find_the_fitted_ones_and_themselves():
    world, prompts = make_world(8)
    model = neighbors(world, 2, n_candidates=5).fit(prompts[:6])
    graph = model.transform(prompts[4:])
    assert graph.shape == (4, 6)
    assert (np.diff(graph.indptr) == 3).all()
    assert (graph[0].indices[0], graph[0].data[0]) == (4, 0)
    exact = np.sqrt(matrix(world, prompts)[6, :6])
    np.testing.assert_allclose(graph[2].data, np.sort(exact)[:3])


def test_fitted_prompts_keep_the_neighbours_that_fit_found():
    """New rows had fewer candidates: those that a prompt is a candidate of were not among them."""
    for seed in range(6):
        world, prompts = make_world(12, dim=2, seed=seed)
        model = neighbors(world, 3, n_candidates=3)
        graph = model.fit_transform(prompts)
        np.testing.assert_array_equal(model.transform(prompts).toarray(), graph.toarray())
        mixed = model.transform([prompts[4], "", prompts[4]])
        np.testing.assert_array_equal(mixed[[0, 2]].toarray(), graph[[4, 4]].toarray())
        assert (np.diff(mixed.indptr) == 4).all()


def test_rows_rise_and_zeros_stay():
    world = two_groups()
    prompts = [*world.prompts, world.prompts[3]]
    graph = neighbors(world, 2).fit_transform(prompts)
    assert graph.shape == (13, 13)
    assert (np.diff(graph.indptr) == 3).all()
    rows = graph.data.reshape(13, 3)
    assert (np.diff(rows, axis=1) >= 0).all()
    np.testing.assert_array_equal(graph.indices.reshape(13, 3)[:, 0], np.arange(13))
    assert graph[3].data[1] == 0  # the prompt that came twice
    assert graph[3].indices[1] == 12
    ones = neighbors(world, 2).fit(prompts).kneighbors_graph(mode="connectivity")
    assert set(ones.data) == {1.0}


# ---------------------------------------------------------------- the race


def test_who_is_far_drops_out_and_who_may_be_near_has_the_j_of_the_matrix():
    world = two_groups()
    prompts = world.prompts
    model = neighbors(world, 2, n_candidates=11, n_draws=12).fit(prompts)
    whole, few = (matrix(world, prompts, k) for k in (12, 2))
    distances, near = model.kneighbors()
    nearest = np.argsort(whole + np.diag(np.full(12, np.inf)), axis=1)[:, :2]
    np.testing.assert_array_equal(near, nearest)
    np.testing.assert_allclose(distances**2, np.take_along_axis(whole, near, 1))
    found, same = model.divergences_.toarray(), (np.arange(12) < 6)[:, None] == (np.arange(12) < 6)
    np.testing.assert_allclose(found[~same], few[~same])  # the other group
    full = neighbors(world, 2, n_candidates=11, n_draws=12, tol=None).plan(prompts)
    assert full.n_predictions <= model.n_evaluations_ < 0.75 * full.most_predictions


def test_the_race_of_a_row_does_not_depend_on_other_prompts():
    """Nor on the order of the prompts; numbers of draws are those of the row alone."""
    world, prompts = make_world(10, dim=2)
    engine = neighbors(world, n_draws=8).open_engine()
    near = np.array([[3, 4, 5, 6], [0, 4, 7, 8], [3, 1, 0, 9]])
    rows = [prompts[1], prompts[2], prompts[5]]
    together = race(engine, rows, prompts, near, 1)
    assert len(set(together.draws_used)) > 1
    for i, row in enumerate(rows):
        alone = race(neighbors(world, n_draws=8).open_engine(), [row], prompts, near[i : i + 1], 1)
        here = slice(4 * i, 4 * i + 4)
        np.testing.assert_array_equal(alone.draws_used, together.draws_used[here])
        np.testing.assert_allclose(alone.values, together.values[here])


def test_with_tol_nobody_drops_out():
    world, prompts = make_world(6)
    settings = {"tol": 0.2, "max_draws": 100, "n_draws": 8}
    model = neighbors(world, 1, n_candidates=5, **settings).fit(prompts)
    exact = pairwise_divergence(prompts, model=world, memory=None, **SMALL | settings)
    np.testing.assert_allclose(model.divergences_.toarray(), exact.values, rtol=1e-6)
    cost = neighbors(world, 1, n_candidates=5, **settings).plan(prompts)
    assert cost.n_predictions <= model.n_evaluations_ <= cost.most_predictions


def test_intervals_of_the_race_rarely_lose_a_neighbour():
    """The nearest by all draws stays to the end, and a fifth of the others do not."""
    lost, dropped, rows = 0, [], np.arange(12)
    near = np.array([np.delete(rows, i) for i in rows])
    for seed in range(6):
        world, prompts = make_world(12, dim=4, seed=seed)
        found = race(neighbors(world, n_draws=8).open_engine(), prompts, prompts, near, 1)
        draws = found.draws_used.reshape(near.shape)
        true = matrix(world, prompts, 8)[rows[:, None], near]
        lost += (draws[rows, true.argmin(1)] < 8).sum()
        dropped.append((draws < 8).mean())
    assert lost <= 1  # of 72
    assert np.mean(dropped) > 0.2


# ---------------------------------------------------------------- cost


def test_only_candidates_cost():
    world = two_groups(40)
    model = neighbors(world, 2, n_candidates=3).fit(world.prompts)
    pairs = model.divergences_.nnz // 2
    chains, replays = 40 * 2 * 8, 2 * pairs * 2 * 4  # K draws of S steps; both legs, K, T
    vectors = model.embedding_.n_evaluations_
    assert model.n_evaluations_ == world.rows == chains + replays + vectors
    assert world.rows < 40 * 40 * 4 * 3


def test_the_cache_makes_a_second_run_free(tmp_path):
    world = two_groups()
    settings = {"n_steps": 4, "n_draws": 3, "memory": tmp_path, "n_neighbors": 2}
    first = ConjureNeighbors(world, **settings).fit(world.prompts)
    again = ConjureNeighbors(world, **settings).fit(world.prompts)
    assert (first.n_evaluations_, again.n_evaluations_) == (world.rows, 0)
    assert abs(first.divergences_ - again.divergences_).nnz == 0


# ---------------------------------------------------------------- who can use it


@pytest.mark.parametrize(
    "clusterer",
    [
        SpectralClustering(2, affinity="precomputed_nearest_neighbors", n_neighbors=3),
        DBSCAN(eps=1.5, metric="precomputed", min_samples=3),
    ],
)
@pytest.mark.filterwarnings("ignore:Graph is not fully connected")
def test_clusterings_take_the_graph_as_it_is(clusterer):
    world = two_groups()
    labels = make_pipeline(neighbors(world, 4), clone(clusterer)).fit_predict(world.prompts)
    assert len(set(labels[:6])) == len(set(labels[6:])) == 1
    assert labels[0] != labels[6]


@pytest.mark.filterwarnings("ignore:.*inverse_transform will be unavailable")
@pytest.mark.filterwarnings("ignore:n_jobs value 1 overridden")
def test_hdbscan_and_umap_take_the_graph_made_symmetric_and_isomap_as_it_is():
    from umap import UMAP

    rng = np.random.default_rng(0)
    world = Counting({f"prompt {i}": mean for i, mean in enumerate(rng.normal(size=(20, 2)))})
    model = neighbors(world, 8)
    graph = model.fit_transform(world.prompts)
    symmetric = model.kneighbors_graph(symmetric=True)
    labels = HDBSCAN(metric="precomputed", min_cluster_size=5, copy=True).fit_predict(symmetric)
    assert len(labels) == 20
    assert Isomap(n_neighbors=6, metric="precomputed").fit_transform(graph).shape == (20, 2)
    plane = UMAP(metric="precomputed", n_neighbors=6, random_state=0).fit_transform(symmetric)
    assert plane.shape == (20, 2)


def test_the_symmetric_graph_keeps_the_edges_of_equal_prompts():
    """`graph.maximum(graph.T)`, which was documented, deleted them."""
    world, prompts = make_world(6)
    model = neighbors(world, 2).fit([*prompts, *prompts[:3]])
    plain, graph = model.kneighbors_graph(), model.kneighbors_graph(symmetric=True)
    edges = {frozenset(edge) for edge in zip(*plain.nonzero(), strict=True)}
    kept = graph.tocoo()
    assert {frozenset(e) for e in zip(kept.row, kept.col, strict=True)} >= edges
    assert (graph != graph.T).nnz == 0
    assert sorted(zip(kept.row, kept.col, strict=True)) == sorted(
        zip(kept.col, kept.row, strict=True)
    )
    assert {(0, 6), (6, 0), (0, 0)} <= set(zip(kept.row, kept.col, strict=True))
    assert graph[0, 6] == 0
    rows = np.split(graph.data, graph.indptr[1:-1])
    assert all((np.diff(row) >= 0).all() for row in rows)
    with pytest.raises(ValueError, match="symmetric=True: expected no X"):
        model.kneighbors_graph(prompts, symmetric=True)


def test_the_calls_of_scikit_learn_s_own_neighbors_work():
    world, prompts = make_world(6)
    model = neighbors(world, 2).set_params(embedding__n_points=16).fit(X=prompts)
    assert model.embedding_.n_points == 16
    distances, indices = model.kneighbors(X=prompts[:3])
    np.testing.assert_array_equal(model.kneighbors(prompts[:3], return_distance=False), indices)
    assert (np.diff(distances) >= 0).all()


def test_names_clones_and_sparsity():
    world = two_groups()
    model = neighbors(world).fit(world.prompts)
    assert issparse(model.transform(world.prompts[:2]))
    assert list(model.get_feature_names_out()[:2]) == world.prompts[:2]
    twin = clone(model)
    assert twin.model is world
    with pytest.raises(NotFittedError):
        twin.kneighbors()


def test_wrong_input_says_what_is_needed():
    world, prompts = make_world(4)
    with pytest.raises(ValueError, match="n_neighbors=4: expected at most 3, the number"):
        neighbors(world, 4).fit(prompts)
    with pytest.raises(ValueError, match="n_candidates=1"):
        neighbors(world, 2, n_candidates=1).fit(prompts)
    model = neighbors(world, 1, n_candidates=2).fit(prompts)
    with pytest.raises(ValueError, match="n_neighbors=3: expected at most 2, as J of"):
        model.kneighbors(n_neighbors=3)
    with pytest.raises(ValueError, match="mode='near'"):
        model.kneighbors_graph(mode="near")


def test_an_origin_makes_the_graph_relative():
    world, prompts = make_world(8)
    options = {"n_neighbors": 2, "n_candidates": 7, "memory": None, "n_steps": 4, "check_steps": 0}
    model = ConjureNeighbors(world, origin="empty", **options).fit(prompts)
    kind = {"n_steps": 4, "check_steps": 0, "memory": None}
    exact = pairwise_divergence(prompts, model=world, origin="empty", **kind)
    np.testing.assert_allclose(model.divergences_.toarray(), exact.values, rtol=1e-6)
    distances, positions = model.kneighbors()
    others = exact.values + np.diag(np.full(8, np.inf))
    np.testing.assert_array_equal(positions, others.argsort(1)[:, :2])
    np.testing.assert_allclose(distances**2, np.sort(others, 1)[:, :2], rtol=1e-6)
    assert model.embedding_.origin == "empty"


@pytest.mark.parametrize("n_draws", [2, 5])
def test_the_plan_counts_what_the_origin_costs(n_draws):
    world, prompts = make_world(8)
    options = {"n_neighbors": 2, "n_candidates": 3, "n_draws": n_draws, "n_steps": 4}
    options |= {"memory": None, "check_steps": 0, "origin": "empty"}
    cost = ConjureNeighbors(world, **options).plan(prompts)
    spent = ConjureNeighbors(world, **options).fit(prompts).n_evaluations_
    assert cost.n_predictions <= spent <= cost.most_predictions


@pytest.mark.parametrize("origin", [None, "empty"])
@pytest.mark.parametrize("counts", [[3] * 6, [9, 1, 1, 1], [1, 2, 5], [9, 9], [7]])
def test_the_plan_counts_prompts_that_come_again_once(monkeypatch, counts, origin):
    monkeypatch.setattr("conjure_kernel.engine.plan._timing", lambda *_: {})  # takes seconds
    world, distinct = make_world(len(counts))
    prompts = [prompt for prompt, n in zip(distinct, counts, strict=True) for _ in range(n)]
    options = {"n_neighbors": 2, "n_candidates": 4, "n_draws": 5, "n_steps": 4}
    options |= {"memory": None, "check_steps": 0, "origin": origin}
    cost = ConjureNeighbors(world, **options).plan(prompts)
    spent = ConjureNeighbors(world, **options).fit(prompts).n_evaluations_
    assert cost.n_predictions <= spent <= cost.most_predictions
    assert cost.n_prompts == len(counts)
