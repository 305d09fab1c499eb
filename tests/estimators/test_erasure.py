"""`audit_erasure`: held to worlds in which it is known what is gone, and where it went."""

import numpy as np
import pytest

from conjure_kernel import ConjureDrift, GaussianDenoiser, audit_erasure, paired_divergence

MEANS = {
    **{"": [0.0, 0.0], "a dog": [3.0, 0.0], "a hound": [2.9, 0.3], "an animal": [1.5, 0.5]},
    **{"a cat": [1.0, 2.0], "a bus": [-2.0, 1.0], "a car": [-2.5, 0.0]},
}
OPTIONS = {"memory": None, "n_draws": 4, "check_steps": 0}
ASKED = {
    **{"synonyms": ["a hound"], "hypernyms": ["an animal"]},
    **{"anchors": ["a cat", "a bus"], "held": ["a car"]},
}
BASE = GaussianDenoiser(MEANS)


def audit(changes, variances=1.0, **asked):
    erased = GaussianDenoiser({**MEANS, **changes}, variances)
    return audit_erasure(BASE, erased, "a dog", **{**ASKED, **asked}, **OPTIONS)


def test_a_whole_erasure_is_told_and_where_it_went():
    found = audit({"a dog": [-1.9, 1.0], "a hound": [-1.8, 1.0]})
    assert found.gone is True
    assert float(found.residue.value) == pytest.approx(((3 + 1.9) ** 2 + 1) / 9)
    assert [row["back"] for row in found.descriptions().rows][:2] == [False, False]
    first = found.destinations()[0]
    assert (first["prompt"], first["share"]) == ("a bus", 1)
    assert found.destinations()[1]["behind_low"] > 0
    assert len(found.destinations()) == 4  # the hypernym, two anchors and the empty prompt


def test_a_concept_that_a_synonym_brings_back_is_not_gone():
    found = audit({"a dog": [0.0, 0.1]})
    assert found.gone is False
    rows = {row["prompt"]: row for row in found.descriptions().rows}
    assert (rows["a dog"]["back"], rows["a hound"]["back"]) == (False, True)
    assert found.destinations()[0]["prompt"] == ""
    assert float(found.vividness.value) == pytest.approx(0.01 / 9)
    assert rows["a hound"]["before"] == pytest.approx((0.01 + 0.09) / 9)
    assert rows["a hound"]["kind"] == "synonym"


def test_nothing_erased_is_at_0_and_what_is_not_told_is_none():
    same = audit({})
    assert float(same.residue.value) == 0
    assert float(same.vividness.value) == pytest.approx(1)
    assert all(row["drift"] == 0 for row in same.collateral().rows)
    wide = {**dict.fromkeys(MEANS, 1.0), "a dog": 3.0}
    unsure = audit({"a dog": [1.1, 0.0], "a hound": [-3.0, 0.0]}, wide)
    row = unsure.descriptions()[0]
    assert row["after_low"] < 0.5 < row["after_high"]
    assert row["back"] is None
    assert unsure.gone is None


def test_collateral_is_ordered_by_distance_and_its_gradient_is_their_correlation():
    moved = {"an animal": [1.0, 0.5], "a cat": [0.2, 2.0], "a bus": [-2.0, 1.1]}
    found = audit({"a dog": [0.0, 0.0], **moved})
    rows = found.collateral().rows
    assert [row["prompt"] for row in rows] == ["an animal", "a cat", "a bus", "a car"]
    drift = ConjureDrift(BASE, GaussianDenoiser({**MEANS, **moved}), **OPTIONS)
    expected = drift.fit([row["prompt"] for row in rows]).divergences_
    assert [row["drift"] for row in rows] == pytest.approx(expected.tolist(), abs=1e-9)
    pairs = [("a dog", row["prompt"]) for row in rows]
    relative = paired_divergence(pairs, model=BASE, origin="empty", **OPTIONS).values
    assert [row["distance"] for row in rows] == pytest.approx(relative.tolist())
    assert float(found.gradient.value) == pytest.approx(-0.8)
    assert np.isnan(audit({}, anchors=[], held=[]).gradient.value)
    assert len(audit({}, hypernyms=[], anchors=[], held=[]).collateral()) == 0


def test_the_cache_spares_a_second_audit(tmp_path):
    erased = GaussianDenoiser({**MEANS, "a dog": [0.0, 0.0]})
    options = {**OPTIONS, "memory": tmp_path}
    first, second = (audit_erasure(BASE, erased, "a dog", **ASKED, **options) for _ in range(2))
    assert first.n_evaluations > 0
    assert second.n_evaluations == 0
    assert str(second.descriptions()) == str(first.descriptions())
    assert first.provenance["concept"] == "a dog"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"anchors": ["a dog"]}, "expected each prompt once"),
        ({"held": [""]}, "none that is empty"),
        ({"tol": 0.1}, "tol=0.1: expected None"),
        ({"origin": "empty"}, "origin='empty': expected None"),
        ({"n_draws": 1}, "n_draws=1: expected an integer of at least 2"),
        ({"n_drawz": 2}, "n_drawz: expected settings among"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        audit_erasure(BASE, BASE, "a dog", **{**ASKED, **OPTIONS, **change})
