"""The number of torch's threads: by evidence, as the user says, and as it was afterwards."""

import os

import pytest
import torch

from conjure_kernel.engine import batches as module
from conjure_kernel.engine import threads as choice
from conjure_kernel.engine.batches import WORTH_A_SEARCH, Batches
from conjure_kernel.models import GaussianDenoiser

CPU = torch.device("cpu")


@pytest.fixture
def four(monkeypatch):
    """A machine of four cores, where nobody has set a number of threads."""
    for name in choice.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(module, "_BEST", {})
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def batches(monkeypatch):
    made = Batches(GaussianDenoiser({"a": 0.0, "b": 1.0}), "auto")
    monkeypatch.setattr(made, "_search", lambda prompt: 8)
    return made


@pytest.mark.parametrize(("slower", "chosen"), [(0.5, 1), (1.05, 1), (1.5, 4)])
def test_one_thread_is_taken_where_it_is_about_as_fast(
    four, batches, monkeypatch, tmp_path, slower, chosen
):
    asked = []

    def time(prompt, n_rows, n_steps=1):
        asked.append((torch.get_num_threads(), n_rows))
        return slower if torch.get_num_threads() == 1 else 1.0

    monkeypatch.setattr(batches, "_time", time)
    batches.tune_batch_size("a", WORTH_A_SEARCH, tmp_path)
    assert asked == [(4, 8)] * 3 + [(1, 8)] * 3
    assert batches.attempt(torch.get_num_threads, 1) == chosen
    assert torch.get_num_threads() == 4
    again = Batches(batches.denoiser, "auto")
    module._BEST.clear()
    monkeypatch.setattr(again, "_time", lambda *_: pytest.fail("measured again"))
    again.tune_batch_size("a", WORTH_A_SEARCH, tmp_path)
    assert (again.size, again.n_threads) == (8, chosen)


def test_it_is_restored_after_an_error(four, batches):
    batches.n_threads = 1
    with pytest.raises(ZeroDivisionError):
        batches.attempt(lambda: 1 / 0, 1)
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("name", choice.VARIABLES)
def test_what_the_user_has_set_is_kept(four, name, monkeypatch):
    assert choice.may_choose(CPU)
    monkeypatch.setenv(name, "4")
    assert not choice.may_choose(CPU)
    monkeypatch.delenv(name)
    torch.set_num_threads(3)  # which torch does not choose on four cores
    assert not choice.may_choose(CPU)
    torch.set_num_threads(1)
    assert not choice.may_choose(CPU)
    assert not choice.may_choose(torch.device("meta"))


@pytest.mark.parametrize(("numbers", "expected"), [(1, 1), (1024, 1), (1025, 4)])
def test_little_work_is_not_worth_a_search(four, tmp_path, numbers, expected):
    batches = Batches(GaussianDenoiser({"a": [0.0] * numbers, "b": [1.0] * numbers}), "auto")
    batches.tune_batch_size("a", WORTH_A_SEARCH - 1, tmp_path)
    assert batches.attempt(torch.get_num_threads, 1) == expected
    assert torch.get_num_threads() == 4


def test_a_small_state_keeps_what_the_user_has_set(four, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert Batches(GaussianDenoiser({"a": 0.0, "b": 1.0}), "auto").n_threads is None
