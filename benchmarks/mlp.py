"""What does one training step cost? MLP 784-128-10, batch 64, float32, softmax cross-entropy, plain SGD.

A step is: record, forward, read the loss as a Python float, backward, SGD. Inputs are resident: each engine
holds the batch and its parameters in its own form before the clock starts. Weights are (out, in), as PyTorch
keeps them. prooftape records the whole graph anew at every step.

All engines must tell the same story: the losses of 20 steps agree with a float64 run within `tolerance`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

import harness
from harness import Samples, Table, Timer

harness.pin()

import numpy as np  # noqa: E402  (after pinning: BLAS reads its thread count when it is loaded)
import numpy.typing as npt  # noqa: E402

INPUTS, HIDDEN, CLASSES, BATCH = 784, 128, 10, 64
RATE = 0.1
PACKAGES = ("prooftape", "numpy", "mygrad", "autograd", "torch")

Array = npt.NDArray[np.floating]
Labels = npt.NDArray[np.int64]
Step = Callable[[], float]
"""One training step on state the engine keeps; returns the loss before the update."""


class Problem:
    """One batch and one starting point, the same for every engine. Nobody may write into these arrays."""

    def __init__(self, seed: int = 0) -> None:
        draw = np.random.default_rng(seed)
        self.x = draw.random((BATCH, INPUTS), dtype=np.float32)
        self.labels: Labels = draw.integers(0, CLASSES, BATCH)
        self.w1 = self._uniform(draw, HIDDEN, INPUTS)
        self.b1 = np.zeros(HIDDEN, np.float32)
        self.w2 = self._uniform(draw, CLASSES, HIDDEN)
        self.b2 = np.zeros(CLASSES, np.float32)
        for array in self.arrays():
            array.setflags(write=False)

    @staticmethod
    def _uniform(draw: np.random.Generator, out: int, inputs: int) -> npt.NDArray[np.float32]:
        bound = 1 / np.sqrt(inputs)
        return draw.uniform(-bound, bound, (out, inputs)).astype(np.float32)

    def arrays(self) -> list[Array]:
        return [self.x, self.w1, self.b1, self.w2, self.b2]


def numpy_step(problem: Problem, dtype: npt.DTypeLike = np.float32) -> Step:
    """By hand, as a careful NumPy user writes it: in place where that is safe, no dead cotangent."""
    x, w1, b1, w2, b2 = (np.array(array, dtype) for array in problem.arrays())
    labels, rows = problem.labels, np.arange(BATCH)
    lr = x.dtype.type(RATE)

    def step() -> float:
        h = x @ w1.T
        h += b1
        np.maximum(h, 0, out=h)
        z = h @ w2.T
        z += b2
        z -= z.max(axis=1, keepdims=True)
        picked = z[rows, labels]
        np.exp(z, out=z)
        total = z.sum(axis=1, keepdims=True)
        loss = float(np.mean(np.log(total[:, 0]) - picked))
        z /= total
        z[rows, labels] -= 1
        z /= BATCH
        gh = z @ w2
        gh *= h > 0
        g_w2, g_b2 = z.T @ h, z.sum(axis=0)
        g_w1, g_b1 = gh.T @ x, gh.sum(axis=0)
        for p, g in ((w1, g_w1), (b1, g_b1), (w2, g_w2), (b2, g_b2)):
            g *= lr
            p -= g
        return loss

    return step


def prooftape_step(problem: Problem) -> Step:
    """The batch is resident: a frozen parameter, read where it lies (`input` copies what it is given)."""
    return _prooftape_step(problem, resident=True)


def prooftape_copying_step(problem: Problem) -> Step:
    """The batch is handed over anew at every step, as in a loop over a data set."""
    return _prooftape_step(problem, resident=False)


def _prooftape_step(problem: Problem, resident: bool) -> Step:
    import prooftape as pt

    session = pt.Session(scalar="float32")
    w1_param, b1_param = session.param(problem.w1, name="w1"), session.param(problem.b1, name="b1")
    w2_param, b2_param = session.param(problem.w2, name="w2"), session.param(problem.b2, name="b2")
    batch, answers = problem.x, problem.labels
    held = session.param(batch, name="x", requires_grad=False)

    def step() -> float:
        s = session
        s.reset_tape()
        w1, b1, w2, b2 = s.use(w1_param), s.use(b1_param), s.use(w2_param), s.use(b2_param)
        x = s.use(held) if resident else s.input(batch)
        labels = s.input_nat_vec(answers)
        h = s.relu(s.linear(w1, b1, x))
        loss = s.cross_entropy(s.linear(w2, b2, h), labels)
        value = float(s.get_value(loss))
        s.sgd_step_all(RATE, s.backward_scalar_dense_all(loss))
        return value

    return step


def _mygrad_step(problem: Problem, guarded: bool) -> Step:
    mg = harness.peer("mygrad")
    relu = harness.peer("mygrad.nnet.activations").relu
    loss_of = harness.peer("mygrad.nnet.losses").softmax_crossentropy
    w1, b1, w2, b2 = params = [mg.tensor(array.copy()) for array in problem.arrays()[1:]]
    x, labels = problem.x, problem.labels
    lr = np.float32(RATE)

    def step() -> float:
        (mg.turn_memory_guarding_on if guarded else mg.turn_memory_guarding_off)()
        h = relu(mg.matmul(x, w1.T) + b1)
        loss = loss_of(mg.matmul(h, w2.T) + b2, labels)
        value = float(loss.data)
        loss.backward()
        for p in params:
            p.data -= lr * p.grad
        return value

    return step


def mygrad_step(problem: Problem) -> Step:
    return _mygrad_step(problem, guarded=True)


def mygrad_unguarded_step(problem: Problem) -> Step:
    return _mygrad_step(problem, guarded=False)


def hips_step(problem: Problem) -> Step:
    anp = harness.peer("autograd.numpy")
    value_and_grad = harness.peer("autograd").value_and_grad
    logsumexp = harness.peer("autograd.scipy.special").logsumexp
    relu = _hips_relu()
    params = [array.copy() for array in problem.arrays()[1:]]
    x, labels, rows = problem.x, problem.labels, np.arange(BATCH)
    lr = np.float32(RATE)

    def loss_of(current: list[Array]) -> object:
        w1, b1, w2, b2 = current
        h = relu(anp.dot(x, w1.T) + b1)
        z = anp.dot(h, w2.T) + b2
        return anp.mean(logsumexp(z, axis=1) - z[rows, labels])

    differentiate = value_and_grad(loss_of)

    def step() -> float:
        value, grads = differentiate(params)
        for p, g in zip(params, grads, strict=True):
            p -= lr * g
        return float(value)

    return step


def _hips_relu() -> Callable[..., object]:
    """One primitive, as its tutorial defines them: HIPS autograd has no relu."""
    extend = harness.peer("autograd.extend")
    relu: Callable[..., object] = extend.primitive(lambda z: np.maximum(z, 0))
    extend.defvjp(relu, lambda ans, z: lambda g: g * (z > 0))
    return relu


def torch_step(problem: Problem) -> Step:
    torch = harness.peer("torch")
    functional = harness.peer("torch.nn.functional")
    torch.set_num_threads(1)
    params = [torch.tensor(array, requires_grad=True) for array in problem.arrays()[1:]]
    w1, b1, w2, b2 = params
    x, labels = torch.tensor(problem.x), torch.tensor(problem.labels)
    optimiser = torch.optim.SGD(params, lr=RATE)

    def step() -> float:
        optimiser.zero_grad()
        h = torch.relu(functional.linear(x, w1, b1))
        loss = functional.cross_entropy(functional.linear(h, w2, b2), labels)
        value = float(loss.item())
        loss.backward()
        optimiser.step()
        return value

    return step


ENGINES: dict[str, Callable[[Problem], Step]] = {
    "prooftape": prooftape_step,
    "prooftape, input copied": prooftape_copying_step,
    "NumPy by hand": numpy_step,
    "MyGrad": mygrad_step,
    "MyGrad, unguarded": mygrad_unguarded_step,
    "HIPS autograd": hips_step,
    "torch eager": torch_step,
}


def losses(step: Step, steps: int = 20) -> npt.NDArray[np.float64]:
    return np.array([step() for _ in range(steps)])


def permuted(problem: Problem, draw: np.random.Generator) -> Problem:
    """The same problem with inputs, hidden units and samples in another order.

    The exact loss does not change; the order of every sum, hence every rounding, does.
    """
    features, units, samples = (draw.permutation(n) for n in (INPUTS, HIDDEN, BATCH))
    other = Problem.__new__(Problem)
    other.x = problem.x[np.ix_(samples, features)]
    other.labels = problem.labels[samples]
    other.w1 = problem.w1[np.ix_(units, features)]
    other.b1 = problem.b1[units]
    other.w2 = problem.w2[:, units].copy()
    other.b2 = problem.b2
    return other


def reference_and_tolerance(problem: Problem) -> tuple[npt.NDArray[np.float64], float]:
    """Losses of a float64 run, and how far a float32 run may be from them.

    Engines differ only in the order of their sums and the rounding of exp and log. The first is sampled:
    eight float32 runs of the same problem in permuted order; the tolerance is four times their largest
    deviation (a margin over the largest of eight draws), and at least 8 units in the last place of the loss.
    """
    exact = losses(numpy_step(problem, np.float64))
    draw = np.random.default_rng(1)
    spread = max(float(np.abs(losses(numpy_step(permuted(problem, draw))) - exact).max()) for _ in range(8))
    return exact, max(4 * spread, 8 * float(np.spacing(np.float32(exact.max()))))


def check_agreement(problem: Problem, names: list[str]) -> dict[str, object]:
    exact, tolerance = reference_and_tolerance(problem)
    if not exact[-1] < exact[0]:
        raise AssertionError(f"the reference does not learn: {exact[0]} to {exact[-1]}")
    deviation = {}
    for name in names:
        seen = losses(ENGINES[name](problem))
        deviation[name] = float(np.abs(seen - exact).max())
        if not deviation[name] <= tolerance:
            raise AssertionError(
                f"{name}: loss off by {deviation[name]:.3g}, allowed {tolerance:.3g}: {seen}"
            )
    return {"first_loss": exact[0], "last_loss": exact[-1], "tolerance": tolerance, "deviation": deviation}


def measure(problem: Problem, names: list[str], rounds: int, repeats: int) -> Table:
    """Each sample is the mean of `repeats` steps in a row, so that caches are as warm as in training."""
    steps = {name: ENGINES[name](problem) for name in names}

    def timed(step: Step) -> Callable[[Timer], None]:
        def run(timer: Timer) -> None:
            step()  # brings this engine's data back into the caches another engine has just used
            with timer("step"):
                for _ in range(repeats):
                    step()

        return run

    table = harness.interleave({name: timed(step) for name, step in steps.items()}, rounds, warmup=2)
    return {name: {"step": scaled(phases["step"], 1 / repeats)} for name, phases in table.items()}


def scaled(samples: Samples, factor: float) -> Samples:
    return Samples([factor * t for t in samples.wall], [factor * t for t in samples.cpu])


def render(table: Table, agreement: dict[str, object]) -> str:
    ours = table.get("prooftape")
    rows = []
    for name, phases in table.items():
        each = [1e6 * t for t in phases["step"].cpu]
        ratio = "-"
        if ours is not None and name != "prooftape":
            middle, low, high = ours["step"].ratio_to(phases["step"])
            ratio = f"{middle:.2f} ({low:.2f} to {high:.2f})"
        rows.append([name, f"{1e6 * phases['step'].median:.0f} ({min(each):.0f} to {max(each):.0f})", ratio])
    header = [
        "engine",
        "microseconds a step, median (smallest to largest)",
        "prooftape over it, round by round",
    ]
    told = f"Losses of 20 steps, {agreement['first_loss']:.4f} to {agreement['last_loss']:.4f}, agree within "
    return harness.markdown_table(header, rows) + "\n" + told + f"{agreement['tolerance']:.2g}.\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", help="separated by ';' (default: all): " + "; ".join(ENGINES))
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--repeats", type=int, default=20, help="steps in one timed sample")
    parser.add_argument("--json", action="store_true", help="print JSON; write no file")
    parser.add_argument("--dry-run", action="store_true", help="print the table; write no file")
    given = parser.parse_args()
    problem = Problem()
    names = given.engines.split(";") if given.engines else list(ENGINES)
    agreement = check_agreement(problem, names)
    print("losses agree", file=sys.stderr, flush=True)
    table = measure(problem, names, given.rounds, given.repeats)
    data = {
        "engines": {name: phases["step"].summary() for name, phases in table.items()},
        "agreement": agreement,
        "steps_in_a_sample": given.repeats,
    }
    if given.json:
        print(json.dumps(data))
        return
    body = render(table, agreement)
    if given.dry_run:
        print(body)
        return
    print(harness.write_report("mlp", "What does one training step cost?", body, data, PACKAGES))


if __name__ == "__main__":
    main()
