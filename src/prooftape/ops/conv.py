"""Convolution (cross-correlation, as everywhere in deep learning) over any number of spatial axes.

    out[n, o, u] = b[o] + sum over i, q of w[o, i, q] * x[n, i, u * stride + q - padding]

The windows of all images are laid side by side as columns, so forward and both transposes are one matrix
product each over the whole batch. Groups and dilation are not offered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from prooftape.attributes import Attr
from prooftape.errors import RuleError
from prooftape.op import Call, Op, Operand, Sample, Typing, add_present
from prooftape.ops.sliding import Windows, check_fits, check_image, per_axis
from prooftape.types import Shape
from prooftape.vocabulary import A, Vocabulary


def check_kernel(t: Typing, rank: int | None, axes: str) -> int:
    """Checks w (against `rank`, if given), returns its number of kernel axes. `axes` names its first two."""
    w = t.shapes[0]
    if len(w) < 3:
        raise RuleError(f"w must have axes ({axes}, kernel…)", "without a kernel axis it is linear(w, b, x)")
    if rank is not None and len(w) != rank + 2:
        raise RuleError(
            f"w must have axes ({axes}) and {rank} kernel axes",
            f"{t.op.name.removesuffix('2d')} takes any number of kernel axes",
        )
    if 0 in w:
        raise RuleError("w has an empty axis", "channels and kernel sizes must be >= 1")
    return len(w) - 2


def check_bias_and_image(t: Typing, rank: int, inputs: int, outputs: int) -> None:
    """Checks b and x against w's channels."""
    _, b, x = t.shapes
    if b != (outputs,):
        raise RuleError(
            f"b must have shape ({outputs},), one entry per output channel of w", "pass zeros for no bias"
        )
    check_image("x", x, rank)
    if x[-rank - 1] != inputs:
        raise RuleError(
            f"x has {x[-rank - 1]} channels but w takes {inputs}",
            "x is channels first: (channels, …) or (batch, channels, …)",
        )


def with_bias(xp: Vocabulary[A], b: A, shape: Shape) -> A:
    """b broadcast over a batched image shape."""
    return xp.broadcast(b, shape, (1,))


def bias_vjp(xp: Vocabulary[A], c: Call, ct: A) -> A:
    """Sum of the cotangent over everything but the channel axis."""
    channel = len(c.shape) - len(c.shapes[0]) + 1
    return xp.sum(ct, tuple(a for a in range(len(c.shape)) if a != channel))


def _windows(c: Call) -> Windows:
    w, _, x = c.shapes
    d = len(w) - 2
    return Windows(
        batch=x[0] if len(x) == d + 2 else 1,
        channels=w[1],
        size=x[-d:],
        kernel=w[2:],
        stride=c.ints("stride"),
        padding=c.ints("padding"),
        counts=c.shape[-d:],
    )


def _columns(xp: Vocabulary[A], win: Windows, x: A) -> A:
    """(in channels * kernel cells, batch * windows): every window a column."""
    cols = win.columns(xp, win.pad(xp, xp.reshape(x, win.image_shape)))
    return xp.reshape(cols, (win.channels * win.cells, win.batch * math.prod(win.counts)))


def _matrix(xp: Vocabulary[A], w: A) -> A:
    """(out channels, in channels * kernel cells)."""
    shape = xp.shape(w)
    return xp.reshape(w, (shape[0], math.prod(shape[1:])))


def _to_image(xp: Vocabulary[A], win: Windows, c: Call, rows: A) -> A:
    """(out channels, batch * windows) -> the output's shape with a batch axis."""
    split = xp.reshape(rows, (c.shapes[0][0], win.batch, *win.counts))
    return xp.permute(split, (1, 0, *range(2, win.rank + 2)))


def _from_image(xp: Vocabulary[A], win: Windows, c: Call, image: A) -> A:
    """Inverse of `_to_image`, from the output's own shape."""
    channels = c.shapes[0][0]
    split = xp.permute(xp.reshape(image, (win.batch, channels, *win.counts)), (1, 0, *range(2, win.rank + 2)))
    return xp.reshape(split, (channels, win.batch * math.prod(win.counts)))


def _forward(xp: Vocabulary[A], c: Call, w: A, b: A, x: A) -> A:
    win = _windows(c)
    if (fused := xp.fused("conv")) is not None:
        done = fused(w, b, xp.reshape(x, win.image_shape), win.stride, win.padding)
        if done is not None:
            return xp.reshape(done, c.shape)
    y = _to_image(xp, win, c, xp.matmul(_matrix(xp, w), _columns(xp, win, x)))
    return xp.reshape(xp.add(y, with_bias(xp, b, xp.shape(y))), c.shape)


def _jvp(xp: Vocabulary[A], c: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]) -> A | None:
    win = _windows(c)
    w, _, x = primals
    dw, db, dx = tangents
    rows = add_present(
        xp,
        (
            None if dw is None else xp.amatmul(_matrix(xp, dw), _columns(xp, win, x), linear=0),
            None if dx is None else xp.amatmul(_matrix(xp, w), _columns(xp, win, dx), linear=1),
        ),
    )
    image_shape = (win.batch, c.shapes[0][0], *win.counts)
    y = add_present(
        xp,
        (
            None if rows is None else _to_image(xp, win, c, rows),
            None if db is None else with_bias(xp, db, image_shape),
        ),
    )
    return None if y is None else xp.reshape(y, c.shape)


def _fused_weight(xp: Vocabulary[A], win: Windows, c: Call, x: A, ct: A) -> A | None:
    """The cotangent of w where the backend has a kernel of its own for it."""
    fused = xp.fused("conv_weight")
    if fused is None:
        return None
    g = xp.reshape(ct, (win.batch, c.shapes[0][0], *win.counts))
    return fused(g, xp.reshape(x, win.image_shape), win.kernel, win.stride, win.padding)


def _fused_image(xp: Vocabulary[A], win: Windows, c: Call, w: A, ct: A) -> A | None:
    """The cotangent of x, likewise."""
    fused = xp.fused("conv_image")
    if fused is None:
        return None
    g = xp.reshape(ct, (win.batch, c.shapes[0][0], *win.counts))
    dx = fused(w, g, win.size, win.stride, win.padding)
    return None if dx is None else xp.reshape(dx, c.shapes[2])


def _vjp(
    xp: Vocabulary[A], c: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
) -> tuple[A | None, ...]:
    win = _windows(c)
    w, x = saved
    dw = _fused_weight(xp, win, c, x, ct) if wanted[0] else None
    dx = _fused_image(xp, win, c, w, ct) if wanted[2] else None
    db = None
    by_weight, by_image = wanted[0] and dw is None, wanted[2] and dx is None
    if by_weight or by_image:
        g = _from_image(xp, win, c, ct)
        if by_weight:
            product = xp.amatmul(g, xp.permute(_columns(xp, win, x), (1, 0)), linear=0)
            dw = xp.reshape(product, c.shapes[0])
        if by_image:
            columns = xp.amatmul(xp.permute(_matrix(xp, w), (1, 0)), g, linear=1)
            dx = xp.reshape(win.from_columns(xp, xp.reshape(columns, win.columns_shape)), c.shapes[2])
    if wanted[1]:
        db = bias_vjp(xp, c, ct)
    return dw, db, dx


def _shape_of(rank: int | None) -> Callable[[Typing], Shape]:
    def shape(t: Typing) -> Shape:
        d = check_kernel(t, rank, "output channels, input channels")
        w, _, x = t.shapes
        check_bias_and_image(t, d, inputs=w[1], outputs=w[0])
        stride, padding = per_axis(t, "stride", d, 1), per_axis(t, "padding", d, 0)
        return (*x[: -d - 1], w[0], *check_fits(x[-d:], w[2:], stride, padding))

    return shape


def _samples(rank: int | None) -> Callable[[], Iterable[Sample]]:
    cases: list[tuple[Shape, Shape, dict[str, object]]] = [
        ((2, 1, 2, 2), (1, 3, 3), {}),
        ((2, 2, 2, 1), (2, 2, 3, 2), {"stride": (2, 1), "padding": (1, 0)}),
        ((1, 1, 3, 2), (1, 3, 2), {"stride": 3, "padding": 2}),
        ((1, 2, 1, 1), (0, 2, 2, 1), {}),
    ]
    if rank is None:
        cases += [
            ((2, 2, 2), (2, 5), {"stride": 2}),
            ((1, 2, 3), (2, 2, 2), {"padding": 1}),
            ((1, 1, 2, 1, 2), (1, 2, 2, 3), {"stride": (1, 1, 2), "padding": (0, 1, 1)}),
        ]
    return lambda: [Sample((Operand(w), Operand((w[0],)), Operand(x)), dict(attrs)) for w, x, attrs in cases]


def _conv(name: str, rank: int | None, doc: str, shapes_doc: str) -> Op:
    return Op(
        name=name,
        family="convolution",
        operands=("w", "b", "x"),
        shape_rule=_shape_of(rank),
        forward=_forward,
        jvp=_jvp,
        vjp=_vjp,
        saves=("w", "x"),
        samples=_samples(rank),
        doc=doc,
        shapes_doc=shapes_doc,
        attrs=(
            Attr(
                "stride",
                "per_axis",
                1,
                doc="cells from one window to the next, >= 1; one integer or one per axis",
            ),
            Attr("padding", "per_axis", 0, doc="zeros on both sides, >= 0; one integer or one per axis"),
        ),
        convention="output size (in + 2 * padding - kernel) // stride + 1; pass zeros as b for no bias",
    )


conv = _conv(
    "conv",
    None,
    "Convolution (cross-correlation) over the spatial axes; their number is that of w's kernel axes.",
    "w (out, in, kernel…), b (out), x (in, spatial…) or (batch, in, spatial…) -> (out, spatial…), "
    "batched like x",
)

conv2d = _conv(
    "conv2d",
    2,
    "Convolution (cross-correlation) over height and width.",
    "w (out, in, kh, kw), b (out), x (in, h, w) or (batch, in, h, w) -> (out, h', w'), batched like x",
)
