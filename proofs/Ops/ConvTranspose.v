(** * Transposed convolution

    out[n, o, t] = b[o] + sum over c, q, s with s * stride + q - padding = t of w[c, o, q] * x[n, c, s].
    For each kernel cell q there is at most one such input cell s, so the program looks for it. *)
From Coq Require Import List NArith ZArith QArith Arith Bool Lia.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op.
From Prooftape.Core Require Import Side Obligations.
From Prooftape.Decl Require Import Names.
From Prooftape.Ops Require Import Index Smoothness Spatial Conv.
Import ListNotations.
Open Scope nat_scope.

(** The kernel covers more than what the padding crops. *)
Definition covers (a : axis) : bool := (2 * a_padding a <? (a_size a - 1) * a_stride a + a_kernel a)%N.
(** Length of the result along an axis. *)
Definition span (a : axis) : N := ((a_size a - 1) * a_stride a + a_kernel a - 2 * a_padding a)%N.

(** The input cell whose kernel cell q lands on t. *)
Definition source1 (a : axis) (t q : nat) : option nat :=
  let k := t + N.to_nat (a_padding a) in
  let s := N.to_nat (a_stride a) in
  if (q <=? k) && ((k - q) mod s =? 0) && ((k - q) / s <? N.to_nat (a_size a)) then Some ((k - q) / s) else None.
Definition source : list axis -> list nat -> list nat -> option (list nat) := each source1.

Definition transposed_weight (g : geometry) (o c : nat) (q : list nat) : nat :=
  ravel (N.to_nat (g_in g) :: N.to_nat (g_out g) :: kernels (g_axes g)) (c :: o :: q).

Definition conv_transpose_of (rank : option nat) : opdef := {|
  o_shape := fun attrs shapes _ =>
    match geometry_of true rank attrs shapes with
    | Some g => if forallb covers (g_axes g) then Some (g_lead g ++ g_out g :: map span (g_axes g)) else None
    | None => None
    end;
  o_prog := fun _ attrs shapes out _ =>
    match geometry_of true rank attrs shapes with
    | Some g => conv_prog (transposed_weight g) (source (g_axes g)) g out
    | None => []
    end |}.

Definition conv_transpose_def : opdef := conv_transpose_of None.
Definition conv_transpose2d_def : opdef := conv_transpose_of (Some 2).

(** Bilinear as well. *)
Definition conv_transpose_side : side_cond := everywhere.
Definition conv_transpose2d_side : side_cond := everywhere.

Lemma conv_transpose_is_conv_prog rank : is_conv_prog (conv_transpose_of rank).
Proof.
  intros w attrs shapes lens nats out. cbn [o_shape o_prog conv_transpose_of].
  destruct (geometry_of _ _ _ _) as [g |] eqn:G; [| discriminate]. intros _.
  split; [now apply (geometry_operands _ _ _ _ _ G) | now eexists _, _, g].
Qed.

Lemma conv_transpose_sized : well_sized op_conv_transpose_decl conv_transpose_def.
Proof. apply conv_prog_sized, conv_transpose_is_conv_prog. Qed.
Lemma conv_transpose_saves : saves_enough op_conv_transpose_decl conv_transpose_def.
Proof. now apply conv_prog_saves; [apply conv_transpose_is_conv_prog |]. Qed.
Lemma conv_transpose_differentiable :
  side_enough op_conv_transpose_decl conv_transpose_def conv_transpose_side.
Proof. now apply conv_prog_differentiable; [apply conv_transpose_is_conv_prog | |]. Qed.

Lemma conv_transpose2d_sized : well_sized op_conv_transpose2d_decl conv_transpose2d_def.
Proof. apply conv_prog_sized, conv_transpose_is_conv_prog. Qed.
Lemma conv_transpose2d_saves : saves_enough op_conv_transpose2d_decl conv_transpose2d_def.
Proof. now apply conv_prog_saves; [apply conv_transpose_is_conv_prog |]. Qed.
Lemma conv_transpose2d_differentiable :
  side_enough op_conv_transpose2d_decl conv_transpose2d_def conv_transpose2d_side.
Proof. now apply conv_prog_differentiable; [apply conv_transpose_is_conv_prog | |]. Qed.
