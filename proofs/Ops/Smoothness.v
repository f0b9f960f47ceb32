(** What linear and bilinear ops have in common, proved once: programs of [Lin], [Bil] and [Const] blocks are
    differentiable everywhere, and the sizes of a program without optional operands are read off its text. *)
From Coq Require Import Reals List NArith Bool Arith Lia.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Saves.
Import ListNotations.
Open Scope nat_scope.

Definition smooth_blk (b : blk) : bool := match b with Lin _ _ | Bil _ _ | Const _ => true | _ => false end.
Definition smooth_prog (p : prog) : bool := forallb (fun s => smooth_blk (s_blk s)) p.

(** The side condition of an op that is differentiable everywhere. *)
Definition everywhere : side_cond := fun _ _ _ _ _ _ => True.

Lemma smooth_prog_side p : smooth_prog p = true -> forall masks ctx, prog_side masks p ctx.
Proof.
  induction p as [|s p IH]; simpl; [easy|]. intros H masks ctx. apply andb_prop in H. destruct H as [Hs Hp].
  split; [|auto]. destruct (s_blk s); easy.
Qed.

(** An op with a derivative, real result and a program of such blocks needs no side condition. *)
Lemma smooth_differentiable d o (side : side_cond) :
  d_differentiable d = true -> d_out d = Real ->
  (forall w attrs shapes out nats, smooth_prog (o_prog o w attrs shapes out nats) = true) ->
  side_enough d o side.
Proof.
  intros Hd Ho Hp w attrs tys lens nats t p (_ & _ & ->) a _ _.
  split; [now apply smooth_prog_side|]. split; congruence.
Qed.

(** The number of operands of an accepted use. *)
Lemma infer_operands d o attrs tys lens t : infer d o attrs tys lens = Some t -> operands_fit d tys = true.
Proof. unfold infer. destruct (operands_fit d tys); [reflexivity|discriminate]. Qed.

Lemma infer_arity d o attrs tys lens t : infer d o attrs tys lens = Some t ->
  d_variadic d = false -> d_optional d = 0 -> length tys = length (d_operands d).
Proof.
  intros H Hv Ho. apply infer_operands in H. unfold operands_fit in H. rewrite Hv, Ho in H.
  apply andb_prop in H. destruct H as [H _]. apply andb_prop in H. destruct H as [H1 H2].
  apply Nat.leb_le in H1, H2. lia.
Qed.

(** The shape of an accepted use is that of the shape rule. *)
Lemma infer_shape d o attrs tys lens t : infer d o attrs tys lens = Some t ->
  o_shape o attrs (map t_shape tys) lens = Some (t_shape t) /\ t_dtype t = d_out d.
Proof.
  unfold infer. destruct (_ && _); [|discriminate]. destruct (o_shape _ _ _ _) as [s|]; [|discriminate].
  destruct (_ <=? _); [|discriminate]. intro E. inversion E. auto.
Qed.

(** A use has attributes of the declared kinds. *)
Lemma infer_attrs d o attrs tys lens t : infer d o attrs tys lens = Some t ->
  all2 attr_fits (d_attrs d) attrs = true.
Proof.
  unfold infer. destruct (operands_fit _ _); [|discriminate].
  destruct (all2 attr_fits _ _); [reflexivity|discriminate].
Qed.

(** For an op with a fixed number of operands: the text of the program shows that it is well sized. *)
Definition sized_prog (n : nat) (p : prog) (size : nat) : Prop :=
  p <> [] /\ scoped n p = true /\ prog_size p = size.

Lemma fixed_sized d o : d_variadic d = false -> d_optional d = 0 ->
  (forall w attrs shapes out nats, length shapes = length (d_operands d) ->
     sized_prog (length (d_operands d)) (o_prog o w attrs shapes out nats) (N.to_nat (size out))) ->
  well_sized d o.
Proof.
  intros Hv Ho Hp w attrs tys lens nats t p (Hi & _ & ->).
  rewrite (infer_arity _ _ _ _ _ _ Hi Hv Ho). apply Hp.
  rewrite map_length. exact (infer_arity _ _ _ _ _ _ Hi Hv Ho).
Qed.

(** ** Tactics for concrete programs *)
(** closes [well_sized] when the last block has the size of the result *)
Ltac by_text := apply fixed_sized; [reflexivity|reflexivity|];
  intros; split; [discriminate|split; reflexivity].
(** closes [side_enough] for an op made of smooth blocks *)
Ltac by_smoothness := apply smooth_differentiable; reflexivity.
(** closes [saves_enough] for a program whose derivative reads no values *)
Ltac by_silence := apply saves_silent; intros w attrs tys lens nats t p (_ & _ & ->); reflexivity.
(** closes [saves_enough] for a program with a fixed number of operands *)
Ltac by_reading := apply saves_by_check; intros w attrs tys lens nats t p (Hused & _ & ->);
  rewrite (infer_arity _ _ _ _ _ _ Hused eq_refl eq_refl); reflexivity.
