"""The recipe of the embedded model: true captions, honest rendering, training that resumes."""

import argparse
import copy
import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from safetensors.torch import load_file
from scipy.stats import spearmanr

from conjure_kernel import embedded_vocabulary
from conjure_kernel.evaluation.datasets import ScoredPairs
from training import __main__ as recipe
from training import agreement, autoencoder, denoiser, evaluate, package, sibling, wide
from training.art import Art, Concept, IconSet, read_concepts, simplify
from training.drawings import Drawings
from training.growth import Rough, grow
from training.nouns import Nouns
from training.scenes import (
    COLOURS,
    COUNTS,
    RELATIONS,
    Scene,
    Thing,
    World,
    plain,
    plural,
    vocabulary,
    with_article,
)
from training.teacher import Teacher

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
    make_art().store(tmp_path)
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


def test_what_more_makers_drew_is_drawn_more_often_and_in_its_first_style_as_asked():
    art = make_art()
    rows = art.concept != 0
    rows[0] = True  # one drawing of the first thing, two of each other
    parts = (part[rows] for part in (art.sprites, art.concept, art.style))
    world, rng = World(Art(art.concepts, *parts), first=0.8), random.Random(0)
    counts = np.bincount([world.any_sprite(rng) for _ in range(5000)]) / 5000
    np.testing.assert_allclose(counts, [0.2, 0.36, 0.04, 0.36, 0.04], atol=0.02)


def test_things_stand_where_the_caption_says(world):
    red, blue = Thing(0, 0.5, *RELATIONS["right of"][0]), Thing(4, 0.5, *RELATIONS["right of"][1])
    picture = world.render([Scene("right of", (red, blue))])[0]
    left, right = picture[:, 32, 16], picture[:, 32, 48]
    np.testing.assert_allclose(left, [-1, -1, 1], atol=1e-5)
    np.testing.assert_allclose(right, [1, -1, -1], atol=1e-5)
    above = [Thing(s, 0.5, *place) for s, place in zip((0, 4), RELATIONS["above"], strict=True)]
    picture = world.render([Scene("above", tuple(above))])[0]
    assert picture[0, 16, 32] > 0.9
    assert picture[2, 48, 32] > 0.9


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
        ("fish", "fish"),
        ("policeman", "policemen"),
        ("human", "humans"),
        ("fox", "foxes"),
        ("kitchen knife", "kitchen knives"),
        ("bookshelf", "bookshelves"),
        ("cuff", "cuffs"),
        ("bus", "buses"),
        ("wine glass", "wine glasses"),
        ("tomato", "tomatoes"),
        ("glass of milk", "glasses of milk"),
        ("person in bed", "people in bed"),
        ("teeth", "teeth"),
    ],
)
def test_plurals(word, several):
    rng = random.Random(1)
    assert {plural(word, rng) for _ in range(50)} == {word, several}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("dog", "a dog"),
        ("apple", "an apple"),
        ("unicorn", "a unicorn"),
        ("umbrella", "an umbrella"),
        ("usb plug", "a usb plug"),
        ("one piece swimsuit", "a one piece swimsuit"),
        ("hourglass", "an hourglass"),
        ("x ray", "an x ray"),
        ("xylophone", "a xylophone"),
    ],
)
def test_articles(word, expected):
    assert with_article(word) == expected


def test_kinds_are_told_as_often_as_asked(world):
    scene, rng = Scene("one", (Thing(0, 0.9),)), random.Random(3)
    concept = world.concepts[world.concept[0]]
    counts = {}
    for shares in ((0.0, 0.0), (0.3, 0.5)):
        world.hypernyms, world.keywords = shares
        words = [world.word(scene.things[0], rng) for _ in range(400)]
        counts[shares] = [
            sum(word in some for word in words) for some in (concept.hypernyms, concept.keywords)
        ]
    assert counts[0.0, 0.0] == [0, 0]
    assert counts[0.3, 0.5] == pytest.approx([120, 200], abs=40)


def arguments(work, steps, minutes=None, teacher=None):
    return argparse.Namespace(
        work=work,
        out=work,
        steps=steps,
        minutes=minutes,
        start=EMBEDDED,
        teacher=teacher,
        batch=4,
        rate=1e-3,
        seed=0,
        blocks=2,
        first=0.0,
        hypernyms=0.12,
        keywords=0.18,
        dropped=0.1,
        weights="min-snr",
        device="cpu",
        compile=False,
    )


@pytest.fixture
def small(monkeypatch):
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


def test_training_goes_on_from_a_checkpoint_of_another_device(work, small):
    trainer = denoiser.Trainer(arguments(work, 4))
    trainer.advance()
    trainer.store()
    path = work / "denoiser.pt"
    torch.save(torch.load(path) | {"generator": torch.zeros(16, dtype=torch.uint8)}, path)
    states = []
    for _ in range(2):
        resumed = denoiser.Trainer(arguments(work, 4))
        assert resumed.step == 1
        states.append(resumed.generator.get_state())
    assert torch.equal(*states)


def test_scenes_of_other_art_or_options_are_not_taken(work, small):
    denoiser.Trainer(arguments(work, 4))
    others = arguments(work, 4)
    others.first = 0.7
    with pytest.raises(ValueError, match=r"pool\.pt: expected .*'first': 0\.7.* got .*0\.0"):
        denoiser.Trainer(others)
    first = denoiser.Trainer(arguments(work, 4))
    next(first.autoencoder.parameters()).data += 1
    with pytest.raises(ValueError, match=r"pool\.pt: expected one that .*'autoencoder'"):
        denoiser.make_pool(first.args, first.autoencoder, first.tokenizer)
    art = make_art()
    art.sprites[0, 0] = 7
    art.store(work)
    with pytest.raises(
        ValueError, match=r"pool\.pt: expected one that was made from {'art': '.*; delete it"
    ):
        denoiser.Trainer(arguments(work, 4))


def test_training_lowers_the_loss_and_leaves_the_token_vectors(work, small):
    trainer = denoiser.Trainer(arguments(work, 24))
    vectors = trainer.text_encoder.get_input_embeddings().weight.clone()
    losses = [float(trainer.advance()) for _ in range(24)]
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8])
    assert torch.equal(vectors, trainer.text_encoder.get_input_embeddings().weight)


def test_a_compiler_that_loses_gradients_is_noticed(work, small):
    trainer = denoiser.Trainer(arguments(work, 4))
    before = trainer.generator.get_state()
    trainer.check_compiled()  # what runs is the denoiser itself
    assert torch.equal(before, trainer.generator.get_state())
    trainer.forward = lambda noisy, times, text: trainer.unet(noisy, times, text.detach())
    with pytest.raises(RuntimeError, match=r"--compile: expected the gradients .* off by \d+%"):
        trainer.check_compiled()


def test_training_ends_in_time_and_its_rate_falls_with_the_time_that_is_left(work, small):
    trainer = denoiser.Trainer(arguments(work, 10**6, minutes=1))
    trainer.step, trainer.seconds = 1000, 45.0
    trainer.advance()
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 / 4)
    trainer.seconds = 59.9
    trainer.run()
    assert 60 <= trainer.seconds < 90
    resumed = denoiser.Trainer(arguments(work, 10**6, minutes=1))
    assert resumed.left == 0


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in diffusers
def test_the_trained_folder_is_examined_and_loads(work, small):
    from conjure_kernel import load_denoiser

    trainer = denoiser.Trainer(arguments(work, 1))
    trainer.run()
    load_denoiser(str(work / "pipeline"))
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


def test_a_word_means_the_mean_of_what_is_drawn_under_it(pipeline):
    world = World(make_art(), hypernyms=0.0, keywords=0.0)
    scenes = [plain(sprite) for sprite in range(len(world.concept))]
    drawings = Drawings(world, pipeline.vae)
    latents = denoiser.encode_scenes(pipeline.vae, world, scenes)
    everything = latents.mean(0)
    for concept, sprites in zip(world.concepts, world.sprites_of, strict=True):
        for name in concept.names:
            expected = latents[sprites].mean(0) - everything
            gap = (drawings.vectors[name] - expected).norm() / expected.norm()
            assert gap < 0.2, (name, gap)
    one, two = world.concepts[0].names[0], world.concepts[1].names[0]
    same, other = drawings([one, one], [one, two])
    assert same == pytest.approx(1)
    assert other < 0.5


def test_a_packaged_pipeline_is_half_as_large_and_names_no_folder(tmp_path):
    package.package(EMBEDDED, tmp_path)
    for path in tmp_path.rglob("*.json"):
        assert "_name_or_path" not in path.read_text(encoding="utf-8")
    weights = load_file(tmp_path / "unet/diffusion_pytorch_model.safetensors")
    assert {w.dtype for w in weights.values()} == {torch.float16}
    again = StableDiffusionPipeline.from_pretrained(tmp_path)
    assert {m.dtype for m in (again.unet, again.vae, again.text_encoder)} == {torch.float32}


@pytest.fixture(scope="module")
def pipeline():
    return StableDiffusionPipeline.from_pretrained(EMBEDDED)


@pytest.fixture
def recipe_in(tmp_path, monkeypatch):
    """Run the recipe with each stage replaced by a folder of its name; return what it ran."""

    def run(*options, failing=None):
        ran = []

        def make(command, check):
            ran.append(command[2:])
            stages = [s for s in recipe.stages("cpu", 160) if _is(command[2:], s)]
            stage = max(stages, key=lambda stage: len(stage.options))  # one goes on from another
            if stage.name == failing:
                raise subprocess.CalledProcessError(1, command)
            (tmp_path / stage.product).mkdir(parents=True, exist_ok=True)

        def _is(command, stage):
            own = stage._replace(steps=None).command(tmp_path, None)
            return command[: len(own)] == own

        monkeypatch.setattr(recipe.subprocess, "run", make)
        monkeypatch.setattr(sys, "argv", ["training", str(tmp_path), *options])
        recipe.main()
        return ran

    return run


def modules(commands):
    return [command[0].removeprefix("training.") for command in commands]


ALL = ["art", "wide", "words", "autoencoder", "denoiser", "denoiser", "autoencoder", "package"]


def test_the_recipe_runs_what_is_left_of_it_and_keeps_account(recipe_in, tmp_path, capsys):
    assert modules(recipe_in("--minutes", "100", "--until", "words")) == ALL[:3]
    ran = recipe_in("--minutes", "100")
    assert modules(ran) == ALL[3:]
    assert [float(c[-1]) for c in ran if "--minutes" in c] == [15, 35, 40, 10]
    rows = json.loads((tmp_path / "recipe.json").read_text())
    assert [row["stage"] for row in rows][-2:] == ["decoder", "package"]
    capsys.readouterr()
    assert recipe_in("--minutes", "100") == []
    assert capsys.readouterr().out.startswith("done before: art, wide, words, autoencoder")


def test_what_is_behind_a_missing_stage_is_run_again(recipe_in, tmp_path):
    recipe_in()
    (tmp_path / "pipeline").rmdir()
    assert modules(recipe_in()) == ALL[4:]


def test_what_is_behind_a_product_that_was_changed_by_hand_is_run_again(
    recipe_in, tmp_path, capsys
):
    recipe_in()
    (tmp_path / "pipeline" / "weights").write_text("others")
    for name in ("denoiser.pt", "further/denoiser.pt", "decoder.pt"):
        (tmp_path / name).touch()
    assert modules(recipe_in()) == ALL[5:]
    assert "pipeline is not what the recipe made" in capsys.readouterr().out
    left = [
        (tmp_path / name).exists() for name in ("denoiser.pt", "further/denoiser.pt", "decoder.pt")
    ]
    assert left == [True, False, False]
    assert recipe_in() == []


def test_a_stage_that_is_run_again_and_stopped_is_not_done(recipe_in, tmp_path):
    recipe_in()
    (tmp_path / "pipeline").rmdir()
    with pytest.raises(subprocess.CalledProcessError):
        recipe_in(failing="denoiser")
    (tmp_path / "pipeline").mkdir()  # a training stores its pipeline on the way, too
    (tmp_path / "denoiser.pt").touch()
    assert modules(recipe_in()) == ALL[4:]
    assert (tmp_path / "denoiser.pt").exists()  # it goes on


def test_a_recipe_of_other_options_is_refused(recipe_in):
    recipe_in("--minutes", "100")
    with pytest.raises(SystemExit, match=r"autoencoder was run with .*100.* now it would be .*60"):
        recipe_in("--minutes", "60")


@pytest.mark.parametrize("minutes", ["0", "-3", "nan", "inf"])
def test_minutes_are_above_none(recipe_in, minutes, capsys):
    with pytest.raises(SystemExit):
        recipe_in("--minutes", minutes)
    assert "expected a number above 0" in capsys.readouterr().err


def test_a_stage_that_fails_ends_the_recipe_and_is_tried_again(recipe_in):
    with pytest.raises(subprocess.CalledProcessError):
        recipe_in(failing="words")
    assert modules(recipe_in()) == ALL[2:]


def test_checkpoints_of_other_drawings_or_models_are_refused(work, small):
    trainer = denoiser.Trainer(arguments(work, 4))
    trainer.store()
    other = StableDiffusionPipeline.from_pretrained(EMBEDDED)
    next(other.text_encoder.parameters()).data += 1
    other.save_pretrained(work / "other")
    given = arguments(work, 4)
    given.start = work / "other"
    with pytest.raises(ValueError, match=r"denoiser\.pt: expected one that was made from"):
        denoiser.Trainer(given)
    encoder = autoencoder.Trainer(settings(work, 2))
    encoder.store()
    art = make_art()
    art.sprites[0, 0] = 7
    art.store(work)
    for begin in (denoiser.Trainer, autoencoder.Trainer):
        given = arguments(work, 4) if begin is denoiser.Trainer else settings(work, 2)
        with pytest.raises(
            ValueError, match=r"\.pt: expected one that was made from .*; delete it"
        ):
            begin(given)


def test_a_package_takes_no_autoencoder_of_other_latents(pipeline, tmp_path):
    other = copy.deepcopy(pipeline.vae)
    other.register_to_config(scaling_factor=2.0)
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match="expected an autoencoder with the latents of"):
        package.package(EMBEDDED, tmp_path / "model", tmp_path / "other")


def test_every_option_of_the_recipe_is_one_of_its_stage(tmp_path):
    for device in ("cpu", "cuda"):
        for stage in recipe.stages(device, 2):
            command = stage.command(tmp_path, minutes=3)
            text = Path(importlib.util.find_spec(command[0]).origin).read_text()
            for option in (word for word in command if word.startswith("--")):
                assert f'"{option}"' in text, (stage.name, option)


def test_a_grown_autoencoder_begins_with_the_pictures_of_the_old_one_at_twice_the_size(pipeline):
    old = pipeline.vae
    size = old.config.sample_size
    new = grow(old).eval()
    assert new.config.sample_size == 2 * size
    assert new.config.scaling_factor == old.config.scaling_factor
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before, after = old.decode(latents).sample, new.decode(latents).sample
        assert after.shape == (2, 3, 2 * size, 2 * size)
        assert new.encode(after).latent_dist.mean.shape == latents.shape
    shrunk = torch.nn.functional.avg_pool2d(after, 2)
    assert (shrunk - before).abs().mean() < 0.15 * before.abs().mean()  # of convolutions alone


def test_weights_of_another_architecture_do_not_grow(pipeline):
    old = copy.deepcopy(pipeline.vae)
    old.register_module("stranger", torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match="another architecture"):
        grow(old)


@pytest.fixture(scope="module")
def small_sibling(pipeline):
    return sibling.make_sibling(pipeline, {*embedded_vocabulary()})


def test_a_sibling_reads_known_words_alike_and_others_by_their_letters(pipeline, small_sibling):
    own, full = small_sibling.tokenizer, pipeline.tokenizer
    for word in embedded_vocabulary():
        assert own.tokenize(word) == full.tokenize(word)
    assert "[UNK]" not in own.tokenize("Xylograph no. 7: quid?")
    assert len(own) < len(full) / 6
    ids = own("a dog")["input_ids"][:4]
    assert own.convert_ids_to_tokens(ids) == ["[CLS]", "a", "dog", "[SEP]"]


def test_words_that_are_near_are_near_to_a_sibling(small_sibling):
    vectors = small_sibling.text_encoder.get_input_embeddings().weight.detach()
    dog, puppy, truck = vectors[
        small_sibling.tokenizer.convert_tokens_to_ids(["dog", "puppy", "truck"])
    ]
    near, far = (torch.cosine_similarity(dog, other, dim=0) for other in (puppy, truck))
    assert near > 0.5 > 0.3 > far
    assert vectors.shape[1] == small_sibling.unet.config.cross_attention_dim == sibling.WIDTH


def test_a_pupil_learns_what_its_teacher_predicts(work, small, pipeline, small_sibling):
    teacher = Teacher(EMBEDDED, small_sibling.tokenizer, torch.device("cpu"))
    noisy, times = torch.randn(2, 4, 8, 8), torch.tensor([900, 100])
    captions = ["a dog", "two cats on a red background"]
    v = teacher(noisy, times, denoiser.tokenize(small_sibling.tokenizer, captions))
    with torch.no_grad():
        tokens = denoiser.tokenize(pipeline.tokenizer, captions)
        text = pipeline.text_encoder(input_ids=tokens).last_hidden_state
        torch.testing.assert_close(v, pipeline.unet(noisy, times, text).sample)
    alone, taught = (
        denoiser.Trainer(arguments(work, 9, teacher=folder)) for folder in (None, EMBEDDED)
    )
    losses = [float(trainer.loss().detach()) for trainer in (taught, alone)]
    assert losses[0] < 1e-3 < 0.05 < losses[1]  # it is the teacher itself


@pytest.fixture(scope="module")
def rough(pipeline):
    return Rough(pipeline, "cpu")


def test_rough_latents_are_near_the_given_ones_and_repeat(rough):
    given = 0.5 * torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    made = [rough(given, ["a dog", "a cat"], random.Random(seed)) for seed in (0, 0, 1)]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert 0.01 < (made[0] - given).abs().mean() < 0.5


def settings(work, steps, latents_of=EMBEDDED):
    options = {"batch": 2, "rate": 1e-3, "seed": 0, "device": "cpu", "minutes": None}
    return argparse.Namespace(work=work, steps=steps, latents_of=latents_of, **options)


def test_an_autoencoder_resumes_where_it_stopped_and_keeps_the_latents(work):
    whole = autoencoder.Trainer(settings(work, 2))
    before = whole.model.encoder.conv_in.weight.detach().clone()
    losses = [float(whole.advance()) for _ in range(2)]
    halved = autoencoder.Trainer(settings(work, 2))
    first = float(halved.advance())
    halved.store()
    resumed = autoencoder.Trainer(settings(work, 2))
    assert resumed.step == 1
    np.testing.assert_allclose([first, float(resumed.advance())], losses, rtol=1e-4)
    assert not torch.equal(before, whole.model.encoder.conv_in.weight)
    stored = AutoencoderKL.from_pretrained(work / "decoder").config
    assert stored.sample_size == 64
    assert stored.scaling_factor == whole.teacher.config.scaling_factor


def test_an_autoencoder_from_nothing_makes_latents_of_eight_by_eight(work):
    trainer = autoencoder.Trainer(settings(work, 1, latents_of=None))
    assert torch.isfinite(trainer.advance())
    latents = trainer.model.encode(torch.zeros(1, 3, 64, 64)).latent_dist.mean
    assert latents.shape == (1, 4, 8, 8)


def test_the_error_of_a_picture_is_that_of_the_nearest_rendering(work):
    class Painter(evaluate.Examiner):
        def __init__(self, art):
            self.world = World(art)

        def draw(self, prompts, output):
            return self.world.render([self.scenes[NAMES.index(p)] for p in prompts]) / 2 + 0.5

        scenes = tuple(Scene("one", (Thing(2 * i + 1, 0.9),)) for i in range(3))

    painter = Painter(make_art())
    assert evaluate.picture_error(painter, NAMES) == pytest.approx(0, abs=1e-5)
    painter.scenes = painter.scenes[::-1]
    assert evaluate.picture_error(painter, NAMES) > 0.3


NOUNS = {  # a noun: its meanings, each with WordNet's file, its nouns and what it is a kind of
    "dog": [(5, ["dog", "domestic_dog", "Canis_familiaris"], "canine")],
    "canine": [(5, ["canine"], "animal")],
    "animal": [(5, ["animal"], None)],
    "cone": [(6, ["cone"], None)],
    "key": [(6, ["key"], None)],
    "screw": [(18, ["screw", "jailer"], None), (6, ["screw"], None)],
    "justice": [(7, ["justice"], None)],
    "domestic dog": [],
}


@pytest.fixture
def nouns(tmp_path):
    """WordNet's format, with these nouns only."""
    rows = [(noun, row) for noun, meanings in NOUNS.items() for row in meanings]
    numbers = {noun: f"{i:08d}" for i, (noun, _) in reversed([*enumerate(rows)])}
    data, index = ["  1 licence"], ["  1 licence"]
    for i, (_, (file, names, above)) in enumerate(rows):
        words = " ".join(f"{name} 0" for name in names)
        link = f"1 @ {numbers[above]} n 0000" if above else "0"
        data.append(f"{i:08d} {file:02d} n {len(names):02x} {words} {link} | of it")
    for noun in NOUNS:
        at = [f"{i:08d}" for i, (other, _) in enumerate(rows) if other == noun] or ["00000000"]
        index.append(f"{noun.replace(' ', '_')} n {len(at)} 1 @ {len(at)} 0 {' '.join(at)}")
    folder = tmp_path / "nouns"
    folder.mkdir()
    (folder / "data.noun").write_text("\n".join(data))
    (folder / "index.noun").write_text("\n".join(index))
    return Nouns(folder)


def test_nouns_have_meanings_names_and_kinds(nouns):
    dog = nouns.meaning("dog")
    assert nouns.meaning("dogs") == nouns.meaning("domestic dog") == dog
    assert nouns.meaning("unheard") is None
    assert nouns.names(dog) == ["dog", "domestic dog"]
    assert nouns.kinds(dog) == ["canine", "animal"]
    assert nouns.tangible(dog)
    assert not nouns.tangible(nouns.meaning("justice"))
    assert nouns.file_of(nouns.meaning("screw")) == 6  # not the person


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("dog", ("dog", "dog")),
        ("guide-dog-filled", ("guide dog", "dog")),
        ("dogs_01", ("dogs", "dogs")),
        ("justice", None),
        ("dog-settings", None),
        ("one-two-three-dog", None),
        ("dog-unheard", None),
        ("dog-domestic", ("domestic dog", "domestic dog")),  # as the noun is
        ("heart-key", None),
    ],
)
def test_a_drawing_belongs_to_the_noun_that_its_name_ends_in(nouns, name, found):
    assert wide.noun_of(name, nouns) == found


def drawing(kind, name, nouns):
    return wide.Drawing(kind, *wide.noun_of(name, nouns), name, None)


def test_concepts_need_two_makers_and_a_plain_name(nouns):
    named = {
        "one maker": [("streamline-flex", "dog"), ("streamline-plump", "dog")],
        "never plain": [("mdi", "lap-dog"), ("ph", "wolf-dog")],
        "enough": [("mdi", "dog-outline"), ("mdi", "dog"), ("ph", "wolf-dog")],
    }
    dog = nouns.meaning("dog")
    for case, pairs in named.items():
        some = [drawing(*pair, nouns) for pair in pairs]
        assert wide.is_enough(some, is_meaning=True) == (case == "enough")
    agreed = [drawing(kind, "traffic-cone", nouns) for kind in ("mdi", "ph")]
    by_concept = wide.sort([*some, *agreed], nouns)
    assert {key: len(row) for key, row in by_concept.items()} == {dog: 3, "traffic cone": 2}
    cone = wide.name_concept("traffic cone", agreed, nouns)
    assert cone == Concept(("traffic cone",), ("cone",), ())
    concept = wide.name_concept(dog, some, nouns)
    assert concept == Concept(("dog",), ("canine", "animal"), ())


def test_the_wider_world_is_drawn_from_packages(work, nouns, monkeypatch):
    red = '<circle cx="8" cy="8" r="7" fill="red"/>'
    black = '<circle cx="8" cy="8" r="7"/>'
    packs = {"mdi": {"dog": black}, "ph": {"dog-fill": black}, "fluent-color": {"dog-24": red}}
    for kind in (*wide.STYLES, *wide.COLOURED, *wide.GLYPHS):
        folder = work / "node_modules/@iconify-json" / kind
        folder.mkdir(parents=True)
        icons = {name: {"body": body} for name, body in packs.get(kind, {}).items()}
        (folder / "icons.json").write_text(json.dumps({"icons": icons}))
    sprites = {red: make_art().sprites[0], black: make_art().sprites[0] * 0}
    sprites[black][3] = 255
    body = {True: sprites[red], False: sprites[black]}
    monkeypatch.setattr(wide, "render", lambda svg: body["red" in svg])
    art = wide.extend(make_art(), work, nouns)
    assert art.concepts[3] == Concept(("dog",), ("canine", "animal"), ())
    assert art.concept.tolist() == [0, 0, 1, 1, 2, 2, 3]  # the black ones are left out
    assert torch.equal(art.sprites[-1], sprites[red])
    art.store(work)
    assert Art.load(work).concepts == art.concepts
    assert wide.extend(art, work, nouns) is art  # a dog is known by now


def test_openclipart_is_titled_by_its_metadata_or_its_file(tmp_path):
    path = tmp_path / "red_dog_jane_doe_01.svg"
    path.write_text("<svg><dc:title>A dog</dc:title></svg>")
    assert wide.titles_of(path) == ["A dog", "red_dog"]


def test_the_vocabulary_holds_what_captions_hold(world, tmp_path):
    path = tmp_path / "vocabulary.txt"
    package.write_vocabulary(world.concepts, path)
    known = path.read_text().splitlines()
    assert set(known) == vocabulary(world.concepts) == {*known}
    assert {"red square", "red squares", "shape", "flat", "two", "turquoise"} <= {*known}
    parts = {word for phrase in known for word in phrase.split()}
    for _, caption in scenes_of(world):
        assert {*caption.split()} <= parts


def test_the_embedded_vocabulary_is_that_of_the_list_of_concepts():
    known = embedded_vocabulary()
    for names, hypernyms in read_concepts().values():
        assert {*names, *hypernyms} - {"calculator"} <= known
    assert {"theory", "philosophy", "jaguars on ice"}.isdisjoint(known)
    assert all(word == word.strip().lower() for word in known)


def test_people_and_parts_of_the_body_are_no_furniture():
    concepts = read_concepts()
    for label in ("boy", "girl", "man", "old woman", "princess", "prince", "baby"):
        assert concepts[label][1][0] == "person"
    assert concepts["eye"][1] == ["body", "body part"]
    assert concepts["crying face"][1] == ["face", "emotion"]
    assert concepts["bed"][1] == ["furniture", "household"]


def test_a_blind_sheet_has_its_answers_beside_it(tmp_path):
    asked = []

    def draw(prompts):
        asked.extend(prompts)
        return torch.zeros(len(prompts), 3, 64, 64)

    evaluate.write_blind(draw, tmp_path / "blind.png", ["a cat", "a dog"])
    assert asked == ["a cat", "a dog"]
    assert (tmp_path / "blind.txt").read_text() == "1 a cat\n2 a dog\n"
    assert plt.imread(tmp_path / "blind.png").ndim == 3


def test_weights_of_noise_levels_agree_in_the_noise_and_part_at_its_end():
    snr = torch.logspace(-4, 4, 9)
    error_of_noise = {name: of(snr) * (snr + 1) / snr for name, of in denoiser.WEIGHTS.items()}
    for weights in error_of_noise.values():
        assert (weights.diff() <= 1e-6).all()  # the less noise, the less it counts
        assert weights[0] == pytest.approx(1, abs=1e-3)
    assert error_of_noise["min-snr"][6] == pytest.approx(0.05)
    assert error_of_noise["sigmoid"][6] == pytest.approx(1 / (1 + 100 / np.e**2), rel=1e-4)
