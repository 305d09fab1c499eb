"""The time that is left, on a clock of the test's own."""

import numpy as np
import pytest

from conjure_kernel.engine import progress
from conjure_kernel.engine.ledger import requests_of_matrix
from conjure_kernel.engine.opening import open_engine
from conjure_kernel.engine.progress import Progress
from conjure_kernel.models import GaussianDenoiser

# Seconds of calls: the first warms up, a few are small, then they are full; predictions of each.
WARM_UP = [(9.0, 20)]
SMALL = [(0.3, 20)] * 10
FULL = [(1.0, 1000)] * 40


@pytest.fixture
def now(monkeypatch):
    time = [0.0]
    monkeypatch.setattr(progress, "clock", lambda: time[0])
    return time


def estimates(calls, now):
    """Time left as it is estimated after each call, and as it was."""
    bar, spent = Progress(sum(n for _, n in calls), shown=False), np.cumsum([s for s, _ in calls])
    left = sum(n for _, n in calls)
    for (seconds, n), total in zip(calls, spent, strict=True):
        now[0] += seconds
        bar.add(n)
        left -= n
        if left and bar.rate:
            yield total, left / bar.rate, spent[-1] - total


@pytest.mark.parametrize("calls", [WARM_UP + FULL, WARM_UP + SMALL + FULL, SMALL + FULL[:5] * 8])
def test_the_time_left_is_within_30_percent_once_calls_are_full(now, calls):
    n_small = sum(n < 1000 for _, n in calls)
    found = [
        row for row in estimates(calls, now) if row[0] > sum(s for s, _ in calls[:n_small]) + 2
    ]
    assert len(found) > 30
    for _, estimate, actual in found:
        assert estimate == pytest.approx(actual, rel=0.3)


def test_a_measurement_tells_its_rate_once_and_within_30_percent(now):
    class Slow(GaussianDenoiser):
        def run(self, task, prompts, rows_per_prompt, guidance_scale):
            n_rows = len(task.state)
            now[0] += len(task.grid.times) * (0.02 + 0.002 * n_rows) + (0 if self.warm else 6)
            self.warm = True
            return super().run(task, prompts, rows_per_prompt, guidance_scale)

    world = Slow({f"prompt {i}": [0.1 * i, 0.0] for i in range(24)})
    world.warm, told = False, []
    engine = open_engine({"model": world, "memory": None, "batch_size": 16})
    engine.tell_rate = lambda left, rate: told.append((now[0], left / rate))
    engine.measure(requests_of_matrix(world.prompts))
    assert len(told) == 1
    (then, estimate) = told[0]
    assert estimate == pytest.approx(now[0] - then, rel=0.3)
    assert now[0] - then > 10
    assert then < 15


def test_the_rate_is_not_told_from_one_small_call(now):
    told, calls = [], [(5.0, 2520), (4.0, 600), *[(2.0, 1280)] * 12]
    bar = Progress(sum(n for _, n in calls), shown=False, tell=lambda *given: told.append(given))
    for seconds, n in calls:
        now[0] += seconds
        bar.add(n)
    ((left, rate),) = told
    assert left == 9 * 1280
    assert left / rate == pytest.approx(9 * 2.0, rel=0.3)


def test_a_bar_that_is_drawn_shows_the_rate_and_tells_nothing(now, capsys):
    told = []
    with Progress(4000, shown=True, tell=lambda *_: told.append(1)) as bar:
        for seconds in (50, 2, 2):
            now[0] += seconds
            bar.add(1000)
        bar.refresh()
    assert told == []
    last = capsys.readouterr().err.rstrip().rpartition("3.00k/4.00k")[2]
    assert last.startswith(" [")
    assert "500pred/s" in last
