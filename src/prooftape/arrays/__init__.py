"""Implementations of the array vocabulary on NumPy arrays: floats and exact numbers."""
