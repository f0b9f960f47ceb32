"""How a scalar kernel is run over an array: dtype, shape, block size, floating-point flags.

A kernel body maps a one-dimensional float64 array to a fresh float64 array and knows nothing else.
binary64 arrays go through the body as they are; every narrower float (binary32, binary16, bfloat16) is
widened exactly, computed in binary64 and rounded once, so that its error is hardly above half an ulp.
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


def run_body(body: Body, x: FloatArray) -> FloatArray:
    """Apply `body` entry by entry in binary64; same shape and dtype."""
    if x.size <= BLOCK:
        with np.errstate(all="ignore"):
            # a body returns a fresh array; what is no copy here is the result in binary64
            whole = body(x.reshape(-1).astype(np.float64, copy=False))
            return whole.astype(x.dtype, copy=False).reshape(x.shape)
    out = np.empty(x.shape, x.dtype)
    source, target = x.reshape(-1), out.reshape(-1)
    with np.errstate(all="ignore"):
        for start in range(0, x.size, BLOCK):
            block = source[start : start + BLOCK]
            target[start : start + BLOCK] = body(block.astype(np.float64, copy=False))
    return out


def run_ufunc(ufunc: np.ufunc, x: FloatArray) -> FloatArray:
    """One NumPy function in x's own precision."""
    out = np.empty(x.shape, x.dtype)
    with np.errstate(all="ignore"):
        ufunc(x, out=out)
    return out


def elementwise(
    name: str, doc: str, body: Body, single: Body | None = None, native_single: np.ufunc | None = None
) -> Kernel:
    """The kernel that runs `body`.

    `single` is a cheaper body, right to 2^-30, for the narrower inputs; `native_single` is the NumPy function
    that serves binary32 in binary32.
    """
    narrow = body if single is None else single

    def kernel(x: FloatArray) -> FloatArray:
        array = check_float(name, x)
        if array.dtype.itemsize == 8:  # of either byte order
            return run_body(body, array)
        if native_single is not None and array.dtype == np.float32:
            return run_ufunc(native_single, array)
        return run_body(narrow, array)

    kernel.__name__ = kernel.__qualname__ = name
    kernel.__doc__ = doc
    return kernel


def from_ufunc(name: str, doc: str, ufunc: np.ufunc, *, native_single: bool) -> Kernel:
    """A kernel that is one NumPy function; binary32 stays binary32 inside only if `native_single`."""

    def kernel(x: FloatArray) -> FloatArray:
        array = check_float(name, x)
        if array.dtype == np.float64 or (native_single and array.dtype == np.float32):
            return run_ufunc(ufunc, array)
        return run_body(ufunc, array)

    kernel.__name__ = kernel.__qualname__ = name
    kernel.__doc__ = doc
    return kernel
