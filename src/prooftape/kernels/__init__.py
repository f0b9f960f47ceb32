"""Scalar functions over float arrays, accurate to 4 ulp over the whole finite range.

Every kernel maps a float array (float64, float32, float16 or bfloat16; any shape, 0-d and empty included) to
a new array of the same shape and dtype, raises no floating-point warning, propagates NaN and takes the
right limits at +-inf. The error bound holds for the stored input, subnormal results included, and is measured
against 200-bit references by tests/accuracy. `f_prime` is the derivative of `f`, where it is more than a
formula: the others are exp' = expm1' = exp, log' = 1/x, sqrt' = 0.5/sqrt(x), sin' = cos, cos' = -sin,
softplus' = sigmoid, log1p' = 1/(1+x), reciprocal' = -(1/x)(1/x), elu' = scaled_exp(x, alpha) below 0.
"""

from prooftape.kernels.elementary import (
    exp,
    expm1,
    log,
    log1p,
    reciprocal,
    scaled_exp,
    sqrt,
    tanh,
)
from prooftape.kernels.logistic import sigmoid, sigmoid_prime, silu, silu_prime, softplus, tanh_prime
from prooftape.kernels.normal import erf, erf_prime, gelu, gelu_prime, normal_cdf, normal_pdf
from prooftape.kernels.power import power, power_prime
from prooftape.kernels.trigonometric import cos, sin

__all__ = [
    "cos",
    "erf",
    "erf_prime",
    "exp",
    "expm1",
    "gelu",
    "gelu_prime",
    "log",
    "log1p",
    "normal_cdf",
    "normal_pdf",
    "power",
    "power_prime",
    "reciprocal",
    "scaled_exp",
    "sigmoid",
    "sigmoid_prime",
    "silu",
    "silu_prime",
    "sin",
    "softplus",
    "sqrt",
    "tanh",
    "tanh_prime",
]
