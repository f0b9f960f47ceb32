"""The bytes of a checkpoint: a safetensors file whose metadata holds everything that is not a float array.

Float arrays are tensors named `params/W` and `optimizer/exp_avg/W`, in the scalar's own format, so any
safetensors reader can take the weights. One metadata entry, `prooftape`, is a JSON object with names, shapes,
graph text, optimizer settings, exact values and a SHA-256 over all of it and over the tensors: safetensors
notices a truncated file, the digest notices a changed bit. Here the file is read and its digest checked; what
the fields mean is checkpoint.py's business.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.errors import CheckpointError, MissingExtraError
from prooftape.types import Shape

FORMAT: Final = 1
KEY: Final = "prooftape"
DTYPES: Final = {"float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16"}
"""safetensors' name of each float scalar's format."""

_MAX_HEADER: Final = 100_000_000  # safetensors refuses a longer header, so a file with one could not be read
_EXACT: Final = re.compile(r"(-?[0-9a-f]+)(?:/([1-9a-f][0-9a-f]*))?")
_WORDS: Final = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of the file: safetensors' dtype name, shape, little-endian bytes."""

    dtype: str
    shape: Shape
    data: bytes


def pack(array: Arr, scalar: str) -> Tensor:
    """A user array of a float scalar as a tensor."""
    dtype = DTYPES[scalar]
    words = array.view(np.uint16) if dtype == "BF16" else array
    return Tensor(dtype, array.shape, words.astype(_WORDS[dtype]).tobytes())


def unpack(tensor: Tensor) -> Arr:
    """The array of a tensor; bfloat16 bits come as float32 values, which hold them exactly."""
    words = np.frombuffer(tensor.data, _WORDS[tensor.dtype]).reshape(tensor.shape)
    if tensor.dtype == "BF16":
        return (words.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return words.astype(words.dtype.newbyteorder("="))


def exact_text(values: Arr) -> list[str]:
    """Exact entries in row-major order, as hexadecimal `p` or `p/q`.

    Not decimal: Python refuses to read or write decimal integers of more than 4300 digits, and an exact
    training run reaches such numbers.
    """
    out = []
    for v in values.ravel().tolist():
        f = Fraction(v)
        out.append(f"{f.numerator:x}" if f.denominator == 1 else f"{f.numerator:x}/{f.denominator:x}")
    return out


def exact_values(texts: Sequence[str], shape: Shape) -> Arr:
    """Inverse of `exact_text`; raises ValueError when a text is no number or there are too few or many."""
    out = np.empty(len(texts), dtype=object)
    for i, text in enumerate(texts):
        found = _EXACT.fullmatch(text)
        if found is None:
            raise ValueError(f"{text[:40]!r} is not an exact number")
        out[i] = Fraction(int(found[1], 16), int(found[2] or "1", 16))
    return out.reshape(shape)


def encode(meta: Mapping[str, Any], tensors: Mapping[str, Tensor], path: str) -> bytes:
    """The file's bytes; equal contents give equal bytes."""
    library = _safetensors()
    signed = {**meta, "format": FORMAT}
    signed["sha256"] = digest(signed, tensors)
    arrays = {
        name: np.frombuffer(t.data, _native(t.dtype)).reshape(t.shape) for name, t in sorted(tensors.items())
    }
    data: bytes = library.numpy.save(arrays, {KEY: json.dumps(signed, sort_keys=True)})
    header = struct.unpack("<Q", data[:8])[0]
    if header > _MAX_HEADER:
        raise CheckpointError(
            f"{path}: the metadata would take {header} bytes; safetensors reads at most {_MAX_HEADER} "
            "(leave the graph out, or save fewer exact values)"
        )
    return data


def decode(data: bytes, path: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Metadata and tensors of a file, whole and unchanged since it was written, or a `CheckpointError`."""
    library = _safetensors()
    try:
        found = library.deserialize(data)
    except library.SafetensorError as e:
        raise CheckpointError(f"{path}: truncated, corrupt, or no safetensors file at all: {e}") from None
    tensors = {name: Tensor(v["dtype"], tuple(v["shape"]), bytes(v["data"])) for name, v in found}
    length = struct.unpack("<Q", data[:8])[0]
    text = json.loads(data[8 : 8 + length]).get("__metadata__", {}).get(KEY)
    if text is None:
        raise CheckpointError(f"{path}: a safetensors file, but no prooftape checkpoint: no metadata {KEY!r}")
    try:
        meta = json.loads(text)
    except ValueError as e:
        raise CheckpointError(f"{path}: corrupt: the metadata is not JSON: {e}") from None
    if not isinstance(meta, dict):
        raise CheckpointError(f"{path}: corrupt: the metadata is not a JSON object")
    if meta.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format {meta.get('format')!r}; this version of prooftape reads {FORMAT}"
        )
    if meta.pop("sha256", None) != digest(meta, tensors):
        raise CheckpointError(f"{path}: corrupt: the contents do not match their SHA-256")
    return meta, tensors


def digest(meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) of metadata and tensors; each variable part is preceded by its length."""
    h = hashlib.sha256()
    names = sorted(tensors)
    shapes = [[name, tensors[name].dtype, list(tensors[name].shape)] for name in names]
    text = json.dumps([meta, shapes], sort_keys=True).encode()
    h.update(struct.pack("<Q", len(text)) + text)
    for name in names:
        h.update(struct.pack("<Q", len(tensors[name].data)) + tensors[name].data)
    return h.hexdigest()


def _native(dtype: str) -> Any:
    if dtype == "BF16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(_WORDS[dtype])


def _safetensors() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise MissingExtraError("checkpoints need safetensors: pip install 'prooftape[train]'") from None
    return safetensors
