"""Clusters of prompts: known groups, names from words, typical members without hubs, edges."""

import time

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.pairwise import cosine_distances, euclidean_distances

from conjure_kernel import Clusters, find_clusters
from conjure_kernel.estimators import clusters as clusters_module
from conjure_kernel.estimators.cluster_tree import ClusterTree

THINGS = ("apple", "car", "dress", "house", "cat", "flower")
SIZES = ("small", "big", "old", "new", "wet", "dry", "thin", "fat", "low", "tall")
PROMPTS = [f"a {size} {thing}" for thing in THINGS for size in SIZES]
GROUPS = np.repeat(np.arange(len(THINGS)), len(SIZES))


def directions(groups, n_features=50, spread=0.5, seed=0):
    """Unit vectors around one direction for each group."""
    rng = np.random.default_rng(seed)
    middles = rng.standard_normal((max(groups) + 1, n_features))
    rows = middles[groups] + spread * rng.standard_normal((len(groups), n_features))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


UNIT = directions(GROUPS)


@pytest.mark.parametrize(
    "given",
    [
        {"vectors": UNIT},
        {"vectors": 7 * UNIT + 3},
        {"distances": cosine_distances(UNIT)},
        {"distances": euclidean_distances(UNIT)},
    ],
    ids=["unit", "plain", "cosine", "root"],
)
def test_groups_are_found_counted_and_named(given):
    clusters = find_clusters(PROMPTS, **given)
    assert adjusted_rand_score(GROUPS, clusters.levels[0]) == 1
    assert set(clusters.names[0]) == set(THINGS)
    for cluster, typical in enumerate(clusters.typical[0]):
        assert len(set(typical)) == 3
        assert {clusters.levels[0][i] for i in typical} == {cluster}


def test_distances_and_vectors_agree_and_results_repeat():
    found = [find_clusters(PROMPTS, vectors=UNIT) for _ in range(2)]
    found.append(find_clusters(PROMPTS, distances=np.sqrt(2 * cosine_distances(UNIT))))
    for one in found[1:]:
        assert one.names == found[0].names
        assert one.typical == found[0].typical
        assert all(map(np.array_equal, one.levels, found[0].levels))


def test_clusters_are_those_of_any_order_of_prompts():
    order = np.random.default_rng(0).permutation(len(PROMPTS))
    shuffled = find_clusters([PROMPTS[i] for i in order], vectors=UNIT[order])
    again = find_clusters(PROMPTS, vectors=UNIT)
    assert adjusted_rand_score(again.levels[0][order], shuffled.levels[0]) == 1
    assert set(shuffled.names[0]) == set(again.names[0])


def test_levels_are_nested_and_numbered_by_size():
    fine = np.repeat(np.arange(12), 30)
    rng = np.random.default_rng(1)
    coarse = 6 * rng.standard_normal((3, 20))[fine // 4]
    rows = (coarse + rng.standard_normal((12, 20))[fine]) + 1.6 * rng.standard_normal((360, 20))
    first, second = find_clusters([f"p{i}" for i in range(360)], vectors=rows).levels
    for labels in (first, second):
        sizes = np.bincount(labels[labels >= 0])
        assert (np.diff(sizes) <= 0).all()
        assert all(len(set(fine[labels == c] // 4)) == 1 for c in range(labels.max() + 1))
    assert second.max() > first.max() >= 2
    for cluster in range(second.max() + 1):
        assert len(set(first[second == cluster])) == 1
    assert adjusted_rand_score(fine // 4, first) > 0.7
    assert adjusted_rand_score(fine, second) > 0.5


def test_a_prompt_between_groups_belongs_to_none():
    ring = np.exp(2j * np.pi * np.arange(10) / 10)
    places = np.append((10 * ring[:6, None] ** (5 / 3) + ring).ravel(), 0)  # its neighbours: of all
    clusters = find_clusters([*PROMPTS, "thing"], vectors=np.c_[places.real, places.imag])
    assert all(level[-1] == -1 for level in clusters.levels)
    assert adjusted_rand_score(GROUPS, clusters.levels[0][:-1]) == 1


def test_a_hub_is_not_typical():
    rows = np.vstack([UNIT, 0.65 * UNIT[:10].mean(0)])  # short, so near to its group and to others
    apart = euclidean_distances(rows)
    assert apart[:10, :10].mean(0).min() > apart[:10, 60].mean()  # it is the medoid
    clusters = find_clusters([*PROMPTS, "hub"], vectors=rows)
    assert clusters.levels[0][60] == clusters.levels[0][0]
    assert 60 not in clusters.typical[0][clusters.levels[0][0]]


def test_one_word_prompts_are_named_by_hypernyms_or_typical_ones():
    words = [f"word{chr(97 + g)}{chr(97 + i)}" for g in range(6) for i in range(10)]
    plain = find_clusters(words, vectors=UNIT)
    for name, typical in zip(plain.names[0], plain.typical[0], strict=True):
        assert name == ", ".join(words[i] for i in typical)
    kinds = {
        word: ("animal", "tool", "fruit")[g % 3] for word, g in zip(words, GROUPS, strict=True)
    }
    kinds[words[3]] = "other"  # a majority is enough
    del kinds[words[13]]
    named = find_clusters(words, vectors=UNIT, hypernyms=kinds)
    assert {name.partition(":")[0] for name in named.names[0]} == {"animal", "tool", "fruit"}
    assert len(set(named.names[0])) == 6
    few = {word: "rare" if i % 10 < 4 else f"kind{i}" for i, word in enumerate(words)}
    assert find_clusters(words, vectors=UNIT, hypernyms=few).names == plain.names
    listed = find_clusters(words, vectors=UNIT, hypernyms=[kinds.get(word) for word in words])
    assert listed.names == named.names


def test_a_word_of_all_clusters_names_none():
    prompts = [f"a lovely {i}" for i in range(60)]
    clusters = find_clusters(prompts, vectors=UNIT)
    assert not any("lovely:" in name for name in clusters.names[0])


def test_a_word_of_two_clusters_is_told_apart():
    prompts = [f"a {'dog' if g < 2 else THINGS[g]} {size}" for g in range(6) for size in SIZES]
    names = find_clusters(prompts, vectors=UNIT).names[0]
    assert sum(name.startswith("dog: ") for name in names) == 2
    assert len(set(names)) == 6


def test_typical_members_differ_in_more_than_articles():
    forms = ("{}", "a {}", "the {}", "a photo of a {}", "an image of the {}")
    prompts = [form.format(THINGS[g] + s) for g in range(6) for s in "xy" for form in forms]
    clusters = find_clusters(prompts, vectors=UNIT)
    for name, thing in zip(clusters.names[0], clusters.typical[0], strict=True):
        base = prompts[thing[0]].split()[-1][:-1]
        assert sorted(name.split(", ")) == [f"{base}x", f"{base}y"]
        assert len(thing) == 2


def test_one_prompt_is_no_cluster():
    labels = find_clusters(PROMPTS, vectors=UNIT, n_clusters=45).levels[0]
    assert 6 < labels.max() + 1 < 45
    assert (np.bincount(labels[labels >= 0]) > 1).all()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_prompts_are_one_cluster(n):
    clusters = find_clusters(list("xyz")[:n], vectors=np.eye(3)[:n])
    assert [level.tolist() for level in clusters.levels] == [[0] * n]
    assert sorted(clusters.typical[0][0]) == list(range(n))
    assert clusters.names == ((", ".join("xyz"[i] for i in clusters.typical[0][0]),),)


@pytest.mark.parametrize("n", [2, 4, 40])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_prompts_are_one_cluster(n, value):
    clusters = find_clusters(["a dog"] * n, vectors=np.full((n, 3), value))
    assert [level.tolist() for level in clusters.levels] == [[0] * n]
    assert clusters.typical == (((0,),),)
    assert clusters.names == (("dog",),)


def test_duplicates_stay_together():
    prompts, groups = [p for p in PROMPTS for _ in range(3)], np.repeat(GROUPS, 3)
    clusters = find_clusters(prompts, vectors=np.repeat(UNIT, 3, axis=0))
    labels = clusters.levels[0].reshape(-1, 3)
    assert (labels == labels[:, :1]).all()
    assert adjusted_rand_score(groups, clusters.levels[0]) > 0.9
    for typical in clusters.typical[0]:
        assert len({prompts[i] for i in typical}) == 3


def test_a_prompt_without_direction_belongs_to_none():
    rows = np.vstack([UNIT, np.zeros(50)])
    clusters = find_clusters([*PROMPTS, ""], vectors=rows)
    assert clusters.levels[0][-1] == -1
    assert adjusted_rand_score(GROUPS, clusters.levels[0][:-1]) == 1
    plain = find_clusters(
        [*PROMPTS, ""], vectors=3 * np.vstack([UNIT - UNIT[0], 9 * np.eye(1, 50)])
    )
    assert plain.levels[0][0] >= 0  # a row of zeros among other than unit vectors is a place


@pytest.mark.parametrize("n_clusters", [1, 2, 6])
def test_a_given_number_is_kept(n_clusters):
    clusters = find_clusters(PROMPTS, vectors=UNIT, n_clusters=n_clusters)
    assert clusters.levels[0].max() + 1 == n_clusters


@pytest.mark.parametrize("n", [40, 250])
def test_a_graph_in_parts_is_cut_into_them(n):
    """Parts share the largest eigenvalue; densely or sparsely, none of its vectors may be lost."""
    parts = np.repeat(np.arange(3), n)
    rows = np.random.default_rng(0).standard_normal((3 * n, 8)) + 100 * np.eye(3, 8)[parts]
    assert adjusted_rand_score(parts, ClusterTree(euclidean_distances(rows)).cut(3)) == 1


@pytest.mark.parametrize("n", [60, 600])
def test_the_map_leaves_out_where_the_walker_ends(n):
    """Else a component of one sign, which tells no nodes apart."""
    rows = np.random.default_rng(0).standard_normal((n, 4))
    points = ClusterTree(euclidean_distances(rows)).points
    assert not ((points > 0).all(0) | (points < 0).all(0)).any()


def test_modularity_is_that_of_the_definition():
    tree = ClusterTree(euclidean_distances(UNIT))
    labels = tree.cut(4)
    graph = tree.graph.toarray()
    degrees = graph.sum(1)
    same = labels[:, None] == labels
    excess = graph - np.outer(degrees, degrees) / degrees.sum()
    assert tree.modularity(labels) == pytest.approx((excess * same).sum() / degrees.sum())
    assert tree.modularity(np.zeros(60, dtype=int)) == pytest.approx(0)


def test_many_prompts_take_seconds():
    groups = np.repeat(np.arange(40), 50)
    rows = directions(groups, spread=1.0)
    start = time.perf_counter()
    clusters = find_clusters([f"p{i}" for i in range(2000)], vectors=rows)
    assert time.perf_counter() - start < 10
    assert max(adjusted_rand_score(groups, level) for level in clusters.levels) > 0.9


def test_of_very_many_prompts_a_sample_is_clustered(monkeypatch):
    monkeypatch.setattr(clusters_module, "MOST_CLUSTERED", 40)
    found = find_clusters([*PROMPTS, ""], vectors=np.vstack([UNIT, np.zeros(50)]))
    assert adjusted_rand_score(GROUPS, found.levels[0][:-1]) == 1
    assert found.levels[0][-1] == -1
    assert set(found.names[0]) == set(THINGS)
    for cluster, typical in enumerate(found.typical[0]):
        assert {found.levels[0][i] for i in typical} == {cluster}


def test_clusters_print_as_a_table():
    clusters = Clusters(
        levels=(np.array([0, 0, 0, 0, 1, 1, -1]), np.array([0, 0, 1, 1, 2, 2, -1])),
        names=(("animal", "tool"), ("dog", "cat", "<saw>")),
        typical=(((0,), (4,)), ((0,), (2,), (4,))),
    )
    assert str(clusters).splitlines() == [
        "clusters: 2, prompts: 7, in none: 1",
        "",
        "| cluster | prompts | finer |",
        "| --- | --- | --- |",
        "| animal | 4 | dog; cat |",
        "| tool | 2 |  |",
    ]
    assert "<td>dog; cat</td>" in clusters._repr_html_()
    many = Clusters((np.arange(25),), (tuple("abcdefghijklmnopqrstuvwxy"),), ((),))
    assert str(many).splitlines()[-2:] == ["| t | 1 |", "... and 5 smaller ones"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "vectors, distances: expected one of them, got none; pass one"),
        ({"vectors": UNIT, "distances": UNIT @ UNIT.T}, "expected one of them, got both"),
        ({"vectors": UNIT[:5]}, "vectors: expected a row for each of 60 prompts, got 5"),
        ({"distances": np.zeros((5, 5))}, "distances: expected a row for each of 60 prompts"),
        ({"distances": UNIT}, "distances: expected a square matrix"),
        ({"vectors": UNIT, "n_clusters": 0}, "n_clusters=0: expected an integer of at least 1"),
        ({"vectors": UNIT, "hypernyms": ["animal"]}, "hypernyms: expected one for each of 60"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        find_clusters(PROMPTS, **given)


@pytest.mark.parametrize("hypernyms", ["animal", 3, [1.0] * 60])
def test_hypernyms_of_a_wrong_type_are_refused(hypernyms):
    with pytest.raises(TypeError, match="hypernyms"):
        find_clusters(PROMPTS, vectors=UNIT, hypernyms=hypernyms)


@pytest.mark.parametrize(
    "first", ["1950s", "t-shirt", "dog's", "don't", "कुत्ता", "หมา", "كَلْب", "犬"]
)
def test_names_have_whole_words(first):
    groups = [first, "car", "sun"]
    prompts = [f"{groups[g // 2]} {size}" for g in (0, 2, 4) for size in SIZES]
    groups[0] = first.removesuffix("'s")
    names = find_clusters(prompts, vectors=UNIT[[*range(20), *range(20, 30)]]).names[0]
    assert set(names) == set(groups)


def test_names_differ_where_typical_prompts_begin_alike_or_are_the_same():
    long = "a photorealistic portrait of somebody in a "
    without_spaces = "赤い自動車が夕焼けの海岸沿いの道路を走っている風景写真"
    for prompts in (["dog"] * 60, [long + p[2:].replace(" ", "") for p in PROMPTS]):
        names = find_clusters(prompts, vectors=UNIT).names[0]
        assert len(set(names)) == 6
    names = find_clusters([f"{without_spaces}{i}" for i in range(60)], vectors=UNIT).names[0]
    assert all(name.startswith("赤い自動車が夕焼けの海岸沿い") for name in names)
    assert len(set(names)) == 6


def test_hypernyms_are_found_in_either_form_of_a_letter():
    prompts = [f"cafe\u0301{chr(97 + g)}{size}" for g in range(6) for size in SIZES]
    named = find_clusters(prompts, vectors=UNIT, hypernyms=dict.fromkeys(prompts, "place"))
    assert {name.partition(":")[0] for name in named.names[0]} == {"place"}


def test_of_a_sample_clusters_are_still_numbered_by_size(monkeypatch):
    monkeypatch.setattr(clusters_module, "MOST_CLUSTERED", 24)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(60)
        groups = np.repeat([0, 1, 2], [34, 14, 12])
        for level in find_clusters(PROMPTS, vectors=directions(groups, seed=seed)[order]).levels:
            assert (np.diff(np.bincount(level[level >= 0])) <= 0).all()


def test_a_kernel_is_not_taken_for_distances():
    apart = cosine_distances(UNIT)
    with pytest.raises(ValueError, match="distances: expected a diagonal of 0, got 1; pass"):
        find_clusters(PROMPTS, distances=np.exp(-apart))
    rounded = np.sqrt(np.maximum(apart + 1e-7, 0)).astype(np.float32)  # as of float32 cosines
    assert adjusted_rand_score(GROUPS, find_clusters(PROMPTS, distances=rounded).levels[0]) == 1


def test_equal_clusters_are_numbered_by_their_first_prompt():
    for order in (np.arange(60), np.arange(60)[::-1]):
        found = find_clusters([PROMPTS[i] for i in order], vectors=UNIT[order]).levels[0]
        assert found.tolist() == np.repeat(range(6), 10).tolist()
