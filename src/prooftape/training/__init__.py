"""Training: optimizers as pure update rules, runs that apply them to a session, checkpoints.

opt = pt.training.adam(lr=1e-3)
...                                  # record a loss
opt.step(session, session.backward_scalar_dense_all(loss))
"""

from prooftape.training.adam import Adam, AdamW
from prooftape.training.checkpoint import Checkpoint, load_checkpoint, restore, save_checkpoint
from prooftape.training.optimizer import LearningRate, Optimizer, OptimizerState, ParamState
from prooftape.training.run import OptimizerRun, adam, adamw, sgd
from prooftape.training.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Checkpoint",
    "LearningRate",
    "Optimizer",
    "OptimizerRun",
    "OptimizerState",
    "ParamState",
    "adam",
    "adamw",
    "load_checkpoint",
    "restore",
    "save_checkpoint",
    "sgd",
]
