"""The parts of proofs/Decl: what Rocq is told about the ops, printed from the op records."""
