(** Results that carry no derivative: comparisons, the sign, and what is detached. *)
From Coq Require Import Reals List NArith ZArith QArith Qreals Bool Arith Lia Lra.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Saves.
From Prooftape.Decl Require Import Names Exprs.
From Prooftape.Ops Require Import Attributes Moves Smoothness Elementwise ElementwiseRules.
Import ListNotations.
Open Scope nat_scope.

Definition greater_def := piecewise_constant greater_expr.
Definition greater_side : side_cond := each_entry (fun _ x => x 0%nat <> x 1%nat)%R.
Lemma greater_sized : well_sized op_greater_decl greater_def. Proof. by_block. Qed.
Lemma greater_saves : saves_enough op_greater_decl greater_def.
Proof. apply piecewise_constant_saves. Qed.
Lemma greater_differentiable : side_enough op_greater_decl greater_def greater_side.
Proof. by_stillness greater_expr; auto. Qed.

Definition less_def := piecewise_constant less_expr.
Definition less_side : side_cond := each_entry (fun _ x => x 0%nat <> x 1%nat)%R.
Lemma less_sized : well_sized op_less_decl less_def. Proof. by_block. Qed.
Lemma less_saves : saves_enough op_less_decl less_def.
Proof. apply piecewise_constant_saves. Qed.
Lemma less_differentiable : side_enough op_less_decl less_def less_side.
Proof. by_stillness less_expr; auto. Qed.

Definition greater_equal_def := piecewise_constant greater_equal_expr.
Definition greater_equal_side : side_cond := each_entry (fun _ x => x 0%nat <> x 1%nat)%R.
Lemma greater_equal_sized : well_sized op_greater_equal_decl greater_equal_def. Proof. by_block. Qed.
Lemma greater_equal_saves : saves_enough op_greater_equal_decl greater_equal_def.
Proof. apply piecewise_constant_saves. Qed.
Lemma greater_equal_differentiable : side_enough op_greater_equal_decl greater_equal_def greater_equal_side.
Proof. by_stillness greater_equal_expr; auto. Qed.

Definition less_equal_def := piecewise_constant less_equal_expr.
Definition less_equal_side : side_cond := each_entry (fun _ x => x 0%nat <> x 1%nat)%R.
Lemma less_equal_sized : well_sized op_less_equal_decl less_equal_def. Proof. by_block. Qed.
Lemma less_equal_saves : saves_enough op_less_equal_decl less_equal_def.
Proof. apply piecewise_constant_saves. Qed.
Lemma less_equal_differentiable : side_enough op_less_equal_decl less_equal_def less_equal_side.
Proof. by_stillness less_equal_expr; auto. Qed.

Definition equal_def := piecewise_constant equal_expr.
Definition equal_side : side_cond := each_entry (fun _ x => x 0%nat <> x 1%nat)%R.
Lemma equal_sized : well_sized op_equal_decl equal_def. Proof. by_block. Qed.
Lemma equal_saves : saves_enough op_equal_decl equal_def.
Proof. apply piecewise_constant_saves. Qed.
Lemma equal_differentiable : side_enough op_equal_decl equal_def equal_side.
Proof. by_stillness equal_expr; auto. Qed.

Definition sign_def := piecewise_constant sign_expr.
Definition sign_side : side_cond := each_entry (fun _ x => x 0%nat <> 0)%R.
Lemma sign_sized : well_sized op_sign_decl sign_def. Proof. by_block. Qed.
Lemma sign_saves : saves_enough op_sign_decl sign_def.
Proof. apply piecewise_constant_saves. Qed.
Lemma sign_differentiable : side_enough op_sign_decl sign_def sign_side.
Proof. by_stillness sign_expr; auto. Qed.

(** A detached value moves with its operand while its derivative is 0 by definition: no point is a point where that
    is a derivative, so the side condition is never met. Theorems about graphs do not ask it: they speak of the
    function in which detached values are held where they are ([held_of] in Certificates/Certify.v). *)
Definition detach_def := piecewise_constant detach_expr.
Definition detach_side : side_cond := fun _ _ _ _ _ _ => False.
Lemma detach_sized : well_sized op_detach_decl detach_def. Proof. by_block. Qed.
Lemma detach_saves : saves_enough op_detach_decl detach_def.
Proof. apply piecewise_constant_saves. Qed.
Lemma detach_differentiable : side_enough op_detach_decl detach_def detach_side.
Proof. intros ? ? ? ? ? ? ? ? ? ? []. Qed.

