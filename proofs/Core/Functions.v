(** * The scalar functions of the vocabulary and their derivatives *)
From Coq Require Import Reals Lra Lia QArith Qcanon Qreals ZArith.
Set Warnings "-ambiguous-paths".
From Coquelicot Require Import Coquelicot.
From Prooftape.Spec Require Import Scalar RealNum.
From Prooftape.Core Require Import Side.
Close Scope Qc_scope.
Open Scope R_scope.

(** [known H] puts in the derivative that H : is_derive f x d gives, for the [Derive f x] left by [auto_derive]. *)
Ltac known H :=
  repeat match goal with |- context [Derive ?f ?y] => rewrite (is_derive_unique f y _ H) end.

(** ** Exponentials *)
Lemma one_plus_exp_pos x : 0 < 1 + exp x.
Proof. pose proof (exp_pos x). lra. Qed.

Lemma sigmoid_derivative x : is_derive sigmoid x (sigmoid x * (1 - sigmoid x)).
Proof. unfold sigmoid. pose proof (one_plus_exp_pos (- x)). auto_derive; [lra|]. field. lra. Qed.

Lemma tanh_derivative x : is_derive tanh x (1 - tanh x * tanh x).
Proof.
  unfold tanh, sinh, cosh. pose proof (exp_pos x). pose proof (exp_pos (- x)). auto_derive; [lra|]. field. lra.
Qed.

Lemma softplus_derivative x : is_derive softplus x (sigmoid x).
Proof.
  unfold softplus, sigmoid. pose proof (exp_pos x). auto_derive; [lra|]. rewrite exp_Ropp. field. lra.
Qed.

(** ** The error function and the normal distribution *)
Lemma sqrt_PI_pos : 0 < sqrt PI.
Proof. apply sqrt_lt_R0, PI_RGT_0. Qed.
Lemma sqrt_2_pos : 0 < sqrt 2.
Proof. apply sqrt_lt_R0. lra. Qed.
Lemma sqrt_2PI : sqrt (2 * PI) = sqrt 2 * sqrt PI.
Proof. apply sqrt_mult; pose proof PI_RGT_0; lra. Qed.

Lemma erf_prime_derivative x : is_derive erf_prime x (-2 * x * erf_prime x).
Proof. unfold erf_prime. pose proof sqrt_PI_pos. auto_derive; [auto|]. field. lra. Qed.

Lemma erf_prime_continuous x : continuous erf_prime x.
Proof.
  apply (@ex_derive_continuous R_AbsRing R_NormedModule). exists (-2 * x * erf_prime x). apply erf_prime_derivative.
Qed.

Lemma erf_derivative x : is_derive erf x (erf_prime x).
Proof.
  unfold erf. apply (@is_derive_RInt R_NormedModule erf_prime _ 0); [|apply erf_prime_continuous].
  apply filter_forall. intro y. apply (@RInt_correct R_CompleteNormedModule).
  apply (@ex_RInt_continuous R_CompleteNormedModule). intros z _. apply erf_prime_continuous.
Qed.

Lemma normal_pdf_derivative x : is_derive normal_pdf x (- x * normal_pdf x).
Proof.
  unfold normal_pdf. pose proof sqrt_PI_pos. pose proof sqrt_2_pos. rewrite sqrt_2PI. auto_derive; [auto|].
  unfold Rdiv. field. lra.
Qed.

Lemma normal_cdf_derivative x : is_derive normal_cdf x (normal_pdf x).
Proof.
  pose proof sqrt_PI_pos. pose proof sqrt_2_pos.
  assert (E : erf_prime (x / sqrt 2) = 2 / sqrt PI * exp (- (x * x) / 2)).
  { unfold erf_prime. f_equal. f_equal.
    replace (x / sqrt 2 * (x / sqrt 2)) with (x * x / (sqrt 2 * sqrt 2)) by (field; lra).
    rewrite sqrt_sqrt by lra. field. }
  pose proof (erf_derivative (x / sqrt 2)) as H'.
  unfold normal_cdf. auto_derive.
  - repeat split; auto. eexists. exact H'.
  - known H'. rewrite E. unfold normal_pdf. rewrite sqrt_2PI. field. lra.
Qed.

(** ** All functions *)
Theorem fn_derivative f x : fn_ok f x -> is_derive (Rapp f) x (fn_d f x).
Proof.
  destruct f; cbn [fn_ok fn_d]; intro H.
  - change (is_derive exp x (exp x)). auto_derive; [auto|ring].
  - change (is_derive (fun x => exp x - 1) x (exp x)). auto_derive; [auto|ring].
  - change (is_derive ln x (/ x)). auto_derive; [lra|field; lra].
  - change (is_derive (fun x => ln (1 + x)) x (/ (1 + x))). auto_derive; [lra|field; lra].
  - change (is_derive sqrt x (/ (2 * sqrt x))). pose proof (sqrt_lt_R0 _ H). auto_derive; [lra|field; lra].
  - change (is_derive sin x (cos x)). auto_derive; [auto|ring].
  - change (is_derive cos x (- sin x)). auto_derive; [auto|ring].
  - apply tanh_derivative.
  - apply sigmoid_derivative.
  - apply softplus_derivative.
  - apply erf_derivative.
  - pose proof (normal_cdf_derivative x) as C.
    change (is_derive (fun x => x * normal_cdf x) x (normal_cdf x + x * normal_pdf x)).
    auto_derive; [eexists; exact C|]. known C. ring.
  - pose proof (sigmoid_derivative x) as C.
    change (is_derive (fun x => x * sigmoid x) x (sigmoid x * (1 + x * (1 - sigmoid x)))).
    auto_derive; [eexists; exact C|]. known C. ring.
  - pose proof (tanh_derivative x) as C.
    change (is_derive (fun x => 1 - tanh x * tanh x) x (-2 * tanh x * (1 - tanh x * tanh x))).
    auto_derive; [split; [|split]; auto; eexists; exact C|]. known C. ring.
  - pose proof (sigmoid_derivative x) as C.
    change (is_derive (fun x => sigmoid x * (1 - sigmoid x)) x (sigmoid x * (1 - sigmoid x) * (1 - 2 * sigmoid x))).
    auto_derive; [split; [|split]; auto; eexists; exact C|]. known C. ring.
  - apply erf_prime_derivative.
  - pose proof (normal_cdf_derivative x) as C. pose proof (normal_pdf_derivative x) as P.
    change (is_derive (fun x => normal_cdf x + x * normal_pdf x) x (normal_pdf x * (2 - x * x))).
    auto_derive; [split; [|split]; auto; eexists; eassumption|].
    known C. known P. ring.
  - pose proof (sigmoid_derivative x) as C.
    change (is_derive (fun x => sigmoid x * (1 + x * (1 - sigmoid x))) x
              (sigmoid x * (1 - sigmoid x) * (2 + x * (1 - 2 * sigmoid x)))).
    auto_derive; [split; [|split]; auto; eexists; exact C|]. known C. ring.
  - apply normal_pdf_derivative.
Qed.

(** ** Powers x ** c with a literal exponent *)
Lemma Qred_integer z : Qred (z # 1) = (z # 1)%Q.
Proof. apply Qred_identity. simpl. apply Z.gcd_1_r. Qed.

(** An exponent is an integer n, or stays no integer when 1 is taken off. *)
Lemma exponent_cases c :
  (exists n : Z, Qred c = (n # 1)%Q /\ Qred (c - 1) = (n - 1 # 1)%Q) \/
  (Pos.eqb (Qden (Qred c)) 1 = false /\ Pos.eqb (Qden (Qred (c - 1))) 1 = false).
Proof.
  assert (I : forall q, Pos.eqb (Qden (Qred q)) 1 = true -> exists n : Z, Qred q = (n # 1)%Q).
  { intros q H. apply Pos.eqb_eq in H. exists (Qnum (Qred q)). destruct (Qred q). simpl in *. now subst. }
  assert (J : forall q n, Qred q = (n # 1)%Q -> (q == n # 1)%Q).
  { intros q n H. rewrite <- (Qred_correct q), H. reflexivity. }
  destruct (Pos.eqb (Qden (Qred c)) 1) eqn:E.
  - destruct (I _ E) as [n Hn]. left. exists n. split; [exact Hn|].
    transitivity (Qred (n - 1 # 1)); [|apply Qred_integer]. apply Qred_complete.
    rewrite (J _ _ Hn). unfold Qeq, Qminus, Qplus, Qopp; simpl. lia.
  - right. split; [reflexivity|]. destruct (Pos.eqb (Qden (Qred (c - 1))) 1) eqn:E'; [|reflexivity].
    destruct (I _ E') as [n Hn]. exfalso.
    assert (Hc : Qred c = (n + 1 # 1)%Q).
    { transitivity (Qred (n + 1 # 1)); [|apply Qred_integer]. apply Qred_complete. apply J in Hn.
      setoid_replace c with ((c - 1) + 1)%Q by ring. rewrite Hn. unfold Qeq, Qplus; simpl. lia. }
    now rewrite Hc in E.
Qed.

Lemma powerRZ_derivative n x : ((0 <= n)%Z \/ x <> 0) -> n <> 0%Z ->
  is_derive (fun y => powerRZ y n) x (IZR n * powerRZ x (n - 1)).
Proof.
  intros H Hn. destruct (Z_lt_le_dec n 0) as [Hneg|Hpos].
  - assert (Hx : x <> 0) by (destruct H; [lia|auto]).
    remember (Z.to_nat (- n)) as k. assert (n = (- Z.of_nat k)%Z) as -> by lia.
    apply (is_derive_ext (fun y => / y ^ k)).
    { intro t. destruct k; [simpl; apply Rinv_1|]. simpl. now rewrite SuccNat2Pos.id_succ. }
    replace (- Z.of_nat k - 1)%Z with (- Z.of_nat (S k))%Z by lia.
    assert (P : powerRZ x (- Z.of_nat (S k)) = / x ^ S k) by (simpl; now rewrite SuccNat2Pos.id_succ).
    rewrite P, opp_IZR, <- INR_IZR_INZ. destruct k as [|k]; [lia|].
    auto_derive; [exact (pow_nonzero x (S k) Hx)|]. change (pred (S k)) with k.
    pose proof (pow_nonzero x k Hx). change (x ^ S (S k)) with (x * (x * x ^ k)). change (x ^ S k) with (x * x ^ k).
    change (match k with 0%nat => 1 | S _ => INR k + 1 end) with (INR (S k)). field. auto.
  - destruct n as [|p|p]; [lia| |lia].
    apply (is_derive_ext (fun y => y ^ Pos.to_nat p)); [reflexivity|].
    replace (Z.pos p - 1)%Z with (Z.of_nat (pred (Pos.to_nat p))) by lia.
    rewrite <- pow_powerRZ. auto_derive; [auto|]. rewrite INR_IZR_INZ, positive_nat_Z. ring.
Qed.

Lemma Q2R_integer z : Q2R (z # 1) = IZR z.
Proof. unfold Q2R. simpl. field. Qed.
Lemma Q2R_Qred q : Q2R (Qred q) = Q2R q.
Proof. apply Qeq_eqR, Qred_correct. Qed.

Lemma Rpow_integer x c n : Qred c = (n # 1)%Q -> Rpow x c = powerRZ x n.
Proof. intro H. unfold Rpow. now rewrite H. Qed.
Lemma Rpow_fraction x c : Pos.eqb (Qden (Qred c)) 1 = false -> 0 < x -> Rpow x c = exp (Q2R c * ln x).
Proof. intros H Hx. unfold Rpow. rewrite H, Q2R_Qred. destruct (Rlt_dec 0 x); [reflexivity|contradiction]. Qed.

Theorem pow_derivative x c : pow_ok x c ->
  is_derive (fun y => Rpow y c) x (if Qeq_bool c 0 then 0 else Q2R c * Rpow x (Qred (c - 1))).
Proof.
  intro H. destruct (exponent_cases c) as [[n [Hc Hc1]]|[Hc Hc1]].
  - apply (is_derive_ext (fun y => powerRZ y n)); [intro y; symmetry; now apply Rpow_integer|].
    assert (Q : Q2R c = IZR n) by now rewrite <- Q2R_Qred, Hc, Q2R_integer.
    rewrite (Rpow_integer x (Qred (c - 1)) (n - 1)) by now rewrite Hc1, Qred_integer.
    destruct (Qeq_bool c 0) eqn:E.
    + assert (n = 0)%Z as ->.
      { apply Qeq_bool_eq in E. apply Qred_complete in E. rewrite Hc in E. now injection E. }
      exact (@is_derive_const R_AbsRing R_NormedModule 1 x).
    + rewrite Q. apply powerRZ_derivative.
      * unfold pow_ok in H. now rewrite Hc in H.
      * intros ->. apply Qeq_bool_neq in E. apply E. now rewrite <- (Qred_correct c), Hc.
  - assert (Hx : 0 < x) by (unfold pow_ok in H; now rewrite Hc in H).
    replace (Qeq_bool c 0) with false; cycle 1.
    { symmetry. destruct (Qeq_bool c 0) eqn:E; [|reflexivity].
      apply Qeq_bool_eq, Qred_complete in E. now rewrite E in Hc. }
    apply (is_derive_ext_loc (fun y => exp (Q2R c * ln y))).
    + generalize (open_gt 0 x Hx). apply filter_imp. intros y Hy. symmetry. now apply Rpow_fraction.
    + assert (Hr : Pos.eqb (Qden (Qred (Qred (c - 1)))) 1 = false) by now rewrite Qred_involutive.
      rewrite (Rpow_fraction x _ Hr Hx), Q2R_Qred, Q2R_minus.
      replace ((Q2R c - Q2R 1) * ln x) with (Q2R c * ln x + - ln x) by (unfold Q2R at 3; simpl; field).
      rewrite exp_plus, exp_Ropp, exp_ln by exact Hx. auto_derive; [exact Hx|]. field. lra.
Qed.
