"""The recipe of the embedded model: true captions, honest rendering, training that resumes."""

import argparse
import random

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file
from scipy.stats import spearmanr

from conjure_kernel.evaluation.datasets import ScoredPairs
from training import agreement, denoiser, evaluate, package
from training.art import Art, Concept, IconSet, read_concepts, simplify
from training.scenes import COLOURS, COUNTS, RELATIONS, Scene, Thing, World, plural

EMBEDDED = "conjure_kernel/models/embedded/model"
NAMES = ("red square", "green square", "blue square")


def make_art():
    """Three concepts, two styles each: full squares in plain colours."""
    sprites = torch.zeros(6, 4, 64, 64, dtype=torch.uint8)
    for i in range(6):
        sprites[i, i // 2] = 255 - 40 * (i % 2)
        sprites[i, 3] = 255
    concepts = [Concept((name, f"{name} thing"), ("shape",), ("flat",)) for name in NAMES]
    rows = torch.arange(6)
    return Art(concepts, sprites, rows // 2, rows % 2)


@pytest.fixture
def world():
    return World(make_art())


@pytest.fixture
def work(tmp_path):
    art = make_art()
    concepts = [(c.names, c.hypernyms, c.keywords) for c in art.concepts]
    torch.save({**vars(art), "concepts": concepts}, tmp_path / "art.pt")
    return tmp_path


def scenes_of(world, n=600):
    rng = random.Random(0)
    drawn = [world.draw(rng) for _ in range(n)]
    return [(scene, world.caption(scene, rng)) for scene in drawn]


def test_stored_art_is_read_back(work):
    art, read = make_art(), Art.load(work)
    assert read.concepts == art.concepts
    assert torch.equal(read.sprites, art.sprites)
    assert read.first(2).concept.tolist() == [0, 0, 1, 1]
    assert len(read.first(2).concepts) == 2


def test_the_list_of_concepts_is_well_formed():
    concepts = read_concepts()
    assert len(concepts) > 700
    for label, (names, hypernyms) in concepts.items():
        assert all((*names, *hypernyms)), label
        assert all(name == name.strip() for name in names), label
    assert concepts["woman teacher"] == (
        ["teacher", "professor"],
        ["person", "worker", "professional"],
    )
    assert concepts["dog"][0] == ["dog", "puppy", "hound"]


def test_icons_are_found_through_aliases_and_spelling(tmp_path):
    text = (
        '{"icons": {"red-heart": {"body": "<x/>"}}, "aliases": {"love": {"parent": "red-heart"}}}'
    )
    (tmp_path / "icons.json").write_text(text)
    icons = IconSet(tmp_path)
    assert "<x/>" in icons.svg("Red Heart")
    assert icons.svg("Red Heart") == icons.svg("love")
    assert icons.svg("blue heart") is None
    assert simplify("Man\N{RIGHT SINGLE QUOTATION MARK}s shoe") == "mansshoe"


def test_captions_tell_what_departs_from_the_plain(world):
    for scene, caption in scenes_of(world):
        told = [c for c in COLOURS if f"on a {c} background" in caption]
        assert told == ([] if scene.background == "white" else [scene.background])
        if scene.kind != "one":
            assert scene.kind in caption
        for kind in (*COUNTS, "small", "big", "above", "below", "left of", "right of"):
            assert scene.kind == kind or f"{kind} " not in caption


def test_every_kind_of_scene_is_drawn(world):
    kinds = {scene.kind for scene, _ in scenes_of(world, 2000)}
    assert kinds == {"one", "small", "big", *COUNTS, *RELATIONS}


def test_things_stand_where_the_caption_says(world):
    red, blue = Thing(0, 0.5, *RELATIONS["right of"][0]), Thing(4, 0.5, *RELATIONS["right of"][1])
    picture = world.render([Scene("right of", (red, blue))])[0]
    left, right = picture[:, 16, 8], picture[:, 16, 24]
    np.testing.assert_allclose(left, [-1, -1, 1], atol=1e-5)
    np.testing.assert_allclose(right, [1, -1, -1], atol=1e-5)
    above = [Thing(s, 0.5, *place) for s, place in zip((0, 4), RELATIONS["above"], strict=True)]
    picture = world.render([Scene("above", tuple(above))])[0]
    assert picture[0, 8, 16] > 0.9
    assert picture[2, 24, 16] > 0.9


def test_backgrounds_and_sizes_are_rendered(world):
    small, whole = Scene("small", (Thing(0, 0.4),), "blue"), Scene("one", (Thing(0, 1.0),))
    pictures = world.render([small, whole])
    expected = torch.tensor(COLOURS["blue"]) / 127.5 - 1
    torch.testing.assert_close(pictures[0, :, 0, 0], expected, atol=1e-5, rtol=0)
    share = (pictures[0, 0] > 0.9).float().mean()
    assert share == pytest.approx(0.4**2, abs=0.03)
    assert (pictures[1, 0] > 0.9).all()


@pytest.mark.parametrize(
    ("word", "several"),
    [
        ("dog", "dogs"),
        ("cherry", "cherries"),
        ("key", "keys"),
        ("box", "boxes"),
        ("grapes", "grapes"),
    ],
)
def test_plurals(word, several):
    rng = random.Random(1)
    assert {plural(word, rng) for _ in range(50)} == {word, several}


def arguments(work, steps):
    return argparse.Namespace(
        work=work,
        steps=steps,
        start=EMBEDDED,
        batch=4,
        rate=1e-3,
        seed=0,
        device="cpu",
        compile=False,
    )


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(denoiser, "N_BLOCKS", 2)
    monkeypatch.setattr(denoiser, "BLOCK", 20)


def test_training_resumes_where_it_stopped(work, small, monkeypatch):
    whole = denoiser.Trainer(arguments(work, 4))
    losses = [float(whole.advance()) for _ in range(4)]
    halved = denoiser.Trainer(arguments(work, 4))
    first = [float(halved.advance()) for _ in range(2)]
    halved.store()
    resumed = denoiser.Trainer(arguments(work, 4))
    assert resumed.step == 2
    again = [float(resumed.advance()) for _ in range(2)]
    np.testing.assert_allclose(first + again, losses, rtol=1e-4)
    for own, other in zip(resumed.average, whole.average, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-5)


def test_training_lowers_the_loss_and_leaves_the_token_vectors(work, small):
    trainer = denoiser.Trainer(arguments(work, 24))
    vectors = trainer.text_encoder.get_input_embeddings().weight.clone()
    losses = [float(trainer.advance()) for _ in range(24)]
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8])
    assert torch.equal(vectors, trainer.text_encoder.get_input_embeddings().weight)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in diffusers
def test_the_trained_folder_is_examined_and_loads(work, small):
    from conjure_kernel import load_denoiser

    trainer = denoiser.Trainer(arguments(work, 1))
    trainer.run()
    load_denoiser(str(work / "pipeline"), height=32, width=32)
    examiner = evaluate.Examiner(make_art(), work / "pipeline", guidance=3.0, seed=1)
    rates = evaluate.hit_rates(examiner, list(NAMES), list(NAMES))
    assert 0 <= rates[0] <= rates[1] == 1  # all three concepts are among the nearest five


class Faithful(evaluate.Examiner):
    """Its model draws what it was asked for, thing by thing."""

    scenes = tuple(Scene("one", (Thing(2 * i, 0.9),)) for i in range(3))

    def draw(self, prompts):
        return self.encode(self.scenes[: len(prompts)])


def test_the_examiner_finds_the_right_answer(work):
    examiner = Faithful(make_art(), EMBEDDED, guidance=3.0, seed=1)
    scenes = examiner.scenes
    assert evaluate.hit_rates(examiner, NAMES, NAMES) == [1.0, 1.0]
    assert evaluate.hit_rates(examiner, NAMES, NAMES[::-1])[0] == pytest.approx(1 / 3)
    answers = evaluate.choose(
        examiner, ["a", "b"], lambda i: {str(k): [scene] for k, scene in enumerate(scenes)}
    )
    assert answers == ["0", "1"]


def test_partial_spearman_agrees_with_the_formula_on_rank_correlations():
    rng = np.random.default_rng(0)
    given = rng.normal(size=60)
    x, y = given + rng.normal(size=60), np.exp(given + rng.normal(size=60))
    xy, xg, yg = (spearmanr(*v).statistic for v in ((x, y), (x, given), (y, given)))
    expected = (xy - xg * yg) / np.sqrt((1 - xg**2) * (1 - yg**2))
    assert agreement.partial_spearman(x, y, given) == pytest.approx(expected)


def test_the_half_that_chooses_and_the_half_that_tells_share_no_pair():
    words = [f"w{i}" for i in range(9)]
    pairs = ScoredPairs("words", words, words[::-1], np.arange(9.0))
    first, second = agreement.halves(pairs)
    assert sorted([*first.scores, *second.scores]) == list(range(9))
    assert len(first) == 5


def test_words_are_the_mean_of_their_own_token_vectors():
    similar = agreement.token_vectors(EMBEDDED)
    tokenizer = StableDiffusionPipeline.from_pretrained(EMBEDDED).tokenizer
    table = load_file(f"{EMBEDDED}/text_encoder/model.safetensors")
    (vectors,) = (v for name, v in table.items() if name.endswith("token_embedding.weight"))
    sides = []
    for text in ("red apple", "dog"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        sides.append(vectors[ids].float().mean(0))
    expected = torch.cosine_similarity(*sides, dim=0).item()
    found = similar(["red apple", "dog"], ["dog", "dog"])
    assert found == pytest.approx([expected, 1], abs=1e-5)


def test_a_packaged_pipeline_is_half_as_large_and_names_no_folder(tmp_path):
    package.package(EMBEDDED, tmp_path)
    for path in tmp_path.rglob("*.json"):
        assert "_name_or_path" not in path.read_text(encoding="utf-8")
    weights = load_file(tmp_path / "unet/diffusion_pytorch_model.safetensors")
    assert {w.dtype for w in weights.values()} == {torch.float16}
    again = StableDiffusionPipeline.from_pretrained(tmp_path)
    assert {m.dtype for m in (again.unet, again.vae, again.text_encoder)} == {torch.float32}
