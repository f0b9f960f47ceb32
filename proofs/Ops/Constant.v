(** Constants: literal arrays, literal masks, filled arrays. The entries of a literal are in the world. *)
From Coq Require Import List NArith ZArith QArith Bool Arith.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Saves.
From Prooftape.Decl Require Import Names.
From Prooftape.Ops Require Import Attributes Moves Smoothness Elementwise.
Import ListNotations.
Open Scope nat_scope.

(** ** Ops without operands: a shape rule on the attributes, and the entry at each place *)
Definition constant (rule : list attr -> option shape) (entry : world -> list attr -> shape -> nat -> Q) : opdef := {|
  o_shape attrs _ _ := rule attrs;
  o_prog w attrs _ out _ := [Step (Const (map (entry w attrs out) (seq 0 (entries out)))) []] |}.

Lemma constant_sized d rule entry : well_sized d (constant rule entry).
Proof.
  intros w attrs tys lens nats t p (_ & _ & ->). split; [discriminate|]. split; [reflexivity|].
  cbn. now rewrite map_length, seq_length.
Qed.
Lemma constant_saves d rule entry : saves_enough d (constant rule entry).
Proof. apply saves_silent. now intros w attrs tys lens nats t p (_ & _ & ->). Qed.
Lemma constant_differentiable d rule entry : side_enough d (constant rule entry) everywhere.
Proof. intros w attrs tys lens nats t p (_ & _ & ->) a _ _. now split. Qed.

(** ** Literals *)
Definition literal (wanted : dtype) : opdef :=
  constant
    (fun attrs => match attrs with [ALit _ t] => guard (dtype_eqb (t_dtype t) wanted) (t_shape t) | _ => None end)
    (fun w attrs _ i => match attrs with [ALit id _] => nth i (w_lits w id) 0%Q | _ => 0%Q end).

Definition const_def := literal Real.
Definition const_side := everywhere.
Lemma const_sized : well_sized op_const_decl const_def. Proof. apply constant_sized. Qed.
Lemma const_saves : saves_enough op_const_decl const_def. Proof. apply constant_saves. Qed.
Lemma const_differentiable : side_enough op_const_decl const_def const_side.
Proof. apply constant_differentiable. Qed.

Definition const_mask_def := literal Mask.
Definition const_mask_side := everywhere.
Lemma const_mask_sized : well_sized op_const_mask_decl const_mask_def. Proof. apply constant_sized. Qed.
Lemma const_mask_saves : saves_enough op_const_mask_decl const_mask_def. Proof. apply constant_saves. Qed.
Lemma const_mask_differentiable : side_enough op_const_mask_decl const_mask_def const_mask_side.
Proof. apply constant_differentiable. Qed.

(** ** full *)
(** a shape attribute; its entries are natural numbers *)
Definition shape_of (a : attr) : shape := map Z.to_N (ints_of a).

Definition full_def : opdef :=
  constant (fun attrs => guard (is_rational (attr_at attrs 1)) (shape_of (attr_at attrs 0)))
           (fun _ attrs _ _ => rational_of (attr_at attrs 1)).
Definition full_side := everywhere.
Lemma full_sized : well_sized op_full_decl full_def. Proof. apply constant_sized. Qed.
Lemma full_saves : saves_enough op_full_decl full_def. Proof. apply constant_saves. Qed.
Lemma full_differentiable : side_enough op_full_decl full_def full_side. Proof. apply constant_differentiable. Qed.
