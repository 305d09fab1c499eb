"""A type checker sees our types in a user's script: `py.typed` and the stubs of the lazy names."""

import subprocess
import sys

import pytest

SCRIPT = """\
import numpy as np
from typing_extensions import assert_type

from conjure_kernel import ConjureDistance, Divergence, Explanation, GaussianDenoiser, Plan
from conjure_kernel import WordExplanation, explain_words
from conjure_kernel import evaluation, explain, load_pairs, models, pairwise_divergence, plan, plot

world = assert_type(GaussianDenoiser({"a dog": 0.7, "a cat": -0.4}), GaussianDenoiser)
distance = assert_type(ConjureDistance(world, n_steps=5, memory=None), ConjureDistance)
matrix = assert_type(distance.fit_transform(["a dog", "a cat"]), np.ndarray)
found = assert_type(pairwise_divergence(["a dog", "a cat"], model=world), Divergence)
assert_type(found.standard_errors, np.ndarray)
assert_type(plot.layout(found.values), np.ndarray)
assert_type(plan(["a dog", "a cat"], model=world), Plan)
assert_type(explain("a dog", "a cat", model=world), Explanation)
assert_type(explain_words("a dog", model=world), WordExplanation)
pairs = assert_type(load_pairs("pairs.tsv"), evaluation.ScoredPairs)
scorer = assert_type(evaluation.ConjureScorer(world), evaluation.ConjureScorer)
assert_type(evaluation.evaluate(scorer, pairs), evaluation.Evaluation)
assert_type(models.VariancePreserving.scaled_linear(), models.VariancePreserving)
ConjureDistance(n_steps="five")  # type: ignore[arg-type]
distance.divergences_.shapes  # type: ignore[attr-defined]
"""

# The types of torch and others, which nothing here needs, would take mypy a minute.
CONFIG = """\
[mypy]
warn_unused_ignores = True
follow_imports = skip
[mypy-conjure_kernel.*,numpy.*]
follow_imports = normal
"""


@pytest.mark.slow
def test_a_users_script_has_types(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "mypy.ini").write_text(CONFIG)
    command = [sys.executable, "-m", "mypy", "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "Success: no issues found in 1 source file\n"
