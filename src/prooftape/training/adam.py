"""Adam and AdamW, with bias correction, as PyTorch computes them.

Square roots have no exact value in rationals or in a prime field: there these rules raise `ScalarError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from prooftape.errors import AttributeValueError, ScalarError, ValueTypeError
from prooftape.numbers import Number
from prooftape.scalars import Scalar
from prooftape.training.optimizer import LearningRate, Optimizer, nonnegative
from prooftape.vocabulary import Vocabulary, shift


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam: Kingma and Ba, "Adam: a method for stochastic optimization" (ICLR 2015), algorithm 1.

        g <- g + weight_decay * p                            (L2; AdamW decays differently)
        m <- m + (1 - beta1) * (g - m)
        v <- beta2 * v + (1 - beta2) * g^2
        p <- p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)

    t counts the gradients this parameter has received, from 1; m and v start at 0 and are called `exp_avg`
    and `exp_avg_sq`. Defaults, and the place of eps (outside the root, after the bias correction), are those
    of `torch.optim.Adam` (amsgrad=False, maximize=False).
    """

    name: ClassVar[str] = "adam"
    zero_slots: ClassVar[bool] = True

    lr: LearningRate = 1e-3
    betas: tuple[Number, Number] = (0.9, 0.999)
    eps: Number = 1e-8
    weight_decay: Number = 0

    def __post_init__(self) -> None:
        self._read("lr", "eps", "weight_decay")
        if not isinstance(self.betas, (tuple, list)) or len(self.betas) != 2:
            raise ValueTypeError(f"{self.name}: betas must be a pair of numbers, got {self.betas!r}")
        betas = tuple(nonnegative(self.name, f"betas[{i}]", beta) for i, beta in enumerate(self.betas))
        for i, beta in enumerate(betas):
            if beta >= 1:
                raise AttributeValueError(f"{self.name}: betas[{i}] must be < 1, got {beta!r}")
        object.__setattr__(self, "betas", betas)

    @property
    def slots(self) -> tuple[str, ...]:
        """Running means of the gradient and of its square."""
        return ("exp_avg", "exp_avg_sq")

    def check_scalar(self, over: Scalar) -> None:
        """Floats only."""
        if not over.is_float:
            raise ScalarError(
                f"{self.name}: the update takes square roots, which have no exact value in scalar "
                f"{over.name}; use sgd, whose updates are exact there, or a float scalar"
            )

    def moving(self, number: Callable[[Number], Any], lr: Any, steps: int) -> tuple[Any, ...]:
        """Learning rate over the first bias correction, root of the second, and what weight decay leaves."""
        beta1, beta2 = map(number, self.betas)
        t = steps + 1
        return lr / (1 - beta1**t), (1 - beta2**t) ** 0.5, 1 - lr * number(self.weight_decay)

    def _decayed(self, xp: Vocabulary[Any], decay: Any, kept: Any, p: Any, g: Any) -> tuple[Any, Any]:
        """Parameter and gradient after weight decay: L2, the decay joins the gradient."""
        return p, xp.add(g, xp.scale(p, decay))

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
        rate, root, kept = moving
        if self.weight_decay != 0:
            p, g = self._decayed(xp, number(self.weight_decay), kept, p, g)
        beta1, beta2 = map(number, self.betas)
        m, v = old.get("exp_avg"), old.get("exp_avg_sq")
        m = xp.full(p.shape, 0) if m is None else m
        v = xp.full(p.shape, 0) if v is None else v
        m = xp.finish(xp.add(m, xp.scale(xp.sub(g, m), 1 - beta1)))
        v = xp.finish(xp.add(xp.scale(v, beta2), xp.scale(xp.square(g), 1 - beta2)))
        # one number seen in v's shape: `full` keeps its arrays for reuse, and root is another at every step
        roots = xp.broadcast(xp.full((), root), v.shape, ())
        denominator = shift(xp, xp.div(xp.sqrt(v), roots), number(self.eps))
        step = xp.scale(xp.div(m, denominator), rate)
        return xp.sub(p, step), {"exp_avg": m, "exp_avg_sq": v}


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay.

    Loshchilov and Hutter, "Decoupled weight decay regularization" (ICLR 2019), algorithm 2.

    First p <- p * (1 - lr * weight_decay), then Adam's update with the gradient as it is. As in PyTorch
    (`torch.optim.AdamW`) the decay is multiplied by the learning rate; the default weight_decay is 0.01.
    """

    name: ClassVar[str] = "adamw"

    weight_decay: Number = 1e-2

    def _decayed(self, xp: Vocabulary[Any], decay: Any, kept: Any, p: Any, g: Any) -> tuple[Any, Any]:
        return xp.scale(p, kept), g
