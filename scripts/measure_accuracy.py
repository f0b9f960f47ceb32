"""Print the largest measured error, in ulp, of every kernel and derivative formula; exit 1 above 4 ulp.

    python scripts/measure_accuracy.py                       2,000 points a case
    python scripts/measure_accuracy.py --points 1000000 --only gelu --seed 7

NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL" in the environment measures NumPy's AVX2 code paths on a machine
that has AVX-512 (feature names: numpy.show_config()).
"""

import argparse
import re
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "accuracy"))

from exact_functions import REALS
from kernel_cases import CASES, measure

BOUND = 4.0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=2000, help="random points a case and dtype")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="regular expression over the case names")
    parser.add_argument("--dtype", choices=("float64", "float32"), action="append")
    options = parser.parse_args()
    print(f"reference: {type(REALS).__name__}; NumPy {np.__version__}; bound {BOUND} ulp")
    print(f"{'function':32} {'dtype':8} {'points':>8} {'max ulp':>9}  worst x")
    failures = 0
    for case in CASES:
        if not re.search(options.only, case.name):
            continue
        for name in options.dtype or case.dtypes:
            worst = measure(case, np.dtype(name), options.points, options.seed)
            mark = "" if worst.error <= BOUND else "  <-- above the bound"
            failures += bool(mark)
            print(
                f"{case.name:32} {name:8} {worst.points:8d} {worst.error:9.3f}  {worst.x!r}{mark}", flush=True
            )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
