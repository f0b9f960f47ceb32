(** * From expressions to equations of real numbers

    Lemmas and tactics for goals of the kind that [ew_by_rules] leaves: [sx_ok], [sx_still] and [slopes_agree] of
    concrete expressions. [real_rules] states them over the reals, goes through the cases of their comparisons
    and proves what [lra], [ring] and [field] can prove. *)
From Coq Require Import Reals Lra Lia QArith Qreals List Bool Arith.
Set Warnings "-ambiguous-paths".
From Coquelicot Require Import Coquelicot.
From Prooftape.Spec Require Import Scalar Tensor RealNum.
From Prooftape.Core Require Import Side Calculus Functions ScalarDerivative.
Import ListNotations.
Open Scope R_scope.

(** ** Comparisons *)
Lemma Rltb_cases x y : BoolSpec (x < y) (y <= x) (Rltb x y).
Proof. unfold Rltb. destruct (Rlt_dec x y); constructor; lra. Qed.
Lemma Rleb_cases x y : BoolSpec (x <= y) (y < x) (Rleb x y).
Proof. unfold Rleb. destruct (Rle_dec x y); constructor; lra. Qed.
Lemma Reqb_cases x y : BoolSpec (x = y) (x <> y) (Reqb x y).
Proof. unfold Reqb. destruct (Req_EM_T x y); constructor; auto. Qed.
Lemma Reqb_same x : Reqb x x = true.
Proof. now destruct (Reqb_cases x x). Qed.

(** A mask holds where it is not 0. *)
Lemma holds_real (c : R) : holds (R := Rnum) c = negb (Reqb c 0).
Proof. reflexivity. Qed.
Lemma holds_of_truth b : holds (R := Rnum) (truth b) = b.
Proof. rewrite holds_real. destruct b; cbn; [destruct (Reqb_cases 1 0)|destruct (Reqb_cases 0 0)]; auto; lra. Qed.

(** ** Literals *)
Lemma Q2R_literal z p : Q2R (z # p) = IZR z / IZR (Zpos p).
Proof. reflexivity. Qed.
Lemma Q2R_inject_Z z : Q2R (inject_Z z) = IZR z.
Proof. apply Q2R_integer. Qed.
Lemma Q2R_nonzero q : ~ (q == 0)%Q -> Q2R q <> 0.
Proof. intros H E. apply H, eqR_Qeq. now rewrite E, Q2R_integer. Qed.
Lemma Q2R_positive q : (0 < q)%Q -> 0 < Q2R q.
Proof. intro H. apply Qlt_Rlt in H. now rewrite Q2R_integer in H. Qed.
Lemma Q2R_nonnegative q : (0 <= q)%Q -> 0 <= Q2R q.
Proof. intro H. apply Qle_Rle in H. now rewrite Q2R_integer in H. Qed.

(** ** Powers with the usual exponents *)
Lemma Rpow_0 x : Rpow x 0 = 1.
Proof. reflexivity. Qed.
Lemma Rpow_1 x : Rpow x 1 = x.
Proof. exact (Rmult_1_r x). Qed.
Lemma Rpow_2 x : Rpow x 2 = x * x.
Proof. change (x * (x * 1) = x * x). ring. Qed.
Lemma Rpow_3 x : Rpow x 3 = x * x * x.
Proof. change (x * (x * (x * 1)) = x * x * x). ring. Qed.
Lemma Rpow_inverse x : Rpow x (-1) = / x.
Proof. change (/ (x * 1) = / x). now rewrite Rmult_1_r. Qed.
Lemma Rpow_half x : 0 < x -> Rpow x (1 # 2) = sqrt x.
Proof.
  intro H. rewrite Rpow_fraction by (auto; reflexivity). rewrite <- Rpower_sqrt by exact H.
  unfold Rpower. now replace (Q2R (1 # 2)) with (/ 2) by (rewrite Q2R_literal; field).
Qed.
Lemma Rpow_minus_half x : 0 < x -> Rpow x (-1 # 2) = / sqrt x.
Proof.
  intro H. rewrite Rpow_fraction by (auto; reflexivity). rewrite <- Rpower_sqrt by exact H.
  unfold Rpower. rewrite <- exp_Ropp. f_equal. rewrite Q2R_literal. field.
Qed.

(** ** Functions *)
Lemma sigmoid_pos x : 0 < sigmoid x.
Proof. apply Rinv_0_lt_compat, one_plus_exp_pos. Qed.
Lemma sigmoid_opp x : sigmoid (- x) = 1 - sigmoid x.
Proof.
  unfold sigmoid. rewrite Ropp_involutive, exp_Ropp. pose proof (exp_pos x). field. lra.
Qed.
Lemma softplus_opp x : softplus (- x) = softplus x - x.
Proof.
  unfold softplus. pose proof (exp_pos x). rewrite <- (ln_exp x) at 3.
  replace (1 + exp (- x)) with ((1 + exp x) * / exp x) by (rewrite exp_Ropp; field; lra).
  rewrite ln_mult, ln_Rinv; [ring|lra|lra|]. now apply Rinv_0_lt_compat.
Qed.
(** tanh (x / 2) in terms of the sigmoid *)
Lemma tanh_half x : tanh (x * (1 / 2)) = 2 * sigmoid x - 1.
Proof.
  unfold tanh, sinh, cosh, sigmoid. replace (- x) with (- (x * (1 / 2)) + - (x * (1 / 2))) by field.
  rewrite exp_plus, exp_Ropp. pose proof (exp_pos (x * (1 / 2))). field. repeat split; nra.
Qed.

(** ** Tactics *)
(** the goal over the reals *)
Ltac as_real :=
  unfold slopes_agree;
  cbn [sxe sx_d sx_ok sx_still fn_ok fn_d List.app nth Nat.eqb length
       zero one add sub mul div neg lit ltb leb eqb pow Scalar.app car Rnum Rapp];
  rewrite ?holds_of_truth, ?holds_real; unfold truth;
  cbn [zero one car Rnum];
  repeat match goal with
  | |- context [Q2R (?z # xH)] => rewrite (Q2R_integer z)
  | |- context [Q2R (?z # ?p)] => rewrite (Q2R_literal z p)
  end;
  rewrite ?tanh_half.

(** case by case along the comparisons, those without others inside first *)
Ltac simple_term t := lazymatch t with context [if _ then _ else _] => fail | _ => idtac end.
Ltac real_cases :=
  repeat (cbn [negb andb orb];
  match goal with
  | |- context [Rltb ?a ?b] => simple_term a; simple_term b; destruct (Rltb_cases a b)
  | |- context [Rleb ?a ?b] => simple_term a; simple_term b; destruct (Rleb_cases a b)
  | |- context [Reqb ?a ?b] => simple_term a; simple_term b; destruct (Reqb_cases a b)
  | |- context [Qeq_bool ?a ?b] => destruct (Qeq_bool a b)
  end).

(** roots of positive numbers and exponentials are positive *)
Ltac real_facts :=
  repeat match goal with
  | |- context [sqrt ?a] =>
      lazymatch goal with H : 0 < sqrt a |- _ => fail | _ => assert (0 < sqrt a) by (apply sqrt_lt_R0; lra) end
  | |- context [exp ?a] =>
      lazymatch goal with H : 0 < exp a |- _ => fail | _ => pose proof (exp_pos a) end
  end.
(** a goal a <> b, or a contradiction of the hypotheses *)
Ltac real_differ :=
  try assumption; try (apply not_eq_sym; assumption);
  let E := fresh in
  try intro E; exfalso; first [lra | match goal with H : _ <> _ |- False => apply H; lra end | congruence].

Ltac real_close :=
  try solve
    [ exact I | reflexivity | assumption | discriminate | lra | ring
    | real_facts; field; repeat split; real_differ | real_differ ].

Ltac real_rules := as_real; real_cases; real_facts; repeat split; real_close.
