"""The XLA engine (extra `xla`): the same rules and the same tape, lowered through JAX to one XLA program.

Nothing loads this package unless the engine is asked for.
"""
