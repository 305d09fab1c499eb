from .ablation import SWEEPS, Ablation, ablate
from .agreement import Agreement, model_agreement
from .combined import combine
from .comparison import compare, partial_agreement, rank_agreement
from .contrast import contrast
from .cosine import CosineScorer
from .datasets import TASKS, ScoredPairs, load_pairs
from .evaluation import Evaluation, evaluate
from .mteb import MTEBModel
from .pair_scores import PairScores
from .scorers import (
    ConjureScorer,
    ImageScorer,
    SentenceTransformerScorer,
    TextEncoderScorer,
    score_divergence,
)
from .summary import disagreements, regression, summarize

__all__ = [
    "SWEEPS",
    "TASKS",
    "Ablation",
    "Agreement",
    "ConjureScorer",
    "CosineScorer",
    "Evaluation",
    "ImageScorer",
    "MTEBModel",
    "PairScores",
    "ScoredPairs",
    "SentenceTransformerScorer",
    "TextEncoderScorer",
    "ablate",
    "combine",
    "compare",
    "contrast",
    "disagreements",
    "evaluate",
    "load_pairs",
    "model_agreement",
    "partial_agreement",
    "rank_agreement",
    "regression",
    "score_divergence",
    "summarize",
]
