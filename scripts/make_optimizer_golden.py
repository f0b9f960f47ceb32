"""Regenerate tests/training/golden/optimizers.npz: trajectories of torch's optimizers, float64.

    python scripts/make_optimizer_golden.py

Needs the extra `interop`. For each case of tests/training/optimizer_cases.py and each step the file has every
parameter before the step, its gradient (nan where torch has none) and the optimizer's state before the step
(nan before its first gradient); one more row of parameters and state follows the last step.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parent.parent / "tests" / "training"
GOLDEN = TESTS / "golden" / "optimizers.npz"
sys.path.insert(0, str(TESTS))

import optimizer_cases as cases  # noqa: E402


def trajectory(name: str) -> dict[str, np.ndarray]:
    """`W.value`, `W.grad`, `W.exp_avg`, … with one row per step."""
    import torch

    kind, settings = cases.CASES[name]
    params = {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in cases.START.items()}
    classes = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    optimizer = classes[kind](params.values(), **cases.rate(settings, 0), foreach=False)
    x, y = torch.tensor(cases.X), torch.tensor(cases.Y)
    rows: dict[str, list[np.ndarray]] = {}

    def note(key: str, tensor: torch.Tensor | None, like: torch.Tensor) -> None:
        array = np.full(tuple(like.shape), np.nan) if tensor is None else tensor.detach().numpy().copy()
        rows.setdefault(key, []).append(array)

    def note_state() -> None:
        for k, p in params.items():
            note(f"{k}.value", p, p)
            for slot in cases.SLOTS[kind]:
                note(f"{k}.{slot}", optimizer.state[p].get(slot), p)

    for step in range(cases.STEPS):
        note_state()
        for group in optimizer.param_groups:
            group["lr"] = cases.rate(settings, step).get("lr", group["lr"])
        optimizer.zero_grad(set_to_none=True)
        error = torch.tanh(torch.nn.functional.linear(x, params["W"], params["b"])) - y
        loss = (error * error).mean()
        if cases.takes_part(step):
            loss = loss + (params["u"] - cases.TARGET) ** 2
        loss.backward()
        for k, p in params.items():
            note(f"{k}.grad", p.grad, p)
        optimizer.step()
    note_state()
    return {key: np.stack(values) for key, values in rows.items()}


def main() -> None:
    """Write the file."""
    import torch

    arrays = {f"{name}/{key}": rows for name in cases.CASES for key, rows in trajectory(name).items()}
    np.savez_compressed(GOLDEN, torch_version=np.array(torch.__version__.partition("+")[0]), **arrays)
    print(f"{GOLDEN.name}: {len(cases.CASES)} trajectories of {cases.STEPS} steps")


if __name__ == "__main__":
    main()
