"""Names that users of PyTorch look for on a handle or a session, and what serves here.

The entries are the names that differ; close misspellings of names that exist are left to Python's own
suggestion.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import NoReturn

HANDLE = {
    "backward": "session.backward_scalar_dense_all(loss) returns the gradients",
    "grad": "gradients are returned: grads = session.backward_scalar_dense_all(loss), then grads[ref]",
    "data": "read ref.value",
    "tolist": "use ref.value.tolist()",
    "cpu": "values are NumPy arrays on the CPU already: ref.value",
    "view": "use reshape",
    "unsqueeze": "index with None, as in x[:, None], or use reshape",
    "squeeze": "use reshape",
    "expand": "use broadcast_to",
    "repeat": "use broadcast_to and reshape, or session.concat",
    "t": "use ref.T",
    "mm": "use a @ b or session.matmul(a, b)",
    "dot": "use a @ b or session.matmul(a, b)",
    "amax": "use max",
    "min": "use -(-x).max(axis)",
    "std": "use var(axis, ddof).sqrt(); PyTorch's default is ddof=1, here it is 0",
    "argmax": "it has no derivative: use ref.value.argmax()",
    "clip": "use clamp",
    "requires_grad": "say it of the leaf: input(x, requires_grad=True), param(x, requires_grad=False)",
    "requires_grad_": "say it of the leaf: input(x, requires_grad=True), param(x, requires_grad=False)",
    "astype": "the session's scalar fixes the type: Session('float64'), or session.replay('float64')",
    "double": "the session's scalar fixes the type: Session('float64'), or session.replay('float64')",
    "half": "the session's scalar fixes the type: Session('float16'), or session.replay('float16')",
    "to": "the session's scalar fixes the type: Session('float64'), or session.replay('float64')",
}

SESSION = {
    "backward": "backward_scalar_dense_all(loss) returns the gradients",
    "zero_grad": "nothing accumulates: every backward pass returns its own gradients",
    "no_grad": "nothing is differentiated until a backward pass is asked for; detach(x) stops a gradient",
    "tensor": "use input(value) for data, param(value) for what is trained, const(value) in mid-graph",
    "Parameter": "use param(value), then use(param) in every recording",
    "parameter": "use param(value), then use(param) in every recording",
    "view": "use reshape",
    "cat": "use concat(xs, axis)",
    "stack": "reshape each to a new axis of length 1, then concat(xs, axis)",
    "transpose": "use x.transpose(i, j), permute(x, axes) or transpose2d(x)",
    "t": "use transpose2d",
    "mm": "use matmul",
    "dot": "use matmul",
    "einsum": "use matmul, permute and reshape",
    "pow": "use x ** c or pow_const(x, c)",
    "amax": "use reduce_max",
    "clip": "use clamp",
    "eq": "use equal(a, b)",
    "embedding": "use gather_rows_ref(table, input_nat_vec(indices))",
    "index_select": "use gather_rows_ref(x, input_nat_vec(indices)), or x[[0, 2]] for fixed ones",
    "batch_norm": "use batchnorm_channel_first; there are no running statistics",
    "binary_cross_entropy_with_logits": "use bce_with_logits",
    "scaled_dot_product_attention": "use multi_head_attention, or matmul and softmax",
    "avg_pool1d": "use avg_pool with kernel=(k,)",
    "max_pool1d": "use max_pool with kernel=(k,)",
    "avg_pool3d": "use avg_pool with kernel=(k, k, k)",
    "max_pool3d": "use max_pool with kernel=(k, k, k)",
    "conv1d": "use conv: the number of spatial axes is that of w's kernel",
    "conv3d": "use conv: the number of spatial axes is that of w's kernel",
    "rand": "use rand_uniform(shape, key)",
    "randn": "draw with NumPy and record with input or const",
    "zeros": "use full(shape, 0)",
    "ones": "use full(shape, 1)",
    "zeros_like": "use full(x.shape, 0)",
    "ones_like": "use full(x.shape, 1)",
}


class Elsewhere:
    """A class attribute that is not there: reading it raises `AttributeError` with the name that serves here.

    Not `__getattr__`: a class that has one loses CPython's fast attribute access, for every attribute.
    """

    __slots__ = ("hint", "name")

    def __init__(self, name: str, hint: str) -> None:
        self.name = name
        self.hint = hint

    def __get__(self, obj: object, owner: type) -> NoReturn:
        kind = owner.__name__ if obj is None else type(obj).__name__
        message = f"{kind!r} object has no attribute {self.name!r}; {self.hint}"
        raise AttributeError(message, name=self.name, obj=owner if obj is None else obj)


def point_elsewhere(owner: type, names: dict[str, str]) -> None:
    """Give a class the names that it does not have."""
    for name, hint in names.items():
        if inspect.getattr_static(owner, name, None) is not None:
            raise ValueError(f"{owner.__name__} has {name}: nothing to point to elsewhere")
        setattr(owner, name, Elsewhere(name, hint))


def names_in(owner: type, listed: Iterable[str]) -> list[str]:
    """What `dir` should show: the names listed, without those that are elsewhere."""
    return [name for name in listed if not isinstance(inspect.getattr_static(owner, name, None), Elsewhere)]
