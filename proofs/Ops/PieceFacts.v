(** * What the pieces of composite ops compute over the reals, and where they are differentiable *)
From Coq Require Import Reals Lra Lia QArith Qreals List Bool Arith.
Set Warnings "-ambiguous-paths".
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Sums ScalarDerivative.
From Prooftape.Ops Require Import Groups Pieces Smoothness.
Import ListNotations.
Open Scope R_scope.

Notation entry := (tget (R := Rnum)).
Notation total := (suml (R := Rnum)).

(** An equation between entries is one between reals; [ring] and [field] must see that. *)
Ltac as_reals := match goal with |- @eq _ ?a ?b => change (@eq R a b) end.

(** ** Sums of reals *)
Lemma real_laws : semi_ring_theory (@zero Rnum) one add mul eq.
Proof. constructor; cbn; intros; ring. Qed.

Lemma total_nil A (f : A -> R) : total [] f = 0.
Proof. reflexivity. Qed.
Lemma total_cons A (a : A) l f : total (a :: l) f = f a + total l f.
Proof. exact (suml_cons Rnum real_laws a l f). Qed.
Lemma total_app A (l m : list A) f : total (l ++ m) f = total l f + total m f.
Proof. exact (suml_app Rnum real_laws l m f). Qed.
Lemma total_ext A (l : list A) f g : (forall a, In a l -> f a = g a) -> total l f = total l g.
Proof. exact (suml_ext_in Rnum l f g). Qed.
Lemma total_scale A c (l : list A) f : total l (fun a => c * f a) = c * total l f.
Proof. exact (suml_scal_l Rnum real_laws c l f). Qed.
Lemma total_scale_r A c (l : list A) f : total l (fun a => f a * c) = total l f * c.
Proof. exact (suml_scal_r Rnum real_laws c l f). Qed.
Lemma total_map A B (h : A -> B) l f : total (map h l) f = total l (fun a => f (h a)).
Proof. exact (suml_map Rnum h l f). Qed.
Lemma total_seq n f : total (seq 0 n) f = sumn (R := Rnum) n f.
Proof. exact (suml_seq Rnum n f). Qed.

Lemma total_nonneg A (l : list A) f : (forall a, In a l -> 0 <= f a) -> 0 <= total l f.
Proof.
  induction l as [| a l IH]; intro H; [rewrite total_nil; lra |]. rewrite total_cons.
  pose proof (H a (or_introl eq_refl)). specialize (IH (fun b B => H b (or_intror B))). lra.
Qed.
Lemma total_pos A (l : list A) f : l <> [] -> (forall a, In a l -> 0 < f a) -> 0 < total l f.
Proof.
  destruct l as [| a l]; [easy |]. intros _ H. rewrite total_cons.
  pose proof (H a (or_introl eq_refl)).
  assert (0 <= total l f) by (apply total_nonneg; intros b B; specialize (H b (or_intror B)); lra). lra.
Qed.

Lemma Q2R_1 : Q2R 1 = 1.
Proof. unfold Q2R. cbn. lra. Qed.
Lemma Q2R_minus_1 : Q2R (-1) = -1.
Proof. unfold Q2R. cbn. lra. Qed.
Lemma inverse_pos n : (0 < n)%nat -> Q2R (inverse n) = / INR n.
Proof.
  intro H. destruct n as [| n]; [lia |]. unfold inverse, Q2R. cbn [Qnum Qden].
  rewrite INR_IZR_INZ. rewrite Rmult_1_l. do 2 f_equal. lia.
Qed.
Lemma inverse_nonneg n : 0 <= Q2R (inverse n).
Proof.
  destruct n as [| n]; [unfold Q2R; cbn; lra |]. rewrite inverse_pos by lia.
  left. apply Rinv_0_lt_compat, lt_0_INR. lia.
Qed.

(** ** Linear and bilinear pieces *)
Section Values.
  Variables (n i : nat).
  Hypothesis inside : (i < n)%nat.

  Definition row_value (r : list (Q * nat)) (x : list R) : R := total r (fun e => Q2R (fst e) * entry x (snd e)).

  Lemma entry_lin r x : entry (bfwd (R := Rnum) (Lin n [r]) [x]) i = row_value (r i) x.
  Proof. cbn [bfwd]. rewrite tget_mk by exact inside. cbn. apply Rplus_0_l. Qed.
  Lemma entry_lin2 r s x y : entry (bfwd (R := Rnum) (Lin n [r; s]) [x; y]) i = row_value (r i) x + row_value (s i) y.
  Proof. cbn [bfwd]. rewrite tget_mk by exact inside. cbn. now rewrite Rplus_0_l. Qed.
  Lemma entry_times f x y : entry (bfwd (R := Rnum) (times n f) [x; y]) i = entry x i * entry y (f i).
  Proof. unfold times. cbn [bfwd]. rewrite tget_mk by exact inside. cbn. apply Rplus_0_l. Qed.
  Lemma entry_bil row x y :
    entry (bfwd (R := Rnum) (Bil n row) [x; y]) i = total (row i) (fun e => entry x (fst e) * entry y (snd e)).
  Proof. cbn [bfwd]. now rewrite tget_mk by exact inside. Qed.
  Lemma entry_exps x : entry (bfwd (R := Rnum) (exps n) [x]) i = exp (entry x i).
  Proof. unfold exps. cbn [bfwd]. now rewrite tget_mk by exact inside. Qed.
  Lemma entry_logs x : entry (bfwd (R := Rnum) (logs n) [x]) i = ln (entry x i).
  Proof. unfold logs. cbn [bfwd]. now rewrite tget_mk by exact inside. Qed.
  Lemma entry_reciprocals x : entry (bfwd (R := Rnum) (reciprocals n) [x]) i = / entry x i.
  Proof. unfold reciprocals. cbn [bfwd]. rewrite tget_mk by exact inside. cbn. unfold Rdiv. apply Rmult_1_l. Qed.
  Lemma entry_inverse_roots eps x :
    entry (bfwd (R := Rnum) (inverse_roots n eps) [x]) i = / sqrt (entry x i + Q2R eps).
  Proof. unfold inverse_roots. cbn [bfwd]. rewrite tget_mk by exact inside. cbn. unfold Rdiv. apply Rmult_1_l. Qed.
End Values.

Lemma row_app r s x : row_value (r ++ s) x = row_value r x + row_value s x.
Proof. apply total_app. Qed.
Lemma row_same i x : row_value (same i) x = entry x i.
Proof. unfold row_value, same. rewrite total_cons, total_nil. cbn [fst snd]. rewrite Q2R_1. ring. Qed.
Lemma row_minus i x : row_value (minus i) x = - entry x i.
Proof. unfold row_value, minus. rewrite total_cons, total_nil. cbn [fst snd]. rewrite Q2R_minus_1. ring. Qed.
Lemma row_weighted c rows i x : row_value (weighted c rows i) x = Q2R c * total (rows i) (entry x).
Proof. unfold row_value, weighted. rewrite total_map. cbn [fst snd]. apply total_scale. Qed.
Lemma row_sum rows i x : row_value (sum_of rows i) x = total (rows i) (entry x).
Proof. unfold sum_of. rewrite row_weighted, Q2R_1. ring. Qed.
Lemma row_centred v i x :
  row_value (centred v i) x = entry x i - Q2R (inverse (group_size v)) * total (peers v i) (entry x).
Proof. unfold centred. rewrite row_app, row_same, row_weighted, Q2R_opp. ring. Qed.

(** ** Where the elementwise pieces are differentiable *)
Lemma exps_side n masks x : blk_side (exps n) masks [x].
Proof.
  intros i _. apply ew_by_rules_1; [now cbn |]. unfold slopes_agree. cbn. ring.
Qed.
Lemma logs_side n masks x : (forall i, (i < n)%nat -> 0 < entry x i) -> blk_side (logs n) masks [x].
Proof.
  intros H i Hi. specialize (H i Hi). apply ew_by_rules_1; [now cbn |]. unfold slopes_agree. cbn in *. field. lra.
Qed.
Lemma reciprocals_side n masks x : (forall i, (i < n)%nat -> entry x i <> 0) -> blk_side (reciprocals n) masks [x].
Proof.
  intros H i Hi. specialize (H i Hi). apply ew_by_rules_1; [now cbn |]. unfold slopes_agree. cbn in *. now field.
Qed.
Lemma inverse_roots_side n eps masks x :
  (forall i, (i < n)%nat -> 0 < entry x i + Q2R eps) -> blk_side (inverse_roots n eps) masks [x].
Proof.
  intros H i Hi. specialize (H i Hi). pose proof (sqrt_lt_R0 _ H). apply ew_by_rules_1.
  - cbn in *. repeat split; auto; lra.
  - unfold slopes_agree. cbn in *. unfold Q2R at 1. cbn. field. lra.
Qed.
Lemma inverse_root_of_side n masks : (0 < n)%nat -> blk_side (inverse_root_of n) masks [].
Proof.
  intros H i _. assert (0 < Q2R (inject_Z (Z.of_nat n))) as P.
  { unfold Q2R. cbn. rewrite Rinv_1, Rmult_1_r. apply IZR_lt. lia. }
  apply ew_by_rules; [| cbn; lia]. cbn. pose proof (sqrt_lt_R0 _ P). repeat split; auto; lra.
Qed.

(** ** Running a program, one step after the other *)
Lemma run_step b args p ctx :
  prog_fwd (R := Rnum) (Step b args :: p) ctx = prog_fwd p (ctx ++ [bfwd (R := Rnum) b (map (slot ctx) args)]).
Proof. reflexivity. Qed.
(** the result of the first step gets a name *)
Tactic Notation "value" ident(v) ident(E) := rewrite run_step; cbn [map slot nth];
  match goal with |- context [prog_fwd _ (_ ++ [?t])] => remember t as v eqn:E end; cbn [Datatypes.app].
(** no steps are left *)
Ltac last_value := unfold prog_fwd, last_slot; cbn [run last].

(** ** The obligation, for an op with a fixed number of operands, none of them a mask that matters *)
Lemma composite_differentiable d o (side : side_cond) :
  d_variadic d = false -> d_optional d = 0%nat -> d_differentiable d = true -> d_out d = Real ->
  (forall w attrs shapes out lens nats masks a,
     length shapes = length (d_operands d) -> length a = length (d_operands d) ->
     o_shape o attrs shapes lens = Some out -> side w attrs shapes out nats a ->
     prog_side masks (o_prog o w attrs shapes out nats) a) ->
  side_enough d o side.
Proof.
  intros Hv Ho Hd Hr H w attrs tys lens nats t p (Hi & _ & ->) a La Side.
  pose proof (infer_arity _ _ _ _ _ _ Hi Hv Ho) as L. destruct (infer_shape _ _ _ _ _ _ Hi) as [Hs _].
  split; [| split; congruence].
  apply (H w attrs _ _ lens); auto; [now rewrite map_length | congruence].
Qed.

(** looks at one step after the other; what the earlier ones compute stays folded *)
Ltac steps := unfold args_at; cbn [prog_side s_blk s_args]; unfold args_at;
  cbn [map slot nth Datatypes.app s_blk s_args].

(** The same for long programs: one step, whose result gets a name. *)
Lemma step_side masks b args p ctx :
  let m := map (fun k => nth k masks false) args in
  let a := map (slot ctx) args in
  blk_side b m a ->
  (forall v, v = bfwd (R := Rnum) b a -> prog_side (masks ++ [blk_mask b]) p (ctx ++ [v])) ->
  prog_side masks (Step b args :: p) ctx.
Proof. intros m a Hb Hp. split; [exact Hb | now apply Hp]. Qed.
Tactic Notation "step" ident(v) ident(E) := apply step_side; cbn [map slot nth]; [| intros v E; cbn [Datatypes.app blk_mask] in *].
