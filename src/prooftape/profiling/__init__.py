"""Where the time of steps goes: `with s.profile() as p: …`, then `print(p)`, `p.save("profile.svg")`.

Nothing here runs, and no session looks for it, unless a profile is switched on: it then wraps the methods of
the watched sessions one by one, and unwraps them at its end.
"""

from prooftape.profiling.collect import Profile

__all__ = ["Profile"]
