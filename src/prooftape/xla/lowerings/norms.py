"""Norms over spatial axes: gamma is constant along them, so it is taken out of the sums.

With P1 and P2 the sums of ct and of ct * standard over the axes that gamma does not vary along, the
cotangents of beta and gamma are sums of P1 and P2, and the two means that the cotangent of x needs are sums
of gamma * P1 and gamma * P2: two passes over the image instead of four. Layer norm and RMS norm have no such
axis; their own rules are ahead of JAX already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from prooftape.op import Call
from prooftape.ops.norms import _channel_first, _groups, _variance, _View
from prooftape.vocabulary import keep, shift
from prooftape.xla.lowerings.lowering import Lowering
from prooftape.xla.lowerings.watching import watch_vectors

Arr = Any


def _rule(view_of: Callable[[Call], _View]) -> Callable[..., tuple[Arr | None, ...]]:
    def vjp(
        xp: Any, c: Call, saved: Sequence[Arr], ct: Arr, wanted: Sequence[bool]
    ) -> tuple[Arr | None, ...]:
        view = view_of(c)
        x, gamma = saved
        g = xp.reshape(ct, view.shape)
        inner = tuple(a for a in view.axes if a not in view.channels)
        kept = tuple(a for a in range(len(view.shape)) if a not in inner)
        deviation, variance = _variance(xp, view, xp.reshape(x, view.shape), True)
        inverse = view.spread(xp, xp.reciprocal(xp.sqrt(shift(xp, variance, c.number("eps")))))
        standard = xp.mul(deviation, inverse)
        sums = xp.sum(g, inner), xp.sum(xp.mul(g, standard), inner)
        dbeta, dgamma = (_over(xp, s, kept, view.channels, c.shapes[1]) for s in sums)
        watch_vectors(xp, (gamma, dbeta, dgamma))
        dx = None
        if wanted[0]:
            weight = xp.broadcast(
                xp.reshape(gamma, tuple(view.shape[a] for a in view.channels)),
                sums[0].shape,
                tuple(kept.index(a) for a in view.channels),
            )
            inside = tuple(kept.index(a) for a in view.axes if a in kept)
            mean, lean = (_mean(xp, view, xp.mul(s, weight), inside) for s in sums)
            dx = xp.mul(
                xp.sub(xp.sub(xp.mul(g, view.per_channel(xp, gamma)), mean), xp.mul(lean, standard)), inverse
            )
            dx = xp.reshape(dx, c.shapes[0])
        return dx, dgamma if wanted[1] else None, dbeta if wanted[2] else None

    return vjp


def _over(xp: Any, s: Arr, kept: tuple[int, ...], channels: tuple[int, ...], shape: tuple[int, ...]) -> Arr:
    """A partial sum with axes `kept` summed over all but the channels'."""
    rest = tuple(i for i, a in enumerate(kept) if a not in channels)
    return xp.reshape(xp.sum(s, rest), shape)


def _mean(xp: Any, view: _View, s: Arr, inside: tuple[int, ...]) -> Arr:
    """The mean over the statistic's axes, of which `inside` are left in s, spread over the view."""
    total = xp.sum(s, inside)
    return keep(xp, xp.div(total, xp.full(total.shape, view.count)), view.shape, view.axes)


_DOC = "backward: gamma taken out of the sums"

LOWERINGS = (
    Lowering("batchnorm", ("batchnorm_channel_first",), _DOC, vjp=_rule(_channel_first)),
    Lowering(
        "group_norm",
        ("group_norm",),
        _DOC,
        lambda c: len(c.shapes[0]) > 2,
        vjp=_rule(_groups),
    ),
)
