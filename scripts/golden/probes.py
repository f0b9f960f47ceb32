"""PyTorch calls on inputs of our own, where OpInfo draws none: kinks, ties, tails, defaults, attention
without biases.

The truth is still PyTorch's; only the question is ours. Inputs are short decimals or small seeded grids, so
that a reader
can follow a record by hand.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import torch

INF, NAN = float("inf"), float("nan")


@dataclass
class Probe:
    """`op(input, *args, **kwargs)`."""

    input: Any
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


def t(*values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def grid(*shape: int, seed: int = 0) -> torch.Tensor:
    """Seeded multiples of 1/8 between -4 and 4."""
    rng = random.Random(f"{seed}:{shape}")
    n = 1
    for k in shape:
        n *= k
    return torch.tensor([rng.randrange(-32, 33) / 8 for _ in range(n)], dtype=torch.float64).reshape(shape)


def labels(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


def bools(*rows: Any) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.bool)


WIDE = t(
    -800.0,
    -100.0,
    -40.0,
    -20.0,
    -5.0,
    -1.0,
    -0.5,
    -1e-9,
    -0.0,
    0.0,
    1e-9,
    0.5,
    1.0,
    5.0,
    19.5,
    20.5,
    40.0,
    100.0,
    800.0,
)
EDGE = t(-INF, -1e308, -2.0, -1.0, -1e-308, -0.0, 0.0, 1e-308, 1.0, 2.0, 1e308, INF, NAN)


def _unary(*inputs: torch.Tensor) -> list[Probe]:
    return [Probe(x) for x in inputs]


def _attention(n: int, d: int, heads: int, mask: torch.Tensor | None = None) -> Probe:
    """Self-attention, embed_dim d, no biases, weights wanted by nobody."""
    x, w_in, w_out = grid(n, d, seed=1), grid(3 * d, d, seed=2) / 4, grid(d, d, seed=3) / 4
    return Probe(
        x,
        (x, x, d, heads, w_in, None, None, None, False, 0.0, w_out, None),
        {"training": False, "need_weights": False, "attn_mask": mask},
    )


def _conv(x: tuple[int, ...], w: tuple[int, ...], **options: Any) -> Probe:
    bias = w[1] if options.pop("transposed", False) else w[0]
    return Probe(grid(*x, seed=1), (grid(*w, seed=2), grid(bias, seed=3)), options)


TIED = torch.tensor(
    [[1.0, 3.0, 3.0, 2.0], [5.0, 5.0, 5.0, 5.0], [-1.0, -2.0, -1.0, -3.0]], dtype=torch.float64
)
TIED_IMAGE = torch.tensor(
    [[[1.0, 2.0, 2.0, 0.0], [2.0, 1.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0], [-1.0, -1.0, -2.0, -1.0]]],
    dtype=torch.float64,
)

PROBES: dict[str, list[Probe]] = {
    **{
        name: _unary(WIDE, EDGE)
        for name in (
            "abs",
            "neg",
            "exp",
            "sigmoid",
            "tanh",
            "square",
            "reciprocal",
            "sin",
            "cos",
            "erf",
            "expm1",
            "sqrt",
            "log",
            "nn.functional.relu",
            "nn.functional.silu",
        )
    },
    "log1p": _unary(t(-0.999, -0.5, -1e-9, -0.0, 0.0, 1e-9, 0.5, 1e9, 1e300), t(-2.0, -1.0, INF, NAN)),
    "nn.functional.softplus": _unary(
        t(-800.0, -40.0, -5.0, -0.5, -0.0, 0.0, 0.5, 5.0, 19.5, 20.0), t(20.5, 25.0, 40.0, 800.0)
    ),
    "nn.functional.gelu": _unary(WIDE, EDGE, grid(3, 2)),
    "nn.functional.leaky_relu": [Probe(WIDE), Probe(EDGE), Probe(WIDE, (), {"negative_slope": 0.25})],
    "nn.functional.elu": [Probe(WIDE), Probe(EDGE[:-1]), Probe(WIDE, (), {"alpha": 0.25})],
    "clamp": [
        Probe(t(-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, INF, -INF, NAN), (-1.0, 1.0)),
        Probe(t(-2.0, 0.5, 2.0), (0.5, 0.5)),
        Probe(t(-2.0, 0.0, 0.5, 2.0), (1.0, -1.0)),
        Probe(grid(2, 3), (-0.75, 1.25)),
    ],
    "pow": [
        Probe(t(-2.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0), (c,)) for c in (0.0, 0.5, 1.0, 2.0, 3.0, -1.0, 2.5)
    ],
    **{
        name: [
            Probe(
                t(1.0, 2.0, -3.0, 0.0, -0.0, INF, -INF, NAN, 1.0),
                (t(1.0, -2.0, -3.0, -0.0, 0.0, INF, 1.0, 1.0, NAN),),
            )
        ]
        for name in ("maximum", "minimum", "gt", "lt", "ge", "le", "eq")
    },
    "div.no_rounding_mode": [Probe(t(1.0, -1.0, 0.0, INF, 3.0), (t(0.0, -0.0, 0.0, INF, -7.0),))],
    "where": [Probe(t(1.0, NAN, INF), (bools(True, False, False), t(NAN, 2.0, 3.0)))],
    "permute": [Probe(grid(2, 3, 4), (axes,)) for axes in ((1, 2, 0), (2, 0, 1), (0, 2, 1))],
    "amax": [Probe(TIED), Probe(TIED, (), {"dim": 1}), Probe(TIED, (), {"dim": 0})],
    "max.reduction_no_dim": [Probe(TIED)],
    "softmax": [
        Probe(t(800.0, -800.0, 0.0), (0,)),
        Probe(t(1.0, -INF, 2.0), (0,)),
        Probe(grid(2, 3, 2), (1,)),
    ],
    "log_softmax": [
        Probe(t(800.0, -800.0, 0.0), (0,)),
        Probe(t(1.0, 2.0, 3.0), (0,)),
        Probe(grid(2, 3, 2), (1,)),
    ],
    "logsumexp": [
        Probe(t(800.0, -800.0, 0.0), (0,)),
        Probe(t(1.0, -INF, 2.0), (0,)),
        Probe(t(-INF, -INF), (0,)),
        Probe(grid(2, 3, 2), (1,)),
    ],
    "nn.functional.max_pool1d": [
        Probe(TIED, (2,), {"stride": 1}),
        Probe(TIED, (3,), {"stride": 2, "padding": 1}),
        Probe(-grid(2, 2, 5), (3, 1, 1)),
    ],
    "nn.functional.max_pool2d": [
        Probe(TIED_IMAGE, (2,)),
        Probe(TIED_IMAGE, ((3, 2),), {"stride": (1, 2), "padding": (1, 0)}),
        Probe(grid(2, 2, 5, 4), (2,), {"stride": 2}),
    ],
    "nn.functional.max_pool3d": [
        Probe(grid(1, 3, 4, 3), ((2, 2, 1),), {"stride": 1}),
        Probe(grid(2, 1, 3, 3, 3), (2, 1, 1)),
    ],
    "nn.functional.avg_pool1d": [
        Probe(t([1.0, 2.0, 3.0]), (2,), {"stride": 1, "padding": 1}),
        Probe(grid(2, 2, 5), (3, 2)),
    ],
    "nn.functional.avg_pool2d": [
        Probe(grid(2, 5, 4), (2, 1)),
        Probe(grid(2, 2, 5, 4), ((3, 2),), {"stride": (1, 2), "padding": (1, 0)}),
    ],
    "nn.functional.avg_pool3d": [
        Probe(grid(1, 3, 4, 3), ((2, 2, 1),), {"stride": 1}),
        Probe(grid(2, 1, 3, 3, 3), (2, 1, 1)),
    ],
    "nn.functional.conv1d": [
        _conv((2, 5), (3, 2, 2)),
        _conv((2, 2, 7), (3, 2, 3), stride=2, padding=1),
        _conv((1, 3), (1, 1, 5), padding=2),
    ],
    "nn.functional.conv2d": [
        _conv((2, 5, 4), (3, 2, 3, 2)),
        _conv((2, 2, 5, 4), (3, 2, 2, 3), stride=2, padding=1),
        _conv((1, 6, 5), (2, 1, 3, 2), stride=(3, 1), padding=(0, 2)),
        _conv((0, 2, 4, 4), (3, 2, 2, 2)),
    ],
    "nn.functional.conv3d": [
        _conv((1, 3, 4, 3), (2, 1, 2, 2, 2)),
        _conv((2, 2, 3, 3, 4), (2, 2, 2, 1, 3), stride=(1, 2, 1), padding=(1, 0, 1)),
    ],
    "nn.functional.conv_transpose1d": [
        _conv((2, 4), (2, 3, 2), transposed=True),
        _conv((1, 2), (1, 1, 3), stride=2, padding=1, transposed=True),
        _conv((2, 2, 3), (2, 1, 4), stride=3, padding=2, transposed=True),
    ],
    "nn.functional.conv_transpose2d": [
        _conv((2, 3, 4), (2, 3, 2, 3), transposed=True),
        _conv((2, 2, 3, 2), (2, 1, 3, 3), stride=2, padding=1, transposed=True),
        _conv((1, 3, 2), (1, 2, 2, 4), stride=(1, 3), padding=(0, 2), transposed=True),
    ],
    "nn.functional.conv_transpose3d": [
        _conv((1, 2, 3, 2), (1, 2, 2, 2, 2), transposed=True),
        _conv((2, 1, 2, 2, 3), (1, 1, 3, 2, 2), stride=(2, 1, 2), padding=(1, 0, 1), transposed=True),
    ],
    "nn.functional.scaled_dot_product_attention": [
        Probe(grid(3, 2, seed=1), (grid(4, 2, seed=2), grid(4, 3, seed=3))),
        Probe(
            grid(2, 3, 2, seed=1),
            (grid(2, 3, 2, seed=2), grid(2, 3, 4, seed=3)),
            {"is_causal": True},
        ),
        Probe(
            grid(2, 3, 2, seed=1),
            (grid(2, 4, 2, seed=2), grid(2, 4, 2, seed=3), grid(3, 4, seed=4)),
            {"scale": 0.25},
        ),
        Probe(
            grid(2, 2, seed=1),
            (grid(3, 2, seed=2), grid(3, 2, seed=3), bools([True, False, True], [False, True, True])),
        ),
    ],
    "nn.functional.mse_loss": [Probe(grid(3, 2), (grid(3, 2, seed=1),))],
    "nn.functional.huber_loss": [
        Probe(t(0.0, 1.0, -1.0, 2.0, -2.0, 0.5), (torch.zeros(6, dtype=torch.float64),)),
        Probe(grid(3, 2), (grid(3, 2, seed=1),), {"delta": 0.5}),
    ],
    "nn.functional.cross_entropy": [
        Probe(grid(4, 3), (labels(0, 2, 1, 2),)),
        Probe(t([800.0, 0.0], [0.0, 800.0]), (labels(0, 0),)),
    ],
    "nn.functional.nll_loss": [Probe(grid(4, 3), (labels(0, 2, 1, 2),))],
    "nn.functional.binary_cross_entropy_with_logits": [
        Probe(t(-800.0, -40.0, -1.0, 0.0, 1.0, 40.0, 800.0), (t(0.0, 1.0, 0.25, 1.0, 0.0, 1.0, 0.0),))
    ],
    "nn.functional.layer_norm": [
        Probe(grid(3, 4), ((4,), grid(4, seed=1), grid(4, seed=2))),
        Probe(t([2.0, 2.0, 2.0]), ((3,),)),
        Probe(grid(2, 2, 3), ((3,), grid(3, seed=1), grid(3, seed=2)), {"eps": 1e-6}),
    ],
    "nn.functional.rms_norm": [
        Probe(grid(3, 4), ((4,), grid(4, seed=1)), {"eps": 1e-5}),
        Probe(grid(2, 2, 3), ((3,), grid(3, seed=1)), {"eps": 1e-6}),
    ],
    "nn.functional.batch_norm": [
        Probe(grid(1, 2, 3, 2), (None, None, grid(2, seed=1), grid(2, seed=2)), {"training": True}),
        Probe(
            grid(3, 2, 2, 3), (None, None, grid(2, seed=1), grid(2, seed=2)), {"training": True, "eps": 1e-6}
        ),
    ],
    "nn.functional.group_norm": [
        Probe(grid(2, 4, 3), (2, grid(4, seed=1), grid(4, seed=2))),
        Probe(grid(2, 6, 2, 2), (3, grid(6, seed=1), grid(6, seed=2))),
    ],
    "nn.functional.multi_head_attention_forward": [
        _attention(2, 2, 2),
        _attention(3, 4, 2),
        _attention(3, 4, 1),
        _attention(4, 6, 3),
        _attention(3, 4, 2, bools([False, True, True], [False, False, True], [False, False, False])),
        _attention(3, 4, 2, bools([False, True, True], [True, True, True], [False, True, False])),
    ],
}
