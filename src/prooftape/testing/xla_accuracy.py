"""Measured accuracy of XLA's scalar functions, in ulp. Placeholder until measured."""

MARGIN = 2.0
MEASURED: dict[str, dict[str, float]] = {
    "float32": {"exp": 4.0, "rsqrt": 2.0},
    "float64": {"exp": 4.0, "rsqrt": 2.0},
}
