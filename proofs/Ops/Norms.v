(** * Normalisation by mean and biased variance over groups, then an affine map per channel

    One program serves all: which cells form a group, and which channel a cell belongs to, is all that differs.
    rms_norm divides by the root of the mean square instead, and adds nothing. *)
From Coq Require Import List NArith ZArith QArith Arith Bool.
From Prooftape.Spec Require Import Tensor Block Graph Op.
From Prooftape.Core Require Import Obligations Saves.
From Prooftape.Ops Require Import Index Attributes Groups Pieces Smoothness.
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
