(** Smooth functions, entry by entry. *)
From Coq Require Import Reals List NArith ZArith QArith Qreals Bool Arith Lia Lra.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Saves.
From Prooftape.Decl Require Import Names Exprs.
From Prooftape.Ops Require Import Attributes Moves Smoothness Elementwise ElementwiseRules.
Import ListNotations.
Open Scope nat_scope.

Definition exp_def := elementwise exp_expr exp_slopes.
Definition exp_side : side_cond := everywhere.
Lemma exp_sized : well_sized op_exp_decl exp_def. Proof. by_block. Qed.
Lemma exp_saves : saves_enough op_exp_decl exp_def. Proof. by_slopes. Qed.
Lemma exp_differentiable : side_enough op_exp_decl exp_def exp_side.
Proof. by_rules exp_expr exp_slopes; try tauto; ring. Qed.

Definition expm1_def := elementwise expm1_expr expm1_slopes.
Definition expm1_side : side_cond := everywhere.
Lemma expm1_sized : well_sized op_expm1_decl expm1_def. Proof. by_block. Qed.
Lemma expm1_saves : saves_enough op_expm1_decl expm1_def. Proof. by_slopes. Qed.
Lemma expm1_differentiable : side_enough op_expm1_decl expm1_def expm1_side.
Proof. by_rules expm1_expr expm1_slopes; try tauto; ring. Qed.

Definition log_def := elementwise log_expr log_slopes.
Definition log_side : side_cond := each_entry (fun _ x => 0 < x 0%nat)%R.
Lemma log_sized : well_sized op_log_decl log_def. Proof. by_block. Qed.
Lemma log_saves : saves_enough op_log_decl log_def. Proof. by_slopes. Qed.
Lemma log_differentiable : side_enough op_log_decl log_def log_side.
Proof. by_rules log_expr log_slopes; try tauto; field; lra. Qed.

Definition log1p_def := elementwise log1p_expr log1p_slopes.
Definition log1p_side : side_cond := each_entry (fun _ x => -1 < x 0%nat)%R.
Lemma log1p_sized : well_sized op_log1p_decl log1p_def. Proof. by_block. Qed.
Lemma log1p_saves : saves_enough op_log1p_decl log1p_def. Proof. by_slopes. Qed.
Lemma log1p_differentiable : side_enough op_log1p_decl log1p_def log1p_side.
Proof. by_rules log1p_expr log1p_slopes; [tauto|]. field; lra. Qed.

Definition eps_ok (ps : list Q) : bool := Qltb 0 (nth 0 ps 0%Q).
Definition safe_log_def := elementwise_if eps_ok safe_log_expr safe_log_slopes.
Definition safe_log_side : side_cond := each_entry (fun ps x => x 0%nat <> Q2R (nth 0 ps 0%Q))%R.
Lemma safe_log_sized : well_sized op_safe_log_decl safe_log_def. Proof. by_block. Qed.
Lemma safe_log_saves : saves_enough op_safe_log_decl safe_log_def. Proof. by_slopes. Qed.
Lemma safe_log_differentiable : side_enough op_safe_log_decl safe_log_def safe_log_side.
Proof.
  by_rules safe_log_expr safe_log_slopes; apply Qltb_lt, Qlt_Rlt in Hok; rewrite RMicromega.Q2R_0 in Hok;
    unfold Rltb; destruct (Rlt_dec x _) as [L|L].
  - auto.
  - repeat split; auto. lra.
  - ring.
  - field. lra.
Qed.

Definition sqrt_def := elementwise sqrt_expr sqrt_slopes.
Definition sqrt_side : side_cond := each_entry (fun _ x => 0 < x 0%nat)%R.
Lemma sqrt_sized : well_sized op_sqrt_decl sqrt_def. Proof. by_block. Qed.
Lemma sqrt_saves : saves_enough op_sqrt_decl sqrt_def. Proof. by_slopes. Qed.
Lemma sqrt_differentiable : side_enough op_sqrt_decl sqrt_def sqrt_side.
Proof. by_rules sqrt_expr sqrt_slopes; [tauto|]. field. now apply Rgt_not_eq, sqrt_lt_R0. Qed.

Definition sin_def := elementwise sin_expr sin_slopes.
Definition sin_side : side_cond := everywhere.
Lemma sin_sized : well_sized op_sin_decl sin_def. Proof. by_block. Qed.
Lemma sin_saves : saves_enough op_sin_decl sin_def. Proof. by_slopes. Qed.
Lemma sin_differentiable : side_enough op_sin_decl sin_def sin_side.
Proof. by_rules sin_expr sin_slopes; try tauto; ring. Qed.

Definition cos_def := elementwise cos_expr cos_slopes.
Definition cos_side : side_cond := everywhere.
Lemma cos_sized : well_sized op_cos_decl cos_def. Proof. by_block. Qed.
Lemma cos_saves : saves_enough op_cos_decl cos_def. Proof. by_slopes. Qed.
Lemma cos_differentiable : side_enough op_cos_decl cos_def cos_side.
Proof. by_rules cos_expr cos_slopes; try tauto; ring. Qed.

Definition tanh_def := elementwise tanh_expr tanh_slopes.
Definition tanh_side : side_cond := everywhere.
Lemma tanh_sized : well_sized op_tanh_decl tanh_def. Proof. by_block. Qed.
Lemma tanh_saves : saves_enough op_tanh_decl tanh_def. Proof. by_slopes. Qed.
Lemma tanh_differentiable : side_enough op_tanh_decl tanh_def tanh_side.
Proof. by_rules tanh_expr tanh_slopes; try tauto; ring. Qed.

Definition tanh_prime_def := elementwise tanh_prime_expr tanh_prime_slopes.
Definition tanh_prime_side : side_cond := everywhere.
Lemma tanh_prime_sized : well_sized op_tanh_prime_decl tanh_prime_def. Proof. by_block. Qed.
Lemma tanh_prime_saves : saves_enough op_tanh_prime_decl tanh_prime_def. Proof. by_slopes. Qed.
Lemma tanh_prime_differentiable : side_enough op_tanh_prime_decl tanh_prime_def tanh_prime_side.
Proof. by_rules tanh_prime_expr tanh_prime_slopes; try tauto; ring. Qed.

Definition sigmoid_def := elementwise sigmoid_expr sigmoid_slopes.
Definition sigmoid_side : side_cond := everywhere.
Lemma sigmoid_sized : well_sized op_sigmoid_decl sigmoid_def. Proof. by_block. Qed.
Lemma sigmoid_saves : saves_enough op_sigmoid_decl sigmoid_def. Proof. by_slopes. Qed.
Lemma sigmoid_differentiable : side_enough op_sigmoid_decl sigmoid_def sigmoid_side.
Proof. by_rules sigmoid_expr sigmoid_slopes; try tauto; ring. Qed.

Definition sigmoid_prime_def := elementwise sigmoid_prime_expr sigmoid_prime_slopes.
Definition sigmoid_prime_side : side_cond := everywhere.
Lemma sigmoid_prime_sized : well_sized op_sigmoid_prime_decl sigmoid_prime_def. Proof. by_block. Qed.
Lemma sigmoid_prime_saves : saves_enough op_sigmoid_prime_decl sigmoid_prime_def. Proof. by_slopes. Qed.
(** how the rules write 2 sigmoid x - 1 without cancellation *)
Lemma tanh_half x : (tanh (x * / 2) = 2 * sigmoid x - 1)%R.
Proof.
  unfold tanh, sinh, cosh, sigmoid. set (h := (x * / 2)%R). replace x with (h + h)%R by (unfold h; lra).
  rewrite Ropp_plus_distr, exp_plus, exp_Ropp. pose proof (exp_pos h). field. nra.
Qed.
Lemma sigmoid_prime_differentiable : side_enough op_sigmoid_prime_decl sigmoid_prime_def sigmoid_prime_side.
Proof. by_rules sigmoid_prime_expr sigmoid_prime_slopes; [tauto|]; rewrite tanh_half; ring. Qed.

Definition softplus_def := elementwise softplus_expr softplus_slopes.
Definition softplus_side : side_cond := everywhere.
Lemma softplus_sized : well_sized op_softplus_decl softplus_def. Proof. by_block. Qed.
Lemma softplus_saves : saves_enough op_softplus_decl softplus_def. Proof. by_slopes. Qed.
Lemma softplus_differentiable : side_enough op_softplus_decl softplus_def softplus_side.
Proof. by_rules softplus_expr softplus_slopes; try tauto; ring. Qed.

Definition erf_def := elementwise erf_expr erf_slopes.
Definition erf_side : side_cond := everywhere.
Lemma erf_sized : well_sized op_erf_decl erf_def. Proof. by_block. Qed.
Lemma erf_saves : saves_enough op_erf_decl erf_def. Proof. by_slopes. Qed.
Lemma erf_differentiable : side_enough op_erf_decl erf_def erf_side.
Proof. by_rules erf_expr erf_slopes; try tauto; ring. Qed.

Definition erf_prime_def := elementwise erf_prime_expr erf_prime_slopes.
Definition erf_prime_side : side_cond := everywhere.
Lemma erf_prime_sized : well_sized op_erf_prime_decl erf_prime_def. Proof. by_block. Qed.
Lemma erf_prime_saves : saves_enough op_erf_prime_decl erf_prime_def. Proof. by_slopes. Qed.
Lemma erf_prime_differentiable : side_enough op_erf_prime_decl erf_prime_def erf_prime_side.
Proof. by_rules erf_prime_expr erf_prime_slopes; try tauto; ring. Qed.

Definition gelu_def := elementwise gelu_expr gelu_slopes.
Definition gelu_side : side_cond := everywhere.
Lemma gelu_sized : well_sized op_gelu_decl gelu_def. Proof. by_block. Qed.
Lemma gelu_saves : saves_enough op_gelu_decl gelu_def. Proof. by_slopes. Qed.
Lemma gelu_differentiable : side_enough op_gelu_decl gelu_def gelu_side.
Proof. by_rules gelu_expr gelu_slopes; try tauto; ring. Qed.

Definition gelu_prime_def := elementwise gelu_prime_expr gelu_prime_slopes.
Definition gelu_prime_side : side_cond := everywhere.
Lemma gelu_prime_sized : well_sized op_gelu_prime_decl gelu_prime_def. Proof. by_block. Qed.
Lemma gelu_prime_saves : saves_enough op_gelu_prime_decl gelu_prime_def. Proof. by_slopes. Qed.
Lemma gelu_prime_differentiable : side_enough op_gelu_prime_decl gelu_prime_def gelu_prime_side.
Proof. by_rules gelu_prime_expr gelu_prime_slopes; try tauto; ring. Qed.

Definition normal_pdf_def := elementwise normal_pdf_expr normal_pdf_slopes.
Definition normal_pdf_side : side_cond := everywhere.
Lemma normal_pdf_sized : well_sized op_normal_pdf_decl normal_pdf_def. Proof. by_block. Qed.
Lemma normal_pdf_saves : saves_enough op_normal_pdf_decl normal_pdf_def. Proof. by_slopes. Qed.
Lemma normal_pdf_differentiable : side_enough op_normal_pdf_decl normal_pdf_def normal_pdf_side.
Proof. by_rules normal_pdf_expr normal_pdf_slopes; try tauto; ring. Qed.

Definition silu_def := elementwise silu_expr silu_slopes.
Definition silu_side : side_cond := everywhere.
Lemma silu_sized : well_sized op_silu_decl silu_def. Proof. by_block. Qed.
Lemma silu_saves : saves_enough op_silu_decl silu_def. Proof. by_slopes. Qed.
Lemma silu_differentiable : side_enough op_silu_decl silu_def silu_side.
Proof. by_rules silu_expr silu_slopes; try tauto; ring. Qed.

Definition silu_prime_def := elementwise silu_prime_expr silu_prime_slopes.
Definition silu_prime_side : side_cond := everywhere.
Lemma silu_prime_sized : well_sized op_silu_prime_decl silu_prime_def. Proof. by_block. Qed.
Lemma silu_prime_saves : saves_enough op_silu_prime_decl silu_prime_def. Proof. by_slopes. Qed.
Lemma silu_prime_differentiable : side_enough op_silu_prime_decl silu_prime_def silu_prime_side.
Proof. by_rules silu_prime_expr silu_prime_slopes; [tauto|]; rewrite tanh_half; ring. Qed.

