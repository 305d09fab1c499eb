"""What is kept on disk: energies, trajectories and vectors, and the folder that they lie in."""
