"""Every error a user can meet, one class per kind of mistake.

All derive from `ProofTapeError`, and also from the built-in exception a Python user would expect
(`ValueError`, `TypeError`, …), so both `except ProofTapeError` and `except ValueError` work.
Messages start with one line: what was asked, what was found, the rule, the usual fix.
"""

from __future__ import annotations


class ProofTapeError(Exception):
    """Base of all errors raised on purpose by this package."""


class ShapeError(ProofTapeError, ValueError):
    """Operand shapes do not fit the op's shape rule."""


class AttributeValueError(ProofTapeError, ValueError):
    """A static attribute of an op (axis, stride, probability, …) is missing or out of its domain."""


class OperandError(ProofTapeError, TypeError):
    """An operand is not a handle of the right kind (an array, a number, a mask instead of a real, …)."""


class ValueTypeError(ProofTapeError, TypeError):
    """A value (leaf, constant, seed, tangent) has a type or dtype this session cannot hold."""


class HandleError(ProofTapeError, RuntimeError):
    """A handle cannot be used here."""


class StaleHandleError(HandleError):
    """The handle was made before the last `reset_tape()` (or inside an operation that failed)."""


class ForeignHandleError(HandleError):
    """The handle belongs to another session."""


class LeafAfterNodeError(ProofTapeError, RuntimeError):
    """A leaf was added after the first op; all leaves come first."""


class IndexRangeError(ProofTapeError, IndexError):
    """A context id, or a static index, is out of range."""


class DomainError(ProofTapeError, ArithmeticError):
    """With `Session(domain="raise")`: an op met a value outside its domain.

    Attributes: `op`, `node` (context id), `index` (of the first bad entry), `location` (file:line).
    """

    def __init__(self, message: str, *, op: str, node: int, index: tuple[int, ...], location: str) -> None:
        super().__init__(message)
        self.op = op
        self.node = node
        self.index = index
        self.location = location


class ScalarError(ProofTapeError, TypeError):
    """The session's scalar cannot do this (a transcendental in exact rationals, order in a prime field).

    `node` is the context id of the node that was run, None outside a graph.
    """

    def __init__(self, message: str, *, node: int | None = None) -> None:
        super().__init__(message)
        self.node = node


class GraphError(ProofTapeError, ValueError):
    """A graph is ill-formed; the message names the first bad node. `node` is its context id (or -1)."""

    def __init__(self, message: str, *, node: int = -1) -> None:
        super().__init__(message)
        self.node = node


class GraphParseError(GraphError):
    """Graph text cannot be read; the message names the line."""


class GradientError(ProofTapeError, ValueError):
    """A gradient was asked for in a way that has no answer (non-scalar loss, wrong seed, …)."""


class DonatedError(ProofTapeError, RuntimeError):
    """A value that needs parameters as they were before a training step, whose memory the step was given."""


class CompiledStepError(ProofTapeError, TypeError):
    """A function given to `compile_step` does what a compiled step cannot, or got what it cannot take."""


class MeshError(ProofTapeError, ValueError):
    """Devices that are not there, or processes that do not run the same program."""


class WorkerLostError(ProofTapeError, RuntimeError):
    """Another process of the mesh has died or cannot be reached; start again from the last checkpoint."""


class CheckpointError(ProofTapeError, ValueError):
    """A checkpoint cannot be read, or does not match the parameters it is loaded into."""


class MissingExtraError(ProofTapeError, ImportError):
    """An optional dependency is needed; the message says which extra installs it."""


class ProverError(ProofTapeError, RuntimeError):
    """The prover is missing or broken, or the theory does not compile; no verdict about any certificate."""


class TrustError(ProofTapeError, ValueError):
    """A gradient was asked for at a level of trust that an op of the graph does not have.

    Attributes: `op`, its name, and `node`, the context id of its first use.
    """

    def __init__(self, message: str, *, op: str, node: int) -> None:
        super().__init__(message)
        self.op = op
        self.node = node


class UnknownTheoremError(ProofTapeError, KeyError):
    """There is no public theorem of this name; the message lists those there are."""

    __str__ = Exception.__str__  # KeyError's shows the repr of the message


class RuleError(Exception):
    """Internal: an op's shape rule refuses; the session turns it into a located `ShapeError`.

    `problem` is one clause without the op's name; `hint` is the usual fix; `kind` the public class.
    """

    def __init__(self, problem: str, hint: str = "", kind: type[ProofTapeError] = ShapeError) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint
        self.kind = kind


def check_flag(what: str, value: object) -> bool:
    """`value` if it is True or False; 1, "yes" or None are more likely an argument in the wrong place."""
    if not isinstance(value, bool) and type(value).__name__ not in ("bool", "bool_"):
        raise ValueTypeError(f"{what} must be True or False, got {found(value)}")
    return bool(value)


def check_name(what: str, value: object) -> str | None:
    """`value` if it can be the name of a leaf or parameter."""
    if value is not None and not isinstance(value, str):
        raise ValueTypeError(f"{what}: the name must be a str or None, got {found(value)}")
    return value


def found(value: object) -> str:
    """How messages show what was passed: its type and value, short, on one line."""
    if value is None:
        return "None"
    shape, name = getattr(value, "shape", None), type(value).__name__
    if isinstance(shape, tuple) and shape and not repr(value).startswith(name):
        return f"{name} of shape {shape}"
    try:
        text = repr(value.item() if shape == () and hasattr(value, "item") and name != "TensorRef" else value)
    except ValueError:  # Python does not print integers of more than 4300 digits
        return f"a huge {name}"
    text = " ".join(text.split())
    if " at 0x" in text or text.startswith(f"<{name}"):
        return f"a {name}"
    if not text.startswith(name):
        text = f"{name} {text}"
    return text if len(text) <= 60 else text[:57] + "..."


def count(n: int, noun: str) -> str:
    """`1 operand`, `2 operands`."""
    return f"{n} {noun}{'' if n == 1 else 's'}"
