"""The scikit-learn face: prompts in; matrices, vectors, graphs and features out."""
