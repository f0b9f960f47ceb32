"""What is assumed of a float engine: its unit roundoff, its accuracy for each function, what it may rewrite.

A `Rounding` is a claim about an engine; `RoundingArrays` derives from it how far the engine's results can be
from a float64 evaluation of the same graph. docs/rounding.md says which of these numbers are theorems of
IEEE 754, which are measured, and which rewrites the XLA model allows for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from prooftape.testing.xla_accuracy import ABSOLUTE, FLUSHED, MARGIN, MEASURED

KERNEL_ULP = 4.0
"""What `prooftape.kernels` promises (and tests/accuracy measures) for each scalar function."""


@dataclass(frozen=True)
class Rounding:
    """The rounding errors an engine is allowed."""

    name: str
    dtype: np.dtype[np.floating]
    """What the engine computes in."""
    unit: float
    """Relative error of one correctly rounded operation: half an ulp."""
    floor: float
    """Absolute error where a result or an operand may be subnormal."""
    ulps: Mapping[str, float] = field(default_factory=dict)
    """Error of a scalar function in ulp; `default_ulps` for those not named."""
    default_ulps: float = KERNEL_ULP
    division: float = 1.0
    """Relative error of a division, in units."""
    root: float = 1.0
    """Relative error of a square root, in units."""
    rewrites: bool = False
    """Whether quotients, roots, exponentials may be regrouped, sums contracted; see docs/rounding.md."""
    function_floor: float = 0.0
    """Like `floor`, for the results of scalar functions."""
    absolute: Mapping[str, float] = field(default_factory=dict)
    """Absolute error of a scalar function on top of the relative one, in units (near the zeros of a sine)."""
    storage_unit: float = 0.0
    """Unit roundoff of the format that stored values are rounded to, if it is another (bfloat16)."""
    storage_floor: float = 0.0
    storage_largest: float = np.inf
    factor_unit: float = 0.0
    """Relative error each factor of a matrix product suffers first (TF32 and the like); 0 for none."""

    @property
    def precision(self) -> int:
        """Significand bits."""
        return int(np.finfo(self.dtype).nmant) + 1

    @property
    def largest(self) -> float:
        """Below this nothing overflows, whatever the last rounding does."""
        return float(np.finfo(self.dtype).max) * (1 - 2.0**-10)

    @property
    def smallest(self) -> float:
        """The smallest normal number."""
        return float(np.finfo(self.dtype).smallest_normal)

    @property
    def storage_precision(self) -> int:
        """Significand bits of stored values."""
        return round(-np.log2(self.storage_unit)) if self.storage_unit else self.precision

    def function(self, member: str) -> float:
        """Relative error of a scalar function, in units (an ulp is at most two of them)."""
        return 2 * self.ulps.get(member, self.default_ulps)


def _formats(scalar: str) -> tuple[np.dtype[np.floating], float]:
    dtype: np.dtype[np.floating] = np.dtype(np.float64 if scalar == "float64" else np.float32)
    return dtype, float(np.finfo(dtype).eps) / 2


def _stored(model: Rounding, scalar: str) -> Rounding:
    formats = {"bfloat16": (2.0**-8, 2.0**-133, 3.38e38), "float16": (2.0**-11, 2.0**-24, 65400.0)}
    if scalar not in formats:
        return model
    unit, smallest, largest = formats[scalar]
    floor = max(smallest, model.floor)
    return replace(model, storage_unit=unit, storage_floor=floor, storage_largest=largest)


def numpy_rounding(scalar: str = "float32") -> Rounding:
    """The NumPy engine: IEEE arithmetic with gradual underflow, kernels within 4 ulp, sums in any order."""
    dtype, unit = _formats(scalar)
    floor = float(np.finfo(dtype).smallest_subnormal)
    model = Rounding(f"numpy {scalar}", dtype, unit, floor, function_floor=KERNEL_ULP * floor)
    return _stored(model, scalar)


def xla_rounding(scalar: str = "float32") -> Rounding:
    """XLA: subnormal numbers may be flushed, products fused into sums, quotients regrouped."""
    dtype, unit = _formats(scalar)
    ulps = {name: MARGIN * worst for name, worst in MEASURED[dtype.name].items()}
    floor = float(np.finfo(dtype).smallest_normal)
    model = Rounding(
        f"xla {scalar}",
        dtype,
        unit,
        floor,
        ulps,
        default_ulps=MARGIN * max(MEASURED[dtype.name].values()),
        division=2.0,  # x * (1 / c) for x / c
        root=2 * ulps["rsqrt"] + 1,  # x * rsqrt(y) for x / sqrt(y)
        rewrites=True,
        function_floor=FLUSHED * floor,
        absolute=ABSOLUTE[dtype.name],
    )
    return _stored(model, scalar)
