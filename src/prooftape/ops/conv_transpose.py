"""Transposed convolution over any number of spatial axes: every input cell adds a scaled kernel to the
output.

    out[n, o, a * stride + q - padding] += w[i, o, q] * x[n, i, a],    then + b[o]

It is the transpose of a convolution's input map, so it uses the same columns the other way round. Output
padding, groups and dilation are not offered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from prooftape.attributes import Attr
from prooftape.errors import RuleError
from prooftape.op import Call, Op, Operand, Sample, Typing, add_present
from prooftape.ops.conv import bias_vjp, check_bias_and_image, check_kernel, with_bias
from prooftape.ops.sliding import Windows, per_axis
from prooftape.types import Shape
from prooftape.vocabulary import A, Vocabulary


def _windows(c: Call) -> Windows:
    """Windows over the output, one for each input cell."""
    w, _, x = c.shapes
    d = len(w) - 2
    return Windows(
        batch=x[0] if len(x) == d + 2 else 1,
        channels=w[1],
        size=c.shape[-d:],
        kernel=w[2:],
        stride=c.ints("stride"),
        padding=c.ints("padding"),
        counts=x[-d:],
    )


def _matrix(xp: Vocabulary[A], w: A) -> A:
    """(in channels, out channels * kernel cells)."""
    shape = xp.shape(w)
    return xp.reshape(w, (shape[0], math.prod(shape[1:])))


def _rows(xp: Vocabulary[A], win: Windows, c: Call, x: A) -> A:
    """(in channels, batch * input cells)."""
    channels = c.shapes[0][0]
    split = xp.permute(xp.reshape(x, (win.batch, channels, *win.counts)), (1, 0, *range(2, win.rank + 2)))
    return xp.reshape(split, (channels, win.batch * math.prod(win.counts)))


def _from_rows(xp: Vocabulary[A], win: Windows, c: Call, rows: A) -> A:
    """Inverse of `_rows`."""
    split = xp.reshape(rows, (c.shapes[0][0], win.batch, *win.counts))
    return xp.reshape(xp.permute(split, (1, 0, *range(2, win.rank + 2))), c.shapes[2])


def _fold(xp: Vocabulary[A], win: Windows, columns: A) -> A:
    """(out channels * kernel cells, batch * input cells) -> images: overlaps summed, padding cropped."""
    return win.from_columns(xp, xp.reshape(columns, win.columns_shape))


def _unfold(xp: Vocabulary[A], win: Windows, image: A) -> A:
    """Transpose of `_fold`."""
    columns = win.columns(xp, win.pad(xp, xp.reshape(image, win.image_shape)))
    return xp.reshape(columns, (win.channels * win.cells, win.batch * math.prod(win.counts)))


def _forward(xp: Vocabulary[A], c: Call, w: A, b: A, x: A) -> A:
    win = _windows(c)
    columns = xp.matmul(xp.permute(_matrix(xp, w), (1, 0)), _rows(xp, win, c, x))
    y = xp.add(_fold(xp, win, columns), with_bias(xp, b, win.image_shape))
    return xp.reshape(y, c.shape)


def _jvp(xp: Vocabulary[A], c: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]) -> A | None:
    win = _windows(c)
    w, _, x = primals
    dw, db, dx = tangents
    columns = add_present(
        xp,
        (
            None
            if dw is None
            else xp.amatmul(xp.permute(_matrix(xp, dw), (1, 0)), _rows(xp, win, c, x), linear=0),
            None
            if dx is None
            else xp.amatmul(xp.permute(_matrix(xp, w), (1, 0)), _rows(xp, win, c, dx), linear=1),
        ),
    )
    y = add_present(
        xp,
        (
            None if columns is None else _fold(xp, win, columns),
            None if db is None else with_bias(xp, db, win.image_shape),
        ),
    )
    return None if y is None else xp.reshape(y, c.shape)


def _vjp(
    xp: Vocabulary[A], c: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
) -> tuple[A | None, ...]:
    win = _windows(c)
    w, x = saved
    dw = db = dx = None
    if wanted[0] or wanted[2]:
        g = _unfold(xp, win, ct)
        if wanted[0]:
            product = xp.amatmul(_rows(xp, win, c, x), xp.permute(g, (1, 0)), linear=1)
            dw = xp.reshape(product, c.shapes[0])
        if wanted[2]:
            dx = _from_rows(xp, win, c, xp.amatmul(_matrix(xp, w), g, linear=1))
    if wanted[1]:
        db = bias_vjp(xp, c, ct)
    return dw, db, dx


def _shape_of(rank: int | None) -> Callable[[Typing], Shape]:
    def shape(t: Typing) -> Shape:
        d = check_kernel(t, rank, "input channels, output channels")
        w, _, x = t.shapes
        check_bias_and_image(t, d, inputs=w[0], outputs=w[1])
        stride, padding = per_axis(t, "stride", d, 1), per_axis(t, "padding", d, 0)
        size = tuple(
            (n - 1) * s - 2 * p + k for n, k, s, p in zip(x[-d:], w[2:], stride, padding, strict=True)
        )
        if min(size) < 1:
            raise RuleError(
                f"the output would have size {size}",
                "(in - 1) * stride - 2 * padding + kernel must be >= 1 on every axis; use a smaller padding",
            )
        return (*x[: -d - 1], w[1], *size)

    return shape


def _samples(rank: int | None) -> Callable[[], Iterable[Sample]]:
    cases: list[tuple[Shape, Shape, dict[str, object]]] = [
        ((1, 2, 2, 2), (1, 2, 2), {}),
        ((2, 1, 3, 2), (2, 2, 2, 1), {"stride": (2, 1), "padding": (1, 0)}),
        ((1, 1, 2, 2), (1, 2, 3), {"stride": 3, "padding": 1}),
        ((2, 1, 1, 1), (0, 2, 2, 1), {}),
    ]
    if rank is None:
        cases += [
            ((2, 2, 2), (2, 3), {"stride": 2}),
            ((1, 2, 3), (2, 1, 2), {"stride": 2, "padding": 2}),
            ((1, 1, 2, 1, 2), (1, 2, 2, 1), {"stride": (1, 2, 1), "padding": (0, 0, 0)}),
        ]
    return lambda: [Sample((Operand(w), Operand((w[1],)), Operand(x)), dict(attrs)) for w, x, attrs in cases]


def _conv_transpose(name: str, rank: int | None, doc: str, shapes_doc: str) -> Op:
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
                doc="output cells between two input cells, >= 1; one integer or one per axis",
            ),
            Attr(
                "padding",
                "per_axis",
                0,
                doc="output cells cropped on both sides, >= 0; one integer or one per axis",
            ),
        ),
        convention="output size (in - 1) * stride - 2 * padding + kernel; pass zeros as b for no bias",
    )


conv_transpose = _conv_transpose(
    "conv_transpose",
    None,
    "Transposed convolution over the spatial axes; their number is that of w's kernel axes.",
    "w (in, out, kernel…), b (out), x (in, spatial…) or (batch, in, spatial…) -> (out, spatial…), "
    "batched like x",
)

conv_transpose2d = _conv_transpose(
    "conv_transpose2d",
    2,
    "Transposed convolution over height and width.",
    "w (in, out, kh, kw), b (out), x (in, h, w) or (batch, in, h, w) -> (out, h', w'), batched like x",
)
