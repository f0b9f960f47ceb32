(** * Softmax and log-softmax along one axis

    The textbook compositions, without the shift by the maximum that floats need: over the reals the shift cancels
    ([softmax_shift] in Ops/SoftmaxSpec.v). *)
From Coq Require Import Reals Lra List NArith ZArith Arith Bool Lia.
From Prooftape.Spec Require Import Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Saves.
From Prooftape.Ops Require Import Attributes Groups Pieces PieceFacts Smoothness.
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

(** ** Derivatives: everywhere *)
Definition softmax_side : side_cond := everywhere.
Definition log_softmax_side : side_cond := everywhere.

Lemma softmax_accepted attrs shapes lens out :
  softmax_shape attrs shapes lens = Some out -> extent (softmax_view attrs out) = N.to_nat (size out).
Proof.
  intro H. destruct attrs as [| [] [|]]; try discriminate. destruct shapes as [| x [|]]; try discriminate.
  cbn [softmax_shape] in H. destruct (axis_ok z _) eqn:E; [| discriminate].
  injection H as <-. unfold axis_ok in E. apply andb_prop in E. destruct E as [E F].
  apply Z.leb_le in E. apply Z.ltb_lt in F. apply extent_along_one. cbn [int_of attr_at nth]. lia.
Qed.

(** The sum of the exponentials over any group is positive. *)
Lemma exp_sum_pos v x i : i < extent v ->
  (0 < total (peers v i) (entry (bfwd (R := Rnum) (exps (extent v)) [x])))%R.
Proof.
  intro H. apply total_pos.
  - apply members_nonempty. now apply group_size_pos in H.
  - intros s Hs. rewrite entry_exps by now apply (peers_lt _ i). apply exp_pos.
Qed.

Lemma softmax_differentiable : side_enough op_softmax_decl softmax_def softmax_side.
Proof.
  apply composite_differentiable; try reflexivity. intros w attrs shapes out lens nats masks a _ La Hs _.
  destruct a as [| x [|]]; try discriminate. cbn [o_prog softmax_def]. rewrite <- (softmax_accepted _ _ _ _ Hs).
  set (v := softmax_view attrs out). unfold softmax_steps. steps.
  split; [apply exps_side |]. split; [exact I |]. split; [| now split].
  apply reciprocals_side. intros i Hi. rewrite entry_lin, row_sum by exact Hi.
  pose proof (exp_sum_pos v x i Hi). lra.
Qed.
Lemma log_softmax_differentiable : side_enough op_log_softmax_decl log_softmax_def log_softmax_side.
Proof.
  apply composite_differentiable; try reflexivity. intros w attrs shapes out lens nats masks a _ La Hs _.
  destruct a as [| x [|]]; try discriminate. cbn [o_prog log_softmax_def].
  rewrite <- (softmax_accepted _ _ _ _ Hs). set (v := softmax_view attrs out). unfold log_softmax_steps. steps.
  split; [apply exps_side |]. split; [exact I |]. split; [| now split].
  apply logs_side. intros i Hi. rewrite entry_lin, row_sum by exact Hi. exact (exp_sum_pos v x i Hi).
Qed.
