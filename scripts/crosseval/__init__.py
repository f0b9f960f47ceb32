"""Cross-evaluation: what Python computes exactly, computed again inside Rocq, and compared."""
