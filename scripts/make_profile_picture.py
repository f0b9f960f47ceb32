"""Make docs/images/profile.svg, the picture of the guide: a small convolutional net, trained with Adam.

    python scripts/make_profile_picture.py [--engine numpy|xla]

The times are those of the machine it runs on, so the picture is not compared with anything.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import prooftape as pt
from prooftape.profiling import Profile

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "profile.svg"


def train(s: pt.Session, steps: int) -> Profile:
    """Steps of a net of two convolutions and two dense layers on random images of 16 x 16."""
    rng = np.random.default_rng(0)

    def param(name: str, *shape: int) -> pt.Param:
        return s.param(rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]) or 1), name=name)

    shapes = {"K1": (16, 1, 3, 3), "c1": (16,), "K2": (32, 16, 3, 3), "c2": (32,)}
    shapes |= {"W1": (128, 512), "b1": (128,), "W2": (10, 128), "b2": (10,)}
    params = [param(name, *shape) for name, shape in shapes.items()]
    images, labels = rng.normal(size=(64, 1, 16, 16)), rng.integers(0, 10, 64)
    adam = pt.adam(lr=1e-3)

    def step() -> None:
        s.reset_tape()
        k1, c1, k2, c2, w1, b1, w2, b2 = map(s.use, params)
        x, y = s.input(images, name="images"), s.input_nat_vec(labels)
        h = s.relu(s.conv2d(k1, c1, x, padding=1))
        h = s.max_pool2d(h, (2, 2), (2, 2))
        h = s.relu(s.conv2d(k2, c2, h, padding=1))
        h = s.max_pool2d(h, (2, 2), (2, 2))
        h = s.gelu(s.linear(w1, b1, s.reshape(h, (64, 512))))
        loss = s.cross_entropy(s.linear(w2, b2, h), y)
        adam.step(s, s.backward_scalar_dense_all(loss))
        loss.item()

    for _ in range(5):
        step()
    with s.profile() as p:
        for _ in range(steps):
            step()
    return p


def main() -> None:
    """Train, print the table, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="xla", choices=("numpy", "xla"))
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--out", type=Path, default=PICTURE)
    given = parser.parse_args()
    p = train(pt.Session(engine=given.engine), given.steps)
    print(p)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    p.save(given.out)
    print(f"written: {given.out}")


if __name__ == "__main__":
    main()
