(** * Convolution

    out[n, o, t] = b[o] + sum over c, q of w[o, c, q] * x[n, c, t * stride + q - padding], over any number of
    spatial axes (cross-correlation, no groups). A product with a cell of the padding is left out.
    Transposed convolution shares the program: only the pairing of cells differs. *)
From Coq Require Import List NArith ZArith QArith Arith Bool Lia.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op.
From Prooftape.Core Require Import Side Obligations Saves.
From Prooftape.Decl Require Import Names.
From Prooftape.Ops Require Import Index Smoothness Spatial.
Import ListNotations.
Open Scope nat_scope.

Record geometry := Geometry { g_lead : shape; g_in : N; g_out : N; g_axes : list axis }.

(** What both shape rules check. w is (out, in, kernel…), or (in, out, kernel…) when [flip]; [rank] is the number
    of kernel axes, None: any. *)
Definition geometry_of (flip : bool) (rank : option nat) (attrs : list attr) (shapes : list shape)
    : option geometry :=
  match attrs, shapes with
  | [stride; padding], [u :: v :: kernel; [b]; x] =>
      let d := length kernel in
      let o := if flip then v else u in
      let c := if flip then u else v in
      match image d x, per_axis stride d 1, per_axis padding d 0 with
      | Some (lead, channels, sizes), Some s, Some p =>
          if match rank with Some r => d =? r | None => 1 <=? d end
             && forallb (fun n => (0 <? n)%N) (u :: v :: kernel) && (b =? o)%N && (channels =? c)%N
          then Some (Geometry lead c o (axes_of sizes kernel s p))
          else None
      | _, _, _ => None
      end
  | _, _ => None
  end.

(** ** The program *)

Definition image_dims (g : geometry) : list nat := dims (g_lead g) ++ N.to_nat (g_in g) :: sizes (g_axes g).

(** Cell i of the result is a sum of products w[weight o c q] * x[n, c, s]; [pairs] says which s belongs to q. *)
Definition products (weight : nat -> nat -> list nat -> nat) (pairs : list nat -> list nat -> option (list nat))
    (g : geometry) (out : list nat) (i : nat) : list (nat * nat) :=
  let ix := unravel out i in
  let n := firstn (length (g_lead g)) ix in
  match skipn (length (g_lead g)) ix with
  | o :: t =>
      flat_map (fun c =>
        flat_map (fun q =>
          match pairs t q with
          | Some s => [(weight o c q, ravel (image_dims g) (n ++ c :: s))]
          | None => []
          end) (cells (kernels (g_axes g))))
        (seq 0 (N.to_nat (g_in g)))
  | [] => []
  end.

(** The entry of b that cell i of the result adds: its channel. *)
Definition bias (g : geometry) (out : list nat) (i : nat) : nat := nth (length (g_lead g)) (unravel out i) 0.

Definition conv_prog weight pairs (g : geometry) (out : shape) : prog :=
  let n := N.to_nat (size out) in
  [ Step (Bil n (products weight pairs g (dims out))) [0; 2];
    Step (Lin n [fun i => [(1%Q, i)]; fun i => [(1%Q, bias g (dims out) i)]]) [3; 1] ].

Definition conv_weight (g : geometry) (o c : nat) (q : list nat) : nat :=
  ravel (N.to_nat (g_out g) :: N.to_nat (g_in g) :: kernels (g_axes g)) (o :: c :: q).

Definition conv_of (rank : option nat) : opdef := {|
  o_shape := fun attrs shapes _ =>
    match geometry_of false rank attrs shapes with
    | Some g => if forallb fits (g_axes g) then Some (g_lead g ++ g_out g :: map windows (g_axes g)) else None
    | None => None
    end;
  o_prog := fun _ attrs shapes out _ =>
    match geometry_of false rank attrs shapes with
    | Some g => conv_prog (conv_weight g) (reach (g_axes g)) g out
    | None => []
    end |}.

Definition conv_def : opdef := conv_of None.
Definition conv2d_def : opdef := conv_of (Some 2).

(** Convolutions are bilinear: differentiable everywhere. *)
Definition conv_side : side_cond := everywhere.
Definition conv2d_side : side_cond := everywhere.

(** ** What is proved of every op *)

(** Of the program: it suits any op with three real operands that saves w and x. *)
Definition is_conv_prog (o : opdef) : Prop :=
  forall w attrs shapes lens nats out, o_shape o attrs shapes lens = Some out ->
    length shapes = 3 /\ exists weight pairs g, o_prog o w attrs shapes out nats = conv_prog weight pairs g out.

Lemma geometry_operands flip rank attrs shapes g : geometry_of flip rank attrs shapes = Some g -> length shapes = 3.
Proof.
  unfold geometry_of. destruct attrs as [| ? [| ? [| ? ?]]]; try discriminate.
  destruct shapes as [| [| ? [| ? ?]] [| [| ? [| ? ?]] [| ? [| ? ?]]]]; try discriminate. reflexivity.
Qed.

Lemma conv_is_conv_prog rank : is_conv_prog (conv_of rank).
Proof.
  intros w attrs shapes lens nats out. cbn [o_shape o_prog conv_of].
  destruct (geometry_of _ _ _ _) as [g |] eqn:G; [| discriminate]. intros _.
  split; [now apply (geometry_operands _ _ _ _ _ G) | now eexists _, _, g].
Qed.

Section Obligations.
  Variables (d : decl) (o : opdef).
  Hypothesis program : is_conv_prog o.

  Lemma used_conv_prog w attrs tys lens nats t p : used d o w attrs tys lens nats t p ->
    length tys = 3 /\ exists weight pairs g, p = conv_prog weight pairs g (t_shape t).
  Proof.
    intro U. apply used_shape in U. destruct U as [S ->].
    destruct (program w attrs _ _ nats _ S) as [L E]. now rewrite map_length in L.
  Qed.

  Lemma conv_prog_sized : well_sized d o.
  Proof.
    intros w attrs tys lens nats t p U. apply used_conv_prog in U. destruct U as (-> & ? & ? & g & ->).
    now repeat split.
  Qed.

  Lemma conv_prog_saves : d_saves d = [Operand 0; Operand 2] -> saves_enough d o.
  Proof.
    intro S. apply saves_by_check. intros w attrs tys lens nats t p U. apply used_conv_prog in U.
    destruct U as (-> & ? & ? & g & ->). unfold save_positions. now rewrite S.
  Qed.

  Lemma conv_prog_differentiable : d_differentiable d = true -> d_out d = Real -> side_enough d o everywhere.
  Proof.
    intros S M w attrs tys lens nats t p U a _ _. apply used_conv_prog in U. destruct U as (_ & ? & ? & g & ->).
    rewrite S, M. now repeat split.
  Qed.
End Obligations.

Lemma conv_sized : well_sized op_conv_decl conv_def.
Proof. apply conv_prog_sized, conv_is_conv_prog. Qed.
Lemma conv_saves : saves_enough op_conv_decl conv_def.
Proof. now apply conv_prog_saves; [apply conv_is_conv_prog |]. Qed.
Lemma conv_differentiable : side_enough op_conv_decl conv_def conv_side.
Proof. now apply conv_prog_differentiable; [apply conv_is_conv_prog | |]. Qed.

Lemma conv2d_sized : well_sized op_conv2d_decl conv2d_def.
Proof. apply conv_prog_sized, conv_is_conv_prog. Qed.
Lemma conv2d_saves : saves_enough op_conv2d_decl conv2d_def.
Proof. now apply conv_prog_saves; [apply conv_is_conv_prog |]. Qed.
Lemma conv2d_differentiable : side_enough op_conv2d_decl conv2d_def conv2d_side.
Proof. now apply conv_prog_differentiable; [apply conv_is_conv_prog | |]. Qed.
