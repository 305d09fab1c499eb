"""Reports of pipelines of other families end with a page, and tell what they could not show."""

import pytest

from conjure_kernel import report_model
from measured import IGNORED
from pipelines.registry import FAMILIES

pytestmark = [
    pytest.mark.filterwarnings(IGNORED),
    pytest.mark.filterwarnings("ignore:.*(weight_norm|FluxPosEmbed):FutureWarning"),
    pytest.mark.filterwarnings("ignore:Should have t"),
]
BY_NAME = {family.name: family for family in FAMILIES}


@pytest.mark.parametrize("name", ["PixArt-Alpha", "Chroma", "Stable Audio"])
def test_it_ends_with_a_page(name):
    family = BY_NAME[name]
    settings = {"n_steps": 2, "memory": None, "model_kwargs": dict(family.call)}
    report = report_model(family.build(), budget=2000, **settings)
    found = {section.name: section for section in report.sections}
    assert found["map"].measured
    assert found["vividness"].measured
    assert found["pictures"].measured == (name != "Stable Audio")
    if name == "Stable Audio":
        assert "makes no pictures" in found["pictures"].found
    assert report.n_evaluations <= 2000 + found["check"].n_predictions + 300
    assert report.page.count("<section") == len(report.sections) + 1
