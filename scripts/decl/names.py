"""Decl/Names.v: the ops as an enumeration, and one declaration each."""

from __future__ import annotations

from collections.abc import Sequence

from decl.text import HEAD, rocq_bool, rocq_list, wrapped
from prooftape.op import OUT, Op

KINDS = {
    "int": "KInt",
    "nat": "KNat",
    "bool": "KBool",
    "number": "KNumber",
    "ints": "KInts",
    "nats": "KNats",
    "shape": "KShape",
    "pairs": "KPairs",
    "per_axis": "KPerAxis",
    "literal": "KLiteral",
}
DTYPES = {"real": "Real", "bool": "Mask"}

OPENING = (
    HEAD
    + """
(** * The ops: names and declarations *)
From Coq Require Import String List NArith.
From Prooftape.Spec Require Import Graph Op.
Import ListNotations.
Open Scope nat_scope.

"""
)
EQUALITY = """
(** Equality of names goes through their numbers: matching name against name would be a quadratic term. *)
Definition opname_eqb (a b : opname) : bool := N.eqb (tag a) (tag b).

Lemma all_ops_at_tag (o : opname) : nth_error all_ops (N.to_nat (tag o)) = Some o.
Proof. destruct o; reflexivity. Qed.

Lemma opname_eqb_ok (a b : opname) : opname_eqb a b = true -> a = b.
Proof.
  intros E; apply N.eqb_eq in E.
  pose proof (all_ops_at_tag a) as A; rewrite E, all_ops_at_tag in A; now inversion A.
Qed.

Lemma opname_eqb_refl (a : opname) : opname_eqb a a = true.
Proof. apply N.eqb_refl. Qed.

Lemma all_ops_complete (o : opname) : In o all_ops.
Proof. apply (nth_error_In _ _ (all_ops_at_tag o)). Qed.
"""


def declaration(op: Op) -> str:
    """The record as a `decl`."""
    dtypes = op.operand_dtypes or ("real",) * len(op.operands)
    saves = ("Result" if name == OUT else f"Operand {op.operands.index(name)}" for name in op.saves)
    attrs = (f"({KINDS[a.kind]}, {rocq_bool(a.optional)})" for a in op.attrs)
    fields = (
        f'"{op.name}"',
        rocq_list(DTYPES[d] for d in dtypes),
        rocq_bool(op.variadic),
        str(op.optional_operands),
        str(len(op.nats)),
        rocq_list(attrs),
        rocq_list(saves),
        DTYPES[op.out_dtype],
        rocq_bool(op.differentiable),
    )
    return f"Definition op_{op.name}_decl : decl :=\n  Decl {' '.join(fields)}."


def names(ops: Sequence[Op]) -> str:
    """The whole file."""
    constructors = [f"op_{op.name}" for op in ops]
    parts = [
        OPENING,
        "Inductive opname :=\n" + wrapped(f"| {c}" for c in constructors) + ".\n\n",
        "(** ** Declarations\n\n"
        "    Fields: name, operands, variadic, optional operands, index vectors, attributes, saved values,\n"
        "    result, differentiable. *)\n",
        "\n".join(declaration(op) for op in ops) + "\n\n",
        "Definition decl_of (o : opname) : decl :=\n  match o with\n",
        "".join(f"  | {c} => {c}_decl\n" for c in constructors) + "  end.\n\n",
        "Definition all_ops : list opname :=\n  ["
        + wrapped(f"{c};" for c in constructors).strip()[:-1]
        + "].\n\n",
        "(** The number of an op is its place in the list. *)\n",
        "Definition tag (o : opname) : N :=\n  match o with\n",
        "".join(f"  | {c} => {i}\n" for i, c in enumerate(constructors)) + "  end%N.\n",
        EQUALITY,
    ]
    return "".join(parts)
