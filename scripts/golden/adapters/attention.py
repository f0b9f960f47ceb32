"""Attention and dropout. Scaled dot-product attention is spelled with our primitive ops; the full layer is
our own op."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..program import NotApplicable, Program, Value
from ..registry import adapts


@adapts("nn.functional.scaled_dot_product_attention")
def scaled_dot_product_attention(
    b: Program,
    q: Value,
    k: Value,
    v: Value,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Value:
    """softmax(q kᵀ / sqrt(d)) v by its documented formula; a causal mask keeps j <= i, counted from the top
    left."""
    if dropout_p:
        raise NotApplicable("random dropout")
    if enable_gqa or (attn_mask is not None and is_causal):
        raise NotApplicable("grouped queries, or a mask beside is_causal")
    swap = (*range(k.ndim - 2), k.ndim - 1, k.ndim - 2)
    shape = (*np.broadcast_shapes(q.shape[:-2], k.shape[:-2]), q.shape[-2], k.shape[-2])
    scores = b.call("matmul", q, b.permute(k, swap), shape=shape)
    scores = b.call("scale", scores, 1 / math.sqrt(q.shape[-1]) if scale is None else scale, shape=shape)
    if isinstance(attn_mask, Value):
        scores = b.binary("add", scores, attn_mask)
    elif attn_mask is not None or is_causal:
        keep = np.tri(*shape[-2:], dtype=np.bool_) if is_causal else attn_mask
        blocked = b.broadcast(b.filled((), -math.inf), shape)
        scores = b.call("where", np.broadcast_to(keep, shape), scores, blocked, shape=shape)
    return b.call("matmul", b.call("softmax", scores, axis=-1), v)


@adapts("nn.functional.multi_head_attention_forward")
def multi_head_attention(
    b: Program,
    query: Value,
    key: Value,
    value: Value,
    embed_dim: int,
    num_heads: int,
    in_proj_weight: Value,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Value,
    out_proj_bias: Any,
    training: bool = True,
    attn_mask: Any = None,
    **options: Any,
) -> Value:
    """Self-attention without biases. PyTorch's projections act as x Wᵀ and its boolean mask says which pairs
    to *drop*."""
    if any(v is not None for v in (in_proj_bias, bias_k, bias_v, out_proj_bias)) or add_zero_attn:
        raise NotApplicable("attention with biases")
    if query is not key or query is not value:
        raise NotApplicable("cross-attention")
    if training and dropout_p:
        raise NotApplicable("random dropout")
    if query.ndim != 2:
        raise NotApplicable("attention with the batch axis in the middle")
    if isinstance(attn_mask, Value):
        raise NotApplicable("attention with an additive mask")
    d = embed_dim
    weights = []
    for i in range(3):
        rows = b.call("slice", in_proj_weight, axis=0, start=i * d, length=d)
        weights.append(b.call("transpose2d", rows))
    weights.append(b.call("transpose2d", out_proj_weight))
    if attn_mask is None:
        return b.call("multi_head_attention", *weights, query, num_heads=num_heads)
    return b.call("multi_head_attention", *weights, query, num_heads=num_heads, mask=~attn_mask)


@adapts("nn.functional.dropout")
def dropout(b: Program, x: Value, p: float = 0.5, training: bool = True, inplace: bool = False) -> Value:
    """Only the two deterministic ends: nothing dropped (p = 0, or not training), everything dropped (p =
    1)."""
    if not training:
        p = 0.0
    if p not in (0.0, 1.0):
        raise NotApplicable("random dropout")
    return b.call("dropout", x, float(p), 0)
