"""The cache: the energies, trajectories and vectors that are kept on disk, and their folder."""
