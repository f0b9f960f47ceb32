(** * Two entries of losses that are smooth where their formula has a kink

    The Huber loss and the cross entropy of a logit are differentiable everywhere. Their formulas choose by a
    comparison; the branches fit together smoothly, so no point need be excluded. *)
From Coq Require Import Reals Lra Lia QArith Qreals List Bool Arith.
Set Warnings "-ambiguous-paths".
From Coquelicot Require Import Coquelicot.
From Prooftape.Spec Require Import Scalar Tensor RealNum.
From Prooftape.Core Require Import Side Calculus Functions ScalarDerivative RealRules Partials.
Import ListNotations.
Open Scope R_scope.

(** ** Huber *)
Definition huber (delta z : R) : R :=
  if Rleb (Rabs z) delta then z * z / 2 else delta * (Rabs z - delta / 2).
(** z, cut off at delta and - delta *)
Definition huber_slope (delta z : R) : R := if Rltb delta z then delta else if Rltb z (- delta) then - delta else z.

(** A choice by comparison with a point c, of two functions that fit together smoothly there. *)
Lemma is_derive_split (f g : R -> R) (f' g' c x : R) :
  (x <= c -> is_derive f x f') -> (c <= x -> is_derive g x g') -> (x = c -> f x = g x /\ f' = g') ->
  is_derive (fun y => if Rleb y c then f y else g y) x (if Rleb x c then f' else g').
Proof.
  intros Hf Hg E. destruct (Req_dec x c) as [->|Hne].
  - destruct (E eq_refl) as [E1 E2]. destruct (Rleb_cases c c) as [_|]; [|lra].
    apply is_derive_glue; [apply Hf; lra|rewrite E2; apply Hg; lra|exact E1].
  - assert (S : still (U := R_NormedModule) x (fun y => Rleb y c)).
    { apply (still_leb (U := R_NormedModule) x (fun y => y) (fun _ => c) (fun y => y * 1) (fun _ => 0)); [| |exact Hne].
      - apply is_derive_D. auto_derive; auto.
      - apply D_const. }
    pose proof (D_if (U := R_NormedModule) x (fun y => Rleb y c) f g (fun y => y * f') (fun y => y * g') S) as K.
    cbv beta in K. destruct (Rleb_cases x c).
    + apply K. apply is_derive_D, Hf. lra.
    + apply K. apply is_derive_D, Hg. lra.
Qed.

Lemma huber_derivative delta z : 0 < delta -> is_derive (huber delta) z (huber_slope delta z).
Proof.
  intro Hd. destruct (Rlt_dec (- delta) z) as [H|H].
  - apply (is_derive_ext_loc (fun y => if Rleb y delta then y * y / 2 else delta * (y - delta / 2))).
    + generalize (open_gt (- delta) z H). apply filter_imp. intros y Hy. unfold huber.
      destruct (Rleb_cases y delta), (Rleb_cases (Rabs y) delta) as [K|K]; unfold Rabs in *;
        destruct (Rcase_abs y); lra.
    + replace (huber_slope delta z) with (if Rleb z delta then z else delta).
      * apply is_derive_split; [intros _; auto_derive; [auto|field]|intros _; auto_derive; [auto|ring]|].
        intros ->. split; [field|reflexivity].
      * unfold huber_slope. destruct (Rleb_cases z delta), (Rltb_cases delta z), (Rltb_cases z (- delta)); lra.
  - apply (is_derive_ext_loc (fun y => if Rleb y (- delta) then delta * (- y - delta / 2) else y * y / 2)).
    + assert (H0 : z < 0) by lra. generalize (open_lt 0 z H0). apply filter_imp. intros y Hy. unfold huber.
      destruct (Rleb_cases y (- delta)), (Rleb_cases (Rabs y) delta) as [K|K]; unfold Rabs in *; destruct (Rcase_abs y);
        try lra. assert (y = - delta) as -> by lra. match goal with |- ?a = ?b => change (@eq R a b) end. field.
    + replace (huber_slope delta z) with (if Rleb z (- delta) then - delta else z).
      * apply is_derive_split; [intros _; auto_derive; [auto|ring]|intros _; auto_derive; [auto|field]|].
        intros ->. split; [field|reflexivity].
      * unfold huber_slope. destruct (Rleb_cases z (- delta)), (Rltb_cases delta z), (Rltb_cases z (- delta)); lra.
Qed.

Local Notation z := (Sub (Arg 0) (Arg 1)).
Local Notation cut_off z := (Max (Min z (Par 0)) (Neg (Par 0))).

Lemma ew_huber delta masks x y : 0 < Q2R delta ->
  ew_diff
    (If (Ge (Par 0) (Abs z)) (Mul (Lit (1 # 2)) (Square z)) (Mul (Par 0) (Add (Abs z) (Mul (Lit (-1 # 2)) (Par 0)))))
    [delta] [Some (cut_off z); Some (cut_off (Sub (Arg 1) (Arg 0)))] masks [x; y].
Proof.
  intro Hd.
  apply ew_by_partials with (p := fun j => huber_slope (Q2R delta) (x - y) * sx_d [delta] [x; y] j z).
  - apply (partials_same masks [x; y] _ (fun w => huber (Q2R delta) (sxe (R := Rnum) [delta] w z))).
    + intros [|a [|b [|]]] Hw; try discriminate. unfold huber. as_real.
      destruct (Rltb_cases (a - b) 0) as [H|H].
      * rewrite (Rabs_left _ H). destruct (Rleb _ _); [field|]. unfold Rdiv. field.
      * rewrite (Rabs_right _ (Rle_ge _ _ H)). destruct (Rleb _ _); field.
    + apply (partials_comp masks [x; y] (fun w => sxe (R := Rnum) [delta] w z)); [apply partials_sx; cbn; auto|].
      now apply huber_derivative.
  - intros [|[|j]] Hj _; [| |simpl in Hj; lia]; unfold huber_slope; as_real; real_cases; lra.
Qed.

(** ** Cross entropy of a logit x against a target t: softplus(x) - t x *)
Local Notation positive := (Gt (Arg 0) (Lit 0)).
Local Notation tail := (If positive (Neg (Arg 0)) (Arg 0)).
Local Notation wrong := (If positive (Sub (Lit 1) (Arg 1)) (Arg 1)).
Local Notation slope := (Sub (Fn Sigmoid tail) wrong).

Lemma ew_logit_entropy ps masks x t :
  ew_diff (Sub (Fn Softplus tail) (Mul wrong tail)) ps [Some (If positive (Neg slope) slope); Some (Neg (Arg 0))]
    masks [x; t].
Proof.
  set (smooth := Sub (Fn Softplus (Arg 0)) (Mul (Arg 1) (Arg 0))).
  apply ew_by_partials with (p := fun j => sx_d ps [x; t] j smooth).
  - apply (partials_same masks [x; t] _ (fun w => sxe (R := Rnum) ps w smooth)); [|apply partials_sx; cbn; tauto].
    intros [|a [|b [|]]] Hw; try discriminate. unfold smooth. as_real.
    real_cases; rewrite ?softplus_opp; ring.
  - intros [|[|j]] Hj _; [| |simpl in Hj; lia]; unfold smooth; as_real; real_cases; rewrite ?sigmoid_opp; ring.
Qed.
