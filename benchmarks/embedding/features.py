"""Do these vectors know what a prompt's images look like, better than vectors of its text?

    python benchmarks/embedding/features.py [--draws 2] [--sentence-transformer NAME]

For the 200 prompts of agreement.py, four conjured images each of the embedded model. Two targets,
by a stated rule: size, the share of pixels farther than a quarter of the range from the border's
median colour; warmth, mean red minus mean blue of those pixels. Cross-validated R^2 (ten folds, the
same for all) of Ridge and of GaussianProcessRegressor with an RBF kernel on ConjureEmbedding's
vectors, on the text features of the model, and on a sentence-transformer's; beside them KernelRidge
and the Gaussian process on the repaired kernel exp(-J / h) itself, from the texts, J of --draws
draws. Images come from other draws than the pool's. Appends to benchmarks/results/features.csv.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).parents[1]))
from agreement import mix

from _results import append_row
from conjure_kernel import ConjureDistance, ConjureEmbedding, ConjureKernel, load_denoiser
from conjure_kernel.models.pretrained.text_encoders import text_features

FOLDS = KFold(10, shuffle=True, random_state=0)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--draws", type=int, default=2, help="of J (%(default)s)")
    options.add_argument("--cache", default="auto")
    options.add_argument("--sentence-transformer", metavar="NAME")
    given = options.parse_args()
    prompts, denoiser = mix(), load_denoiser("embedded")
    seen = ConjureDistance(denoiser, memory=given.cache, random_state=1, verbose=1)
    images = seen.fit(prompts[:2]).conjure_images(prompts, n=4)
    sizes, warmths = zip(*map(measure, images), strict=True)
    features = {
        "vectors": ConjureEmbedding(denoiser, memory=given.cache, verbose=1).fit_transform(prompts),
        "text features": text_features(denoiser.pipeline, prompts),
    }
    if given.sentence_transformer:
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(given.sentence_transformer)
        features[Path(given.sentence_transformer).name] = model.encode(prompts)
    chosen = {name: (np.asarray(x, float), on_vectors(x)) for name, x in features.items()}
    exact = ConjureDistance(denoiser, n_draws=given.draws, memory=given.cache, verbose=1)
    chosen["exp(-J / h), repaired"] = (np.array(prompts, object), on_texts(exact, prompts))
    for target, values in (("size", sizes), ("warmth", warmths)):
        for name, (x, regressors) in chosen.items():
            for regressor, model in regressors.items():
                row = {"target": target, "features": name, "regressor": regressor}
                row |= {"r2": round(score(model, x, np.array(values)), 3)}
                print(row, flush=True)
                append_row("features", denoiser, **row)


def measure(images):
    """Size and warmth of what stands before the background, means over the images."""
    rgb = images.astype(float) / 255
    border = np.concatenate([rgb[:, 0], rgb[:, -1], rgb[:, :, 0], rgb[:, :, -1]], axis=1)
    background = np.median(border, axis=1)[:, None, None]
    mask = np.linalg.norm(rgb - background, axis=-1) > 0.25
    warm = (rgb[..., 0] - rgb[..., 2])[mask]
    return mask.mean(), warm.mean() if mask.any() else 0.0


def on_vectors(x):
    length = np.sqrt(np.median(pdist(np.asarray(x, float), "sqeuclidean")))
    kernel = ConstantKernel() * RBF(length) + WhiteKernel()
    return {
        "Ridge": RidgeCV(np.logspace(-3, 5, 17)),
        "GaussianProcessRegressor": GaussianProcessRegressor(kernel, normalize_y=True),
    }


def on_texts(distance, prompts):
    kernel = ConstantKernel() * ConjureKernel(distance, distance.fit(prompts).bandwidth_)
    similarity = clone(distance).set_params(output="kernel", psd="clip")
    repaired = make_pipeline(similarity, KernelRidge(kernel="precomputed"))
    ridge = GridSearchCV(repaired, {"kernelridge__alpha": np.logspace(-4, 1, 6)}, cv=5)
    process = GaussianProcessRegressor(kernel + WhiteKernel(), normalize_y=True)
    return {
        "Ridge": TransformedTargetRegressor(ridge, transformer=StandardScaler()),
        "GaussianProcessRegressor": process,
    }


def score(model, x, y):
    """Out-of-fold R^2."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        predicted = cross_val_predict(model, x, y, cv=FOLDS)
    return float(1 - np.mean((predicted - y) ** 2) / np.var(y))


if __name__ == "__main__":
    main()
