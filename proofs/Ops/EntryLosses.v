(** * The losses of one entry: Huber's, and binary cross-entropy with logits

    Both are written piecewise and are differentiable everywhere: the pieces meet with equal slopes. *)
From Coq Require Import Reals Lra Lia Psatz QArith Qreals List Bool Arith.
Set Warnings "-ambiguous-paths".
From Coquelicot Require Import Coquelicot.
From Prooftape.Spec Require Import Scalar Tensor RealNum.
From Prooftape.Core Require Import Side Sums Calculus ScalarDerivative.
Import ListNotations.
Open Scope R_scope.

(** ** Expressions *)

(** z^2 / 2 where |z| <= delta, delta (|z| - delta / 2) elsewhere; the slope is z, cut off at delta *)
Definition difference (a b : nat) : sx := Sub (Arg a) (Arg b).
Definition huber_entry : sx :=
  let z := difference 0 1 in
  If (Ge (Par 0) (Abs z)) (Mul (Lit (1 # 2)) (Square z)) (Mul (Par 0) (Add (Abs z) (Mul (Lit (-1 # 2)) (Par 0)))).
Definition cut_off (z : sx) : sx := Max (Min z (Par 0)) (Neg (Par 0)).
Definition huber_slopes : list (option sx) := [Some (cut_off (difference 0 1)); Some (cut_off (difference 1 0))].

(** softplus(x) - t x for a logit x and a target t, written from the side where nothing overflows *)
Definition bce_positive : sx := Gt (Arg 0) (Lit 0).
Definition bce_tail : sx := If bce_positive (Neg (Arg 0)) (Arg 0).
Definition bce_wrong : sx := If bce_positive (Sub (Lit 1) (Arg 1)) (Arg 1).
Definition bce_entry : sx := Sub (Fn Softplus bce_tail) (Mul bce_wrong bce_tail).
Definition bce_slope : sx := Sub (Fn Sigmoid bce_tail) bce_wrong.
Definition bce_slopes : list (option sx) := [Some (If bce_positive (Neg bce_slope) bce_slope); Some (Neg (Arg 0))].

(** an equation between entries is one between reals *)
Ltac real_ring := match goal with |- @eq _ ?a ?b => change (@eq R a b) end; ring.

Lemma holds_truth b : holds (R := Rnum) (truth b) = b.
Proof.
  unfold holds, truth. cbn. unfold Reqb. destruct b; cbn; destruct (Req_EM_T _ 0); cbn; auto; lra.
Qed.
Lemma Q2R_0 : Q2R 0 = 0.
Proof. unfold Q2R. cbn. lra. Qed.

(** ** Huber *)
Definition huber (d z : R) : R := if Rleb (Rabs z) d then z * z / 2 else d * (Rabs z - d / 2).
Definition cut (d z : R) : R := Rmax (- d) (Rmin z d).

(** parabola, right line, left line *)
Lemma huber_pieces d z : 0 < d ->
  (- d <= z <= d /\ huber d z = z * z / 2 /\ cut d z = z) \/
  (d < z /\ huber d z = d * z - d * d / 2 /\ cut d z = d) \/
  (z < - d /\ huber d z = - d * z - d * d / 2 /\ cut d z = - d).
Proof.
  intro Hd. unfold huber, cut, Rmax, Rmin, Rleb. destruct (Rle_dec (Rabs z) d) as [H | H].
  - left. apply Rabs_le_between in H. destruct (Rle_dec z d); [| lra]. destruct (Rle_dec (- d) z); lra.
  - right. unfold Rabs in *. destruct (Rcase_abs z).
    + right. destruct (Rle_dec z d); [| lra]. destruct (Rle_dec (- d) z); [lra |]. repeat split; [lra | field].
    + left. destruct (Rle_dec z d); [lra |]. destruct (Rle_dec (- d) d); [| lra]. repeat split; [lra | field].
Qed.

(** The function lies above each of its tangents, by at most half the square of the distance. *)
Lemma huber_near d z y : 0 < d ->
  0 <= huber d y - huber d z - cut d z * (y - z) <= (y - z) * (y - z) / 2.
Proof.
  intro Hd. pose proof (Rle_0_sqr (y - z)) as S. unfold Rsqr in S.
  destruct (huber_pieces d y Hd) as [(Y & -> & _) | [(Y & -> & _) | (Y & -> & _)]];
    destruct (huber_pieces d z Hd) as [(Z & -> & ->) | [(Z & -> & ->) | (Z & -> & ->)]]; split; nra.
Qed.

Lemma huber_derivative d z : 0 < d -> is_derive (huber d) z (cut d z).
Proof.
  intro Hd. apply is_derive_Reals. intros eps He. exists (mkposreal eps He). cbn. intros h Hh Hs.
  pose proof (huber_near d z (z + h) Hd) as H. replace (z + h - z) with h in H by ring.
  replace ((huber d (z + h) - huber d z) / h - cut d z) with ((huber d (z + h) - huber d z - cut d z * h) / h)
    by (field; exact Hh).
  unfold Rdiv at 1. rewrite Rabs_mult, Rabs_inv. apply Rle_lt_trans with (Rabs h / 2).
  - rewrite (Rabs_right (_ - _ - _)) by lra. pose proof (Rabs_pos_lt h Hh).
    apply Rmult_le_reg_r with (Rabs h); [assumption |]. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra.
    replace (Rabs h / 2 * Rabs h) with (h * h / 2); [lra |].
    unfold Rabs. destruct (Rcase_abs h); field.
  - pose proof (Rabs_pos h). lra.
Qed.

Lemma Rmin_max_cut d z : Rltb 0 d = true ->
  (if Rltb (- d) (if Rltb d z then d else z) then if Rltb d z then d else z else - d) = cut d z.
Proof.
  unfold Rltb, cut, Rmax, Rmin. destruct (Rlt_dec 0 d); [| easy]. intros _.
  destruct (Rlt_dec d z), (Rle_dec z d); try lra.
  - destruct (Rlt_dec (- d) d), (Rle_dec (- d) d); lra.
  - destruct (Rlt_dec (- d) z), (Rle_dec (- d) z); lra.
Qed.

Lemma cut_opp d z : 0 < d -> cut d (- z) = - cut d z.
Proof.
  intro Hd. destruct (huber_pieces d z Hd) as [(Z & _ & ->) | [(Z & _ & ->) | (Z & _ & ->)]];
    destruct (huber_pieces d (- z) Hd) as [(Y & _ & ->) | [(Y & _ & ->) | (Y & _ & ->)]]; lra.
Qed.

Lemma huber_entry_diff delta masks a b : 0 < Q2R delta -> ew_diff huber_entry [delta] huber_slopes masks [a; b].
Proof.
  intros Hd U x F dF HF _. destruct (HF 0%nat) as [F0 D0]; [cbn; lia |]. destruct (HF 1%nat) as [F1 D1]; [cbn; lia |].
  cbn [nth] in F0, F1. pose proof (D_minus x _ _ _ _ D0 D1) as Dz.
  assert (is_derive (huber (Q2R delta)) (F 0%nat x - F 1%nat x) (cut (Q2R delta) (a - b))) as Dh.
  { rewrite F0, F1. now apply huber_derivative. }
  eapply D_ext; [| | exact (D_comp x _ _ _ _ Dz Dh)]; intro u; cbv beta.
  - cbn [length seq map]. unfold huber_entry, difference. cbn [sxe nth]. rewrite holds_truth. cbn [sub mul add ltb leb neg lit Rnum zero].
    assert (forall z, (if Rltb z 0 then - z else z) = Rabs z) as E.
    { intro z. unfold Rltb, Rabs. destruct (Rlt_dec z 0), (Rcase_abs z); lra. }
    rewrite E. unfold huber. replace (Q2R (1 # 2)) with (/ 2) by (unfold Q2R; cbn; lra).
    replace (Q2R (-1 # 2)) with (- / 2) by (unfold Q2R; cbn; lra). destruct (Rleb _ _); field.
  - cbn [length sumn nth huber_slopes]. unfold cut_off, difference. cbn [sxe nth Datatypes.app sub add mul neg ltb lit Rnum zero].
    assert (Rltb 0 (Q2R delta) = true) as P by (unfold Rltb; now destruct (Rlt_dec _ _)).
    rewrite !(Rmin_max_cut _ _ P).
    replace (b - a) with (- (a - b)) by ring. pose proof (cut_opp (Q2R delta) (a - b) Hd) as O.
    rewrite O. ring.
Qed.

(** ** Binary cross-entropy *)
Lemma softplus_reflected x : softplus x = softplus (- x) + x.
Proof.
  unfold softplus. pose proof (exp_pos x). pose proof (exp_pos (- x)).
  replace (1 + exp x) with ((1 + exp (- x)) * exp x).
  - rewrite ln_mult, ln_exp by lra. reflexivity.
  - rewrite exp_Ropp. field. lra.
Qed.
Lemma sigmoid_reflected x : sigmoid x = 1 - sigmoid (- x).
Proof.
  unfold sigmoid. rewrite Ropp_involutive. pose proof (exp_pos x). rewrite exp_Ropp. field. lra.
Qed.

(** An elementwise op that equals another one everywhere, and is differentiable because that one is. *)
Lemma ew_by_other f g ps ds masks v : sx_ok ps masks v g ->
  (forall w, length w = length v -> sxe (R := Rnum) ps w f = sxe (R := Rnum) ps w g) ->
  (forall j, (j < length v)%nat -> exists d,
     nth j ds None = Some d /\ sxe (R := Rnum) ps (v ++ [sxe (R := Rnum) ps v f]) d = sx_d ps v j g) ->
  ew_diff f ps ds masks v.
Proof.
  intros Hg E S U x F dF HF HM.
  eapply D_ext; [| | exact (sx_derivative ps masks v g Hg U x F dF (conj HF HM))]; intro u; cbv beta.
  - symmetry. apply E. now rewrite map_length, seq_length.
  - apply (sumn_ext Rnum). intros j Hj. destruct (S j Hj) as (d & -> & <-). reflexivity.
Qed.

Lemma bce_entry_diff masks x t : ew_diff bce_entry [] bce_slopes masks [x; t].
Proof.
  apply ew_by_other with (g := Sub (Fn Softplus (Arg 0)) (Mul (Arg 1) (Arg 0))); [now cbn | |].
  - intros w Hw. destruct w as [| y [| s [|]]]; try discriminate. clear Hw.
    unfold bce_entry, bce_wrong, bce_tail, bce_positive. cbn [sxe nth]. rewrite holds_truth.
    cbn [ltb lit sub neg mul app Rnum Rapp]. rewrite Q2R_0. destruct (Rltb 0 y); [| reflexivity].
    rewrite (softplus_reflected y). replace (Q2R 1) with 1 by (unfold Q2R; cbn; lra). real_ring.
  - intros [| [| j]] Hj; [| | cbn in Hj; lia]; eexists; (split; [reflexivity |]).
    + unfold bce_slope, bce_wrong, bce_tail, bce_positive. cbn [sxe nth Datatypes.app]. rewrite holds_truth.
      cbn [ltb lit sub neg mul app Rnum Rapp sx_d Nat.eqb nth sxe fn_d]. rewrite Q2R_0. destruct (Rltb 0 x); [| real_ring].
      rewrite (sigmoid_reflected x). replace (Q2R 1) with 1 by (unfold Q2R; cbn; lra). real_ring.
    + cbn. real_ring.
Qed.
