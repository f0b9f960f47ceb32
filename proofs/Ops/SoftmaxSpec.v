(** * Softmax, log-softmax and log-sum-exp are what textbooks say

    Entry i of softmax(x) is exp(x_i) over the sum of exp(x_j), j in the group of i; and subtracting the same number
    from all entries of a group changes nothing, which is why shifting by the maximum is right. *)
From Coq Require Import Reals Lra Lia List NArith ZArith Arith.
Set Warnings "-ambiguous-paths".
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Sums.
From Prooftape.Ops Require Import Index Attributes Groups Pieces PieceFacts Softmax NonlinearReduce.
Import ListNotations.
Open Scope R_scope.

Section Groups.
  Variable v : view.
  Notation n := (extent v).

  Lemma exp_total x i : (i < n)%nat ->
    total (peers v i) (entry (bfwd (R := Rnum) (exps n) [x])) = total (peers v i) (fun j => exp (entry x j)).
  Proof. intro H. apply total_ext. intros j Hj. apply entry_exps. now apply (peers_lt v i). Qed.

  Theorem softmax_entry x i : (i < n)%nat ->
    entry (prog_fwd (R := Rnum) (softmax_steps n v) [x]) i = exp (entry x i) / total (peers v i) (fun j => exp (entry x j)).
  Proof.
    intro H. unfold softmax_steps. value e E. value s S. value r Q. value y Y. last_value. subst y.
    rewrite entry_times by exact H. unfold itself. subst r s. rewrite entry_reciprocals, entry_lin, row_sum by exact H.
    subst e. rewrite entry_exps, exp_total by exact H. reflexivity.
  Qed.

  Theorem log_softmax_entry x i : (i < n)%nat ->
    entry (prog_fwd (R := Rnum) (log_softmax_steps n v) [x]) i = entry x i - ln (total (peers v i) (fun j => exp (entry x j))).
  Proof.
    intro H. unfold log_softmax_steps. value e E. value s S. value l L. value y Y. last_value. subst y.
    rewrite entry_lin2, row_same, row_minus by exact H. subst l s. rewrite entry_logs, entry_lin, row_sum by exact H.
    subst e. rewrite exp_total by exact H. reflexivity.
  Qed.

  (** log_softmax is the logarithm of softmax. *)
  Theorem log_softmax_is_log_of_softmax x i : (i < n)%nat ->
    entry (prog_fwd (R := Rnum) (log_softmax_steps n v) [x]) i = ln (entry (prog_fwd (R := Rnum) (softmax_steps n v) [x]) i).
  Proof.
    intro H. rewrite log_softmax_entry, softmax_entry by exact H.
    assert (0 < total (peers v i) (fun j => exp (entry x j))) as P.
    { rewrite <- exp_total by exact H. now apply exp_sum_pos. }
    unfold Rdiv. rewrite ln_mult, ln_exp, ln_Rinv; auto using exp_pos, Rinv_0_lt_compat.
  Qed.

  (** Each group of softmax sums to 1. *)
  Theorem softmax_sums_to_1 x i : (i < n)%nat ->
    total (peers v i) (entry (prog_fwd (R := Rnum) (softmax_steps n v) [x])) = 1.
  Proof.
    intro H. assert (0 < total (peers v i) (fun j => exp (entry x j))) as P.
    { rewrite <- exp_total by exact H. now apply exp_sum_pos. }
    rewrite (total_ext _ _ _ (fun j => exp (entry x j) * / total (peers v i) (fun j => exp (entry x j)))).
    - rewrite total_scale_r. apply Rinv_r. lra.
    - intros j Hj. rewrite softmax_entry by now apply (peers_lt v i). now rewrite (peers_of_peer v i j).
  Qed.

  (** *** Shifting: y is x minus one number per group *)
  Section Shift.
    Variables (x y : list R) (c : nat -> R).
    Hypothesis shifted : forall j, (j < n)%nat -> entry y j = entry x j - c (group_of v j).

    Lemma shifted_member o j : (o < groups v)%nat -> In j (members v o) -> exp (entry y j) = exp (entry x j) * exp (- c o).
    Proof.
      intros Ho Hj. rewrite shifted by now apply (members_lt v o). rewrite (group_of_member v o j Ho Hj).
      unfold Rminus. apply exp_plus.
    Qed.
    Lemma shifted_total o : (o < groups v)%nat ->
      total (members v o) (fun j => exp (entry y j)) = total (members v o) (fun j => exp (entry x j)) * exp (- c o).
    Proof. intro Ho. rewrite <- total_scale_r. apply total_ext. intros j Hj. now apply shifted_member. Qed.

    Theorem softmax_shift i : (i < n)%nat ->
      entry (prog_fwd (R := Rnum) (softmax_steps n v) [y]) i = entry (prog_fwd (R := Rnum) (softmax_steps n v) [x]) i.
    Proof.
      intro H. rewrite !softmax_entry by exact H. pose proof (group_of_lt v i H) as G. unfold peers.
      rewrite shifted_total by exact G. rewrite (shifted_member (group_of v i) i G) by now apply self_peer.
      pose proof (exp_pos (- c (group_of v i))).
      assert (0 < total (members v (group_of v i)) (fun j => exp (entry x j))) as P.
      { pose proof (exp_sum_pos v x i H) as P. now rewrite exp_total in P. }
      as_reals. field. split; lra.
    Qed.
    Theorem log_softmax_shift i : (i < n)%nat ->
      entry (prog_fwd (R := Rnum) (log_softmax_steps n v) [y]) i = entry (prog_fwd (R := Rnum) (log_softmax_steps n v) [x]) i.
    Proof. intro H. now rewrite !log_softmax_is_log_of_softmax, softmax_shift. Qed.

    (** log-sum-exp moves with its operand *)
    Definition logsumexp_of (x : list R) (o : nat) : R := ln (total (members v o) (fun j => exp (entry x j))).
    Theorem logsumexp_shift o : (o < groups v)%nat -> (0 < group_size v)%nat ->
      logsumexp_of y o + c o = logsumexp_of x o.
    Proof.
      intros Ho Hn. unfold logsumexp_of. rewrite shifted_total by exact Ho. rewrite ln_mult.
      - rewrite ln_exp. as_reals. ring.
      - apply total_pos; [now apply members_nonempty | intros; apply exp_pos].
      - apply exp_pos.
    Qed.
  End Shift.

  Theorem logsumexp_entry x o : (o < groups v)%nat ->
    entry (prog_fwd (R := Rnum) [Step (exps n) [0%nat]; Step (Lin (groups v) [sum_of (members v)]) [1%nat];
                     Step (logs (groups v)) [2%nat]] [x]) o = logsumexp_of x o.
  Proof.
    intro H. value e E. value s S. value l L. last_value. subst l s.
    rewrite entry_logs, entry_lin, row_sum by exact H. unfold logsumexp_of. f_equal. apply total_ext. intros j Hj.
    subst e. apply entry_exps. now apply (members_lt v o).
  Qed.
End Groups.

(** ** The op itself, in plain arithmetic: along the axis of length [len], with [inner] cells after it *)
Theorem softmax_spec w axis s nats x o k r :
  let len := nth axis (dims s) 1%nat in
  let inner := prod (skipn (S axis) (dims s)) in
  let at_ j := entry x ((o * len + j) * inner + r) in
  (axis < Nat.max 1 (length s))%nat -> (o < prod (firstn axis (dims s)))%nat -> (k < len)%nat -> (r < inner)%nat ->
  entry (prog_fwd (R := Rnum) (o_prog softmax_def w [AInt (Z.of_nat axis)] [s] s nats) [x]) ((o * len + k) * inner + r)
  = exp (at_ k) / sumn (R := Rnum) len (fun j => exp (at_ j)).
Proof.
  intros len inner at_ Ha Ho Hk Hr. cbn [o_prog softmax_def]. unfold softmax_view. cbn [attr_at nth int_of].
  rewrite Nat2Z.id, <- (extent_along_one axis s Ha).
  assert ((o * len + k) * inner + r < extent (along_one axis s))%nat as H.
  { unfold along_one. cbn [extent]. fold len inner. rewrite Nat.mul_1_r, Nat.mul_assoc.
    apply below; [now apply below | exact Hr]. }
  rewrite softmax_entry by exact H. unfold peers. unfold along_one at 1 2. fold len inner.
  rewrite line_group, line_members by assumption. rewrite total_map, total_seq. reflexivity.
Qed.

Theorem log_softmax_spec w axis s nats x o k r :
  let len := nth axis (dims s) 1%nat in
  let inner := prod (skipn (S axis) (dims s)) in
  let at_ j := entry x ((o * len + j) * inner + r) in
  (axis < Nat.max 1 (length s))%nat -> (o < prod (firstn axis (dims s)))%nat -> (k < len)%nat -> (r < inner)%nat ->
  entry (prog_fwd (R := Rnum) (o_prog log_softmax_def w [AInt (Z.of_nat axis)] [s] s nats) [x])
        ((o * len + k) * inner + r)
  = at_ k - ln (sumn (R := Rnum) len (fun j => exp (at_ j))).
Proof.
  intros len inner at_ Ha Ho Hk Hr. cbn [o_prog log_softmax_def]. unfold softmax_view. cbn [attr_at nth int_of].
  rewrite Nat2Z.id, <- (extent_along_one axis s Ha).
  assert ((o * len + k) * inner + r < extent (along_one axis s))%nat as H.
  { unfold along_one. cbn [extent]. fold len inner. rewrite Nat.mul_1_r, Nat.mul_assoc.
    apply below; [now apply below | exact Hr]. }
  rewrite log_softmax_entry by exact H. unfold peers. unfold along_one at 1 2. fold len inner.
  rewrite line_group, line_members by assumption. rewrite total_map, total_seq. reflexivity.
Qed.

Theorem logsumexp_spec w axes s out nats x o : reduced_shape axes s = Some out -> (o < N.to_nat (size out))%nat ->
  entry (prog_fwd (R := Rnum) (o_prog logsumexp_def w [AInts axes] [s] out nats) [x]) o
  = ln (total (members (along axes s) o) (fun j => exp (entry x j))).
Proof.
  intros Hs Ho. cbn [o_prog logsumexp_def]. unfold reduced_view. cbn [attr_at ints_of nth].
  rewrite <- (reduced_groups _ _ _ Hs) in *. exact (logsumexp_entry (along axes s) x o Ho).
Qed.
