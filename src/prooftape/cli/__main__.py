"""`python -m prooftape.cli` is the command `prooftape`."""

import sys

from prooftape.cli import main

sys.exit(main())
