"""`python -m prooftape` is the command `prooftape`."""

import sys

from prooftape.cli import main

sys.exit(main())
