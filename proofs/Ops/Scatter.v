(** Functional scatter: a copy of x with v added at one static index. *)
From Coq Require Import List NArith ZArith QArith Bool Arith.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations.
From Prooftape.Decl Require Import Names.
From Prooftape.Ops Require Import Index Attributes Moves Smoothness Gather.
Import ListNotations.
Open Scope nat_scope.

Definition scatter_shape (attrs : list attr) (x v : shape) : option shape :=
  guard (shape_eqb v (tl x) && index_ok (int_of (attr_at attrs 0)) (hd 0%N x)) x.
Definition scatters (attrs : list attr) (x out : shape) : prog :=
  let len := row_size x in
  let r := Z.to_nat (int_of (attr_at attrs 0)) in
  [Step (Lin (entries out)
           [fun i => ones [i]; fun i => ones (maybe (i / len =? r) (i mod len))]) [0; 1]].

Definition scatter_add_vec_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes with [[n]; v] => scatter_shape attrs [n] v | _ => None end;
  o_prog _ attrs shapes out _ := scatters attrs (hd [] shapes) out |}.
Definition scatter_add_row_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes with [n :: m :: s; v] => scatter_shape attrs (n :: m :: s) v | _ => None end;
  o_prog _ attrs shapes out _ := scatters attrs (hd [] shapes) out |}.

(** ** Obligations *)
Definition scatter_add_vec_side := everywhere.
Lemma scatter_add_vec_sized : well_sized op_scatter_add_vec_decl scatter_add_vec_def. Proof. by_text. Qed.
Lemma scatter_add_vec_saves : saves_enough op_scatter_add_vec_decl scatter_add_vec_def.
Proof. by_silence. Qed.
Lemma scatter_add_vec_differentiable :
  side_enough op_scatter_add_vec_decl scatter_add_vec_def scatter_add_vec_side.
Proof. by_smoothness. Qed.

Definition scatter_add_row_side := everywhere.
Lemma scatter_add_row_sized : well_sized op_scatter_add_row_decl scatter_add_row_def. Proof. by_text. Qed.
Lemma scatter_add_row_saves : saves_enough op_scatter_add_row_decl scatter_add_row_def.
Proof. by_silence. Qed.
Lemma scatter_add_row_differentiable :
  side_enough op_scatter_add_row_decl scatter_add_row_def scatter_add_row_side.
Proof. by_smoothness. Qed.
