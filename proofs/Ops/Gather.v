(** Gathers: entries or rows picked by index. A static index is checked by the shape rule; a literal one, or one
    read at evaluation, may be out of range: then it stands for nothing, a zero without derivative. *)
From Coq Require Import List NArith ZArith QArith Bool Arith.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations.
From Prooftape.Decl Require Import Names.
From Prooftape.Ops Require Import Index Attributes Moves Smoothness.
Import ListNotations.
Open Scope nat_scope.

(** entries of one row along axis 0 *)
Definition row_size (s : shape) : nat := prod (dims (tl s)).

(** Row j of the result is row [indices j] of x, if there is one. Indices are compared as binary numbers: a large
    one never becomes a [nat]. *)
Definition taken (indices : list N) (x : shape) (i : nat) : list nat :=
  let len := row_size x in
  match nth_error indices (i / len) with
  | Some k => if (k <? hd 0 x)%N then [N.to_nat k * len + i mod len] else []
  | None => []
  end.
Definition takes (indices : list N) (x out : shape) : prog := sums (entries out) (taken indices x).

(** the indices of a use: one literal, several literals, or those read *)
Definition literal_index (attrs : list attr) : list N := [Z.to_N (int_of (attr_at attrs 0))].
Definition literal_indices (attrs : list attr) : list N := map Z.to_N (ints_of (attr_at attrs 0)).
Definition read_indices (nats : list (list N)) : list N := hd [] nats.

(** Is this an index into an axis of length n? *)
Definition index_ok (i : Z) (n : N) : bool := ((0 <=? i) && (i <? Z.of_N n))%Z.

(** ** Static *)
Definition gather_scalar_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes with [[n]] => guard (index_ok (int_of (attr_at attrs 0)) n) [] | _ => None end;
  o_prog _ attrs shapes out _ := takes (literal_index attrs) (hd [] shapes) out |}.
Definition gather_row_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes with [n :: m :: s] => guard (index_ok (int_of (attr_at attrs 0)) n) (m :: s) | _ => None end;
  o_prog _ attrs shapes out _ := takes (literal_index attrs) (hd [] shapes) out |}.

(** ** Literal *)
Definition gather_scalar_nat_def : opdef := {|
  o_shape _ shapes _ := match shapes with [[_]] => Some [] | _ => None end;
  o_prog _ attrs shapes out _ := takes (literal_index attrs) (hd [] shapes) out |}.
Definition gather_vec_nat_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes with [[_]] => Some [N.of_nat (length (literal_indices attrs))] | _ => None end;
  o_prog _ attrs shapes out _ := takes (literal_indices attrs) (hd [] shapes) out |}.
Definition gather_rows_nat_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes with [_ :: m :: s] => Some (N.of_nat (length (literal_indices attrs)) :: m :: s) | _ => None end;
  o_prog _ attrs shapes out _ := takes (literal_indices attrs) (hd [] shapes) out |}.

(** ** Read at evaluation *)
Definition gather_scalar_ref_def : opdef := {|
  o_shape _ shapes lens := match shapes, lens with [[_]], [1%N] => Some [] | _, _ => None end;
  o_prog _ _ shapes out nats := takes (read_indices nats) (hd [] shapes) out |}.
Definition gather_row_ref_def : opdef := {|
  o_shape _ shapes lens := match shapes, lens with [_ :: m :: s], [1%N] => Some (m :: s) | _, _ => None end;
  o_prog _ _ shapes out nats := takes (read_indices nats) (hd [] shapes) out |}.
Definition gather_vec_ref_def : opdef := {|
  o_shape _ shapes lens := match shapes, lens with [[_]], [k] => Some [k] | _, _ => None end;
  o_prog _ _ shapes out nats := takes (read_indices nats) (hd [] shapes) out |}.
Definition gather_rows_ref_def : opdef := {|
  o_shape _ shapes lens := match shapes, lens with [_ :: m :: s], [k] => Some (k :: m :: s) | _, _ => None end;
  o_prog _ _ shapes out nats := takes (read_indices nats) (hd [] shapes) out |}.

(** ** Obligations *)
Definition gather_scalar_side := everywhere.
Lemma gather_scalar_sized : well_sized op_gather_scalar_decl gather_scalar_def. Proof. by_text. Qed.
Lemma gather_scalar_saves : saves_enough op_gather_scalar_decl gather_scalar_def. Proof. by_silence. Qed.
Lemma gather_scalar_differentiable : side_enough op_gather_scalar_decl gather_scalar_def gather_scalar_side.
Proof. by_smoothness. Qed.

Definition gather_row_side := everywhere.
Lemma gather_row_sized : well_sized op_gather_row_decl gather_row_def. Proof. by_text. Qed.
Lemma gather_row_saves : saves_enough op_gather_row_decl gather_row_def. Proof. by_silence. Qed.
Lemma gather_row_differentiable : side_enough op_gather_row_decl gather_row_def gather_row_side.
Proof. by_smoothness. Qed.

Definition gather_scalar_nat_side := everywhere.
Lemma gather_scalar_nat_sized : well_sized op_gather_scalar_nat_decl gather_scalar_nat_def.
Proof. by_text. Qed.
Lemma gather_scalar_nat_saves : saves_enough op_gather_scalar_nat_decl gather_scalar_nat_def.
Proof. by_silence. Qed.
Lemma gather_scalar_nat_differentiable :
  side_enough op_gather_scalar_nat_decl gather_scalar_nat_def gather_scalar_nat_side.
Proof. by_smoothness. Qed.

Definition gather_vec_nat_side := everywhere.
Lemma gather_vec_nat_sized : well_sized op_gather_vec_nat_decl gather_vec_nat_def. Proof. by_text. Qed.
Lemma gather_vec_nat_saves : saves_enough op_gather_vec_nat_decl gather_vec_nat_def. Proof. by_silence. Qed.
Lemma gather_vec_nat_differentiable :
  side_enough op_gather_vec_nat_decl gather_vec_nat_def gather_vec_nat_side.
Proof. by_smoothness. Qed.

Definition gather_rows_nat_side := everywhere.
Lemma gather_rows_nat_sized : well_sized op_gather_rows_nat_decl gather_rows_nat_def. Proof. by_text. Qed.
Lemma gather_rows_nat_saves : saves_enough op_gather_rows_nat_decl gather_rows_nat_def.
Proof. by_silence. Qed.
Lemma gather_rows_nat_differentiable :
  side_enough op_gather_rows_nat_decl gather_rows_nat_def gather_rows_nat_side.
Proof. by_smoothness. Qed.

Definition gather_scalar_ref_side := everywhere.
Lemma gather_scalar_ref_sized : well_sized op_gather_scalar_ref_decl gather_scalar_ref_def.
Proof. by_text. Qed.
Lemma gather_scalar_ref_saves : saves_enough op_gather_scalar_ref_decl gather_scalar_ref_def.
Proof. by_silence. Qed.
Lemma gather_scalar_ref_differentiable :
  side_enough op_gather_scalar_ref_decl gather_scalar_ref_def gather_scalar_ref_side.
Proof. by_smoothness. Qed.

Definition gather_row_ref_side := everywhere.
Lemma gather_row_ref_sized : well_sized op_gather_row_ref_decl gather_row_ref_def. Proof. by_text. Qed.
Lemma gather_row_ref_saves : saves_enough op_gather_row_ref_decl gather_row_ref_def. Proof. by_silence. Qed.
Lemma gather_row_ref_differentiable :
  side_enough op_gather_row_ref_decl gather_row_ref_def gather_row_ref_side.
Proof. by_smoothness. Qed.

Definition gather_vec_ref_side := everywhere.
Lemma gather_vec_ref_sized : well_sized op_gather_vec_ref_decl gather_vec_ref_def. Proof. by_text. Qed.
Lemma gather_vec_ref_saves : saves_enough op_gather_vec_ref_decl gather_vec_ref_def. Proof. by_silence. Qed.
Lemma gather_vec_ref_differentiable :
  side_enough op_gather_vec_ref_decl gather_vec_ref_def gather_vec_ref_side.
Proof. by_smoothness. Qed.

Definition gather_rows_ref_side := everywhere.
Lemma gather_rows_ref_sized : well_sized op_gather_rows_ref_decl gather_rows_ref_def. Proof. by_text. Qed.
Lemma gather_rows_ref_saves : saves_enough op_gather_rows_ref_decl gather_rows_ref_def.
Proof. by_silence. Qed.
Lemma gather_rows_ref_differentiable :
  side_enough op_gather_rows_ref_decl gather_rows_ref_def gather_rows_ref_side.
Proof. by_smoothness. Qed.
