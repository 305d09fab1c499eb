"""The scikit-learn estimators: from prompts to matrices, vectors, graphs and features."""
