(** * What a certificate imports

    The checker and the three properties, for the op table of this theory. A certificate file holds a graph and a
    tape as data, runs [check] on them, and applies [certified]. *)
From Coq Require Import List NArith.
From Prooftape.Spec Require Export Graph Tape Op.
From Prooftape.Spec Require Statements.
From Prooftape.Decl Require Export Names Table.
From Prooftape.Core Require AdjointGraph Headline.
From Prooftape.Certificates Require Check.

Definition check : list ty -> graph opname -> tape opname -> bool := Check.check opname_eqb decl_of def_of.
(** The first thing that is wrong, for the reader of a refusal. *)
Definition diagnose : list ty -> graph opname -> tape opname -> option Check.problem :=
  Check.diagnose opname_eqb decl_of def_of.

(** The one op whose derivative is 0 by definition although its value moves. *)
Definition held_of (o : opname) : bool := match o with op_detach => true | _ => false end.
Lemma held_still o : held_of o = true -> d_differentiable (decl_of o) = false.
Proof. now destruct o. Qed.

(** T1, T2, T3 of one graph and tape: see Spec/Statements.v. *)
Definition Linked : list ty -> graph opname -> tape opname -> Prop := Statements.Linked opname decl_of.
Definition Adjoint : list ty -> graph opname -> Prop := Statements.Adjoint opname decl_of def_of.
Definition Derivative : list ty -> graph opname -> tape opname -> Prop :=
  Statements.Derivative opname decl_of def_of side_of held_of.
Definition Certified (leaves : list ty) (g : graph opname) (tp : tape opname) : Prop :=
  Linked leaves g tp /\ Adjoint leaves g /\ Derivative leaves g tp.

Section Certified.
  Variable leaves : list ty.
  Variable g : graph opname.
  Variable tp : tape opname.
  Hypothesis accepts : check leaves g tp = true.

  Theorem linked : Linked leaves g tp.
  Proof. exact (Check.check_linked opname_eqb decl_of def_of opname_eqb_ok leaves g tp accepts). Qed.

  Theorem adjoint : Adjoint leaves g.
  Proof.
    apply AdjointGraph.graph_adjoint; [exact all_sized|exact all_saves|].
    exact (Check.check_typed opname_eqb decl_of def_of opname_eqb_ok leaves g tp accepts).
  Qed.

  Theorem derivative : Derivative leaves g tp.
  Proof.
    apply Headline.graph_derivative;
      [exact all_sized|exact all_differentiable|exact held_still| |exact linked|exact adjoint].
    exact (Check.check_typed opname_eqb decl_of def_of opname_eqb_ok leaves g tp accepts).
  Qed.

  (** T6. Everything, of every graph and tape that the checker accepts. *)
  Theorem certified : Certified leaves g tp.
  Proof. exact (conj linked (conj adjoint derivative)). Qed.
End Certified.
