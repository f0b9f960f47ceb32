(** Ops that work entry by entry: one block, whose expression and slopes come from [Decl/Exprs.v].

    The number attributes of such an op are its parameters. They must be rational: a float that is infinite or not a
    number has no value in a field, so the shape rules here refuse a use with one (Python lets some of them through,
    with IEEE meaning; about those uses nothing is claimed). The one exception is [clamp], where an infinite bound
    means that there is none. *)
From Coq Require Import Reals List NArith ZArith QArith Qreals Bool Arith Lia.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Saves.
From Prooftape.Ops Require Import Attributes Moves Smoothness.
Import ListNotations.
Open Scope nat_scope.

(** ** Shape rule *)
Definition same_shape (shapes : list shape) : option shape :=
  match shapes with s :: rest => guard (forallb (shape_eqb s) rest) s | [] => None end.

Definition is_rational (a : attr) : bool := match a with ANum (Fin _) => true | _ => false end.
Definition params (attrs : list attr) : list Q := map rational_of attrs.

(** strictly less, decided *)
Definition Qltb (p q : Q) : bool := negb (Qle_bool q p).

Lemma Qltb_lt p q : Qltb p q = true -> (p < q)%Q.
Proof.
  unfold Qltb. rewrite negb_true_iff. intro H. apply Qnot_le_lt. intro L. apply Qle_bool_iff in L. congruence.
Qed.

(** ** One block over all operands *)
(** [ok]: what the shape rule asks of the parameters *)
Definition entrywise (block : nat -> list Q -> blk) (ok : list Q -> bool) : opdef := {|
  o_shape attrs shapes _ := if forallb is_rational attrs && ok (params attrs) then same_shape shapes else None;
  o_prog _ attrs shapes out _ := [Step (block (entries out) (params attrs)) (seq 0 (length shapes))] |}.

Definition anything : list Q -> bool := fun _ => true.
Definition elementwise_if (ok : list Q -> bool) (f : sx) (slopes : list (option sx)) : opdef :=
  entrywise (fun n ps => Ew n f ps slopes) ok.
Definition elementwise : sx -> list (option sx) -> opdef := elementwise_if anything.
(** a result without derivative *)
Definition piecewise_constant (f : sx) : opdef := entrywise (fun n ps => Cmp n f ps) anything.

(** Side conditions: [P] holds of the parameters and of the operands' entries at every place. *)
Definition each_entry (P : list Q -> (nat -> R) -> Prop) : side_cond :=
  fun _ attrs _ out _ a => forall i, i < entries out -> P (params attrs) (fun j => tget (R := Rnum) (slot a j) i).

(** ** Sizes *)
Lemma scoped_all n b : scoped n [Step b (seq 0 n)] = true.
Proof.
  cbn. rewrite andb_true_r. apply forallb_forall. intros k H. apply in_seq in H. apply Nat.ltb_lt. lia.
Qed.

Lemma entrywise_sized d block ok : (forall n ps, blk_size (block n ps) = n) -> well_sized d (entrywise block ok).
Proof.
  intros H w attrs tys lens nats t p (_ & _ & ->). split; [discriminate|]. split.
  - cbn [o_prog entrywise]. rewrite map_length. apply scoped_all.
  - exact (H _ _).
Qed.

(** ** Saves *)
Lemma elementwise_saves d ok f slopes :
  d_variadic d = false -> d_optional d = 0 ->
  (let n := length (d_operands d) in
   reads_only n (save_positions d n) [Step (Ew 0 f [] slopes) (seq 0 n)] = true) ->
  saves_enough d (elementwise_if ok f slopes).
Proof.
  intros Hv Ho H. apply saves_by_check. intros w attrs tys lens nats t p (U & _ & ->).
  cbn [o_prog entrywise elementwise_if]. rewrite map_length, (infer_arity _ _ _ _ _ _ U Hv Ho). exact H.
Qed.

Lemma piecewise_constant_saves d f : saves_enough d (piecewise_constant f).
Proof. apply saves_silent. intros w attrs tys lens nats t p (_ & _ & ->). reflexivity. Qed.

(** ** Derivatives *)
Lemma all_positions A (d : A) l : map (fun j => nth j l d) (seq 0 (length l)) = l.
Proof.
  induction l as [|x l IH]; [reflexivity|]. cbn [length seq map nth]. f_equal.
  rewrite <- seq_shift, map_map. exact IH.
Qed.

Lemma dtypes_fit tys dtypes : all2 (fun t k => dtype_eqb (t_dtype t) k) tys dtypes = true -> map t_dtype tys = dtypes.
Proof.
  revert dtypes. induction tys as [|[[] s] tys IH]; intros [|[] l] H; try discriminate; try reflexivity;
    cbn in *; f_equal; auto.
Qed.

(** In an accepted use, operands have the declared types and the parameters pass the check. *)
Lemma entrywise_used d block ok w attrs tys lens nats t p :
  d_variadic d = false -> d_optional d = 0 -> used d (entrywise block ok) w attrs tys lens nats t p ->
  map t_dtype tys = d_operands d /\ ok (params attrs) = true.
Proof.
  intros Hv Ho (U & _ & _). split.
  - pose proof (infer_arity _ _ _ _ _ _ U Hv Ho) as L. apply infer_operands in U.
    unfold operands_fit in U. rewrite Hv in U. apply andb_prop in U. destruct U as [_ U].
    rewrite L, firstn_all in U. now apply dtypes_fit.
  - apply infer_shape in U. destruct U as [U _]. cbn in U. destruct (forallb _ _); [|discriminate].
    now destruct (ok (params attrs)).
Qed.

Definition mask_dtypes (l : list dtype) : list bool := map (fun k => dtype_eqb k Mask) l.

Lemma entrywise_differentiable d block ok (P : list Q -> (nat -> R) -> Prop) :
  d_variadic d = false -> d_optional d = 0 ->
  (forall n ps a, length a = length (d_operands d) -> ok ps = true ->
     (forall i, i < n -> P ps (fun j => tget (R := Rnum) (slot a j) i)) ->
     blk_side (block n ps) (mask_dtypes (d_operands d)) a) ->
  (d_differentiable d = true /\ d_out d = Real) \/ (forall n ps, blk_still (block n ps) = true) ->
  side_enough d (entrywise block ok) (each_entry P).
Proof.
  intros Hv Ho H S w attrs tys lens nats t p U a La Side.
  pose proof (entrywise_used _ _ _ _ _ _ _ _ _ _ Hv Ho U) as [Ht Hok]. destruct U as (_ & _ & ->). split.
  - cbn [o_prog entrywise prog_side s_blk s_args]. split; [|easy].
    rewrite map_length. unfold args_at. cbn [s_args].
    match goal with |- blk_side _ ?ms ?args =>
      replace args with a by (rewrite <- La; symmetry; exact (all_positions (list R) [] a));
      replace ms with (mask_dtypes (d_operands d))
    end.
    + apply H; [|exact Hok|exact Side]. rewrite <- Ht, map_length. exact La.
    + rewrite <- (map_length (fun t => negb (is_real t)) tys), all_positions. unfold mask_dtypes.
      rewrite <- Ht, map_map. apply map_ext. now intros [[] ?].
  - destruct S as [[Sd So] | S]; [split; congruence|]. cbn [prog_still o_prog entrywise rev app s_blk].
    split; intros _; apply S.
Qed.

Lemma cell_entry_at (a : list (list R)) i k : nth k (cell (R := Rnum) a i) 0%R = tget (R := Rnum) (slot a k) i.
Proof. exact (nth_cell Rnum a i k). Qed.

(** For [Ew] blocks it is enough to look at one place. *)
Lemma elementwise_differentiable d ok f slopes (P : list Q -> (nat -> R) -> Prop) :
  d_variadic d = false -> d_optional d = 0 -> d_differentiable d = true -> d_out d = Real ->
  (forall ps v, length v = length (d_operands d) -> ok ps = true -> P ps (fun j => nth j v 0%R) ->
     ew_diff f ps slopes (mask_dtypes (d_operands d)) v) ->
  (forall ps x y, (forall j, x j = y j) -> P ps x -> P ps y) ->
  side_enough d (elementwise_if ok f slopes) (each_entry P).
Proof.
  intros Hv Ho Hd Hr H E. apply entrywise_differentiable; auto. intros n ps a La Hok HP i Hi.
  apply H; [unfold cell; now rewrite map_length | assumption |].
  eapply E; [|exact (HP i Hi)]. intro j. symmetry. apply cell_entry_at.
Qed.

(** For [Cmp] blocks too. *)
Lemma piecewise_constant_differentiable d f (P : list Q -> (nat -> R) -> Prop) :
  d_variadic d = false -> d_optional d = 0 ->
  (forall ps v, length v = length (d_operands d) -> P ps (fun j => nth j v 0%R) ->
     sx_still ps (mask_dtypes (d_operands d)) v f) ->
  (forall ps x y, (forall j, x j = y j) -> P ps x -> P ps y) ->
  side_enough d (piecewise_constant f) (each_entry P).
Proof.
  intros Hv Ho H E. apply entrywise_differentiable; auto. intros n ps a La _ HP i Hi.
  apply H; [unfold cell; now rewrite map_length |].
  eapply E; [|exact (HP i Hi)]. intro j. symmetry. apply cell_entry_at.
Qed.

(** ** Tactics *)
Ltac by_block := apply entrywise_sized; reflexivity.
Ltac by_slopes := apply elementwise_saves; reflexivity.
(** a side condition that looks at the entries of at most three operands *)
Ltac same_entries := intros ? ? ? E; rewrite <- ?(E 0%nat), <- ?(E 1%nat), <- ?(E 2%nat); exact (fun H => H).
