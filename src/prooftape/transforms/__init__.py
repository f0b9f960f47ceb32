"""Functions that turn graphs into graphs (derivatives), and their PyTorch/JAX-style front."""
