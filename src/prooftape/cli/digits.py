"""What the demo trains: a small conv net on the 8x8 handwritten digits that come with scikit-learn.

1,797 images (E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998), a fifth held out for testing,
each digit in the same proportion. Every step is recorded anew: leaves, ops, loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prooftape.errors import MissingExtraError
from prooftape.handle_methods import TensorRef
from prooftape.param import Param
from prooftape.session import Session

Images = NDArray[np.float32]
Labels = NDArray[np.int64]

BATCH = 64
CHANNELS = (32, 64)
CLASSES = 10


@dataclass(frozen=True, slots=True)
class Digits:
    """Images (n, 1, 8, 8) with grey values from 0 to 1 in steps of 1/16, and their labels."""

    train: Images
    train_labels: Labels
    test: Images
    test_labels: Labels


def load_digits() -> Digits:
    """The data, split the same way every time."""
    try:
        from sklearn import datasets
        from sklearn.model_selection import train_test_split
    except ImportError:
        raise MissingExtraError("the demo needs scikit-learn: pip install 'prooftape[cli]'") from None
    pixels, labels = datasets.load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    parts = train_test_split(images, labels.astype(np.int64), test_size=0.2, random_state=0, stratify=labels)
    train, test, train_labels, test_labels = parts
    return Digits(train, train_labels, test, test_labels)


@dataclass(frozen=True, slots=True)
class Network:
    """Two convolutions 3x3 with relu and 2x2 max-pooling, then a linear layer to ten scores."""

    w1: Param
    b1: Param
    w2: Param
    b2: Param
    w3: Param
    b3: Param

    @classmethod
    def fresh(cls, s: Session, rng: np.random.Generator) -> Network:
        """Weights of variance 2 / fan-in (He et al. 2015), biases zero."""

        def weights(name: str, *shape: int) -> Param:
            deviation = np.sqrt(2 / np.prod(shape[1:]))
            return s.param(rng.normal(0, deviation, shape).astype(np.float32), name=name)

        c1, c2 = CHANNELS
        return cls(
            weights("w1", c1, 1, 3, 3),
            s.param(np.zeros(c1, np.float32), name="b1"),
            weights("w2", c2, c1, 3, 3),
            s.param(np.zeros(c2, np.float32), name="b2"),
            weights("w3", CLASSES, c2 * 2 * 2),
            s.param(np.zeros(CLASSES, np.float32), name="b3"),
        )

    def params(self) -> tuple[Param, ...]:
        """In the order of the leaves."""
        return (self.w1, self.b1, self.w2, self.b2, self.w3, self.b3)


@dataclass(frozen=True, slots=True)
class Recorded:
    """Handles of one recorded pass."""

    params: tuple[TensorRef, ...]
    images: TensorRef
    before1: TensorRef
    pooled1: TensorRef
    before2: TensorRef
    pooled2: TensorRef
    scores: TensorRef


def halve(s: Session, x: TensorRef) -> TensorRef:
    """relu, then the largest of each 2x2 cells."""
    return s.max_pool2d(s.relu(x), 2)


def record(s: Session, net: Network, images: Any) -> Recorded:
    """Record the net's scores for a batch of images in an empty session."""
    params = tuple([s.use(p) for p in net.params()])
    w1, b1, w2, b2, w3, b3 = params
    x = s.input(images, name="images")
    before1 = s.conv2d(w1, b1, x, padding=1)
    pooled1 = halve(s, before1)
    before2 = s.conv2d(w2, b2, pooled1, padding=1)
    pooled2 = halve(s, before2)
    scores = s.linear(w3, b3, s.reshape(pooled2, (x.shape[0], -1)))
    return Recorded(params, x, before1, pooled1, before2, pooled2, scores)


def steps_per_epoch(data: Digits) -> int:
    """Number of batches."""
    return -(-len(data.train) // BATCH)


def batches(data: Digits, rng: np.random.Generator) -> Iterator[tuple[Images, Labels]]:
    """One epoch in random order, each image moved by up to one cell; the last batch is smaller."""
    order = rng.permutation(len(data.train))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        yield moved(data.train[rows], rng), data.train_labels[rows]


def moved(images: Images, rng: np.random.Generator) -> Images:
    """Each image moved by -1, 0 or 1 cells along each axis, black moving in."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, images.shape[2:], axis=(2, 3))
    down, right = rng.integers(0, 3, (2, len(images)))
    return windows[np.arange(len(images)), :, down, right]


def accuracy(net: Network, images: Images, labels: Labels) -> float:
    """Share of the images whose highest score is their label's."""
    s = Session()
    scores = s.get_value(record(s, net, images).scores)
    return float(np.mean(scores.argmax(axis=1) == labels))
