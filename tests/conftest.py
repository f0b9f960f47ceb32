"""Settings of the whole suite."""

from __future__ import annotations

from hypothesis import settings

# On a busy machine an example now and then takes long for reasons of its own; tests/perf measures growth.
settings.register_profile("prooftape", deadline=None)
settings.load_profile("prooftape")
