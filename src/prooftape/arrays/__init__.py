"""Implementations of the array vocabulary: floats, exact numbers, graph recording."""
