"""`DriftLogger`: the training goes on as if nothing had happened, and real writers get figures."""

import logging
import random
import sys
import types

import numpy as np
import pytest
import torch

from conjure_kernel import DriftLogger, GaussianDenoiser, load_denoiser
from conjure_kernel.estimators import drift_logger
from measured import SIDE

QUICK = {"n_steps": 2, "n_draws": 2, "every": 1, "at_most": 1e9}
TARGET = {"target": ["a strawberry"], "neighbours": ["a tomato"]}
WORLD = {"": 0.0, "a dog": 1.0, "a cat": -1.0}


class Training:
    """Steps on the attention of the embedded model that draw from all random states."""

    def __init__(self):
        torch.manual_seed(0), np.random.seed(0), random.seed(0)  # noqa: NPY002
        self.pipeline = load_denoiser("embedded", dtype="float32").pipeline
        network = self.pipeline.unet
        network.requires_grad_(False)
        self.trained = [p for n, p in network.named_parameters() if ".attn2.to_k" in n]
        for weights in self.trained:
            weights.requires_grad_(True)
        network.train()
        network.mid_block.eval()  # a mode of its own
        self.optimizer = torch.optim.AdamW(self.trained, 1e-3)
        self.text = self.pipeline.encode_prompt(["a bus"], "cpu", 1, False)[0].detach()

    def step(self):
        latents, shift = torch.randn(2, 4, 8, 8), random.random() + np.random.rand()  # noqa: NPY002
        times = torch.randint(1000, (2,))
        out = self.pipeline.unet(latents, times, self.text.expand(2, -1, -1)).sample
        loss = (out - shift).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def state(self):
        network = self.pipeline.unet
        return {
            "weights": [p.detach().clone() for p in network.parameters()],
            "gradients": [p.grad.clone() for p in self.trained],
            "optimizer": [s.clone() for v in self.optimizer.state.values() for s in v.values()],
            "torch": [torch.get_rng_state()],
            "modes": [module.training for module in network.modules()],
            "flags": [p.requires_grad for p in network.parameters()],
            "others": [p.requires_grad for p in self.pipeline.vae.parameters()],
            "dtypes": [p.dtype for p in network.parameters()],
            "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002
            "python": random.getstate(),
        }


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


@pytest.fixture(autouse=True)
def own_randomness():
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    yield
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    random.setstate(states[2])


def test_training_is_bit_identical_after_logging():
    plain = Training()
    losses = [plain.step() for _ in range(3)]
    expected, following = plain.state(), plain.step()
    logged = Training()
    log = DriftLogger("embedded", ["a bus"], TARGET, **QUICK)
    scheduler, found = logged.pipeline.scheduler, []
    for i in range(3):
        found.append(logged.step())
        log(logged.pipeline, i)
    assert found == losses
    after = logged.state()
    for name, value in expected.items():
        assert equal(value, after[name]), name
    assert logged.pipeline.scheduler is scheduler
    assert logged.step() == following
    rows = log.history.rows
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert rows[0]["target"] < rows[1]["target"] < rows[2]["target"]
    assert all(row["reached"] for row in rows)


def test_an_error_puts_everything_back_too(monkeypatch):
    training = Training()
    training.step()
    before = training.state()

    def fail(*_):
        torch.rand(3), random.random()
        raise ValueError("no pictures today")

    monkeypatch.setattr(drift_logger, "measure_series", fail)
    with pytest.raises(ValueError, match="no pictures today"):
        DriftLogger("embedded", [], TARGET, **QUICK)(training.pipeline, 0)
    after = training.state()
    for name, value in before.items():
        assert equal(value, after[name]), name


def test_an_error_leaves_no_trajectories_of_the_model_as_it_was():
    class Failing(GaussianDenoiser):
        def predict(self, prompts, x, eps, chain):
            if self.fails:
                raise RuntimeError("out of memory")
            return super().predict(prompts, x, eps, chain)

    def state(**means):
        return GaussianDenoiser({**WORLD, **means}, {"": 1.0, "a dog": 0.4, "a cat": 1.0})

    options = {"every": 1, "at_most": 1e9, "pictures": False, "n_steps": 3, "n_draws": 4}
    base, model = GaussianDenoiser(WORLD), Failing({**WORLD, "a dog": 9.0})
    log = DriftLogger(base, [], {"target": ["a dog"]}, **options)
    model.fails = True
    with pytest.raises(RuntimeError, match="out of memory"):
        log(model, 0)
    model.fails, model._mixtures = False, state(**{"a dog": 2.0})._mixtures  # it was trained
    log(model, 1)
    other = DriftLogger(base, [], {"target": ["a dog"]}, **options)
    other(state(**{"a dog": 2.0}), 1)
    for name in ("target", "spread", "vividness"):
        assert log.history[0][name] == other.history[0][name]


def test_time_and_figures_count_when_a_writer_fails():
    class Full:
        def add_scalar(self, *_):
            raise OSError("no space left on device")

    base = GaussianDenoiser(WORLD)
    options = {"pictures": False, "n_steps": 2, "n_draws": 2}
    log = DriftLogger(base, [], {"target": ["a dog"]}, every=1, to=[Full()], **options)
    with pytest.raises(OSError, match="no space left"):
        log(GaussianDenoiser({**WORLD, "a dog": 2.0}), 0)
    log(GaussianDenoiser({**WORLD, "a dog": 3.0}), 1)  # there is no time for it
    assert (len(log.history), log.n_skipped) == (1, 1)


def test_a_run_of_another_service_gets_figures_without_wandb(monkeypatch):
    rows = []
    monkeypatch.setitem(sys.modules, "wandb", None)
    run, base = types.SimpleNamespace(log=rows.append), GaussianDenoiser(WORLD)
    log = DriftLogger(base, [], {"target": ["a dog"]}, every=1, to=[run], pictures=False)
    log(GaussianDenoiser({**WORLD, "a dog": 2.0}), 0)
    assert rows[0]["conjure/target"] == log.history[0]["target"]


def test_the_base_itself_is_refused():
    base = GaussianDenoiser(WORLD)
    log = DriftLogger(base, [], {"target": ["a dog"]}, every=1, pictures=False)
    with pytest.raises(ValueError, match="expected another model than the base"):
        log(base, 0)


def test_it_keeps_to_its_share_of_the_time_and_to_its_steps(monkeypatch):
    clock, measured = iter([0.0, *(0.0, 10.0), 109.0, *(219.0, 229.0), 240.0]), []
    fake = types.SimpleNamespace(monotonic=lambda: next(clock))
    monkeypatch.setattr(drift_logger, "time", fake)
    base = GaussianDenoiser(WORLD)
    log = DriftLogger(base, [], {"target": ["a dog"]}, every=10, at_most=0.1, pictures=False)
    for step in (0, 5, 10, 20, 30):
        log(GaussianDenoiser({**WORLD, "a dog": 2.0}), step)
        measured.append(len(log.history))
    # The first takes 10 s; a second one has to wait for 200 s of training.
    assert measured == [1, 1, 1, 2, 2]
    assert log.n_skipped == 2
    assert [row["seconds"] for row in log.history.rows] == [10.0, 10.0]


def test_tensorboard_gets_scalars_and_pictures(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    training, writer = Training(), SummaryWriter(tmp_path)
    log = DriftLogger("embedded", ["a bus"], TARGET, to=[writer], **QUICK)
    for step in range(2):
        training.step()
        log(training.pipeline, step)
    writer.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    found = events.Scalars("conjure/target")
    assert [event.step for event in found] == [0, 1]
    assert [event.value for event in found] == pytest.approx(
        [row["target"] for row in log.history.rows], rel=1e-5
    )
    (picture,) = events.Images("conjure/a strawberry")[:1]
    assert (picture.width, picture.height) == (2 * SIDE, SIDE)


def test_weights_and_biases_gets_them_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    training, run = Training(), wandb.init(dir=tmp_path, project="test")
    log = DriftLogger("embedded", ["a bus"], TARGET, to=[run], **QUICK)
    training.step()
    log(training.pipeline, 0)
    assert run.summary["conjure/target"] == pytest.approx(log.history[0]["target"])
    assert run.summary["conjure/a strawberry"]["_type"] == "image-file"
    run.finish()
    assert list(tmp_path.rglob("*.png"))


def test_pictures_and_figures_go_to_any_writer_of_that_kind(monkeypatch):
    seen = {}

    class Run:
        def log(self, row):
            seen.update(row)

    image = types.SimpleNamespace(Image=lambda sheet, caption: (sheet.shape, caption))
    monkeypatch.setitem(sys.modules, "wandb", image)
    training = Training()
    log = DriftLogger("embedded", ["a bus"], TARGET, to=[Run()], **QUICK)
    training.step()
    log(training.pipeline, 7)
    assert seen["conjure/step"] == 7
    assert seen["conjure/target"] == log.history[0]["target"]
    assert seen["conjure/a strawberry"] == ((SIDE, 2 * SIDE, 3), "base, trained")
    assert "conjure/drift of held" in seen


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"every": 0}, "every=0"),
        ({"at_most": 0}, "at_most=0"),
        ({"to": ["a folder"]}, "to: expected TensorBoard's SummaryWriter"),
        ({"to": [logging.getLogger()]}, "to: expected TensorBoard's SummaryWriter"),
        ({"to": types.SimpleNamespace(log=print)}, "to=namespace.*expected a list of writers"),
        ({"n_draws": 1}, "n_draws=1: expected an integer of at least 2"),
        ({"origin": "empty"}, "origin='empty': expected None"),
        ({"groups": {}}, "expected a mapping with 'target'"),
        ({"n_drawz": 2}, "n_drawz"),
    ],
)
def test_bad_input_is_refused(change, message):
    given = {"base": GaussianDenoiser(WORLD), "prompts": [], "groups": {"target": ["a dog"]}}
    with pytest.raises((ValueError, TypeError), match=message):
        DriftLogger(**{**given, **change})
