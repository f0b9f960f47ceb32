"""Stochastic gradient descent with momentum, dampening, Nesterov's variant and L2 weight decay.

Sums and products only, so it runs in every scalar: in rationals a training run is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from prooftape.errors import AttributeValueError, ValueTypeError
from prooftape.numbers import Number
from prooftape.training.optimizer import LearningRate, Optimizer
from prooftape.vocabulary import Vocabulary


@dataclass(frozen=True)
class SGD(Optimizer):
    """SGD with PyTorch's semantics and defaults (`torch.optim.SGD`).

        g <- g + weight_decay * p
        b <- g at the first step, momentum * b + (1 - dampening) * g after it
        p <- p - lr * (g + momentum * b)   with nesterov;   p - lr * b   without

    Without momentum no buffer is kept and p <- p - lr * g. Here b is the velocity before it is multiplied by
    the learning rate, unlike in Sutskever et al., "On the importance of initialization and momentum in deep
    learning" (ICML 2013), where it is multiplied first; the two differ when lr changes. nesterov needs
    momentum > 0 and dampening = 0.
    """

    name: ClassVar[str] = "sgd"

    lr: LearningRate = 1e-3
    momentum: Number = 0
    dampening: Number = 0
    weight_decay: Number = 0
    nesterov: bool = False

    def __post_init__(self) -> None:
        self._read("lr", "momentum", "dampening", "weight_decay")
        if not isinstance(self.nesterov, bool):
            raise ValueTypeError(f"sgd: nesterov must be True or False, got {self.nesterov!r}")
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise AttributeValueError(
                "sgd: nesterov=True needs momentum > 0 and dampening = 0, "
                f"got momentum={self.momentum!r}, dampening={self.dampening!r}"
            )

    @property
    def slots(self) -> tuple[str, ...]:
        """The velocity, when there is momentum."""
        return ("momentum_buffer",) if self.momentum != 0 else ()

    def rule(
        self,
        xp: Vocabulary[Any],
        number: Callable[[Number], Any],
        moving: Sequence[Any],
        p: Any,
        g: Any,
        old: Mapping[str, Any],
    ) -> tuple[Any, dict[str, Any]]:
        """See the class."""
        (lr,) = moving
        if self.weight_decay != 0:
            g = xp.add(g, xp.scale(p, number(self.weight_decay)))
        if self.momentum == 0:
            return xp.sub(p, xp.scale(g, lr)), {}
        momentum = number(self.momentum)
        buffer = old.get("momentum_buffer")
        if buffer is None:
            buffer = g
        else:
            buffer = xp.add(xp.scale(buffer, momentum), xp.scale(g, 1 - number(self.dampening)))
        buffer = xp.finish(buffer)  # what is stored is what is used: the state explains the update
        direction = xp.add(g, xp.scale(buffer, momentum)) if self.nesterov else buffer
        return xp.sub(p, xp.scale(direction, lr)), {"momentum_buffer": buffer}
