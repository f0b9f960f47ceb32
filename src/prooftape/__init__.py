"""prooftape: an eager-style autodiff session whose gradients can be checked.

import prooftape as pt
s = pt.Session()
w = s.use(s.param([[1.0, 2.0]], name="w"))
loss = s.sum(s.square(w))
grads = s.backward_scalar_dense_all(loss)
grads[w]
"""

from typing import TYPE_CHECKING

from prooftape import distributed, errors, training
from prooftape.certificates.verdict import Verdict
from prooftape.grads import Grads
from prooftape.graph import Graph
from prooftape.handle_methods import TensorRef
from prooftape.handles import NatRef, NatVecRef
from prooftape.op import Op
from prooftape.ops import register
from prooftape.param import Param
from prooftape.scalars import modular
from prooftape.session import Session
from prooftape.state import SessionState
from prooftape.tape import Tape, compile_tape
from prooftape.theory.contents import theorems
from prooftape.training import adam, adamw, sgd
from prooftape.transforms.compiled import compile_step
from prooftape.transforms.functional import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

if TYPE_CHECKING:
    from prooftape.certificates.certify import certify
    from prooftape.certificates.verify import verify

__all__ = [
    "Grads",
    "Graph",
    "NatRef",
    "NatVecRef",
    "Op",
    "Param",
    "Session",
    "SessionState",
    "Tape",
    "TensorRef",
    "Verdict",
    "adam",
    "adamw",
    "certify",
    "compile_step",
    "compile_tape",
    "distributed",
    "errors",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "modular",
    "register",
    "sgd",
    "theorems",
    "training",
    "value_and_grad",
    "verify",
    "vjp",
]
__version__ = "0.1.0"


def __dir__() -> list[str]:
    """Also what is loaded on first use, for completion."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    """`certify` and `verify` are loaded when they are first used: they bring what runs the prover."""
    if name == "certify":
        from prooftape.certificates.certify import certify

        return certify
    if name == "verify":
        from prooftape.certificates.verify import verify

        return verify
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
