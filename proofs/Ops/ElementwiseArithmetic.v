(** Arithmetic, entry by entry. *)
From Coq Require Import Reals List NArith ZArith QArith Qreals Bool Arith Lia Lra.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Saves.
From Prooftape.Decl Require Import Names Exprs.
From Prooftape.Ops Require Import Attributes Moves Smoothness Elementwise ElementwiseRules.
Import ListNotations.
Open Scope nat_scope.

Definition add_def := elementwise add_expr add_slopes.
Definition add_side : side_cond := everywhere.
Lemma add_sized : well_sized op_add_decl add_def. Proof. by_block. Qed.
Lemma add_saves : saves_enough op_add_decl add_def. Proof. by_slopes. Qed.
Lemma add_differentiable : side_enough op_add_decl add_def add_side.
Proof. by_rules add_expr add_slopes; try tauto; ring. Qed.

Definition sub_def := elementwise sub_expr sub_slopes.
Definition sub_side : side_cond := everywhere.
Lemma sub_sized : well_sized op_sub_decl sub_def. Proof. by_block. Qed.
Lemma sub_saves : saves_enough op_sub_decl sub_def. Proof. by_slopes. Qed.
Lemma sub_differentiable : side_enough op_sub_decl sub_def sub_side.
Proof. by_rules sub_expr sub_slopes; try tauto; ring. Qed.

Definition neg_def := elementwise neg_expr neg_slopes.
Definition neg_side : side_cond := everywhere.
Lemma neg_sized : well_sized op_neg_decl neg_def. Proof. by_block. Qed.
Lemma neg_saves : saves_enough op_neg_decl neg_def. Proof. by_slopes. Qed.
Lemma neg_differentiable : side_enough op_neg_decl neg_def neg_side.
Proof. by_rules neg_expr neg_slopes; try tauto; ring. Qed.

Definition scale_def := elementwise scale_expr scale_slopes.
Definition scale_side : side_cond := everywhere.
Lemma scale_sized : well_sized op_scale_decl scale_def. Proof. by_block. Qed.
Lemma scale_saves : saves_enough op_scale_decl scale_def. Proof. by_slopes. Qed.
Lemma scale_differentiable : side_enough op_scale_decl scale_def scale_side.
Proof. by_rules scale_expr scale_slopes; try tauto; ring. Qed.

Definition mul_def := elementwise mul_expr mul_slopes.
Definition mul_side : side_cond := everywhere.
Lemma mul_sized : well_sized op_mul_decl mul_def. Proof. by_block. Qed.
Lemma mul_saves : saves_enough op_mul_decl mul_def. Proof. by_slopes. Qed.
Lemma mul_differentiable : side_enough op_mul_decl mul_def mul_side.
Proof. by_rules mul_expr mul_slopes; try tauto; ring. Qed.

Definition absorbing_mul_def := elementwise absorbing_mul_expr absorbing_mul_slopes.
Definition absorbing_mul_side : side_cond := everywhere.
Lemma absorbing_mul_sized : well_sized op_absorbing_mul_decl absorbing_mul_def. Proof. by_block. Qed.
Lemma absorbing_mul_saves : saves_enough op_absorbing_mul_decl absorbing_mul_def. Proof. by_slopes. Qed.
Lemma absorbing_mul_differentiable : side_enough op_absorbing_mul_decl absorbing_mul_def absorbing_mul_side.
Proof. by_rules absorbing_mul_expr absorbing_mul_slopes; try tauto; ring. Qed.

Definition div_def := elementwise div_expr div_slopes.
Definition div_side : side_cond := each_entry (fun _ x => x 1%nat <> 0)%R.
Lemma div_sized : well_sized op_div_decl div_def. Proof. by_block. Qed.
Lemma div_saves : saves_enough op_div_decl div_def. Proof. by_slopes. Qed.
Lemma div_differentiable : side_enough op_div_decl div_def div_side.
Proof. by_rules div_expr div_slopes; try tauto; field; exact H. Qed.

Definition reciprocal_def := elementwise reciprocal_expr reciprocal_slopes.
Definition reciprocal_side : side_cond := each_entry (fun _ x => x 0%nat <> 0)%R.
Lemma reciprocal_sized : well_sized op_reciprocal_decl reciprocal_def. Proof. by_block. Qed.
Lemma reciprocal_saves : saves_enough op_reciprocal_decl reciprocal_def. Proof. by_slopes. Qed.
Lemma reciprocal_differentiable : side_enough op_reciprocal_decl reciprocal_def reciprocal_side.
Proof. by_rules reciprocal_expr reciprocal_slopes; try tauto; field; exact H. Qed.

Definition square_def := elementwise square_expr square_slopes.
Definition square_side : side_cond := everywhere.
Lemma square_sized : well_sized op_square_decl square_def. Proof. by_block. Qed.
Lemma square_saves : saves_enough op_square_decl square_def. Proof. by_slopes. Qed.
Lemma square_differentiable : side_enough op_square_decl square_def square_side.
Proof. by_rules square_expr square_slopes; try tauto; ring. Qed.

(** The exponent: finite and of a size a float can have. *)
Definition exponent_ok (ps : list Q) : bool :=
  let c := nth 0 ps 0%Q in Qltb (- (2 ^ 1024)%Z # 1) c && Qltb c ((2 ^ 1024)%Z # 1).
(** An integer exponent: x <> 0 if it is negative; another exponent: x > 0. *)
Definition pow_const_def := elementwise_if exponent_ok pow_const_expr pow_const_slopes.
Definition pow_const_side : side_cond := each_entry (fun ps x => pow_ok (x 0%nat) (nth 0 ps 0%Q))%R.
Lemma pow_const_sized : well_sized op_pow_const_decl pow_const_def. Proof. by_block. Qed.
Lemma pow_const_saves : saves_enough op_pow_const_decl pow_const_def. Proof. by_slopes. Qed.
Lemma pow_const_differentiable : side_enough op_pow_const_decl pow_const_def pow_const_side.
Proof. by_rules pow_const_expr pow_const_slopes; [tauto|]. destruct (Qeq_bool _ 0); [reflexivity|ring]. Qed.

Definition abs_def := elementwise abs_expr abs_slopes.
Definition abs_side : side_cond := each_entry (fun _ x => x 0%nat <> 0)%R.
Lemma abs_sized : well_sized op_abs_decl abs_def. Proof. by_block. Qed.
Lemma abs_saves : saves_enough op_abs_decl abs_def. Proof. by_slopes. Qed.
Lemma abs_differentiable : side_enough op_abs_decl abs_def abs_side.
Proof. by_rules abs_expr abs_slopes; [tauto|]. unfold Rltb. destruct (Rlt_dec 0 x), (Rlt_dec x 0); lra. Qed.

