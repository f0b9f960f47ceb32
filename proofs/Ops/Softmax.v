(** * Softmax and log-softmax along one axis

    The textbook compositions, without the shift by the maximum that floats need: over the reals the shift cancels
    ([softmax_shift] in Ops/SoftmaxSpec.v). *)
From Coq Require Import List NArith ZArith Arith Bool.
From Prooftape.Spec Require Import Tensor Block Graph Op.
From Prooftape.Core Require Import Obligations Saves.
From Prooftape.Ops Require Import Attributes Groups Pieces Smoothness.
From Prooftape.Decl Require Import Names.
Import ListNotations.
Open Scope nat_scope.

(** A scalar counts as a vector of one. *)
Definition softmax_shape (attrs : list attr) (shapes : list shape) (_ : list N) : option shape :=
  match attrs, shapes with
  | [AInt axis], [x] => guard (axis_ok axis (Nat.max 1 (length x))) x
  | _, _ => None
  end.
Definition softmax_view (attrs : list attr) (x : shape) : view := along_one (Z.to_nat (int_of (attr_at attrs 0))) x.

(** exp(x), its sum over the group, one over that, the product *)
Definition softmax_steps (n : nat) (v : view) : prog :=
  [Step (exps n) [0]; Step (Lin n [sum_of (peers v)]) [1]; Step (reciprocals n) [2]; Step (times n itself) [1; 3]].
(** x minus the logarithm of the sum of exp(x) *)
Definition log_softmax_steps (n : nat) (v : view) : prog :=
  [Step (exps n) [0]; Step (Lin n [sum_of (peers v)]) [1]; Step (logs n) [2]; Step (Lin n [same; minus]) [0; 3]].

Definition softmax_def : opdef := {|
  o_shape := softmax_shape;
  o_prog := fun _ attrs _ out _ => softmax_steps (N.to_nat (size out)) (softmax_view attrs out) |}.
Definition log_softmax_def : opdef := {|
  o_shape := softmax_shape;
  o_prog := fun _ attrs _ out _ => log_softmax_steps (N.to_nat (size out)) (softmax_view attrs out) |}.

Lemma softmax_sized : well_sized op_softmax_decl softmax_def.
Proof. by_text. Qed.
Lemma log_softmax_sized : well_sized op_log_softmax_decl log_softmax_def.
Proof. by_text. Qed.

Lemma softmax_saves : saves_enough op_softmax_decl softmax_def.
Proof. by_reading. Qed.
Lemma log_softmax_saves : saves_enough op_log_softmax_decl log_softmax_def.
Proof. by_reading. Qed.
