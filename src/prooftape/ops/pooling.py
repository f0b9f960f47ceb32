"""Pooling over sliding windows: maximum, average, and two smooth maxima. N-D, channels first.

A kernel given as a tuple says how many spatial axes there are; one more axis in x is the channel, two more
are batch and channel. A kernel given as one integer means every axis of x after the first, so x is then one
sample (the `…2d` ops have two spatial axes in any case). Windows of a maximum or a smooth maximum never see
the padding; averages count it as zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

from prooftape.attributes import Attr
from prooftape.errors import AttributeValueError, RuleError
from prooftape.op import Call, Op, Operand, Sample, Typing
from prooftape.ops.sliding import Windows, check_fits, check_image, per_axis
from prooftape.types import Shape
from prooftape.vocabulary import A, Vocabulary, shift


def _windows(c: Call) -> Windows:
    (x,) = c.shapes
    kernel = c.ints("kernel")
    d = len(kernel)
    return Windows(
        batch=x[0] if len(x) == d + 2 else 1,
        channels=x[-d - 1],
        size=x[-d:],
        kernel=kernel,
        stride=c.ints("stride"),
        padding=c.ints("padding"),
        counts=c.shape[-d:],
    )


# -- maximum ---------------------------------------------------------------------------------------------
def _max_forward(xp: Vocabulary[A], c: Call, x: A) -> A:
    win = _windows(c)
    padded = win.pad_edge(xp, xp.reshape(x, win.image_shape))
    if (fused := xp.fused("window_max")) is not None:
        done = fused(padded, win.kernel, win.stride)
        if done is not None:
            return xp.reshape(done, c.shape)
    return xp.reshape(xp.max(win.stacked(xp, padded), (0,)), c.shape)


def _winners(xp: Vocabulary[A], win: Windows, x: A) -> A:
    """Mask (batch, channels, counts…, cells) of the first maximal cell of every window, row-major."""
    return xp.first_max(win.rows(xp, win.pad(xp, xp.reshape(x, win.image_shape))), win.inside())


def _zeros(xp: Vocabulary[A], win: Windows) -> A:
    """A broadcast zero: it takes no memory and leaves the order of the cells in memory to the others."""
    return xp.broadcast(xp.full((), 0), win.rows_shape, ())


def _max_jvp(
    xp: Vocabulary[A], c: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]
) -> A | None:
    (dx,) = tangents
    assert dx is not None
    win = _windows(c)
    moves = win.rows(xp, win.pad(xp, xp.reshape(dx, win.image_shape)))
    chosen = xp.where(_winners(xp, win, primals[0]), moves, _zeros(xp, win))
    return xp.reshape(xp.sum(chosen, (len(win.rows_shape) - 1,)), c.shape)


def _max_vjp(
    xp: Vocabulary[A], c: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
) -> tuple[A | None, ...]:
    win = _windows(c)
    shape = win.rows_shape
    if not any(win.padding) and (fused := xp.fused("window_max_transposed")) is not None:
        images, given = xp.reshape(saved[0], win.image_shape), xp.reshape(ct, shape[:-1])
        done = fused(images, given, win.kernel, win.stride)
        if done is not None:
            return (xp.reshape(done, c.shapes[0]),)
    g = xp.broadcast(xp.reshape(ct, shape[:-1]), shape, tuple(range(len(shape) - 1)))
    placed = xp.where(_winners(xp, win, saved[0]), g, _zeros(xp, win))
    return (xp.reshape(win.from_rows(xp, placed), c.shapes[0]),)


# -- average: linear -------------------------------------------------------------------------------------
def _average(xp: Vocabulary[A], c: Call, x: A) -> A:
    win = _windows(c)
    total = xp.sum(win.stacked(xp, win.pad(xp, xp.reshape(x, win.image_shape))), (0,))
    return xp.reshape(xp.div(total, xp.full(xp.shape(total), win.cells)), c.shape)


def _average_vjp(
    xp: Vocabulary[A], c: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
) -> tuple[A | None, ...]:
    win = _windows(c)
    share = xp.reshape(xp.div(ct, xp.full(c.shape, win.cells)), win.stacked_shape[1:])
    return (xp.reshape(win.unstack(xp, _over_cells(xp, win, share)), c.shapes[0]),)


def _over_cells(xp: Vocabulary[A], win: Windows, per_window: A) -> A:
    """One number per window, given to each of its cells."""
    shape = win.stacked_shape
    return xp.broadcast(per_window, shape, tuple(range(1, len(shape))))


# -- smooth maxima -----------------------------------------------------------------------------------------
def _weights(xp: Vocabulary[A], c: Call, win: Windows, x: A) -> tuple[A, A, A, A]:
    """Stacked cells, their softmax weights at sharpness beta (0 for padding), and per window the largest
    beta * cell and the logarithm's argument: the sum of exp(beta * cell - largest)."""
    cells = win.stacked(xp, win.pad_edge(xp, xp.reshape(x, win.image_shape)))
    t = xp.scale(cells, c.number("beta"))
    largest = xp.stop_gradient(xp.max(t, (0,)))
    e = xp.exp(xp.sub(t, _over_cells(xp, win, largest)))
    inside = win.inside()
    if inside is not None:
        # counts…, cells -> cells, counts…; as numbers 1 and 0
        d = win.rank
        ones = xp.where(xp.mask(inside), xp.full(inside.shape, 1), xp.full(inside.shape, 0))
        real = xp.broadcast(xp.permute(ones, (d, *range(d))), win.stacked_shape, (0, *range(3, d + 3)))
        e = xp.amul(real, e)
    total = xp.sum(e, (0,))
    return cells, xp.div(e, _over_cells(xp, win, total)), largest, total


def _smooth_forward(xp: Vocabulary[A], c: Call, x: A) -> A:
    win = _windows(c)
    _, _, largest, total = _weights(xp, c, win, x)
    beta = xp.full(xp.shape(total), c.number("beta"))
    # largest is a constant only up to the shift: its derivative cancels against the sum's
    return xp.reshape(xp.div(xp.add(largest, xp.log(total)), beta), c.shape)


def _mean_forward(xp: Vocabulary[A], c: Call, x: A) -> A:
    win = _windows(c)
    cells, p, _, _ = _weights(xp, c, win, x)
    return xp.reshape(xp.sum(xp.amul(p, cells), (0,)), c.shape)


def _smooth_slopes(xp: Vocabulary[A], c: Call, win: Windows, x: A) -> A:
    """Derivative of (1 / beta) * logsumexp(beta * cells): the weights."""
    return _weights(xp, c, win, x)[1]


def _mean_slopes(xp: Vocabulary[A], c: Call, win: Windows, x: A) -> A:
    """Derivative of the weighted mean y: p * (1 + beta * (cell - y))."""
    cells, p, _, _ = _weights(xp, c, win, x)
    y = xp.sum(xp.amul(p, cells), (0,))
    lean = xp.scale(xp.sub(cells, _over_cells(xp, win, y)), c.number("beta"))
    return xp.amul(p, shift(xp, lean, 1))


def _sloped(slopes: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """JVP and VJP of an op whose output is, per window, sum over cells of slope * tangent."""

    def jvp(
        xp: Vocabulary[A], c: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]
    ) -> A | None:
        (dx,) = tangents
        assert dx is not None
        win = _windows(c)
        moves = win.stacked(xp, win.pad(xp, xp.reshape(dx, win.image_shape)))
        return xp.reshape(xp.sum(xp.amul(moves, slopes(xp, c, win, primals[0])), (0,)), c.shape)

    def vjp(
        xp: Vocabulary[A], c: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
    ) -> tuple[A | None, ...]:
        win = _windows(c)
        g = _over_cells(xp, win, xp.reshape(ct, win.stacked_shape[1:]))
        return (xp.reshape(win.unstack(xp, xp.amul(g, slopes(xp, c, win, saved[0]))), c.shapes[0]),)

    return jvp, vjp


# -- shapes ------------------------------------------------------------------------------------------------
def _shape_of(rank: int | None) -> Callable[[Typing], Shape]:
    def shape(t: Typing) -> Shape:
        (x,) = t.shapes
        kernel = t.attrs["kernel"]
        d = rank
        if d is None:
            d = len(kernel) if isinstance(kernel, tuple) else len(x) - 1
            if isinstance(kernel, int) and len(x) > 3:
                raise RuleError(
                    f"one integer as kernel does not say whether the first of {len(x)} axes is a batch",
                    "pass a tuple, one entry per spatial axis",
                    AttributeValueError,
                )
            if kernel == ():
                raise RuleError("kernel is empty", "pass one entry per spatial axis", AttributeValueError)
            if d < 1:
                raise RuleError(
                    "x must have a channel axis and at least one spatial axis",
                    "reshape a single channel to (1, n)",
                )
        check_image("x", x, d)
        k = per_axis(t, "kernel", d, 1)
        if t.attrs["stride"] is None:
            t.attrs["stride"] = k
        stride, padding = per_axis(t, "stride", d, 1), per_axis(t, "padding", d, 0)
        if any(2 * p > n for p, n in zip(padding, k, strict=True)):
            raise RuleError(
                f"padding must be at most half the kernel, got {padding} for kernel {k}",
                "pad pads by any width, with any number",
                AttributeValueError,
            )
        if "beta" in t.attrs:
            beta = t.number("beta")
            if not (beta < 0 or beta > 0) or abs(beta) == float("inf"):
                raise RuleError(
                    f"beta must be a finite number other than 0, got {beta}",
                    "avg_pool is the limit beta -> 0, max_pool the limit beta -> inf",
                    AttributeValueError,
                )
        return (*x[:-d], *check_fits(x[-d:], k, stride, padding))

    return shape


def _samples(rank: int | None, kind: str, attrs: dict[str, object]) -> Callable[[], Iterable[Sample]]:
    cases: list[tuple[Shape, dict[str, object]]] = [
        ((1, 3, 4), {"kernel": (2, 2), "stride": 1}),
        ((2, 2, 3, 4), {"kernel": (2, 3), "stride": (1, 2), "padding": (1, 1)}),
        ((2, 4, 3), {"kernel": (2, 1)}),
        ((1, 2, 2), {"kernel": (1, 1)}),
        ((0, 1, 2, 2), {"kernel": (2, 2)}),
    ]
    if rank is None:
        cases += [
            ((2, 5), {"kernel": 3, "stride": 1, "padding": 1}),
            ((2, 1, 4), {"kernel": (2,), "stride": 3}),
            ((1, 2, 2, 3), {"kernel": (2, 1, 2), "stride": 1, "padding": (1, 0, 1)}),
        ]
    return lambda: [Sample((Operand(x, kind),), {**a, **attrs}) for x, a in cases]


_N_D = "x (channels, spatial…) or (batch, channels, spatial…) -> the same with spatial axes pooled"
_2_D = "x (channels, h, w) or (batch, channels, h, w) -> (channels, h', w'), batched like x"
_SIZE = "output size (in + 2 * padding - kernel) // stride + 1"
_BETA = Attr("beta", "number", doc="sharpness, a literal other than 0; a negative one gives a smooth minimum")


def _pool(
    name: str,
    rank: int | None,
    rules: tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]],
    saves: tuple[str, ...],
    *,
    doc: str,
    convention: str,
    kind: str = "real",
    smooth: bool = False,
) -> Op:
    forward, jvp, vjp = rules
    means = "" if rank else "; one integer: all axes after the first, x being one sample of at most 3 axes"
    return Op(
        name=name,
        family="pooling",
        operands=("x",),
        shape_rule=_shape_of(rank),
        forward=forward,
        jvp=jvp,
        vjp=vjp,
        saves=saves,
        samples=_samples(rank, kind, {"beta": Fraction(3, 2)} if smooth else {}),
        doc=doc,
        shapes_doc=_2_D if rank else _N_D,
        attrs=(
            Attr("kernel", "per_axis", doc=f"cells per window, >= 1; one integer per spatial axis{means}"),
            *((_BETA,) if smooth else ()),
            Attr(
                "stride",
                "per_axis",
                None,
                optional=True,
                doc="cells from window to window, >= 1; default: kernel",
            ),
            Attr("padding", "per_axis", 0, doc="cells added on both sides, >= 0 and at most half the kernel"),
        ),
        convention=f"{convention}; {_SIZE}",
        transcendental=smooth,
    )


_MAX = (_max_forward, _max_jvp, _max_vjp)
_AVERAGE = (_average, lambda xp, c, primals, out, tangents: _average(xp, c, tangents[0]), _average_vjp)
_TIE = "padding is never a candidate; at a tie the first cell in row-major order has the derivative; nan wins"
_COUNTED = "padding counts as zeros in the mean"
_IGNORED = "padding is ignored"

max_pool = _pool(
    "max_pool",
    None,
    _MAX,
    ("x",),
    kind="distinct",
    doc="Largest cell of every window.",
    convention=_TIE,
)

max_pool2d = _pool(
    "max_pool2d",
    2,
    _MAX,
    ("x",),
    kind="distinct",
    doc="Largest cell of every window, over height and width.",
    convention=_TIE,
)

avg_pool = _pool("avg_pool", None, _AVERAGE, (), doc="Mean of every window.", convention=_COUNTED)

avg_pool2d = _pool(
    "avg_pool2d", 2, _AVERAGE, (), doc="Mean of every window, over height and width.", convention=_COUNTED
)

smooth_max_pool = _pool(
    "smooth_max_pool",
    None,
    (_smooth_forward, *_sloped(_smooth_slopes)),
    ("x",),
    smooth=True,
    doc="(1 / beta) * logsumexp(beta * cells) of every window, max-shifted: at least its maximum, by at most "
    "log(cells) / beta.",
    convention=_IGNORED,
)

smooth_max_pool2d = _pool(
    "smooth_max_pool2d",
    2,
    (_mean_forward, *_sloped(_mean_slopes)),
    ("x",),
    smooth=True,
    doc="Mean of every window weighted by softmax(beta * cells), max-shifted, over height and width: at most "
    "its maximum. (`smooth_max_pool` is another function: log-sum-exp.)",
    convention=_IGNORED,
)
