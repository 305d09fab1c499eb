"""A report of a model, on worlds in which the answers are known."""

import itertools
import json
import re
import shlex

import numpy as np
import pytest
from scipy.stats import spearmanr

from conjure_kernel import AccuracyWarning, GaussianDenoiser, report_model
from conjure_kernel.cli import build_parser, main
from conjure_kernel.cli.options import settings_of
from conjure_kernel.engine.checkup import PICTURED
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.report import change, looks, people, stability, vivid
from conjure_kernel.report.budget import most_within, shares
from conjure_kernel.report.subject import VECTORS, Subject
from conjure_kernel.report.words import read_words

PLENTY = 10**9
GUIDED = ["guidance 3", "guidance 7.5"]
FAST = {"memory": None, "check_steps": 0, "n_steps": 4}


class Painter(GaussianDenoiser):
    """A world whose states are pictures of 2 x 2 grey pixels."""

    def decode(self, x0):
        grey = x0.double().reshape(-1, 2, 2, 1).clip(-1, 1).numpy()
        return np.repeat(np.uint8(127 * (grey + 1)), 3, axis=-1)


def make_painter(seed=0):
    """Names lie twice as far from the empty prompt as hypernyms, and abstract words nowhere."""
    words, rng = read_words(), np.random.default_rng(seed)
    kinds = {kind: rng.normal(size=4) for kind in dict.fromkeys(words.hypernyms.values())}
    means = {kind: mean / np.linalg.norm(mean) for kind, mean in kinds.items()}
    names = {
        name: 2 * means[kind] + 0.2 * rng.normal(size=4) for name, kind in words.hypernyms.items()
    }
    others = {p: 0.1 * rng.normal(size=4) for p in [*words.abstract, *looks.SHOWN, *PICTURED]}
    return Painter({**others, **names, **means, "": np.zeros(4)})


@pytest.fixture(scope="module")
def world():
    return make_painter()


@pytest.fixture(scope="module")
def report(world):
    return report_model(world, budget=20_000, **FAST)


def means_of(world):
    return {prompt: world._of(prompt).means[0] for prompt in world.prompts}


def subject(world):
    return Subject.of({**FAST, "model": world})


def section(report, name):
    return next(part for part in report.sections if part.name == name)


def test_the_list_is_balanced_from_its_beginning():
    words = read_words()
    kinds = set(words.hypernyms.values())
    assert len(words.names) == len(set(words.names)) >= 100
    assert {words.hypernyms[name] for name in words.names[: len(kinds)]} == kinds
    mixed = words.mixed()
    assert sorted(mixed) == sorted([*words.names, *kinds, *words.abstract])
    assert set(mixed[:12]) & kinds
    assert set(mixed[:12]) & set(words.abstract)


def test_most_within_is_the_largest_that_can_be_paid():
    assert most_within(lambda n: n * n, 100, 50) == 7
    assert most_within(lambda n: n * n, 5, 50) == 5
    assert most_within(lambda n: n + 10, 5, 9) == 0


def test_shares_are_of_what_is_asked_for():
    found = shares(["map", "vividness"], 6000)
    assert sum(found.values()) == pytest.approx(6000)
    assert found["map"] / found["vividness"] == pytest.approx(0.35 / 0.25)


def test_vividness_tells_names_from_hypernyms(world):
    found = vivid.rank_vividness(subject(world), PLENTY)
    assert found.facts["direction"]["share"] > 0.95
    assert found.facts["direction"]["n_pairs"] == len(read_words().names)
    medians = [row["median, nats"] for row in found.facts["groups"]]
    assert medians[0] > 2 * medians[1] > 10 * medians[2]


def test_a_hub_that_was_planted_is_found():
    rng, shared = np.random.default_rng(0), np.ones(64)
    vectors = np.array([shared + rng.normal(size=64) for _ in range(59)] + [shared])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    counts, (errors, error_of_skewness) = looks._hubs(vectors, 8)
    assert counts[0].sum() == 60 * looks.NEIGHBORS
    assert counts[0].argmax() == 59
    assert counts[0, 59] > 50
    assert errors[59] < 1 < errors.max() < 20
    assert 0 < error_of_skewness < 2


def test_the_same_again_is_the_most_that_noise_allows(world):
    found = stability.compare_settings(subject(world), 20_000)
    rows = found.facts["settings"]
    assert [row["setting"] for row in rows] == ["the same again", "8 steps", *GUIDED]
    assert 0.8 < rows[0]["spearman"] < 1
    assert all(row["spearman_low"] <= row["spearman"] <= row["spearman_high"] for row in rows)
    assert all(0 < row["spearman_draw_se"] < 0.2 for row in rows)


def test_a_setting_that_a_model_refuses_has_a_reason_in_place_of_figures(world):
    class Distilled(Painter):
        def run(self, task, prompts, rows_per_prompt, guidance_scale):
            if guidance_scale != 1:
                raise ValueError("guidance_scale: expected 1, as this model is distilled.")
            return super().run(task, prompts, rows_per_prompt, guidance_scale)

    found = stability.compare_settings(subject(Distilled(means_of(world))), 20_000)
    rows = found.facts["settings"]
    assert [row["spearman"] is None for row in rows] == [False, False, True, True]
    assert "this model is distilled" in rows[2]["why not"]


def test_errors_of_the_order_are_those_of_other_seeds(world):
    words = read_words().names[:20]
    i, j = np.triu_indices(20, 1)
    runs = [subject(world).embedding(random_state=s).fit_transform(words) for s in range(8)]
    found = [stability._agreement(words, runs[s], runs[s + 4], 4) for s in range(4)]
    products = [(rows[i] * rows[j]).sum(1) for rows in runs]
    apart = [spearmanr(products[s], products[s + 4]).statistic for s in range(4)]
    np.testing.assert_allclose([row[0] for row in found], apart, atol=1e-4)
    assert np.std(apart) < 3 * np.mean([row[3] for row in found])


def test_agreement_with_people_who_see_as_the_model_does(world):
    names = read_words().names[:30]
    exact = [world.exact(a, b) for a, b in itertools.pairwise(names)]
    scores = np.array([-(legs.kl_ab + legs.kl_ba) for legs in exact])
    scores[3] = 1.0  # a pair of unlike things that people find most alike
    pairs = ScoredPairs("toy", names[:-1], names[1:], scores)
    found = people.agree_with_people(subject(world), pairs, "pairs.tsv", PLENTY)
    assert found.facts["spearman"] > 0.6
    assert (
        dict(found.tables[1:])["Pairs that differ most: shares of pairs below them"][0]["a"]
        == names[3]
    )
    few = people.agree_with_people(subject(world), pairs, "pairs.tsv", 2000)
    assert few.facts["n_pairs"] < 29
    assert f"--pairs {few.facts['n_pairs']}" in few.command


def test_the_word_that_changed_is_first(world):
    word, means = read_words().mixed()[3], means_of(world)
    other = subject(Painter({**means, word: means[word] + 1.0}))
    found = change.tell_change(subject(world), other, 6000)
    ranking = dict(found.tables)["All words"]
    assert ranking[0]["prompt"] == word
    assert ranking[1]["divergence"] < 1e-6
    assert found.pictures


def test_a_budget_is_kept(report):
    free = sum(s.n_predictions for s in report.sections if s.name in ("check", "pictures"))
    assert 5000 < report.n_evaluations - free <= 20_000


def test_what_a_budget_leaves_out_is_said(world):
    tiny = report_model(world, budget=10, **FAST)
    assert not section(tiny, "map").measured
    assert "its share of the budget is 4" in section(tiny, "map").found
    assert "larger budget" in tiny.page


def test_a_section_that_fails_is_told_and_the_others_go_on(world):
    class Silent(GaussianDenoiser):
        def decode(self, x0):
            raise ValueError("this model makes sound.")

    report = report_model(Silent(means_of(world)), budget=6000, **FAST)
    assert section(report, "pictures").found == "Not measured: this model makes sound."
    assert section(report, "vividness").measured
    assert "this model makes sound" in report.page


def test_what_is_warned_of_stands_on_the_page(world):
    with pytest.warns(AccuracyWarning, match="so few steps may move J"):
        report = report_model(world, budget=20_000, n_steps=4, memory=None)
    (text,) = section(report, "vividness").warnings
    assert "so few steps may move J" in text
    assert "so few steps may move J" in report.page
    assert section(report, "check").warnings == ()


@pytest.mark.parametrize("error", [RuntimeError("no memory"), KeyError("layer.7")])
def test_what_a_failed_section_cost_is_counted(world, error):
    class Failing(Painter):
        n_calls = 0

        def _eps(self, *given):
            self.n_calls += 1
            if self.n_calls > 95:
                raise error
            return super()._eps(*given)

    model = Failing(means_of(world))
    report = report_model(model, budget=7500, **FAST)
    assert not section(report, "map").measured
    assert section(report, "map").n_predictions > 1000
    assert str(error) in section(report, "map").found
    assert report.n_evaluations == model.n_evaluations


def test_both_models_count_and_the_command_has_them_in_their_order(world):
    a, b = make_painter(), make_painter(1)
    report = report_model(a, against=b, budget=6000, **FAST)
    assert report.n_evaluations == a.n_evaluations + b.n_evaluations
    named = Subject({"model": "base"}, a), Subject({"model": "tuned"}, b)
    command = change.tell_change(named[1], named[0], 6000).command.splitlines()[0]
    models = build_parser().parse_args(shlex.split(command.split("<<")[0])[1:]).model
    assert models == ["base", "tuned"]


def test_settings_that_the_command_line_has_not_are_told(world):
    given = {"model": world, "substeps": 1, "weighting": "noise", "n_steps": 4, "memory": None}
    first, second, *_ = Subject(given, world).command("vividness", ["dog"]).splitlines()
    assert first == "# no option for: substeps=1, weighting='noise'"
    assert second.startswith("conjure vividness - --model MODEL --steps 4")


def test_the_page_does_not_say_that_pictures_were_within_the_budget(world):
    tiny = report_model(world, budget=10, **FAST)
    assert tiny.n_evaluations > 10
    assert "of 10 allowed" not in tiny.page
    assert "come on top" in tiny.page


@pytest.mark.parametrize(("n", "told"), [(2, "cannot be told"), (6, "no interval")])
def test_too_few_pairs_for_a_figure_or_its_interval_are_told(world, n, told):
    names = read_words().names
    pairs = ScoredPairs("toy", names[:n], names[1 : n + 1], np.arange(n, dtype=float))
    found = people.agree_with_people(subject(world), pairs, "pairs.tsv", PLENTY).found
    assert told in found
    assert "nan" not in found


def test_json_is_strict_and_the_page_loads_nothing(report):
    facts = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert [part["name"] for part in facts["sections"]][:2] == ["check", "pictures"]
    assert facts["n_evaluations"] == report.n_evaluations > 0
    outside = report.page.split("srcdoc=")[0]
    assert not re.search(r"(src|href)=\"(?!data:|#)", outside)
    for part in report.sections:
        assert f'id="{part.name}"' in report.page


def test_a_stopped_report_goes_on_from_the_cache(world, tmp_path):
    settings = {**FAST, "memory": tmp_path}
    first = report_model(world, budget=6000, **settings)
    again = report_model(world, budget=6000, **settings)
    assert sum(part.n_predictions for part in first.sections[2:]) > 1000
    drawn = 8 * (section(again, "map").facts["n_words"] - 16)  # images, but of the references
    assert sum(part.n_predictions for part in again.sections[2:]) == drawn
    assert [s.facts for s in again.sections[2:]] == [s.facts for s in first.sections[2:]]


@pytest.mark.parametrize("name", ["check", "map", "vividness", "stability"])
def test_each_command_has_the_settings_of_the_report(name):
    given = {"model": "embedded", "n_draws": 3, "random_state": 5, "guidance_scale": 2.0}
    given |= {"model_kwargs": {"variant": "fp16", "adapters": {"a.safetensors": 0.5}, "height": 8}}
    subject = Subject(given, make_painter())
    texts = {
        "check": subject.command("check", by_position=True),
        "map": subject.command("embed", ["a b", "$c"], *VECTORS, "--images", "1"),
        "vividness": subject.command("vividness", ["a b"]),
        "stability": subject.command("embed", ["a b"], *VECTORS),
    }
    first, *lines = texts[name].splitlines()
    args = build_parser().parse_args(shlex.split(first.split("<<")[0])[1:])
    settings = settings_of(args)
    assert {n: settings[n] for n in given} == given
    assert lines[:-1] in ([], ["a b", "$c"], ["a b"])


def test_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = main(["report", "embedded", "--budget", "600", "--cache", "none", "-o", "r.json"])
    assert code == 0
    assert json.loads((tmp_path / "r.json").read_text())["sections"][0]["measured"]
    assert "Which words look alike ..." in capsys.readouterr().err
    assert main(["report", "embedded", "--budget", "9", "--minutes", "1"]) == 2
    assert "expected one of them" in capsys.readouterr().err
    assert main(["report", "no-such-folder"]) == 2


def test_refusals(world):
    with pytest.raises(ValueError, match="origin: expected None"):
        report_model(world, origin="empty", memory=None)
    with pytest.raises(ValueError, match="budget=0: expected"):
        report_model(world, budget=0, memory=None)
    with pytest.raises(ValueError, match="minutes=0"):
        report_model(world, minutes=0, memory=None)
