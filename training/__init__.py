"""How the embedded model is made: art and words, scenes, autoencoder, denoiser, evaluation."""
