"""Pictures of agreement: what they show is what the tables say."""

import numpy as np
import pytest

from conjure_kernel import evaluate
from conjure_kernel._table import Table
from conjure_kernel.evaluation.datasets import ScoredPairs
from conjure_kernel.plot import plot_ablation, plot_evaluations

RNG = np.random.default_rng(0)
PAIRS = ScoredPairs(
    "toys",
    [f"a {i}" for i in range(30)],
    [f"b {i}" for i in range(30)],
    RNG.normal(size=30),
    ["x"] * 15 + ["y"] * 15,
)


def dots(ax):
    return [
        (float(x), int(y))
        for line in ax.lines
        if line.get_marker() == "o"
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def test_every_part_of_every_scorer_is_a_dot():
    results = [
        evaluate(lambda a, b, s=s: PAIRS.scores + s * RNG.normal(size=30), PAIRS, name=f"noise {s}")
        for s in (0.5, 2)
    ]
    figure = plot_evaluations(results)
    (ax,) = figure.axes
    expected = [r.table.rows[i]["spearman"] for i in range(5) for r in results]
    assert [x for x, _ in sorted(dots(ax), key=lambda dot: dot[1])] == pytest.approx(expected)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[::2] == ["all, n = 30", "mean, n = 30", "wmean, n = 30", "x, n = 15", "y, n = 15"]
    (legend,) = figure.legends
    told = [text.get_text() for text in legend.get_texts()]
    assert sorted(told[:2]) == ["noise 0.5", "noise 2"]
    assert told[2:] == ["95 % interval, for other texts", "± 2 s.e. over draws"]
    assert ax.get_xlabel() == "Spearman's correlation with human scores"
    spans = [sorted(line.get_xdata()) for line in ax.lines if line.get_linewidth() == 1]
    row = results[0].table.rows[0]
    assert [row["spearman_low"], row["spearman_high"]] in [pytest.approx(span) for span in spans]


def test_an_ablation_has_a_panel_a_setting_on_one_scale():
    rows = [
        {
            "setting": setting,
            "value": value,
            "base": base,
            "spearman": rho,
            "spearman_low": rho - 0.1,
            "spearman_high": rho + 0.1,
            "spearman_draw_se": 0.01,
        }
        for setting, value, base, rho in [
            ("n_steps", "5", "", 0.2),
            ("n_steps", "10", "base", 0.3),
            ("leg", "ab", "", 0.5),
        ]
    ]
    axes = plot_ablation(Table(rows)).axes
    assert [ax.get_title(loc="left") for ax in axes] == ["n steps", "leg"]
    assert [ax.get_xlabel() for ax in axes] == ["Spearman's correlation"] * 2
    assert dots(axes[0]) == [(0.2, 0), (0.3, 1)]
    assert axes[0].get_xlim() == axes[1].get_xlim() == pytest.approx((0.08, 0.62))
