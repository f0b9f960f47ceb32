"""Settings of the whole suite."""

from __future__ import annotations

import os

from hypothesis import settings

# Programs are compiled: none is fetched from the user's cache folder, and none is left there.
os.environ.setdefault("PROOFTAPE_XLA_CACHE", "0")

# On a busy machine an example now and then takes long for reasons of its own; tests/perf measures growth.
settings.register_profile("prooftape", deadline=None)
settings.load_profile("prooftape")
