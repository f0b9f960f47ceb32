"""A tape cut into blocks: what keeps XLA's compile time in proportion to the length of a graph on a CPU.

There XLA fuses a result with everything cheap before it, again for every result that needs it. Down a
reverse loop, where each step's gradient needs the cotangents of all steps above, the code then grows with
the square of the depth. A block is a call that XLA is told not to inline, so it fuses within a block only.

The loops are those of tape.py: a block is a small tape of its own, run by `forward_from` and
`backward_dense_from`. Cotangents that other blocks have begun are seeds of its reverse loop, so sums are
made in the order of the whole tape and cutting changes no definition. Blocks that are equal up to the
numbers of their slots are traced and lowered once (XLA still emits code for each call).

Measured (benchmarks/compile_time.py): see `block_size`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata

from prooftape.semantics import ReadNats
from prooftape.tape import Instr, Tape, backward_dense_from, forward_from
from prooftape.xla.arrays import JaxArrays

LONG = 48
"""Chains of cheap ops up to this long stay whole."""
BLOCK = 20
"""Instructions per block, about."""
PRODUCTS = {"absorbing_matmul", "bmm", "conv", "conv2d", "conv_transpose", "conv_transpose2d"}
PRODUCTS |= {"linear", "matmul", "multi_head_attention"}
"""Ops whose result XLA computes once, since it is that of a matrix product."""

Values = list[Any]
"""A value per slot, None where there is none."""


def block_size(instrs: Sequence[Instr], platform: str) -> int | None:
    """How long blocks should be; None for a tape that stays whole.

    Cut are only tapes for a CPU with a chain of more than `LONG` ops in which nothing is a matrix product:
    there the code grows with the square of the chain. Measured on one core, cut against whole, compile and
    step: chain of 1,000 nodes 2 s, 0.13 ms against 13 s, 5 ms; with 750 parameters of its own 2 s, 1 ms
    against minutes; of 5,000 nodes 13 s. Blocks of 8 to 32 are alike. Dense layers lose by cutting: 150 of
    width 64 compile in 1.8 s instead of 3.4 s, but a step takes 20 % longer; they stay whole.
    """
    return BLOCK if platform == "cpu" and longest_chain(instrs) > LONG else None


def longest_chain(instrs: Sequence[Instr]) -> int:
    """The most ops in a row, each reading the one before, with no matrix product among them."""
    length: dict[int, int] = {}
    for call, out, args, _, _ in instrs:
        product = call.op.name in PRODUCTS
        length[out] = 0 if product else 1 + max([length.get(a, 0) for a in args], default=0)
    return max(length.values(), default=0)


class _Block(NamedTuple):
    """Instructions of one block over slots of its own: first those from outside, then its results."""

    tape: Tape
    outside: tuple[int, ...]
    results: tuple[int, ...]
    nats: tuple[tuple[int, int], ...]
    key: tuple[object, ...]

    @property
    def slots(self) -> tuple[int, ...]:
        return self.outside + self.results


class Blocks:
    """The blocks of some instructions of a tape, in order, for use within one trace.

    Make one object per trace. `instrs` may leave out what nobody needs. `values` and cotangents are lists
    over all slots of the whole tape; `forward` fills in values, `backward` returns cotangents, both only for
    slots that a later block or `keep` asks for.
    """

    def __init__(self, xp: JaxArrays, instrs: Sequence[Instr], read: ReadNats, size: int) -> None:
        self.xp = xp
        self.read = read
        self.blocks = [_block(part) for part in _cut(instrs, size)]
        self.traced: dict[object, Callable[..., Any]] = {}

    def forward(self, values: Values, keep: Container[int]) -> None:
        """Run forward: set `values[i]` for every slot that another block reads or that is in `keep`.

        `keep` must hold the `saves` of every instruction whose VJP will run (see `saved_slots`).
        """
        used: set[int] = set()
        outputs = []
        for block in reversed(self.blocks):
            first = len(block.outside)
            outputs.append([first + k for k, s in enumerate(block.results) if s in used or s in keep])
            used.update(block.outside)
        for block, wanted in zip(self.blocks, reversed(outputs), strict=True):
            inputs = [values[s] for s in block.outside]

            def run(inputs: Values, nats: Values, block: _Block = block, wanted: list[int] = wanted) -> Any:
                local = list(inputs)
                forward_from(self.xp, block.tape.instrs, local, _reader(nats))
                return [local[i] for i in wanted]

            out = self._call(("forward", tuple(wanted)), block, run, inputs)
            for i, value in zip(wanted, out, strict=True):
                values[block.slots[i]] = value

    def backward(
        self, values: Values, cotangents: Sequence[Any], needed: Sequence[bool], keep: Container[int]
    ) -> Values:
        """Run the reverse loop from the seeds `cotangents`; leaves' cotangents are always returned."""
        ct = list(cotangents)
        for block in reversed(self.blocks):
            slots = block.slots
            asked = [needed[s] for s in slots]
            saved = {i for instr in block.tape.instrs for i in instr.saves}
            given = {i for instr in block.tape.instrs for i in instr.args if asked[i]}
            given.update(range(len(block.outside), len(slots)))
            seeds = [ct[s] if i in given else None for i, s in enumerate(slots)]
            if all(seed is None for seed in seeds[len(block.outside) :]):
                continue
            local = [values[s] if i in saved else None for i, s in enumerate(slots)]
            first = len(block.outside)
            wanted = [i for i in sorted(given) if i < first or slots[i] in keep]

            def run(
                inputs: Any,
                nats: Values,
                block: _Block = block,
                asked: list[bool] = asked,
                wanted: list[int] = wanted,
            ) -> Any:
                local, seeds = inputs
                out = backward_dense_from(self.xp, block.tape, local, seeds, _reader(nats), asked)
                return [out[i] for i in wanted]

            inputs = (local, seeds)
            out = self._call(("backward", tuple(asked), tuple(wanted)), block, run, inputs)
            for i, g in zip(wanted, out, strict=True):
                ct[slots[i]] = g
            for i in range(first, len(slots)):
                if slots[i] not in keep:
                    ct[slots[i]] = None
        return ct

    def _call(self, kind: object, block: _Block, run: Callable[..., Any], inputs: Any) -> Any:
        """`run(inputs, nats)` as a call that is not inlined, traced once for equal blocks."""
        nats = [self.read(start, k) for start, k in block.nats]
        fixed = {i: np.asarray(n) for i, n in enumerate(nats) if not isinstance(n, jax.Array)}
        key = (kind, block.key, tuple((i, n.dtype.str, n.shape, n.tobytes()) for i, n in fixed.items()))
        fn = self.traced.get(key)
        if fn is None:
            fn = self.traced[key] = jax.jit(self._collecting(run, fixed))
        moving = [None if i in fixed else n for i, n in enumerate(nats)]
        not_inlined: Any = set_xla_metadata
        with not_inlined(inlineable="false"):
            result, flag = fn(inputs, moving)
        if flag is not None:
            self.xp.suspects.append(flag)
        return result

    def _collecting(self, run: Callable[..., Any], fixed: dict[int, Any]) -> Callable[..., Any]:
        """`run`, returning also whether anything became suspect in it."""
        xp = self.xp

        def block(inputs: Any, moving: Values) -> Any:
            before, xp.suspects = xp.suspects, []
            try:
                result = run(inputs, [fixed.get(i, n) for i, n in enumerate(moving)])
                flag = None
                for suspect in xp.suspects:
                    flag = suspect if flag is None else lax.bitwise_or(flag, suspect)
            finally:
                xp.suspects = before
            return result, flag

        return block


def saved_slots(instrs: Sequence[Instr], needed: Sequence[bool]) -> set[int]:
    """The slots whose values VJPs read, if cotangents of the `needed` slots are wanted."""
    return {s for i in instrs if any(needed[a] for a in i.args) for s in i.saves}


def _reader(nats: Values) -> Callable[[int, int], Any]:
    return lambda start, k: nats[start]


def _block(instrs: Sequence[Instr]) -> _Block:
    results = tuple(i.out for i in instrs)
    inside = set(results)
    outside = tuple(sorted({s for i in instrs for s in (*i.args, *i.saves)} - inside))
    number = {s: k for k, s in enumerate(outside + results)}
    nats: dict[tuple[int, int], int] = {}
    local = []
    for call, out, args, saves, slots in instrs:
        reads = tuple((nats.setdefault(slot, len(nats)), slot[1]) for slot in slots)
        places = tuple(number[a] for a in args), tuple(number[s] for s in saves)
        local.append(Instr(call, number[out], *places, reads))
    key = (len(outside), *((id(i.call), *i[1:]) for i in local))
    return _Block(Tape(len(outside), local), outside, results, tuple(nats), key)


def _cut(instrs: Sequence[Instr], size: int) -> Iterator[Sequence[Instr]]:
    """Cut where the fewest results are still to be read, within a quarter of `size` of equal parts.

    In a graph of repeated layers that is at their borders, so that blocks repeat too.
    """
    last: dict[int, int] = {}
    for k, instr in enumerate(instrs):
        for a in instr.args:
            last[a] = k
    ends: list[int] = [0] * (len(instrs) + 1)
    crossing, at = 0, []
    for k, instr in enumerate(instrs):
        if last.get(instr.out, -1) > k:
            crossing += 1
            ends[last[instr.out]] += 1
        crossing -= ends[k]
        at.append(crossing)
    start = 0
    while len(instrs) - start > size + size // 4:
        choices = range(start + size - size // 4, start + size + size // 4 + 1)
        end = min(choices, key=lambda e: (at[e - 1], abs(e - start - size)))
        yield instrs[start:end]
        start = end
    yield instrs[start:]
