"""Scorers: each gives what it says, with errors over draws and its provenance."""

import itertools
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import pipelines
from conjure_kernel import ConjureEmbedding, paired_divergence
from conjure_kernel.estimators.images import METRICS, fit_gaussian, frechet
from conjure_kernel.evaluation.cosine import CosineScorer
from conjure_kernel.evaluation.scorers import (
    ConjureScorer,
    ImageScorer,
    SentenceTransformerScorer,
    TextEncoderScorer,
    score_divergence,
)
from conjure_kernel.method.jackknife import jackknife_se
from conjure_kernel.models.pretrained.text_encoders import text_features
from measured import IGNORED, measured
from worlds import N_DRAWS, SMALL, make_world

LEFT, RIGHT = ["cat", "a dog", "cat"], ["dog", "a dog", "the old boat"]


# ---------------------------------------------------------------- the model's own distance


@pytest.mark.parametrize("leg", ["jeffreys", "ab", "ba"])
def test_conjure_scores_are_minus_the_log(leg):
    world, prompts = make_world(4)
    left, right = prompts[:3], prompts[1:]
    scored = ConjureScorer(world, origin=None, leg=leg, memory=None, **SMALL)(left, right)
    found = paired_divergence(left, right, model=world, memory=None, **SMALL)
    expected = {"jeffreys": found.values, "ab": found.legs[0], "ba": found.legs[1]}[leg]
    np.testing.assert_allclose(scored.similarities, -np.log(expected), rtol=1e-6)
    draws = {"jeffreys": found.draws, "ab": found.leg_draws[0], "ba": found.leg_draws[1]}[leg]
    for k in range(N_DRAWS):
        rest = np.delete(draws, k, axis=1).mean(1)
        np.testing.assert_allclose(scored.replicates[0, k], -np.log(rest), rtol=1e-5)
    assert scored.provenance["leg"] == leg
    assert scored.n_evaluations > 0


@pytest.mark.parametrize("leg", ["jeffreys", "ab", "ba"])
def test_an_origin_divides_by_what_both_texts_are_away_from_it(leg):
    world, prompts = make_world(4)
    left, right = prompts[:3], prompts[1:]
    scored = ConjureScorer(world, leg=leg, memory=None, **SMALL)(left, right)
    pairs = [*zip(left, right, strict=True), *((p, "") for p in (*left, *right))]
    found = paired_divergence(pairs, model=world, memory=None, **SMALL)
    values = {"jeffreys": found.values, "ab": found.legs[0], "ba": found.legs[1]}[leg]
    both = np.log(found.values[3:6]) + np.log(found.values[6:])
    np.testing.assert_allclose(scored.similarities, both / 2 - np.log(values[:3]), rtol=1e-6)
    names = {ConjureScorer(origin=origin, leg=leg).name for origin in (None, "empty")}
    assert len(names) == 2  # a table with both tells them apart
    draws = {"jeffreys": found.draws, "ab": found.leg_draws[0], "ba": found.leg_draws[1]}[leg]
    for k in range(N_DRAWS):
        rest, unit = (np.delete(d, k, axis=1).mean(1) for d in (draws, found.draws))
        both = np.log(unit[3:6]) + np.log(unit[6:])
        np.testing.assert_allclose(scored.replicates[0, k], both / 2 - np.log(rest[:3]), rtol=1e-5)


@pytest.mark.parametrize("levels", [slice(None), slice(1, 3)])
def test_bands_of_a_relative_divergence(levels):
    world, prompts = make_world(3)
    pairs = [(prompts[0], prompts[1]), (prompts[0], ""), (prompts[1], "")]
    options = {"model": world, "memory": None, **SMALL}
    profile = paired_divergence(pairs, **options).profile[:, levels].sum(1)
    relative = paired_divergence(pairs[:1], origin="empty", **options)
    expected = -np.log(profile[0] / np.sqrt(profile[1] * profile[2]))
    found = score_divergence(relative, levels=levels).similarities
    assert found[0] == pytest.approx(expected)


def test_cosines_are_those_of_the_embedding():
    world, prompts = make_world(5)
    options = {"memory": None, "n_steps": 4, "n_components": 64}
    left, right = prompts[:4], prompts[1:]
    scored = CosineScorer(world, references=prompts, **options)(left, right)
    model = ConjureEmbedding(world, origin="empty", **options).fit(prompts)
    np.testing.assert_array_equal(scored.similarities, model.similarity(left, right))
    error = model.similarity_standard_error(left, right)
    np.testing.assert_allclose(jackknife_se(scored.replicates), error)
    assert scored.n_evaluations > 0
    # With references of their own, similarities do not depend on what else is scored.
    alone = CosineScorer(world, references=prompts, **options)(left[:1], right[:1])
    np.testing.assert_allclose(alone.similarities, scored.similarities[:1], rtol=1e-5)


@pytest.mark.parametrize("leg", ["jeffreys", "ab"])
def test_chains_of_a_draw_are_left_out_one_by_one(leg):
    world, prompts = make_world(4)
    options = {"n_steps": 4, "chains_per_draw": 2, "n_draws": 3, "check_steps": 0}
    found = paired_divergence(prompts[:3], prompts[1:], model=world, memory=None, **options)
    scored = score_divergence(found, leg=leg)
    parts = found.chain_draws[0] if leg == "ab" else sum(found.chain_draws) / 2
    assert scored.replicates.shape == (2, 3, 3)
    rest = np.delete(parts[..., 1], 2, axis=1).mean(1) + parts[..., 0].mean(1)
    np.testing.assert_allclose(scored.replicates[1, 2], -np.log(rest), rtol=1e-5)
    one_chain = score_divergence(found, leg=leg, levels=slice(0, 1)).replicates
    assert np.ptp(one_chain[1], axis=0) == pytest.approx(0)  # no level of the other chain is used
    assert np.ptp(one_chain[0], axis=0).min() > 0


def test_levels_of_a_divergence():
    world, prompts = make_world(3)
    found = paired_divergence(prompts[:2], prompts[1:], model=world, memory=None, **SMALL)
    scored = score_divergence(found, levels=slice(1, 3))
    np.testing.assert_allclose(
        scored.similarities, -np.log(found.profile[:, 1:3].sum(1)), rtol=1e-6
    )


@pytest.mark.filterwarnings("ignore:.*pairs are above tol")
def test_pairs_of_different_numbers_of_draws_have_no_jackknife():
    world, prompts = make_world()
    settings = {"memory": None, "tol": 0.1, **SMALL}
    left, right = zip(*itertools.combinations(prompts, 2), strict=True)
    scored = ConjureScorer(world, origin=None, **settings)(left, right)
    found = paired_divergence(left, right, model=world, **settings)
    assert len(set(found.draws_used)) > 1
    np.testing.assert_allclose(scored.similarities, -np.log(found.values), rtol=1e-6)
    assert np.isnan(scored.replicates).all()


@pytest.mark.filterwarnings("ignore:n_draws=1")
def test_one_draw_has_no_error_and_a_wrong_leg_is_refused():
    world, prompts = make_world(2)
    scored = ConjureScorer(world, memory=None, n_draws=1)(prompts[:1], prompts[1:])
    assert np.isnan(scored.replicates).all()  # unknown, which is not nothing
    with pytest.raises(ValueError, match="leg='kl'"):
        ConjureScorer(world, leg="kl")


@pytest.mark.filterwarnings("ignore:.*were cut")
def test_truncated_pairs_are_told():
    long = "word " * 40
    scored = ConjureScorer(memory=None, n_steps=2, n_draws=2)(["dog", long], ["cat", "cat"])
    assert scored.truncated.tolist() == [False, True]


# ---------------------------------------------------------------- text


@pytest.mark.filterwarnings(IGNORED)
@pytest.mark.parametrize("name", ["embedded", "epsilon", "xl", "3", "flux"])
def test_text_features_are_unit_vectors_that_do_not_depend_on_neighbors(name):
    pipeline = measured(name).pipeline
    texts = ["a cat", "", "the old boat and the sea"]
    features = text_features(pipeline, texts)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(text_features(pipeline, texts[2:])[0], features[2], atol=1e-5)
    assert abs(features[0] @ features[2]) < 1 - 1e-4


@pytest.mark.parametrize(("text", "kept"), [("red cat", slice(1, 4)), ("", slice(1, 2))])
def test_text_features_leave_out_begin_and_padding(text, kept):
    pipeline = measured("epsilon").pipeline
    tokens = pipeline.tokenizer([text], padding="max_length", return_tensors="pt")
    hidden = pipeline.text_encoder(tokens.input_ids).last_hidden_state[0].detach().numpy()
    inside = hidden[kept].mean(0)
    expected = inside / np.linalg.norm(inside)
    np.testing.assert_allclose(text_features(pipeline, [text])[0], expected, atol=1e-5)


def test_text_encoder_scorer_is_their_cosine():
    scorer = TextEncoderScorer(pipelines.stable_diffusion())
    features = text_features(pipelines.stable_diffusion(), LEFT + RIGHT)
    scored = scorer(LEFT, RIGHT)
    expected = (features[:3] * features[3:]).sum(1)
    np.testing.assert_allclose(scored.similarities, expected, atol=1e-6)
    assert scored.similarities[1] == pytest.approx(1)
    assert scored.similarities.argmax() == 1


def test_sentence_transformers_by_name(monkeypatch):
    asked = []

    class Encoder:
        def __init__(self, name, **options):
            asked.append((name, options))

        def encode(self, texts, **options):
            assert options["normalize_embeddings"]
            angles = np.array([len(text) for text in texts], dtype=np.float32)
            return np.stack([np.cos(angles), np.sin(angles)], 1)

    module = SimpleNamespace(SentenceTransformer=Encoder)
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    scorer = SentenceTransformerScorer("some/model-name", device="cpu")
    scored = scorer(LEFT, RIGHT)
    lengths = np.array([[len(a), len(b)] for a, b in zip(LEFT, RIGHT, strict=True)])
    np.testing.assert_allclose(scored.similarities, np.cos(np.diff(lengths)[:, 0]), atol=1e-6)
    assert (asked, scorer.name) == ([("some/model-name", {"device": "cpu"})], "model-name, cosine")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ImportError, match=r"'some/model-name'.*conjure-kernel\[scores\]"):
        SentenceTransformerScorer("some/model-name")(LEFT, RIGHT)


# ---------------------------------------------------------------- images


def paint(text, n):
    """Images whose grey is the text's length."""
    rng = np.random.default_rng(len(text))
    grey = rng.normal(10 * len(text), 8, size=(n, 8, 8, 1))
    return np.repeat(grey, 3, -1).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("metric", ["frechet", "gaussian_jeffreys", "kid", "mmd"])
def test_any_generator_can_be_scored(metric):
    scored = ImageScorer(metric, n_images=12, generate=paint)(LEFT, RIGHT)
    assert scored.similarities[2] < scored.similarities[0]
    assert scored.similarities[1] > scored.similarities[2]
    assert scored.replicates.shape == (1, 4, 3)
    assert (scored.replicates[..., 2] < scored.replicates[..., 1]).all()
    assert len(np.unique(scored.replicates[..., 2])) == 4


def test_frechet_scores_are_minus_the_distance_in_the_feature_space():
    def corner(images):
        return images[:, 0, :2, 0] / 255.0

    scored = ImageScorer(n_images=8, generate=paint, features=corner)(LEFT[2:], RIGHT[2:])
    sets = [fit_gaussian(corner(paint(text, 8))) for text in (LEFT[2], RIGHT[2])]
    assert scored.similarities[0] == pytest.approx(-frechet(*sets))
    rest = np.arange(8) % 4 != 1
    sets = [fit_gaussian(corner(paint(text, 8))[rest]) for text in (LEFT[2], RIGHT[2])]
    assert scored.replicates[0, 1, 0] == pytest.approx(-frechet(*sets))


def test_the_models_own_images_are_kept_in_the_cache(tmp_path):
    scorer = ImageScorer(n_images=8, n_steps=2, memory=tmp_path)
    first = scorer(["dog"], ["bus"])
    again = scorer(["dog"], ["bus"])
    assert first.n_evaluations == 2 * 8 * 4
    assert again.n_evaluations == 0
    assert first.similarities == again.similarities < 0
    assert first.provenance["n_images"] == 8


def test_features_of_half_precision_rank_as_those_of_double():
    def half(images):
        return images.reshape(len(images), -1).astype(np.float16)

    texts = ["x" * i for i in range(1, 7)]
    left, right = zip(*itertools.combinations(texts, 2), strict=True)
    for metric in METRICS:
        one, other = (
            ImageScorer(metric, n_images=8, generate=paint, features=f)(left, right).similarities
            for f in (half, lambda images: half(images).astype(np.float64))
        )
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=r"features: expected finite .* with 16 numbers"):
        ImageScorer(n_images=8, generate=paint, features=lambda _: np.full((8, 2), np.nan))(
            ["a"], ["a"]
        )


def test_errors_of_image_scorers():
    with pytest.raises(ValueError, match="metric='fid'"):
        ImageScorer("fid")
    with pytest.raises(ValueError, match="n_images=4: expected an integer of at least 8"):
        ImageScorer(n_images=4)
    with pytest.raises(TypeError, match="n_steps: expected no settings of a model with generate"):
        ImageScorer(generate=paint, n_steps=3)


def test_an_encoder_that_is_not_there_is_named(monkeypatch):
    def missing(*args, **options):
        raise OSError("no connection\nand more")

    module = SimpleNamespace(SentenceTransformer=missing)
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    with pytest.raises(OSError, match=r"encoder 'kidd': expected .*\(OSError: no connection\)\."):
        SentenceTransformerScorer("kidd")(["a"], ["b"])
