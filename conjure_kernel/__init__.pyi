from ._checks import AccuracyWarning, CacheWarning, ConjureWarning, PromptWarning
from .engine.cost import Plan
from .engine.explanation import Explanation, explain
from .engine.pairwise import paired_divergence, pairwise_divergence
from .engine.parameters import PAPER
from .engine.plan import plan
from .engine.vividness import Vividness, vividness
from .engine.words import WordExplanation, explain_words
from .estimators.audit import audit_erasure
from .estimators.clusters import Clusters, find_clusters
from .estimators.distance import ConjureDistance
from .estimators.drift import ConjureDrift
from .estimators.drift_logger import DriftLogger
from .estimators.embedding import ConjureEmbedding
from .estimators.erasure import ErasureAudit
from .estimators.folds import TextKFold
from .estimators.gp import ConjureKernel
from .estimators.image_distance import ImageDistance
from .estimators.neighbors import ConjureNeighbors
from .estimators.pairs import ConjurePairs
from .estimators.series import Series
from .evaluation.ablation import ablate
from .evaluation.agreement import model_agreement
from .evaluation.comparison import compare, rank_agreement
from .evaluation.datasets import load_pairs
from .evaluation.evaluation import evaluate
from .method.accuracy import accuracy_bound, divergence_for_accuracy
from .method.divergence import Divergence
from .method.relative import RelativeDivergence
from .method.shapley import ShapleyValues
from .models.denoiser import Denoiser
from .models.gaussian import GaussianDenoiser, MixtureDenoiser
from .models.pretrained.load import load_denoiser
from .models.vocabulary import embedded_vocabulary
from .plot.html import html_map
from .report.report import Report, report_model

__version__: str
__all__ = [
    "PAPER",
    "AccuracyWarning",
    "CacheWarning",
    "Clusters",
    "ConjureDistance",
    "ConjureDrift",
    "ConjureEmbedding",
    "ConjureKernel",
    "ConjureNeighbors",
    "ConjurePairs",
    "ConjureWarning",
    "Denoiser",
    "Divergence",
    "DriftLogger",
    "ErasureAudit",
    "Explanation",
    "GaussianDenoiser",
    "ImageDistance",
    "MixtureDenoiser",
    "Plan",
    "PromptWarning",
    "RelativeDivergence",
    "Report",
    "Series",
    "ShapleyValues",
    "TextKFold",
    "Vividness",
    "WordExplanation",
    "ablate",
    "accuracy_bound",
    "audit_erasure",
    "compare",
    "divergence_for_accuracy",
    "embedded_vocabulary",
    "evaluate",
    "explain",
    "explain_words",
    "find_clusters",
    "html_map",
    "load_denoiser",
    "load_pairs",
    "model_agreement",
    "paired_divergence",
    "pairwise_divergence",
    "plan",
    "rank_agreement",
    "report_model",
    "vividness",
]
