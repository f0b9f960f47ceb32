"""How a scalar kernel is run over an array: dtype, shape, block size, floating-point flags.

A kernel body maps a one-dimensional float64 array to a fresh float64 array and knows nothing else.
binary64 arrays go through the body as they are; every narrower float (binary32, binary16, bfloat16) is
widened exactly, computed in binary64 and rounded once, so its error stays below 0.51 ulp or so.
The body never writes to its argument.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[Any]
Body = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
Kernel = Callable[[FloatArray], FloatArray]

# 64 KiB of float64: a body's dozen temporaries stay in the L2 cache and below malloc's mmap threshold.
BLOCK = 8192


def check_float(name: str, x: FloatArray) -> FloatArray:
    """x as an array, if its dtype is a float of at most 64 bits; else TypeError naming kernel and dtype."""
    array = np.asarray(x)
    dtype = array.dtype
    if (dtype.kind == "f" and dtype.itemsize <= 8) or dtype.name == "bfloat16":
        return array
    raise TypeError(f"{name}: expected float64, float32, float16 or bfloat16, got dtype {dtype}")


def run_body(name: str, body: Body, single: Body, x: FloatArray) -> FloatArray:
    """Apply `body` (binary64 input) or `single` (narrower input) entry by entry; same shape and dtype."""
    array = check_float(name, x)
    out = np.empty(array.shape, array.dtype)
    source, target = array.reshape(-1), out.reshape(-1)
    run = body if array.dtype == np.float64 else single
    with np.errstate(all="ignore"):
        for start in range(0, array.size, BLOCK):
            block = source[start : start + BLOCK]
            target[start : start + BLOCK] = run(block.astype(np.float64, copy=False))
    return out


def elementwise(name: str, doc: str, body: Body, single: Body | None = None) -> Kernel:
    """The kernel that runs `body`; `single`, if given, is a cheaper body to 2^-30 for narrower inputs."""
    narrow = body if single is None else single

    def kernel(x: FloatArray) -> FloatArray:
        return run_body(name, body, narrow, x)

    kernel.__name__ = kernel.__qualname__ = name
    kernel.__doc__ = doc
    return kernel


def from_ufunc(name: str, doc: str, ufunc: np.ufunc, *, native_single: bool) -> Kernel:
    """A kernel that is one NumPy function; binary32 stays binary32 inside only if `native_single`."""

    def kernel(x: FloatArray) -> FloatArray:
        array = check_float(name, x)
        if array.dtype == np.float64 or (native_single and array.dtype == np.float32):
            out = np.empty(array.shape, array.dtype)
            with np.errstate(all="ignore"):
                ufunc(array, out=out)
            return out
        return run_body(name, ufunc, ufunc, array)

    kernel.__name__ = kernel.__qualname__ = name
    kernel.__doc__ = doc
    return kernel
