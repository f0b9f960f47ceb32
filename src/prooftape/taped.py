"""The tape of what is recorded, and what can be proved about both: the part of a session below its numbers.

Instructions are compiled as nodes appear, each once. `certify` hands Rocq the very instructions that run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from prooftape.certificates.trust import Trust, require_proved, trust
from prooftape.certificates.verdict import Verdict
from prooftape.errors import ValueTypeError, found
from prooftape.graph import Graph, Prefix
from prooftape.handle_methods import TensorRef
from prooftape.handles import Token
from prooftape.op import Call
from prooftape.recording import Mark
from prooftape.replay import Track
from prooftape.replaying import Replaying
from prooftape.tape import Instr, Tape, ancestors, compile_node
from prooftape.theory.contents import Theorems, theorems

if TYPE_CHECKING:
    from prooftape.theory.build import Progress


class Taped(Replaying):
    """A recorder with its tape."""

    def _start(self, token: Token) -> None:
        super()._start(token)
        self._instrs: list[Instr] = []

    def _undo(self, mark: Mark) -> None:
        super()._undo(mark)
        self._instrs = self._instrs[: len(self._nodes)]  # fresh: earlier gradients hold the old list

    def _restore(self, track: Track, leaves: int, nodes: int, nats: int) -> None:
        super()._restore(track, leaves, nodes, nats)
        if leaves == len(track.recorded.leaves):  # slots count from the leaves
            self._instrs = track.recorded.instrs[:nodes]

    def _compiled(self, n_nodes: int) -> list[Instr]:
        """Instructions of (at least) the first n nodes; compiled once, as nodes appear."""
        instrs, nodes, base = self._instrs, self._nodes, self._n_leaves
        for k in range(len(instrs), n_nodes):
            instrs.append(compile_node(nodes[k], base + k))
        return instrs

    def compile_tape(self) -> Tape:
        """The tape of the recorded graph: plain data."""
        return Tape(self._n_leaves, tuple(self._compiled(len(self._nodes))[: len(self._nodes)]))

    def _tape(self, n_nodes: int) -> Tape:
        """The tape of the first n nodes, as a backward pass runs it."""
        return Tape(self._n_leaves, self._compiled(n_nodes)[:n_nodes])

    def _host_step(self, step: Callable[[], None]) -> None:
        """Run an optimizer's step on the host."""
        step()

    # -- theorems ---------------------------------------------------------------------------------
    @property
    def theorems(self) -> Theorems:
        """The public theorems: name, meaning, statement, file, axioms; `verify()` asks Rocq again."""
        return theorems

    def certify(
        self,
        out: TensorRef,
        path: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> Verdict:
        """The certificate of the recorded graph and of the very tape that runs it, checked by Rocq.

        It is about the whole graph up to `out`, for every seed. `path` keeps the file. The first certificate
        on a machine compiles the theory, which takes minutes; `progress(file, done, total)` is told how far
        that is. See `Verdict` for the answer; raises `ProverError` when the prover is broken.
        """
        from prooftape.certificates.certify import certify  # here: few sessions need it, all would load it

        out = self._operand("certify", out)
        end = max(0, out.id + 1 - self._n_leaves)
        below = Graph(Prefix(self._leaves), Prefix(self._nodes, end), len(self._nats))
        return certify(below, Tape(self._n_leaves, self._compiled(end)[:end]), path, progress)

    def trust(self) -> Trust:
        """One row per op used: what its gradient rests on, the weakest link last. Prints as a table."""
        return trust(self.graph, self.scalar.name, self._lowering())

    def _lowering(self) -> Callable[[Call], str | None] | None:
        """How an engine that compiles the tape names the lowering of a call; None where the tape is run."""
        return None

    def _require(self, out: TensorRef, level: str | None, what: str) -> None:
        if level is None:
            return
        if level != "proved":
            raise ValueTypeError(f'{what}: require must be "proved" or None, got {found(level)}')
        self._compiled(len(self._nodes))
        require_proved(self.graph, sorted(ancestors(self._instrs, self._n_leaves, out.id, 0)), what)
