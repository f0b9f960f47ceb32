(** * Norms are what textbooks say

    y = (x - mean) / sqrt(variance + eps) * gamma + beta, with the mean and the biased variance of the group of each
    entry; rms_norm is x / sqrt(mean square + eps) * gamma. Then both along the last axis, as plain sums over a row. *)
From Coq Require Import Reals Lra Lia List NArith ZArith QArith Qreals Arith.
Set Warnings "-ambiguous-paths".
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Sums.
From Prooftape.Ops Require Import Index Attributes Groups Pieces PieceFacts Norms.
Import ListNotations.
Open Scope R_scope.

(** ** Any groups, any channels *)
Theorem norm_entry v channel eps (x gamma beta : list R) i : (i < extent v)%nat ->
  entry (prog_fwd (R := Rnum) (norm_steps (extent v) v channel eps) [x; gamma; beta]) i
  = (entry x i - mean v x (group_of v i)) / sqrt (variance v x (group_of v i) + Q2R eps) * entry gamma (channel i)
    + entry beta (channel i).
Proof.
  intro H. pose proof (group_of_lt v i H) as G. unfold norm_steps.
  value d D. value q Q. value s S. value r R. value t T. value g E. value y Y. last_value. subst y.
  rewrite entry_lin2, !row_same by exact H. subst g. rewrite entry_times by exact H. subst t.
  rewrite entry_times by exact H. subst r. rewrite entry_inverse_roots by exact G. subst s q d.
  pose proof (entry_variance v x _ G) as V. pose proof (entry_deviations v x i H) as W. unfold deviations in *.
  rewrite <- V, <- W. reflexivity.
Qed.

Theorem rms_entry v channel eps (x gamma : list R) i : (i < extent v)%nat ->
  entry (prog_fwd (R := Rnum) (rms_steps (extent v) v channel eps) [x; gamma]) i
  = entry x i / sqrt (mean_square v x (group_of v i) + Q2R eps) * entry gamma (channel i).
Proof.
  intro H. pose proof (group_of_lt v i H) as G. unfold rms_steps.
  value q Q. value s S. value r R. value t T. value y Y. last_value. subst y.
  rewrite entry_times by exact H. subst t. rewrite entry_times by exact H. subst r.
  rewrite entry_inverse_roots by exact G. subst s q.
  pose proof (entry_mean_square v x _ (entry x) G (fun _ _ => eq_refl)) as M. unfold mean_square. rewrite <- M. reflexivity.
Qed.

(** ** Rows: n entries each, entry k of row r at r * n + k *)
Section Rows.
  Variables rows n : nat.
  Variable x : list R.
  Notation at_ r k := (entry x (r * n + k)).

  Definition row_mean (r : nat) : R := sumn (R := Rnum) n (fun k => at_ r k) / INR n.
  Definition row_variance (r : nat) : R := sumn (R := Rnum) n (fun k => (at_ r k - row_mean r) ^ 2) / INR n.
  Definition row_mean_square (r : nat) : R := sumn (R := Rnum) n (fun k => at_ r k ^ 2) / INR n.

  Hypothesis some : (0 < n)%nat.

  Lemma over_row r f : Q2R (inverse (group_size (rows_view rows n))) * total (members (rows_view rows n) r) f
    = sumn (R := Rnum) n (fun k => f (r * n + k)%nat) / INR n.
  Proof.
    cbn [rows_view group_size]. rewrite Nat.mul_1_r, inverse_pos by exact some.
    rewrite rows_members, total_map, total_seq. unfold Rdiv. apply Rmult_comm.
  Qed.
  Lemma mean_of_row r : mean (rows_view rows n) x r = row_mean r.
  Proof. apply over_row. Qed.
  Lemma mean_square_of_row r : mean_square (rows_view rows n) x r = row_mean_square r.
  Proof. unfold mean_square. now rewrite over_row. Qed.
  Lemma variance_of_row r : variance (rows_view rows n) x r = row_variance r.
  Proof.
    unfold variance. rewrite over_row. unfold row_variance. f_equal. apply (sumn_ext Rnum). intros k Hk.
    rewrite rows_group, mean_of_row. rewrite Nat.div_add_l, (Nat.div_small k), Nat.add_0_r by lia. reflexivity.
  Qed.
End Rows.

(** ** The ops along the last axis *)
Section LastAxis.
  Variables (w : world) (s : shape) (nats : list (list N)) (eps : Q) (x gamma beta : list R) (r k : nat).
  Let n := row_length s.
  Hypothesis Hs : s <> [].
  Hypothesis Hr : (r < prod (removelast (dims s)))%nat.
  Hypothesis Hk : (k < n)%nat.

  Lemma last_axis_extent : extent (last_axis_view s) = N.to_nat (size s).
  Proof. unfold last_axis_view. rewrite extent_rows. now apply row_sizes. Qed.
  Lemma last_axis_inside : (r * n + k < extent (last_axis_view s))%nat.
  Proof. unfold last_axis_view. rewrite extent_rows. now apply below. Qed.
  Lemma last_axis_group : group_of (last_axis_view s) (r * n + k) = r.
  Proof. unfold last_axis_view. rewrite rows_group. fold n. rewrite Nat.div_add_l, Nat.div_small; lia. Qed.
  Lemma last_axis_position : last_axis_channel s (r * n + k) = k.
  Proof. unfold last_axis_channel. fold n. rewrite Nat.add_comm, Nat.mod_add, Nat.mod_small; lia. Qed.

  Theorem layer_norm_spec :
    entry (prog_fwd (R := Rnum) (o_prog layer_norm_def w [ANum (Fin eps)] [s; [last s 0%N]; [last s 0%N]] s nats)
             [x; gamma; beta]) (r * n + k)
    = (entry x (r * n + k) - row_mean n x r) / sqrt (row_variance n x r + Q2R eps) * entry gamma k + entry beta k.
  Proof.
    cbn [o_prog layer_norm_def]. unfold norm_eps. cbn [attr_at rational_of nth]. rewrite <- last_axis_extent.
    rewrite norm_entry by apply last_axis_inside. rewrite last_axis_group, last_axis_position.
    unfold last_axis_view. fold n. rewrite mean_of_row, variance_of_row by lia. reflexivity.
  Qed.
  Theorem rms_norm_spec :
    entry (prog_fwd (R := Rnum) (o_prog rms_norm_def w [ANum (Fin eps)] [s; [last s 0%N]] s nats) [x; gamma]) (r * n + k)
    = entry x (r * n + k) / sqrt (row_mean_square n x r + Q2R eps) * entry gamma k.
  Proof.
    cbn [o_prog rms_norm_def]. unfold norm_eps. cbn [attr_at rational_of nth]. rewrite <- last_axis_extent.
    rewrite rms_entry by apply last_axis_inside. rewrite last_axis_group, last_axis_position.
    unfold last_axis_view. fold n. rewrite mean_square_of_row by lia. reflexivity.
  Qed.
End LastAxis.
