"""exp of a difference, for the max-shifted functions (softmax, log-sum-exp, cross entropy)."""

from __future__ import annotations

from prooftape.vocabulary import A, Vocabulary


def exp_difference(xp: Vocabulary[A], x: A, y: A) -> A:
    """exp(x - y) to full relative accuracy: the rounding error of x - y, which exp magnifies, is put back.

    x - y is z + low exactly (Knuth's two-sum, The Art of Computer Programming 4.2.2, any order of
    magnitudes), and exp(z + low) = exp(z) * (1 + low) to rounding. In exact arithmetic low is 0.
    """
    z = xp.sub(x, y)
    back = xp.sub(z, x)
    low = xp.sub(xp.sub(x, xp.sub(z, back)), xp.add(y, back))
    # an infinite x leaves inf - inf in it: nan, which equals nothing
    low = xp.where(xp.equal(low, low), low, xp.full(xp.shape(x), 0))
    e = xp.exp(z)
    return xp.add(e, xp.amul(xp.stop_gradient(low), e))
