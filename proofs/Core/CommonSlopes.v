(** * The elementwise blocks that composite ops share

    One lemma per block: where its slopes are its derivative. [ps] are any parameters, [masks] any masks. *)
From Coq Require Import Reals Lra Lia QArith Qreals List Bool Arith.
From Prooftape.Spec Require Import Scalar Tensor RealNum.
From Prooftape.Core Require Import Side Functions ScalarDerivative RealRules Partials.
Import ListNotations.
Open Scope R_scope.

Section Slopes.
  Variable ps : list Q.
  Variable masks : list bool.

  (** ** One operand; [Arg 1] is the result *)
  Lemma ew_exp x : ew_diff (Fn Exp (Arg 0)) ps [Some (Arg 1)] masks [x].
  Proof. apply ew_by_rules_1; real_rules. Qed.

  (** exp (c x), with the parameter first *)
  Lemma ew_exp_scaled x : ew_diff (Fn Exp (Mul (Par 0) (Arg 0))) ps [Some (Mul (Par 0) (Arg 1))] masks [x].
  Proof. apply ew_by_rules_1; real_rules. Qed.

  Lemma ew_log x : 0 < x -> ew_diff (Fn Log (Arg 0)) ps [Some (Recip (Arg 0))] masks [x].
  Proof. intro. apply ew_by_rules_1; real_rules. Qed.

  (** log x / c *)
  Lemma ew_log_scaled x : 0 < x -> Q2R (nth 0 ps 0%Q) <> 0 ->
    ew_diff (Div (Fn Log (Arg 0)) (Par 0)) ps [Some (Recip (Mul (Par 0) (Arg 0)))] masks [x].
  Proof. intros. apply ew_by_rules_1; real_rules. Qed.

  Lemma ew_recip x : x <> 0 -> ew_diff (Recip (Arg 0)) ps [Some (Neg (Square (Arg 1)))] masks [x].
  Proof. intro. apply ew_by_rules_1; real_rules. Qed.

  Lemma ew_square x : ew_diff (Square (Arg 0)) ps [Some (Mul (Lit 2) (Arg 0))] masks [x].
  Proof. apply ew_by_rules_1; real_rules. Qed.

  Lemma ew_sqrt x : 0 < x -> ew_diff (Fn Sqrt (Arg 0)) ps [Some (Div (Lit (1 # 2)) (Arg 1))] masks [x].
  Proof. intro. apply ew_by_rules_1; real_rules. Qed.

  (** 1 / sqrt (x + eps), the slope in terms of the result *)
  Lemma ew_rsqrt x : 0 < x + Q2R (nth 0 ps 0%Q) ->
    ew_diff (Recip (Fn Sqrt (Add (Arg 0) (Par 0)))) ps
      [Some (Mul (Lit (-1 # 2)) (Mul (Arg 1) (Square (Arg 1))))] masks [x].
  Proof. intro. apply ew_by_rules_1; real_rules. Qed.

  (** ** Two operands; [Arg 2] is the result *)
  Lemma ew_sub x y : ew_diff (Sub (Arg 0) (Arg 1)) ps [Some (Lit 1); Some (Lit (-1))] masks [x; y].
  Proof. apply ew_by_rules_2; real_rules. Qed.

  Lemma ew_mul x y : ew_diff (Mul (Arg 0) (Arg 1)) ps [Some (Arg 1); Some (Arg 0)] masks [x; y].
  Proof. apply ew_by_rules_2; real_rules. Qed.

  Lemma ew_div x y : y <> 0 ->
    ew_diff (Div (Arg 0) (Arg 1)) ps [Some (Recip (Arg 1)); Some (Neg (Div (Arg 2) (Arg 1)))] masks [x; y].
  Proof. intro. apply ew_by_rules_2; real_rules. Qed.

  (** ** No operand: a constant that is no literal *)
  Lemma ew_constant f ds : sx_ok ps masks [] f -> ew_diff f ps ds masks [].
  Proof. intro H. apply ew_by_rules; [exact H|]. intros j Hj. inversion Hj. Qed.

  Lemma ew_rsqrt_of n : (0 < n)%nat -> ew_diff (Recip (Fn Sqrt (Lit (inject_Z (Z.of_nat n))))) ps [] masks [].
  Proof.
    intro H. assert (0 < Q2R (inject_Z (Z.of_nat n))) by (rewrite Q2R_inject_Z; apply IZR_lt; lia).
    apply ew_constant. cbn. pose proof (sqrt_lt_R0 _ H0). repeat split; lra.
  Qed.
End Slopes.
