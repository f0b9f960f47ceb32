"""prooftape: an eager-style autodiff session whose gradients can be checked.

import prooftape as pt
s = pt.Session()
w = s.use(s.param([[1.0, 2.0]], name="w"))
loss = s.sum(s.square(w))
grads = s.backward_scalar_dense_all(loss)
grads[w]
"""

from prooftape import errors, training
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
from prooftape.training import adam, adamw, sgd
from prooftape.transforms.functional import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

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
    "adam",
    "adamw",
    "compile_tape",
    "errors",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "modular",
    "register",
    "sgd",
    "training",
    "value_and_grad",
    "vjp",
]
__version__ = "0.1.0"
