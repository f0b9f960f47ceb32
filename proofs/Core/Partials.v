(** * Derivatives beyond the rules

    Some elementwise ops are smooth where their formula has a kink: the entry of the Huber loss at 0 and at its
    border, a loss written in two ways for two signs of its argument. There one shows that the formula is, near the
    point, another function, or two functions glued together, whose partial derivatives are known. *)
From Coq Require Import Reals Lra Lia QArith Qreals List Bool Arith.
Set Warnings "-ambiguous-paths".
From Coquelicot Require Import Coquelicot.
From Prooftape.Spec Require Import Scalar Tensor RealNum.
From Prooftape.Core Require Import Side Calculus Functions Sums ScalarDerivative.
Import ListNotations.
Open Scope R_scope.

Section Partials.
  Variable masks : list bool.
  Variable v : list R.
  Notation n := (length v).

  (** G is differentiable at v with partial derivatives p, along curves whose masks do not move. *)
  Definition partials (G : list R -> R) (p : nat -> R) : Prop :=
    forall (U : NormedModule R_AbsRing) (x : U) F dF, curves_through masks v U x F dF ->
    D x (fun u => G (map (fun j => F j u) (seq 0 n))) (fun u => sumn (R := Rnum) n (fun j => p j * dF j u)).

  Lemma partials_sx ps e : sx_ok ps masks v e ->
    partials (fun w => sxe (R := Rnum) ps w e) (fun j => sx_d ps v j e).
  Proof. intros H U x F dF. apply sx_derivative, H. Qed.

  Lemma partials_ext G p q : (forall j, (j < n)%nat -> p j = q j) -> partials G p -> partials G q.
  Proof.
    intros E H U x F dF HF. eapply D_ext; [| |exact (H U x F dF HF)]; intro u; [reflexivity|].
    apply (sumn_ext Rnum). intros j Hj. now rewrite E.
  Qed.

  Lemma partials_comp G p h h' : partials G p -> is_derive h (G v) h' ->
    partials (fun w => h (G w)) (fun j => h' * p j).
  Proof.
    intros H Hh U x F dF HF. specialize (H U x F dF HF).
    assert (E : map (fun j => F j x) (seq 0 n) = v) by (apply (curves_here v U x F dF), HF).
    rewrite <- E in Hh. eapply D_ext; [| |exact (D_comp x _ _ h h' H Hh)]; intro u; [reflexivity|].
    cbv beta. generalize n. intro k. induction k as [|k IH]; cbn; [ring|]. rewrite <- IH. cbn. ring.
  Qed.

  (** Whichever of two functions is taken, by any choice. *)
  Lemma partials_glue (b : list R -> bool) G H p : partials G p -> partials H p -> G v = H v ->
    partials (fun w => if b w then G w else H w) p.
  Proof.
    intros HG HH E U x F dF HF. apply D_glue; [now apply HG|now apply HH|].
    rewrite (curves_here v U x F dF) by apply HF. exact E.
  Qed.

  (** w is near v: each entry is, and masks are the same *)
  Definition near (eps : R) (w : list R) : Prop :=
    length w = n /\ forall j, (j < n)%nat ->
      Rabs (nth j w 0 - nth j v 0) < eps /\ (nth j masks false = true -> nth j w 0 = nth j v 0).

  Lemma locally_all {U : NormedModule R_AbsRing} (x : U) (P : nat -> U -> Prop) k :
    (forall j, (j < k)%nat -> locally x (P j)) -> locally x (fun u => forall j, (j < k)%nat -> P j u).
  Proof.
    induction k as [|k IH]; intro H; [apply filter_forall; lia|].
    generalize (filter_and _ _ (IH (fun j Hj => H j (Nat.lt_lt_succ_r _ _ Hj))) (H k (Nat.lt_succ_diag_r k))).
    apply (@filter_imp _ (locally x) _). intros u [Hu Hk] j Hj.
    destruct (Nat.eq_dec j k) as [->|Hne]; [exact Hk|apply Hu; lia].
  Qed.

  Lemma partials_near eps G H p : 0 < eps -> (forall w, near eps w -> H w = G w) -> partials H p -> partials G p.
  Proof.
    intros He E HH U x F dF HF. eapply D_ext_loc; [|exact (HH U x F dF HF)]. destruct HF as [HF HM].
    assert (L : locally x (fun u => forall j, (j < n)%nat ->
      Rabs (F j u - nth j v 0) < eps /\ (nth j masks false = true -> F j u = nth j v 0))).
    { apply (locally_all x (fun j u => Rabs (F j u - nth j v 0) < eps /\
               (nth j masks false = true -> F j u = nth j v 0))).
      intros j Hj. destruct (HF j Hj) as [Hx Hd]. apply filter_and.
      - assert (A : locally x (fun u => nth j v 0 - eps < F j u)) by (eapply D_gt_const; [exact Hd|lra]).
        assert (B : locally x (fun u => F j u < nth j v 0 + eps)) by (eapply D_lt_const; [exact Hd|lra]).
        generalize (filter_and _ _ A B). apply (@filter_imp _ (locally x) _). intros u Hu. apply Rabs_def1; lra.
      - destruct (nth j masks false) eqn:M; [|apply filter_forall; discriminate].
        generalize (proj1 (HM j Hj M)). apply (@filter_imp _ (locally x) _). intros u Hu _. now rewrite Hu. }
    generalize L. apply (@filter_imp _ (locally x) _). intros u Hu. apply E. split.
    - now rewrite map_length, seq_length.
    - intros j Hj. rewrite (nth_map_in (fun j => F j u) (seq 0 n) j 0 0%nat) by (now rewrite seq_length).
      rewrite seq_nth by exact Hj. now apply Hu.
  Qed.

  (** The formulas agree everywhere. *)
  Lemma partials_same G H p : (forall w, length w = n -> H w = G w) -> partials H p -> partials G p.
  Proof. intros E. apply (partials_near 1); [lra|]. intros w [Hw _]. now apply E. Qed.

  (** An elementwise op from its partial derivatives. *)
  Theorem ew_by_partials f ps ds p : partials (fun w => sxe (R := Rnum) ps w f) p ->
    (forall j, (j < n)%nat -> nth j masks false = false ->
       match nth j ds None with
       | Some d => sxe (R := Rnum) ps (v ++ [sxe (R := Rnum) ps v f]) d = p j
       | None => p j = 0
       end) ->
    ew_diff f ps ds masks v.
  Proof.
    intros Hf Hds U x F dF HF HM.
    eapply D_ext; [| |exact (Hf U x F dF (conj HF HM))]; intro u; [reflexivity|].
    apply (sumn_ext Rnum). intros j Hj. destruct (nth j masks false) eqn:M.
    - rewrite (proj2 (HM j Hj M)). destruct (nth j ds None); rewrite !Rmult_0_r; reflexivity.
    - specialize (Hds j Hj M). destruct (nth j ds None) as [d|]; rewrite ?Hds; [reflexivity|apply Rmult_0_l].
  Qed.
End Partials.

(** Two pieces of one real variable that fit together smoothly at a point. *)
Lemma is_derive_glue (b : R -> bool) (f g : R -> R) x d : is_derive f x d -> is_derive g x d -> f x = g x ->
  is_derive (fun y => if b y then f y else g y) x d.
Proof. exact (D_glue (U := R_NormedModule) x b f g (fun y => y * d)). Qed.
