(** Ops that select, entry by entry: at a kink or a tie the derivative is a convention of the rules, and the side
    conditions exclude the point. *)
From Coq Require Import Reals List NArith ZArith QArith Qreals Bool Arith Lia Lra.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Saves.
From Prooftape.Decl Require Import Names Exprs.
From Prooftape.Ops Require Import Attributes Moves Smoothness Elementwise ElementwiseRules.
From Prooftape.Core Require Import ScalarDerivative.
Import ListNotations.
Open Scope nat_scope.

Definition relu_def := elementwise relu_expr relu_slopes.
Definition relu_side : side_cond := each_entry (fun _ x => x 0%nat <> 0)%R.
Lemma relu_sized : well_sized op_relu_decl relu_def. Proof. by_block. Qed.
Lemma relu_saves : saves_enough op_relu_decl relu_def. Proof. by_slopes. Qed.
Lemma relu_differentiable : side_enough op_relu_decl relu_def relu_side.
Proof. by_rules relu_expr relu_slopes; [tauto|]. now destruct (Rltb 0 x). Qed.

Definition leaky_relu_def := elementwise leaky_relu_expr leaky_relu_slopes.
Definition leaky_relu_side : side_cond := each_entry (fun _ x => x 0%nat <> 0)%R.
Lemma leaky_relu_sized : well_sized op_leaky_relu_decl leaky_relu_def. Proof. by_block. Qed.
Lemma leaky_relu_saves : saves_enough op_leaky_relu_decl leaky_relu_def. Proof. by_slopes. Qed.
Lemma leaky_relu_differentiable : side_enough op_leaky_relu_decl leaky_relu_def leaky_relu_side.
Proof. by_rules leaky_relu_expr leaky_relu_slopes; destruct (Rltb 0 x); try tauto; ring. Qed.

Definition alpha_ok (ps : list Q) : bool :=
  let c := nth 0 ps 0%Q in Qltb (- (10 ^ 290)%Z # 1) c && Qltb c ((10 ^ 290)%Z # 1).
Definition elu_def := elementwise_if alpha_ok elu_expr elu_slopes.
Definition elu_side : side_cond := each_entry (fun _ x => x 0%nat <> 0)%R.
Lemma elu_sized : well_sized op_elu_decl elu_def. Proof. by_block. Qed.
Lemma elu_saves : saves_enough op_elu_decl elu_def. Proof. by_slopes. Qed.
Lemma elu_differentiable : side_enough op_elu_decl elu_def elu_side.
Proof. by_rules elu_expr elu_slopes; destruct (Rltb 0 x); try tauto; ring. Qed.

Definition maximum_def := elementwise maximum_expr maximum_slopes.
Definition maximum_side : side_cond := each_entry (fun _ x => x 0%nat <> x 1%nat)%R.
Lemma maximum_sized : well_sized op_maximum_decl maximum_def. Proof. by_block. Qed.
Lemma maximum_saves : saves_enough op_maximum_decl maximum_def. Proof. by_slopes. Qed.
Lemma maximum_differentiable : side_enough op_maximum_decl maximum_def maximum_side.
Proof. by_rules maximum_expr maximum_slopes; [tauto| |]; unfold Rltb; destruct (Rlt_dec x y), (Rlt_dec y x); lra. Qed.

Definition minimum_def := elementwise minimum_expr minimum_slopes.
Definition minimum_side : side_cond := each_entry (fun _ x => x 0%nat <> x 1%nat)%R.
Lemma minimum_sized : well_sized op_minimum_decl minimum_def. Proof. by_block. Qed.
Lemma minimum_saves : saves_enough op_minimum_decl minimum_def. Proof. by_slopes. Qed.
Lemma minimum_differentiable : side_enough op_minimum_decl minimum_def minimum_side.
Proof. by_rules minimum_expr minimum_slopes; [tauto| |]; unfold Rltb; destruct (Rlt_dec x y), (Rlt_dec y x); lra. Qed.

Definition where_def := elementwise where_expr where_slopes.
Definition where_side : side_cond := everywhere.
Lemma where_sized : well_sized op_where_decl where_def. Proof. by_block. Qed.
Lemma where_saves : saves_enough op_where_decl where_def. Proof. by_slopes. Qed.
Lemma where_differentiable : side_enough op_where_decl where_def where_side.
Proof. by_rules where_expr where_slopes; destruct (holds (R := Rnum) x); easy. Qed.

(** ** clamp: a lower bound of minus infinity and an upper bound of infinity are no bounds *)
Definition clamp_rule (attrs : list attr) : option (sx * list (option sx)) :=
  match attrs with
  | [ANum (Fin lo); ANum (Fin hi)] => guard (Qle_bool lo hi) (clamp_expr, clamp_slopes)
  | [ANum MInf; ANum (Fin _)] => Some (clamp_above_expr, clamp_above_slopes)
  | [ANum (Fin _); ANum PInf] => Some (clamp_below_expr, clamp_below_slopes)
  | [ANum MInf; ANum PInf] => Some (clamp_nowhere_expr, clamp_nowhere_slopes)
  | _ => None
  end.
Definition clamp_def : opdef := {|
  o_shape attrs shapes _ := match clamp_rule attrs with Some _ => same_shape shapes | None => None end;
  o_prog _ attrs _ out _ :=
    let rule := match clamp_rule attrs with Some rule => rule | None => (clamp_expr, clamp_slopes) end in
    [Step (Ew (entries out) (fst rule) (params attrs) (snd rule)) [0]] |}.
(** No entry is equal to a bound. *)
Definition clamp_side : side_cond := fun _ attrs _ out _ a =>
  forall bound, In (ANum (Fin bound)) attrs -> forall i, i < entries out -> tget (R := Rnum) (slot a 0) i <> Q2R bound.
Lemma clamp_sized : well_sized op_clamp_decl clamp_def. Proof. by_text. Qed.
Lemma clamp_saves : saves_enough op_clamp_decl clamp_def.
Proof.
  apply saves_by_check. intros w attrs tys lens nats t p (U & _ & ->).
  rewrite (infer_arity _ _ _ _ _ _ U eq_refl eq_refl). cbn [o_prog clamp_def].
  unfold clamp_rule. destruct attrs as [|[| | |[]| | |] [|[| | |[]| | |] [|]]]; try reflexivity.
  now destruct (Qle_bool _ _).
Qed.

(** the four rules at one entry *)
Ltac at_entry := intros; apply ew_by_rules_1;
  unfold clamp_expr, clamp_slopes, clamp_above_expr, clamp_above_slopes, clamp_below_expr, clamp_below_slopes,
    clamp_nowhere_expr, clamp_nowhere_slopes;
  as_reals; rewrite ?holds_truth;
  try destruct (Rltb _ (Q2R (nth 0 _ _))); try destruct (Rltb (Q2R (nth 1 _ _)) _);
  rewrite ?Reqb_refl, ?Reqb_false by assumption; auto 6.
Lemma clamp_slope ps masks (x : R) : x <> Q2R (nth 0 ps 0%Q) -> x <> Q2R (nth 1 ps 0%Q) ->
  ew_diff clamp_expr ps clamp_slopes masks [x].
Proof. at_entry. Qed.
Lemma clamp_above_slope ps masks (x : R) : x <> Q2R (nth 1 ps 0%Q) ->
  ew_diff clamp_above_expr ps clamp_above_slopes masks [x].
Proof. at_entry. Qed.
Lemma clamp_below_slope ps masks (x : R) : x <> Q2R (nth 0 ps 0%Q) ->
  ew_diff clamp_below_expr ps clamp_below_slopes masks [x].
Proof. at_entry. Qed.
Lemma clamp_nowhere_slope ps masks (x : R) : ew_diff clamp_nowhere_expr ps clamp_nowhere_slopes masks [x].
Proof. at_entry. Qed.

Lemma clamp_differentiable : side_enough op_clamp_decl clamp_def clamp_side.
Proof.
  intros w attrs tys lens nats t p (U & _ & ->) a La H.
  pose proof (infer_arity _ _ _ _ _ _ U eq_refl eq_refl) as Lt. rewrite Lt in La.
  destruct a as [|v [|]]; try discriminate La. apply infer_shape in U. destruct U as [U _].
  split; [|split; discriminate]. cbn [o_prog clamp_def prog_side s_blk s_args map nth blk_side]. split; [|easy].
  intros i Hi. unfold args_at, cell. cbn [s_args map slot nth]. cbn in U.
  assert (forall bound, In (ANum (Fin bound)) attrs -> tget (R := Rnum) v i <> Q2R bound) as K
    by (intros bound B; exact (H bound B i Hi)).
  unfold clamp_rule in *. destruct attrs as [|[| | |[lo| | |]| | |] [|[| | |[hi| | |]| | |] [|]]]; try discriminate U.
  - destruct (Qle_bool lo hi); [|discriminate U]. apply clamp_slope; apply K; cbn; tauto.
  - apply clamp_below_slope. apply K. cbn. tauto.
  - apply clamp_above_slope. apply K. cbn. tauto.
  - apply clamp_nowhere_slope.
Qed.
