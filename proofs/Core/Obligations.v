(** What is proved of every op, once, for the theorems about graphs to hold. The generated table [Decl/Table.v]
    collects these facts; an op without them does not build. *)
From Coq Require Import Reals List NArith Bool Arith.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side.
Import ListNotations.
Open Scope nat_scope.

Definition prog_size (p : prog) : nat := match rev p with s :: _ => blk_size (s_blk s) | [] => 0 end.
Definition scoped (n : nat) (p : prog) : bool :=
  (fix go n p := match p with [] => true | s :: p' => forallb (fun k => k <? n) (s_args s) && go (S n) p' end) n p.

Definition side_cond := world -> list attr -> list shape -> shape -> list (list N) -> list (list R) -> Prop.

Section Obligations.
  Variable d : decl.
  Variable o : opdef.

  (** the program of one accepted use *)
  Definition used (w : world) attrs tys lens (nats : list (list N)) (t : ty) (p : prog) : Prop :=
    infer d o attrs tys lens = Some t /\ map (fun l => N.of_nat (length l)) nats = lens /\
    p = o_prog o w attrs (map t_shape tys) (t_shape t) nats.

  (** The program is not empty, refers backwards only, and its result has the size of the inferred shape. *)
  Definition well_sized : Prop :=
    forall w attrs tys lens nats t p, used w attrs tys lens nats t p ->
      p <> [] /\ scoped (length tys) p = true /\ prog_size p = ty_size t.

  (** The VJP computed from the saved values alone is the VJP at all values. *)
  Definition saves_enough : Prop :=
    d_differentiable d = true ->
    forall w attrs tys lens nats t p, used w attrs tys lens nats t p ->
    forall (R : num) (a : list (list R)) (ct : list R), length a = length tys ->
      let ms := map ty_size tys in
      let n := length tys in
      let entries := a ++ [prog_fwd p a] in
      let saves := save_positions d n in
      let saved := map (fun k => nth k entries []) saves in
      let a' := map (fun j => dense (saved_at saves saved j)) (seq 0 n) in
      prog_vjp ms p (set_last (run p a') (saved_at saves saved n)) ct = prog_vjp ms p (run p a) ct.

  (** The readable side condition suffices for differentiability; what carries no derivative does not move. *)
  Definition side_enough (side : side_cond) : Prop :=
    forall w attrs tys lens nats t p, used w attrs tys lens nats t p ->
    forall (a : list (list R)), length a = length tys ->
      side w attrs (map t_shape tys) (t_shape t) nats a ->
      prog_side (map (fun t => negb (is_real t)) tys) p a /\
      (d_differentiable d = false -> prog_still p = true) /\
      (d_out d = Mask -> prog_still p = true).
End Obligations.
