"""How far XLA's scalar functions are off, in ulp. Written by scripts/measure_xla_accuracy.py.

Measured, not proved: every 97th binary32 number, 20000 binary64 points a function.
JAX 0.10.2 on cpu. The rounding model allows `MARGIN` times the worst error seen, so that a point not
sampled, or another processor's code path, may be somewhat worse than what was seen.
"""

MARGIN = 2.0
FLUSHED = 2048.0
"""Results of functions below so many times the smallest normal number may be flushed to zero."""
ABSOLUTE: dict[str, dict[str, float]] = {
    "float32": {},
    "float64": {"sin": 9.313225746154785e-10, "cos": 9.313225746154785e-10},
}
"""Absolute error on top, in units of roundoff: for sines of the huge numbers closest to multiples of pi."""
MEASURED: dict[str, dict[str, float]] = {
    "float32": {
        "exp": 5.52,
        "expm1": 5.66,
        "log": 1.16,
        "log1p": 2.44,
        "sqrt": 0.5,
        "sin": 0.57,
        "cos": 0.57,
        "tanh": 4.32,
        "sigmoid": 2.3,
        "softplus": 2.91,
        "erf": 5.49,
        "gelu": 4.8,
        "silu": 2.52,
        "tanh_prime": 2.29,
        "sigmoid_prime": 2.34,
        "erf_prime": 3.42,
        "gelu_prime": 4.42,
        "silu_prime": 3.88,
        "normal_pdf": 3.38,
        "rsqrt": 1.75,
        "pow": 1.73,
        "exp_difference": 1.45,
    },
    "float64": {
        "exp": 1.62,
        "expm1": 3.1,
        "log": 0.51,
        "log1p": 0.97,
        "sqrt": 0.5,
        "sin": 0.51,
        "cos": 0.51,
        "tanh": 6.93,
        "sigmoid": 1.99,
        "softplus": 2.17,
        "erf": 0.94,
        "gelu": 3.93,
        "silu": 2.17,
        "tanh_prime": 2.12,
        "sigmoid_prime": 1.98,
        "erf_prime": 2.4,
        "gelu_prime": 3.69,
        "silu_prime": 4.28,
        "normal_pdf": 3.27,
        "rsqrt": 0.97,
        "pow": 1.07,
        "exp_difference": 1.44,
    },
}
