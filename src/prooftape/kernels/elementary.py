"""Kernels that are one NumPy function, kept where measurement shows NumPy accurate enough.

Measured over all exponents (scripts/measure_accuracy.py; binary32 exhaustively): NumPy's binary64 exp,
expm1, log, log1p, tanh stay within 2 ulp on its AVX-512, AVX2 and plain code paths, subnormal results
included, and binary32 within 3, save log (up to 3.4), which therefore goes through binary64.
NaN gives NaN; limits at infinity are the IEEE ones.
"""

import numpy as np
import numpy.typing as npt

from prooftape.kernels._constants import TAIL_SCALE, TAIL_SHIFT
from prooftape.kernels.blocks import FloatArray, Kernel, check_float, from_ufunc, run_body

# exp(x) is subnormal, hence less than 53 bits, below this.
SUBNORMAL_EXP = -708.0

exp: Kernel = from_ufunc("exp", "e**x. Overflows to inf, underflows to 0.", np.exp, native_single=True)
expm1: Kernel = from_ufunc("expm1", "e**x - 1 without cancellation at 0.", np.expm1, native_single=True)
log: Kernel = from_ufunc("log", "Natural logarithm; -inf at 0, NaN below.", np.log, native_single=False)
log1p: Kernel = from_ufunc("log1p", "log(1 + x); -inf at -1, NaN below.", np.log1p, native_single=True)
sqrt: Kernel = from_ufunc("sqrt", "Square root, correctly rounded; NaN below 0.", np.sqrt, native_single=True)
tanh: Kernel = from_ufunc("tanh", "Hyperbolic tangent.", np.tanh, native_single=True)
reciprocal: Kernel = from_ufunc(
    "reciprocal", "1/x, correctly rounded; +-inf at +-0.", np.reciprocal, native_single=True
)


def exp_times(x: npt.NDArray[np.float64], factor: npt.NDArray[np.float64] | float) -> npt.NDArray[np.float64]:
    """factor * exp(x) for x below -700: rounded once where exp(x) itself would be subnormal.

    x + TAIL_SHIFT is exact there, as is (to 2^-58) TAIL_SCALE = exp(-TAIL_SHIFT).
    """
    return np.exp(x + TAIL_SHIFT) * factor * TAIL_SCALE


def scaled_exp(x: FloatArray, factor: float) -> FloatArray:
    """factor * exp(x), the derivative of factor * expm1(x) (ELU below 0); |factor| < 1e290.

    Where exp(x) is subnormal or overflows, factor is multiplied in before anything is rounded away.
    A zero factor gives 0 everywhere but at NaN.
    """
    if not abs(factor) < 1e290:
        raise ValueError(f"scaled_exp: factor must satisfy |factor| < 1e290, got {factor!r}")

    def body(block: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if factor == 0.0:
            return np.where(np.isnan(block), block, 0.0)
        result = np.exp(block)
        result *= factor
        extreme = np.abs(block) > -SUBNORMAL_EXP
        if extreme.any():
            # The half powers stay in range as long as the product does.
            half = np.exp(0.5 * block[extreme])
            result[extreme] = half * factor * half
        return result

    return run_body(body, check_float("scaled_exp", x))
