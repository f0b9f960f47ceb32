"""Checks that ship with the package, for ops inside and outside this tree. Exact: no tolerance anywhere.

`check_op(op)` runs every sample of an op through: shape rule against evaluated shape, JVP against VJP
(adjointness), JVP against dual-number execution of the op's own forward, recorded derivatives against
computed ones, and the adjointness of those (second order). `random_session` draws graphs that use any op.
"""

from prooftape.testing.check import OpCheckError, check_op
from prooftape.testing.dual import DualArrays
from prooftape.testing.graphs import random_session
from prooftape.testing.opaque import OpaqueArrays, opaque_rationals, opaque_residues

__all__ = [
    "DualArrays",
    "OpCheckError",
    "OpaqueArrays",
    "check_op",
    "opaque_rationals",
    "opaque_residues",
    "random_session",
]
