(** * Normalisation by mean and biased variance over groups, then an affine map per channel

    One program serves all: which cells form a group, and which channel a cell belongs to, is all that differs.
    rms_norm divides by the root of the mean square instead, and adds nothing. *)
From Coq Require Import Reals Lra List NArith ZArith QArith Qreals Arith Bool Lia.
From Prooftape.Spec Require Import Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Saves.
From Prooftape.Ops Require Import Index Attributes Groups Pieces PieceFacts Smoothness.
From Prooftape.Decl Require Import Names.
Import ListNotations.
Open Scope nat_scope.

(** operands x, gamma, beta; then: deviations, their squares, variance, 1 / sqrt(variance + eps), standardised
    entries, these times gamma, plus beta *)
Definition norm_steps (n : nat) (v : view) (channel : nat -> nat) (eps : Q) : prog :=
  [Step (Lin (extent v) [centred v]) [0]; Step (squares (extent v)) [3; 3];
   Step (Lin (groups v) [weighted (inverse (group_size v)) (members v)]) [4];
   Step (inverse_roots (groups v) eps) [5]; Step (times n (group_of v)) [3; 6];
   Step (times n channel) [7; 1]; Step (Lin n [same; fun i => same (channel i)]) [8; 2]].
(** operands x, gamma; then: squares, mean square, 1 / sqrt(mean square + eps), standardised entries, times gamma *)
Definition rms_steps (n : nat) (v : view) (channel : nat -> nat) (eps : Q) : prog :=
  [Step (squares (extent v)) [0; 0]; Step (Lin (groups v) [weighted (inverse (group_size v)) (members v)]) [2];
   Step (inverse_roots (groups v) eps) [3]; Step (times n (group_of v)) [0; 4]; Step (times n channel) [5; 1]].

(** ** What each op normalises over, and its channels *)
Definition row_length (x : shape) : nat := last (dims x) 1.
Definition last_axis_view (x : shape) : view := rows_view (prod (removelast (dims x))) (row_length x).
Definition last_axis_channel (x : shape) (i : nat) : nat := i mod row_length x.

(** ([batch,] channels, height, width): all axes but the channels *)
Definition channel_first_view (x : shape) : view :=
  along (match x with [_; _; _] => [1; 2] | _ => [0; 2; 3] end)%Z x.
Definition channel_first_channel (x : shape) (i : nat) : nat :=
  let d := dims x in
  let c := length d - 3 in
  (i / prod (skipn (S c) d)) mod nth c d 1.

(** (batch, channels, spatial…): the channels in groups, with all spatial axes; a group is contiguous *)
Definition grouped_view (groups : nat) (x : shape) : view :=
  let d := dims x in
  rows_view (nth 0 d 1 * groups) (nth 1 d 1 / groups * prod (skipn 2 d)).
Definition grouped_channel (x : shape) (i : nat) : nat :=
  let d := dims x in (i / prod (skipn 2 d)) mod nth 1 d 1.

(** ** Shape rules *)
Definition eps_fits (eps : attr) : bool := match eps with ANum (Fin q) => Qle_bool 0 q | _ => false end.
(** x is not empty, the affine operands have one entry per channel *)
Definition norm_shape (x : shape) (affine : list shape) (channels : N) (eps : attr) : option shape :=
  guard (forallb (fun n => (0 <? n)%N) x && forallb (shape_eqb [channels]) affine && eps_fits eps) x.

Definition last_axis_shape (attrs : list attr) (shapes : list shape) (_ : list N) : option shape :=
  match attrs, shapes with
  | [eps], x :: affine => if rank_from 1 x then norm_shape x affine (last x 0%N) eps else None
  | _, _ => None
  end.
Definition channel_first_shape (attrs : list attr) (shapes : list shape) (_ : list N) : option shape :=
  match attrs, shapes with
  | [eps], x :: affine =>
      if rank_is 3 x || rank_is 4 x then norm_shape x affine (axis_length x (length x - 3)) eps else None
  | _, _ => None
  end.
Definition grouped_shape (attrs : list attr) (shapes : list shape) (_ : list N) : option shape :=
  match attrs, shapes with
  | [AInt groups; eps], x :: affine =>
      let channels := axis_length x 1 in
      if rank_from 2 x && (1 <=? groups)%Z && (Z.of_N channels mod groups =? 0)%Z
      then norm_shape x affine channels eps else None
  | _, _ => None
  end.

(** ** The ops *)
Definition norm_eps (attrs : list attr) (k : nat) : Q := rational_of (attr_at attrs k).

Definition layer_norm_def : opdef := {|
  o_shape := last_axis_shape;
  o_prog := fun _ attrs _ out _ =>
    norm_steps (N.to_nat (size out)) (last_axis_view out) (last_axis_channel out) (norm_eps attrs 0) |}.
Definition rms_norm_def : opdef := {|
  o_shape := last_axis_shape;
  o_prog := fun _ attrs _ out _ =>
    rms_steps (N.to_nat (size out)) (last_axis_view out) (last_axis_channel out) (norm_eps attrs 0) |}.
Definition batchnorm_channel_first_def : opdef := {|
  o_shape := channel_first_shape;
  o_prog := fun _ attrs _ out _ =>
    norm_steps (N.to_nat (size out)) (channel_first_view out) (channel_first_channel out) (norm_eps attrs 0) |}.
Definition group_norm_def : opdef := {|
  o_shape := grouped_shape;
  o_prog := fun _ attrs _ out _ =>
    norm_steps (N.to_nat (size out)) (grouped_view (Z.to_nat (int_of (attr_at attrs 0))) out) (grouped_channel out)
      (norm_eps attrs 1) |}.

Lemma layer_norm_sized : well_sized op_layer_norm_decl layer_norm_def.
Proof. by_text. Qed.
Lemma rms_norm_sized : well_sized op_rms_norm_decl rms_norm_def.
Proof. by_text. Qed.
Lemma batchnorm_channel_first_sized : well_sized op_batchnorm_channel_first_decl batchnorm_channel_first_def.
Proof. by_text. Qed.
Lemma group_norm_sized : well_sized op_group_norm_decl group_norm_def.
Proof. by_text. Qed.

Lemma layer_norm_saves : saves_enough op_layer_norm_decl layer_norm_def.
Proof. by_reading. Qed.
Lemma rms_norm_saves : saves_enough op_rms_norm_decl rms_norm_def.
Proof. by_reading. Qed.
Lemma batchnorm_channel_first_saves : saves_enough op_batchnorm_channel_first_decl batchnorm_channel_first_def.
Proof. by_reading. Qed.
Lemma group_norm_saves : saves_enough op_group_norm_decl group_norm_def.
Proof. by_reading. Qed.

(** ** Derivatives: wherever what is divided by is not 0, so everywhere if eps > 0 *)
Section Statistics.
  Variable v : view.
  Variable x : list R.
  Notation mean_over o f := (Q2R (inverse (group_size v)) * total (members v o) f)%R.

  Definition mean (o : nat) : R := mean_over o (entry x).
  Definition variance (o : nat) : R := mean_over o (fun s => (entry x s - mean (group_of v s)) ^ 2)%R.
  Definition mean_square (o : nat) : R := mean_over o (fun s => entry x s ^ 2)%R.

  Lemma mean_nonneg o f : (forall s, 0 <= f s)%R -> (0 <= mean_over o f)%R.
  Proof. intro H. apply Rmult_le_pos; [apply inverse_nonneg | now apply total_nonneg]. Qed.
  Lemma variance_nonneg o : (0 <= variance o)%R.
  Proof. apply mean_nonneg. intro s. apply pow2_ge_0. Qed.
  Lemma mean_square_nonneg o : (0 <= mean_square o)%R.
  Proof. apply mean_nonneg. intro s. apply pow2_ge_0. Qed.

  (** The programs compute them. *)
  Definition deviations : list R := bfwd (R := Rnum) (Lin (extent v) [centred v]) [x].
  Lemma entry_deviations s : s < extent v -> entry deviations s = (entry x s - mean (group_of v s))%R.
  Proof. intro H. unfold deviations. rewrite entry_lin, row_centred by exact H. reflexivity. Qed.
  Lemma entry_mean_square y o f : o < groups v -> (forall s, s < extent v -> entry y s = f s) ->
    entry (bfwd (R := Rnum) (Lin (groups v) [weighted (inverse (group_size v)) (members v)])
             [bfwd (R := Rnum) (squares (extent v)) [y; y]]) o
    = mean_over o (fun s => f s ^ 2)%R.
  Proof.
    intros Ho Hy. rewrite entry_lin, row_weighted by exact Ho. f_equal. apply total_ext. intros s Hs.
    assert (s < extent v) as L by now apply (members_lt v o).
    unfold squares. rewrite entry_times by exact L. unfold itself. rewrite Hy by exact L. change (f s * f s = f s ^ 2)%R. ring.
  Qed.
  Lemma entry_variance o : o < groups v ->
    entry (bfwd (R := Rnum) (Lin (groups v) [weighted (inverse (group_size v)) (members v)])
             [bfwd (R := Rnum) (squares (extent v)) [deviations; deviations]]) o = variance o.
  Proof.
    intro Ho. exact (entry_mean_square deviations o (fun s => entry x s - mean (group_of v s))%R Ho entry_deviations).
  Qed.
End Statistics.

(** eps > 0, or no group without variance *)
Definition divisible (statistic : nat -> R) (v : view) (eps : Q) : Prop :=
  (0 < eps)%Q \/ forall o, o < groups v -> (0 < statistic o + Q2R eps)%R.
Lemma divisible_pos f v eps : (forall o, 0 <= f o)%R -> divisible f v eps ->
  forall o, o < groups v -> (0 < f o + Q2R eps)%R.
Proof.
  intros Hf [H | H] o Ho; [| now apply H]. apply Qlt_Rlt in H. specialize (Hf o). rewrite RMicromega.Q2R_0 in H. lra.
Qed.

Lemma norm_smooth n v channel eps masks x gamma beta : divisible (variance v x) v eps ->
  prog_side masks (norm_steps n v channel eps) [x; gamma; beta].
Proof.
  intro H. unfold norm_steps. steps. do 3 (split; [exact I |]). split; [| now repeat split]. apply inverse_roots_side. intros o Ho.
  pose proof (divisible_pos _ _ _ (variance_nonneg v x) H o Ho) as P.
  rewrite <- (entry_variance v x o Ho) in P. exact P.
Qed.
Lemma rms_smooth n v channel eps masks x gamma : divisible (mean_square v x) v eps ->
  prog_side masks (rms_steps n v channel eps) [x; gamma].
Proof.
  intro H. unfold rms_steps. steps. do 2 (split; [exact I |]). split; [| now repeat split]. apply inverse_roots_side. intros o Ho.
  rewrite (entry_mean_square v x o (entry x)) by auto. exact (divisible_pos _ _ _ (mean_square_nonneg v x) H o Ho).
Qed.

Definition layer_norm_side : side_cond := fun _ attrs _ out _ a =>
  divisible (variance (last_axis_view out) (slot a 0)) (last_axis_view out) (norm_eps attrs 0).
Definition rms_norm_side : side_cond := fun _ attrs _ out _ a =>
  divisible (mean_square (last_axis_view out) (slot a 0)) (last_axis_view out) (norm_eps attrs 0).
Definition batchnorm_channel_first_side : side_cond := fun _ attrs _ out _ a =>
  divisible (variance (channel_first_view out) (slot a 0)) (channel_first_view out) (norm_eps attrs 0).
Definition group_norm_side : side_cond := fun _ attrs _ out _ a =>
  let v := grouped_view (Z.to_nat (int_of (attr_at attrs 0))) out in
  divisible (variance v (slot a 0)) v (norm_eps attrs 1).

Ltac by_norm smooth := apply composite_differentiable; try reflexivity;
  intros w attrs shapes out lens nats masks a _ La _ S;
  do 4 try (destruct a as [| ? a]; try discriminate); apply smooth; exact S.
Lemma layer_norm_differentiable : side_enough op_layer_norm_decl layer_norm_def layer_norm_side.
Proof. by_norm norm_smooth. Qed.
Lemma rms_norm_differentiable : side_enough op_rms_norm_decl rms_norm_def rms_norm_side.
Proof. by_norm rms_smooth. Qed.
Lemma batchnorm_channel_first_differentiable :
  side_enough op_batchnorm_channel_first_decl batchnorm_channel_first_def batchnorm_channel_first_side.
Proof. by_norm norm_smooth. Qed.
Lemma group_norm_differentiable : side_enough op_group_norm_decl group_norm_def group_norm_side.
Proof. by_norm norm_smooth. Qed.
