"""Does a regression on the profile over noise levels beat plain -log J? Folds grouped by text.

    python benchmarks/scores/regression.py PAIRS.tsv [--known] [--pairs 500]

KernelRidge (RBF) on the standardised log-profile of both legs, its penalty and width chosen by an
inner search on the training side alone, against -log J, which needs no fit. `TextKFold(5)`: no text
is on both sides of a fold. The measure is Spearman of the out-of-fold predictions. Resumable.
"""

from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from _pairs import choose, make_parser, tell_cost
from conjure_kernel import ConjurePairs, TextKFold, compare, evaluate

GRID = {"kernelridge__alpha": [0.1, 1, 10], "kernelridge__gamma": [0.003, 0.01, 0.03, 0.1]}


def main() -> None:
    parser = make_parser(__doc__, 500)
    parser.add_argument("--draws", type=int, default=4)
    given = parser.parse_args()
    pairs = choose(given)
    settings = {"model": given.model, "n_draws": given.draws, "memory": given.cache}
    tell_cost(pairs, settings)
    features = {
        name: ConjurePairs(features=name, verbose=1, **settings).fit_transform(pairs.pairs)
        for name in ("log_divergence", "profile")
    }
    place = {pair: i for i, pair in enumerate(pairs.pairs)}
    pick = _Pick(features["profile"], place)
    ridge = make_pipeline(pick, StandardScaler(), KernelRidge(kernel="rbf"))
    inner = {"cv": TextKFold(3), "scoring": "neg_mean_squared_error"}
    search = GridSearchCV(ridge, GRID, **inner)
    folds = TextKFold(5, random_state=given.seed)
    predicted = cross_val_predict(search, pairs.pairs, pairs.scores, cv=folds)
    plain = evaluate(lambda a, b: -features["log_divergence"][:, 0], pairs, name="-log J")
    fitted = evaluate(lambda a, b: predicted, pairs, name="KernelRidge on profiles, out of fold")
    for result in (plain, fitted):
        print(f"{result}\n")
    print(compare([fitted, plain]))


class _Pick:
    """Features that are measured already: folds need no look-up in the cache."""

    def __init__(self, features, place):
        self.features, self.place = features, place

    def fit(self, pairs, y=None):
        return self

    def transform(self, pairs):
        return self.features[[self.place[tuple(pair)] for pair in pairs]]

    def fit_transform(self, pairs, y=None):
        return self.transform(pairs)

    def get_params(self, deep=True):
        return {"features": self.features, "place": self.place}

    def __sklearn_clone__(self):
        return self


if __name__ == "__main__":
    main()
