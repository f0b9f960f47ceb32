(** * Derivatives of scalar expressions

    Where [sx_ok] holds, an expression is differentiable and [sx_d] are its partial derivatives; where [sx_still]
    holds, it does not move. An elementwise op is then differentiable when its slopes have the values of [sx_d]:
    [ew_by_rules] leaves one equation of real numbers per operand. *)
From Coq Require Import Reals Lra Lia QArith Qreals List Bool Arith.
Set Warnings "-ambiguous-paths".
From Coquelicot Require Import Coquelicot.
From Prooftape.Spec Require Import Scalar Tensor RealNum.
From Prooftape.Core Require Import Side Calculus Functions Sums.
Import ListNotations.
Open Scope R_scope.

(** ** Sums of slopes times tangents *)
Local Lemma sumn_zeros n (f : nat -> R) : (forall j, (j < n)%nat -> f j = 0) -> sumn (R := Rnum) n f = 0.
Proof. induction n as [|n IH]; simpl; intro H; [reflexivity|]. rewrite IH, H by auto. ring. Qed.

Local Lemma sumn_combine n (a b c d : nat -> R) p q : (forall j, c j = p * a j + q * b j) ->
  p * sumn (R := Rnum) n (fun j => a j * d j) + q * sumn (R := Rnum) n (fun j => b j * d j)
  = sumn (R := Rnum) n (fun j => c j * d j).
Proof.
  intro H. induction n as [|n IH]; simpl; [ring|]. rewrite <- IH, H. ring.
Qed.

Local Lemma sumn_unit n i (d : nat -> R) : (i < n)%nat ->
  sumn (R := Rnum) n (fun j => (if Nat.eqb i j then 1 else 0) * d j) = d i.
Proof.
  induction n as [|n IH]; simpl; intro H; [lia|]. destruct (Nat.eqb_spec i n) as [->|Hne].
  - rewrite sumn_zeros; [ring|]. intros j Hj. destruct (Nat.eqb_spec n j); [lia|ring].
  - rewrite IH by lia. ring.
Qed.

(** ** The rules, all at once *)
Section Rules.
  Variable ps : list Q.
  Variable masks : list bool.
  Variable v : list R.
  Context {U : NormedModule R_AbsRing}.
  Variable x : U.
  Variables F dF : nat -> U -> R.
  Hypothesis curves : forall j, (j < length v)%nat -> F j x = nth j v 0 /\ D x (F j) (dF j).
  Hypothesis masks_stay : forall j, (j < length v)%nat -> nth j masks false = true ->
    still x (F j) /\ forall u, dF j u = 0.

  Notation n := (length v).
  Notation ev e := (sxe (R := Rnum) ps v e).
  Let values (u : U) : list R := map (fun j => F j u) (seq 0 n).
  Let at_ (e : sx) (u : U) : R := sxe (R := Rnum) ps (values u) e.
  Let slope (e : sx) (u : U) : R := sumn (R := Rnum) n (fun j => sx_d ps v j e * dF j u).

  Lemma values_nth u j : (j < n)%nat -> nth j (values u) 0 = F j u.
  Proof.
    intro H. unfold values. rewrite nth_indep with (d' := F 0%nat u) by (now rewrite map_length, seq_length).
    rewrite (map_nth (fun j => F j u)), seq_nth by exact H. reflexivity.
  Qed.
  Lemma values_beyond u j : (n <= j)%nat -> nth j (values u) 0 = 0.
  Proof. intro H. apply nth_overflow. unfold values. now rewrite map_length, seq_length. Qed.
  Lemma values_here : values x = v.
  Proof.
    apply nth_ext with (d := 0) (d' := 0); unfold values at 1; rewrite map_length, seq_length; [reflexivity|].
    intros j H. rewrite values_nth by exact H. now apply curves.
  Qed.
  Lemma at_here e : at_ e x = ev e.
  Proof. unfold at_. now rewrite values_here. Qed.

  (** D of a function whose derivative is a combination of the slopes of two expressions *)
  Lemma combined f a b e p q : D x f (fun u => p * slope a u + q * slope b u) ->
    (forall j, sx_d ps v j e = p * sx_d ps v j a + q * sx_d ps v j b) -> D x f (slope e).
  Proof. intros H E. eapply D_ext; [| |exact H]; intro u; [reflexivity|]. now apply sumn_combine. Qed.
  Lemma unmoved e f : D x f (fun _ => 0) -> (forall j, sx_d ps v j e = 0) -> D x f (slope e).
  Proof.
    intros H E. eapply D_ext; [| |exact H]; intro u; [reflexivity|].
    symmetry. apply sumn_zeros. intros j _. rewrite E. apply Rmult_0_l.
  Qed.
  (** D of what is e1 and then e2 applied to it: the derivative of e1 by a function of one variable *)
  Lemma composed h h' a e : D x (at_ a) (slope a) -> is_derive h (ev a) h' ->
    (forall j, sx_d ps v j e = h' * sx_d ps v j a) -> D x (fun u => h (at_ a u)) (slope e).
  Proof.
    intros Ha Hh E. rewrite <- (at_here a) in Hh.
    apply (combined _ a a e h' 0); [|intro j; rewrite E; ring].
    eapply D_ext; [| |exact (D_comp x _ _ h h' Ha Hh)]; intro u; [reflexivity|cbv beta; ring].
  Qed.

  Lemma distinct a b : ev a <> ev b -> at_ a x <> at_ b x.
  Proof. now rewrite !at_here. Qed.

  Lemma sign_stays a : D x (at_ a) (slope a) -> ev a <> 0 -> still x (at_ (Sign a)).
  Proof.
    intros Ha Hne. rewrite <- at_here in Hne. pose proof (D_const x 0) as H0.
    apply (still_comp2 x (fun p q : bool => if p then 1 else if q then -1 else 0)
             (fun u => Rltb 0 (at_ a u)) (fun u => Rltb (at_ a u) 0)).
    - exact (still_ltb x _ _ _ _ H0 Ha (not_eq_sym Hne)).
    - exact (still_ltb x _ _ _ _ Ha H0 Hne).
  Qed.
  Lemma greater_stays a b : D x (at_ a) (slope a) -> D x (at_ b) (slope b) -> ev a <> ev b -> still x (at_ (Gt a b)).
  Proof.
    intros Ha Hb Hne. apply (still_comp x (truth (R := Rnum)) (fun u => Rltb (at_ b u) (at_ a u))).
    apply (still_ltb x _ _ _ _ Hb Ha), distinct. auto.
  Qed.
  Lemma at_least_stays a b : D x (at_ a) (slope a) -> D x (at_ b) (slope b) -> ev a <> ev b -> still x (at_ (Ge a b)).
  Proof.
    intros Ha Hb Hne. apply (still_comp x (truth (R := Rnum)) (fun u => Rleb (at_ b u) (at_ a u))).
    apply (still_leb x _ _ _ _ Hb Ha), distinct. auto.
  Qed.
  Lemma equal_stays a b : D x (at_ a) (slope a) -> D x (at_ b) (slope b) -> ev a <> ev b -> still x (at_ (Equal a b)).
  Proof.
    intros Ha Hb Hne. apply (still_comp x (truth (R := Rnum)) (fun u => Reqb (at_ a u) (at_ b u))).
    apply (still_eqb x _ _ _ _ Ha Hb), distinct. auto.
  Qed.

  Theorem sx_rules e :
    (sx_ok ps masks v e -> D x (at_ e) (slope e)) /\ (sx_still ps masks v e -> still x (at_ e)).
  Proof.
    induction e as [i|i|q|a IHa b IHb|a IHa b IHb|a IHa b IHb|a IHa b IHb|a IHa|a IHa|a IHa|a IHa c|a IHa c
                   |a IHa b IHb|a IHa b IHb|a IHa|a IHa|a IHa b IHb|a IHa b IHb|a IHa b IHb|c IHc a IHa b IHb|f a IHa];
      repeat match goal with H : _ /\ _ |- _ => destruct H end; cbn [sx_ok sx_still];
      (split; [intro H'|try (intro H'; contradiction); try intro H']).
    - (* Arg *)
      destruct (lt_dec i n) as [Hi|Hi].
      + eapply D_ext; [| |exact (proj2 (curves i Hi))]; intro u; symmetry; [now apply values_nth|].
        now apply sumn_unit.
      + apply (D_ext x (fun _ => 0) _ (fun _ => 0)); [intro u; symmetry; apply values_beyond; lia| |apply D_const].
        intro u. symmetry. apply sumn_zeros. intros j Hj. cbn [sx_d].
        destruct (Nat.eqb_spec i j); [lia|apply Rmult_0_l].
    - destruct (lt_dec i n) as [Hi|Hi].
      + eapply still_ext; [|exact (proj1 (masks_stay i Hi H'))]. intro u. symmetry. now apply values_nth.
      + eapply still_ext; [|exact (still_const x 0)]. intro u. symmetry. apply values_beyond. lia.
    - apply unmoved; [apply D_const|reflexivity].
    - apply still_const.
    - apply unmoved; [apply D_const|reflexivity].
    - apply still_const.
    - (* Add *)
      destruct H' as [Ha Hb]. apply (combined _ a b _ 1 1); [|intro j; cbn [sx_d]; ring].
      eapply D_ext; [| |exact (D_plus x _ _ _ _ (H1 Ha) (H Hb))]; intro u; [reflexivity|cbv beta; ring].
    - destruct H' as [Ha Hb]. apply (combined _ a b _ 1 (-1)); [|intro j; cbn [sx_d]; ring].
      eapply D_ext; [| |exact (D_minus x _ _ _ _ (H1 Ha) (H Hb))]; intro u; [reflexivity|cbv beta; ring].
    - destruct H' as [Ha Hb]. apply (combined _ a b _ (ev b) (ev a)); [|intro j; cbn [sx_d]; ring].
      eapply D_ext; [| |exact (D_mult x _ _ _ _ (H1 Ha) (H Hb))]; intro u; [reflexivity|].
      cbv beta. rewrite !at_here. ring.
    - (* Div *)
      destruct H' as (Ha & Hb & Hne).
      apply (combined _ a b _ (/ ev b) (- ev a / (ev b * ev b))); [|intro j; cbn [sx_d]; field; exact Hne].
      assert (Hne' : at_ b x <> 0) by now rewrite at_here.
      eapply D_ext; [| |exact (D_div x _ _ _ _ (H1 Ha) (H Hb) Hne')]; intro u; [reflexivity|].
      cbv beta. rewrite !at_here. field. exact Hne.
    - (* Neg *)
      apply (combined _ a a _ (-1) 0); [|intro j; cbn [sx_d]; ring].
      eapply D_ext; [| |exact (D_opp x _ _ (H H'))]; intro u; [reflexivity|cbv beta; ring].
    - (* Recip *)
      destruct H' as [Ha Hne]. apply (composed (fun y => 1 / y) (- / (ev a * ev a)) a); [auto| |].
      + auto_derive; [exact Hne|field; exact Hne].
      + intro j. cbn [sx_d]. field. exact Hne.
    - (* Square *)
      apply (composed (fun y => y * y) (2 * ev a) a); [auto| |reflexivity]. auto_derive; [auto|ring].
    - (* Pow *)
      destruct H' as [Ha Hp].
      apply (composed (fun y => Rpow y (nth c ps 0%Q)) _ a _ (H Ha) (pow_derivative _ _ Hp)).
      intro j. cbn [sx_d]. destruct (Qeq_bool _ 0); [symmetry; apply Rmult_0_l|reflexivity].
    - contradiction.
    - (* Max *)
      destruct H' as (Ha & Hb & Hne). specialize (H1 Ha). specialize (H Hb).
      assert (S : still x (fun u => Rltb (at_ b u) (at_ a u))).
      { eapply still_ltb; [exact H|exact H1|apply distinct; auto]. }
      eapply D_ext; [reflexivity| |apply (D_if x _ (at_ a) (at_ b) (slope a) (slope b) S);
        destruct (Rltb _ _); assumption].
      intro u. unfold slope. cbn [sx_d]. rewrite !at_here. now destruct (Rltb _ _).
    - (* Min *)
      destruct H' as (Ha & Hb & Hne). specialize (H1 Ha). specialize (H Hb).
      assert (S : still x (fun u => Rltb (at_ b u) (at_ a u))).
      { eapply still_ltb; [exact H|exact H1|apply distinct; auto]. }
      eapply D_ext; [reflexivity| |apply (D_if x _ (at_ b) (at_ a) (slope b) (slope a) S);
        destruct (Rltb _ _); assumption].
      intro u. unfold slope. cbn [sx_d]. rewrite !at_here. now destruct (Rltb _ _).
    - (* Abs *)
      destruct H' as [Ha Hne]. specialize (H Ha). rewrite <- at_here in Hne.
      assert (S : still x (fun u => Rltb (at_ a u) 0)) by (eapply still_ltb; [exact H|apply D_const|exact Hne]).
      pose proof (D_if x _ (fun u => - at_ a u) (at_ a) (fun u => - slope a u) (slope a) S) as K.
      eapply D_ext; [reflexivity| |apply K; destruct (Rltb _ _); [apply D_opp|]; exact H].
      intro u. unfold slope. cbn [sx_d]. rewrite !at_here. destruct (Rltb _ 0); [|reflexivity].
      rewrite <- (sumn_combine n (fun j => sx_d ps v j a) (fun j => sx_d ps v j a) (fun j => - sx_d ps v j a)
                    (fun j => dF j u) (-1) 0).
      + cbv beta. ring.
      + intro j. ring.
    - (* Sign, comparisons *)
      apply unmoved; [apply still_D, sign_stays; tauto|reflexivity].
    - apply sign_stays; tauto.
    - apply unmoved; [apply still_D, greater_stays; tauto|reflexivity].
    - apply greater_stays; tauto.
    - apply unmoved; [apply still_D, at_least_stays; tauto|reflexivity].
    - apply at_least_stays; tauto.
    - apply unmoved; [apply still_D, equal_stays; tauto|reflexivity].
    - apply equal_stays; tauto.
    - (* If *)
      destruct H' as [Hc Hab].
      assert (S : still x (fun u => holds (R := Rnum) (at_ c u))) by (apply still_comp; auto).
      eapply D_ext; [reflexivity| |apply (D_if x _ (at_ a) (at_ b) (slope a) (slope b) S);
        rewrite at_here; destruct (holds _); auto].
      intro u. unfold slope. cbn [sx_d]. rewrite at_here. now destruct (holds _).
    - destruct H' as [Hc Hab].
      apply (still_if x (fun u => holds (R := Rnum) (at_ c u))); [apply still_comp; auto|].
      rewrite at_here. destruct (holds _); auto.
    - (* Fn *)
      destruct H' as [Ha Hf]. apply (composed (Rapp f) (fn_d f (ev a)) a); [auto|apply fn_derivative, Hf|reflexivity].
  Qed.
End Rules.

(** ** What the theory uses *)
Section Use.
  Variable ps : list Q.
  Variable masks : list bool.
  Variable v : list R.

  (** curves through v; those of masks do not move *)
  Definition curves_through (U : NormedModule R_AbsRing) (x : U) (F dF : nat -> U -> R) : Prop :=
    (forall j, (j < length v)%nat -> F j x = nth j v 0 /\ D x (F j) (dF j)) /\
    (forall j, (j < length v)%nat -> nth j masks false = true -> still x (F j) /\ forall u, dF j u = 0).

  Lemma curves_here (U : NormedModule R_AbsRing) (x : U) (F dF : nat -> U -> R) :
    (forall j, (j < length v)%nat -> F j x = nth j v 0 /\ D x (F j) (dF j)) ->
    map (fun j => F j x) (seq 0 (length v)) = v.
  Proof. intro H. exact (values_here v x F dF H). Qed.

  Theorem sx_derivative e : sx_ok ps masks v e ->
    forall (U : NormedModule R_AbsRing) (x : U) F dF, curves_through U x F dF ->
    D x (fun u => sxe (R := Rnum) ps (map (fun j => F j u) (seq 0 (length v))) e)
        (fun u => sumn (R := Rnum) (length v) (fun j => sx_d ps v j e * dF j u)).
  Proof. intros H U x F dF [HF HM]. exact (proj1 (sx_rules ps masks v x F dF HF HM e) H). Qed.

  Theorem sx_still_still e : sx_still ps masks v e ->
    forall (U : NormedModule R_AbsRing) (x : U) F dF, curves_through U x F dF ->
    still x (fun u => sxe (R := Rnum) ps (map (fun j => F j u) (seq 0 (length v))) e).
  Proof. intros H U x F dF [HF HM]. exact (proj2 (sx_rules ps masks v x F dF HF HM e) H). Qed.

  (** The slopes of an elementwise op have the values of the partial derivatives: for every operand but masks. *)
  Definition slopes_agree (f : sx) (ds : list (option sx)) (j : nat) : Prop :=
    match nth j ds None with
    | Some d => sxe (R := Rnum) ps (v ++ [sxe (R := Rnum) ps v f]) d = sx_d ps v j f
    | None => sx_d ps v j f = 0
    end.

  Theorem ew_by_rules f ds : sx_ok ps masks v f ->
    (forall j, (j < length v)%nat -> nth j masks false = false -> slopes_agree f ds j) ->
    ew_diff f ps ds masks v.
  Proof.
    intros Hok Hds U x F dF HF HM.
    eapply D_ext; [| |exact (sx_derivative f Hok U x F dF (conj HF HM))]; intro u; [reflexivity|].
    apply (sumn_ext Rnum). intros j Hj. destruct (nth j masks false) eqn:M.
    - rewrite (proj2 (HM j Hj M)). destruct (nth j ds None); rewrite !Rmult_0_r; reflexivity.
    - specialize (Hds j Hj M). unfold slopes_agree in Hds. destruct (nth j ds None) as [d|].
      + now rewrite <- Hds.
      + rewrite Hds. apply Rmult_0_l.
  Qed.
End Use.

(** One and two moving operands, without the bookkeeping. *)
Lemma ew_by_rules_1 f ps ds masks a : sx_ok ps masks [a] f -> slopes_agree ps [a] f ds 0 -> ew_diff f ps ds masks [a].
Proof. intros H H0. apply ew_by_rules; [exact H|]. intros [|j] Hj _; simpl in Hj; [exact H0|lia]. Qed.

Lemma ew_by_rules_2 f ps ds masks a b : sx_ok ps masks [a; b] f ->
  slopes_agree ps [a; b] f ds 0 -> slopes_agree ps [a; b] f ds 1 -> ew_diff f ps ds masks [a; b].
Proof. intros H H0 H1. apply ew_by_rules; [exact H|]. intros [|[|j]] Hj _; simpl in Hj; [exact H0|exact H1|lia]. Qed.

Lemma ew_by_rules_3 f ps ds masks a b c : sx_ok ps masks [a; b; c] f ->
  (nth 0 masks false = false -> slopes_agree ps [a; b; c] f ds 0) ->
  (nth 1 masks false = false -> slopes_agree ps [a; b; c] f ds 1) ->
  (nth 2 masks false = false -> slopes_agree ps [a; b; c] f ds 2) -> ew_diff f ps ds masks [a; b; c].
Proof.
  intros H H0 H1 H2. apply ew_by_rules; [exact H|].
  intros [|[|[|j]]] Hj Hm; simpl in Hj; [exact (H0 Hm)|exact (H1 Hm)|exact (H2 Hm)|lia].
Qed.
