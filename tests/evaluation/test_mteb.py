"""mteb runs its STS tasks with -log J, and no others."""

import sys

import pytest
from scipy.stats import spearmanr

from conjure_kernel import paired_divergence
from conjure_kernel.evaluation.mteb import MTEBModel
from worlds import SMALL, make_world

WORLD, TEXTS = make_world(6)
SCORES = [1, 5, 3, 2, 4]


@pytest.fixture
def tasks():
    return pytest.importorskip("mteb.mocks.mock_tasks", reason="needs the extra mteb")


@pytest.fixture
def task(tasks):
    from datasets import Dataset, DatasetDict

    class Task(tasks.MockSTSTask):
        max_score = 5

        def load_data(self, **options):
            pairs = {"sentence1": TEXTS[:-1], "sentence2": TEXTS[1:], "score": SCORES}
            self.dataset = DatasetDict(test=Dataset.from_dict(pairs))
            self.data_loaded = True

    return Task()


def model(**settings):
    return MTEBModel(WORLD, memory=None, **{**SMALL, **settings})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mteb_reports_the_correlation_of_minus_log_r(task):
    import mteb

    result = mteb.evaluate(model(), task, cache=None, co2_tracker=False, show_progress_bar=False)
    scores = result.task_results[0].scores["test"][0]
    options = {"model": WORLD, "memory": None, **SMALL}
    found = paired_divergence(TEXTS[:-1], TEXTS[1:], origin="empty", **options)
    expected = spearmanr(-found.values, SCORES).statistic
    assert scores["spearman"] == pytest.approx(expected)
    assert abs(expected) > 0.05
    assert scores["main_score"] == pytest.approx(expected)
    assert result.to_dataframe().iloc[0, -1] == pytest.approx(expected)


def test_vectors_of_others_are_refused():
    with pytest.raises(TypeError, match="leave CachedEmbeddingWrapper out"):
        model().similarity_pairwise([[1.0, 0.0]], [[1.0, 0.0]])


def test_other_tasks_are_refused(tasks):
    import mteb

    with pytest.raises(TypeError, match=r"'MockPairClassificationTask'.*'PairClassification'"):
        mteb.evaluate(
            model(), tasks.MockPairClassificationTask(), cache=None, show_progress_bar=False
        )


def test_the_revision_names_the_settings(tasks):
    metas = [model(**s).mteb_model_meta for s in ({}, {}, {"n_draws": 5}, {"weighting": "paper"})]
    assert {meta.name for meta in metas} == {"conjure_kernel/Counting"}
    first, again, draws, weighting = (meta.revision for meta in metas)
    assert first == again
    assert len({first, draws, weighting}) == 3


def test_absent_mteb_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "mteb.models.model_meta", None)
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(ImportError, match=r"conjure-kernel\[mteb\]"):
        _ = model().mteb_model_meta
