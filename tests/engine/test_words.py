"""`explain_words`: closed-form truth, the laws of Shapley values, and errors that cover."""

from itertools import chain, combinations, permutations

import numpy as np
import pytest
from scipy import stats

import pipelines
from conjure_kernel import explain, explain_words, load_denoiser
from conjure_kernel._checks import PromptWarning
from conjure_kernel.engine.words import cost_of_words
from worlds import SMALL, Counting

RED_HEART = "a red heart"


def subsets(words):
    """Every choice of the words, in their order."""
    picks = (combinations(range(len(words)), k) for k in range(len(words) + 1))
    return [[words[i] for i in pick] for pick in chain.from_iterable(picks)]


def make_world(prompt, mean, variance=lambda words: 1.0):
    """World of all the texts that the words of a prompt make: functions say what they evoke."""
    texts = {" ".join(some): some for some in subsets(prompt.split())}
    means = {text: np.asarray(mean(some), float) for text, some in texts.items()}
    return Counting(means, {text: variance(some) for text, some in texts.items()})


def one_axis_each(prompt):
    """World in which word i moves the mean by i along an axis of its own, the first not at all."""
    words = prompt.split()
    return make_world(prompt, lambda some: [i * (w in some) for i, w in enumerate(words)])


def tangled(words):
    """Mean that no word moves on its own: what it says depends on the others."""
    numbers = [sum(map(ord, word)) % 7 / 4 for word in words]
    return [sum(numbers), np.prod(numbers) / 3, (len(words) % 2) * 1.5]


def shared_out(world, prompt, reach):
    """Shapley values by brute force from the closed form."""
    words = prompt.split()
    order_of = range(len(words))
    known = {}

    def v(some):
        text = " ".join(words[i] for i in sorted(some))
        if text not in known:
            known[text] = -world.exact(prompt, text, reach).jeffreys
        return known[text]

    orders = list(permutations(order_of))
    gains = np.zeros((len(orders), len(words)))
    for row, order in zip(gains, orders, strict=True):
        for i in order_of:
            row[order[i]] = v(order[: i + 1]) - v(order[:i])
    return gains.mean(0)


def test_each_word_has_the_divergence_of_the_prompt_without_it():
    world = make_world(RED_HEART, tangled)
    found = explain_words(RED_HEART, model=world, n_draws=2, n_steps=40)
    assert found.words == ("a", "red", "heart")
    reach = found.grid.log_snr_range
    exact = [world.exact(RED_HEART, t, reach).jeffreys for t in ("red heart", "a heart", "a red")]
    np.testing.assert_allclose(found.divergences, exact, rtol=2e-3)
    assert found.shapley is None


@pytest.mark.parametrize("prompt", [RED_HEART, "a b c d e"])
def test_shapley_values_are_those_of_the_closed_form(prompt):
    world = make_world(prompt, tangled)
    found = explain_words(prompt, model=world, n_draws=2, n_steps=40, shapley=True)
    exact = shared_out(world, prompt, found.grid.log_snr_range)
    np.testing.assert_allclose(found.shapley.values, exact, rtol=2e-3, atol=2e-3 * abs(exact).max())
    np.testing.assert_array_equal(found.shapley.sampling_errors, 0)
    assert (found.shapley.standard_errors < 1e-5).all()  # one covariance: no draw differs
    np.testing.assert_allclose(found.shapley.profile.sum(1), found.shapley.values, rtol=1e-12)


def test_heat_lies_where_the_word_acts():
    world = one_axis_each(RED_HEART)
    found = explain_words(RED_HEART, model=world, **SMALL)
    assert found.heat.shape == (3, 3, 4, 3)
    for i in (1, 2):
        others = np.delete(found.maps[i], i)
        np.testing.assert_allclose(others, 0, atol=1e-20)
        assert found.maps[i, i] == pytest.approx(found.divergences[i], rel=1e-12)
    np.testing.assert_allclose(found.profile.sum(1), found.divergences, rtol=1e-12)


@pytest.mark.parametrize("prompt", ["the red heart", "the b c d e f g"])
def test_a_word_that_changes_nothing_has_nothing(prompt):
    found = explain_words(prompt, model=one_axis_each(prompt), shapley=True, **SMALL)
    assert found.divergences[0] == found.standard_errors[0] == 0
    assert abs(found.shapley.values[0]) < 1e-12 > abs(found.shapley.standard_errors[0])
    assert not found.heat[0].any()
    assert found.divergences[1:].min() > 0.1 < found.shapley.values[1:].min()
    assert len(found.shapley.estimates) == (1 if len(found.words) < 7 else 8)


@pytest.mark.parametrize("prompt", ["a red heart", "a b c d e f g"])
def test_the_shares_sum_to_the_divergence_from_the_empty_prompt(prompt):
    world = make_world(prompt, tangled, lambda words: 1 + len(words) / 5)
    found = explain_words(prompt, model=world, shapley=True, **SMALL)
    whole = explain(prompt, "", model=world, **SMALL)
    assert found.shapley.values.sum() == pytest.approx(whole.divergence, rel=1e-6)
    np.testing.assert_allclose(found.shapley.profile.sum(0), whole.profile, rtol=1e-6)


def test_of_two_words_that_say_the_same_none_is_missed_and_both_have_a_share():
    prompt = "huge big dog"
    world = make_world(prompt, lambda some: [2 * bool({*some} & {"huge", "big"}), "dog" in some])
    found = explain_words(prompt, model=world, shapley=True, **SMALL)
    np.testing.assert_array_equal(found.divergences[:2], 0)
    assert found.shapley.values[0] == pytest.approx(found.shapley.values[1], rel=1e-9)
    assert found.shapley.values[0] > found.shapley.values[2] > 0


def test_a_repeated_word_counts_at_each_place():
    prompt = "very very big"
    world = make_world(prompt, lambda some: [some.count("very"), some.count("big")])
    found = explain_words(prompt, model=world, shapley=True, **SMALL)
    assert found.words == ("very", "very", "big")
    assert found.divergences[0] == found.divergences[1] > 0
    assert found.shapley.values[0] == pytest.approx(found.shapley.values[1], rel=1e-9)
    np.testing.assert_array_equal(found.images[1], found.images[2])


def test_errors_over_draws_cover():
    prompt = "red heart"
    world = make_world(prompt, tangled, lambda words: {0: 0.5, 1: 1.0, 2: 1.6}[len(words)])
    seeds, more = range(40), {"n_steps": 4, "n_draws": 8, "shapley": True}
    runs = [explain_words(prompt, model=world, random_state=seed, **more) for seed in seeds]
    plain = [(run.divergences, run.standard_errors) for run in runs]
    shared = [(run.shapley.values, run.shapley.standard_errors) for run in runs]
    for values, errors in (np.array(kind).swapaxes(0, 1) for kind in (plain, shared)):
        truth = values.mean(0)
        covered = np.abs(values - truth) < stats.t.ppf(0.975, 7) * errors
        assert 0.85 < covered.mean() <= 1
        np.testing.assert_allclose(errors.mean(0), values.std(0), rtol=0.35)


def test_errors_over_orders_cover():
    prompt = "a b c d e f g"
    world = make_world(prompt, tangled)
    more = {"model": world, "n_steps": 3, "n_draws": 1, "shapley": True, "n_orders": 8}
    runs = [explain_words(prompt, random_state=seed, **more) for seed in range(16)]
    exact = explain_words(prompt, **{**more, "n_orders": 22})
    assert len(exact.shapley.estimates) == 1
    values = np.array([run.shapley.values for run in runs])
    errors = np.array([run.shapley.sampling_errors for run in runs])
    covered = np.abs(values - exact.shapley.values) < stats.t.ppf(0.975, 3) * errors
    assert errors.min() > 0
    assert 0.88 < covered.mean() < 1
    assert np.isnan(runs[0].shapley.standard_errors).all()  # one draw


@pytest.fixture(scope="module")
def tiny():
    """Stable Diffusion's architecture, random; latents of 8 by 8."""
    return load_denoiser(pipelines.stable_diffusion())


def test_a_pipeline_is_asked_what_explain_asks(tiny):
    few = {"model": tiny, "n_steps": 2, "n_draws": 2}
    found = explain_words("two white birds", **few)
    one = explain("two white birds", "two birds", **few)
    assert found.heat.shape == (3, 2, 2, 8, 8)
    assert found.images.shape == (4, 2, 64, 64, 3)
    np.testing.assert_allclose(found.heat[1], one.heat.mean(0), rtol=1e-3, atol=1e-6)
    assert found.standard_errors[1] == pytest.approx(one.standard_error, rel=1e-3)
    errors = found.profile_standard_errors[1]
    np.testing.assert_allclose(errors, one.profile_standard_errors, rtol=1e-2)
    small = explain_words("two white birds", **few, batch_size=1)
    np.testing.assert_allclose(small.heat, found.heat, rtol=1e-3, atol=1e-6)


def test_packed_tokens_become_a_map():
    found = explain_words("birds", model=load_denoiser(pipelines.flux()), n_steps=2, n_draws=1)
    assert found.maps.ndim == 3
    assert found.divergences[0] == pytest.approx(found.maps.sum())


def test_the_only_word_is_compared_with_the_empty_prompt():
    for prompt in ("heart", "红色的心"):
        world = make_world(prompt, lambda some: [len(some)])
        found = explain_words(f" {prompt}\n", model=world, shapley=True, **SMALL)
        assert (found.prompt, found.words) == (prompt, (prompt,))
        assert found.divergences == pytest.approx(
            explain(prompt, "", model=world, **SMALL).divergence
        )
        np.testing.assert_allclose(found.shapley.values, found.divergences)


def test_words_are_what_white_space_separates():
    world = make_world("Hi, café ♥!", lambda some: [len(some)])
    found = explain_words("Hi,\u3000café\n\t ♥!", model=world, **SMALL)
    assert found.words == ("Hi,", "café", "♥!")
    assert found.prompt == "Hi, café ♥!"
    decomposed = explain_words("Hi, cafe\u0301 ♥!", model=world, **SMALL)
    np.testing.assert_array_equal(decomposed.heat, found.heat)


@pytest.mark.parametrize("w", [1.0, 2.0])
@pytest.mark.parametrize(
    ("prompt", "more", "n_texts"),
    [
        (RED_HEART, {}, 4),
        (RED_HEART, {"shapley": True}, 8),
        ("very very big", {"shapley": True}, 6),
        ("a b c d e", {"shapley": True, "n_orders": 4}, None),
    ],
)
def test_it_costs_what_was_told(w, prompt, more, n_texts):
    world = make_world(prompt, tangled)
    told = cost_of_words(prompt, model=world, guidance_scale=w, **more, **SMALL)
    assert world.n_evaluations == 0
    explain_words(prompt, model=world, guidance_scale=w, **more, **SMALL)
    assert world.n_evaluations == told
    if n_texts and w == 1:
        assert told == 3 * (n_texts * 8 + 2 * (n_texts - 1) * 4)


def test_one_draw_has_no_error():
    found = explain_words(RED_HEART, model=one_axis_each(RED_HEART), n_steps=3, n_draws=1)
    assert np.isnan(found.standard_errors).all()
    assert np.isfinite(found.divergences).all()
    assert "±" not in found._repr_html_()


def test_a_notebook_shows_the_words_in_tints():
    prompt = "a <b>red</b> heart"
    world = make_world(prompt, lambda some: [3 * ("heart" in some), 1 * ("a" in some)])
    found = explain_words(prompt, model=world, shapley=True, **SMALL)
    shown = found._repr_html_()
    assert shown.count("<span") == 6
    assert "&lt;b&gt;red&lt;/b&gt;<br>" in shown
    assert "<b>" not in shown
    depths = [float(part.partition(")")[0].rpartition(",")[2]) for part in shown.split("rgba(")[1:]]
    assert depths[2] == depths[5] == 0.6  # the heart
    assert depths[1] == depths[4] == 0
    assert 0 < depths[0] < 0.2
    assert f"{found.divergences[2]:.3g} ±" in shown
    assert explain_words(prompt, model=world, **SMALL)._repr_html_().count("<span") == 3


def test_words_beyond_what_the_text_encoder_reads_are_named(tiny):
    long = f"birds {'-'.join(100 * 'a')} here"
    with pytest.warns(PromptWarning) as told:
        found = explain_words(long, model=tiny, n_steps=1, n_draws=1)
    said = [str(warning.message) for warning in told]
    assert said[0].startswith("3 of 4 prompts are longer than every text encoder")
    assert said[1].startswith("2 prompts are indistinguishable after the cut")
    assert found.divergences[2] < 1e-6 < found.divergences[1]


@pytest.mark.parametrize(
    ("prompt", "more", "message"),
    [
        ("", {}, "prompt='': expected at least one word"),
        (" \n", {}, "expected at least one word, got none"),
        ("a b c d e f g h i", {"shapley": True}, "shapley=True: expected at most 8 words, got 9"),
        ("a", {"shapley": "yes"}, "shapley='yes': expected True or False"),
        ("a", {"n_orders": 7}, "n_orders=7: expected an even number"),
        ("a", {"n_orders": 2}, "n_orders=2: expected an integer of at least 4"),
        ("a\ud800", {}, "half of a surrogate pair"),
        ("a", {"memory": "folder"}, "memory='folder': expected None, as nothing is cached here"),
        ("a", {"n_jobs": 2}, "n_jobs=2: expected None or 1, as nothing is sent to workers here"),
    ],
)
def test_what_has_no_words_or_too_many_is_refused_in_words(prompt, more, message):
    world = make_world("a", lambda some: [len(some)])
    with pytest.raises(ValueError, match=message):
        explain_words(prompt, model=world, **more, **SMALL)
    assert world.n_evaluations == 0
    with pytest.raises(TypeError, match=r"prompt=\['a'\]: expected a string, got list"):
        explain_words(["a"], model=world, **SMALL)
