"""Certificates: a graph and the tape that runs it, as a Rocq file whose theorem the prover checks."""
