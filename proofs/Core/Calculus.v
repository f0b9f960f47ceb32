(** * Calculus of scalar functions on any normed space

    Rules for [D] (the Fréchet derivative) and [still] (a function that does not move near a point). The space U is
    arbitrary: it is the line of directional derivatives as well as the space of all inputs of a graph. *)
From Coq Require Import Reals Lra List Bool.
Set Warnings "-ambiguous-paths".
From Coquelicot Require Import Coquelicot.
From Prooftape.Spec Require Import Scalar Tensor RealNum.
From Prooftape.Core Require Import Side.
Import ListNotations.
Open Scope R_scope.

Section Calculus.
  Context {U : NormedModule R_AbsRing}.
  Variable x : U.

  (** ** Derivatives *)
  Lemma D_ext (f g l m : U -> R) : (forall u, f u = g u) -> (forall u, l u = m u) -> D x f l -> D x g m.
  Proof.
    intros Hf Hl H.
    refine (@filterdiff_ext_lin R_AbsRing U R_NormedModule _ _ g l m _ Hl).
    exact (@filterdiff_ext R_AbsRing U R_NormedModule _ _ f g l Hf H).
  Qed.

  (** Only the values near the point count. *)
  Lemma D_ext_loc (f g l : U -> R) : locally x (fun u => f u = g u) -> D x f l -> D x g l.
  Proof. exact (@filterdiff_ext_locally R_AbsRing U R_NormedModule f g x l). Qed.

  Lemma D_const (c : R) : D x (fun _ => c) (fun _ => 0).
  Proof. exact (@filterdiff_const R_AbsRing U R_NormedModule _ _ c). Qed.

  Lemma D_plus (f g lf lg : U -> R) : D x f lf -> D x g lg ->
    D x (fun u => f u + g u) (fun u => lf u + lg u).
  Proof. exact (@filterdiff_plus_fct R_AbsRing U R_NormedModule _ _ f g lf lg). Qed.

  Lemma D_opp (f lf : U -> R) : D x f lf -> D x (fun u => - f u) (fun u => - lf u).
  Proof. exact (@filterdiff_opp_fct R_AbsRing U R_NormedModule _ _ f lf). Qed.

  Lemma D_minus (f g lf lg : U -> R) : D x f lf -> D x g lg ->
    D x (fun u => f u - g u) (fun u => lf u - lg u).
  Proof. exact (@filterdiff_minus_fct R_AbsRing U R_NormedModule _ _ f g lf lg). Qed.

  Lemma D_mult (f g lf lg : U -> R) : D x f lf -> D x g lg ->
    D x (fun u => f u * g u) (fun u => lf u * g x + f x * lg u).
  Proof. exact (@filterdiff_mult_fct R_AbsRing U f g x lf lg Rmult_comm). Qed.

  Lemma D_scal (c : R) (f lf : U -> R) : D x f lf -> D x (fun u => c * f u) (fun u => c * lf u).
  Proof. intro H. eapply D_ext; [| |exact (D_mult _ _ _ _ (D_const c) H)]; intro u; simpl; auto. ring. Qed.

  (** The chain rule; the outer function is a function of one real variable. *)
  Lemma D_comp (f lf : U -> R) (h : R -> R) (h' : R) : D x f lf -> is_derive h (f x) h' ->
    D x (fun u => h (f u)) (fun u => h' * lf u).
  Proof.
    intros Hf Hh.
    eapply D_ext; [| |exact (@filterdiff_comp' R_AbsRing U R_NormedModule R_NormedModule f h x lf _ Hf Hh)].
    - reflexivity.
    - intro u. apply Rmult_comm.
  Qed.

  Lemma D_div (f g lf lg : U -> R) : D x f lf -> D x g lg -> g x <> 0 ->
    D x (fun u => f u / g u) (fun u => (lf u * g x - f x * lg u) / (g x * g x)).
  Proof.
    intros Hf Hg Hx.
    assert (Hinv : is_derive Rinv (g x) (- / (g x * g x))) by (auto_derive; [exact Hx|field; exact Hx]).
    eapply D_ext; [| |exact (D_mult _ _ _ _ Hf (D_comp _ _ _ _ Hg Hinv))]; intro u; [reflexivity|].
    cbv beta. field. exact Hx.
  Qed.

  Lemma D_sumn n (f lf : nat -> U -> R) : (forall i, (i < n)%nat -> D x (f i) (lf i)) ->
    D x (fun u => sumn (R := Rnum) n (fun i => f i u)) (fun u => sumn (R := Rnum) n (fun i => lf i u)).
  Proof. induction n as [|n IH]; simpl; intro H; [apply D_const|apply D_plus; auto]. Qed.

  (** A sum over a list starts at 0 and runs from the left: generalise over what it starts from. *)
  Lemma D_suml A (l : list A) (f lf : A -> U -> R) : (forall a, In a l -> D x (f a) (lf a)) ->
    D x (fun u => suml (R := Rnum) l (fun a => f a u)) (fun u => suml (R := Rnum) l (fun a => lf a u)).
  Proof.
    assert (G : (forall a, In a l -> D x (f a) (lf a)) -> forall s ls, D x s ls ->
      D x (fun u => fold_left (fun s a => s + f a u) l (s u)) (fun u => fold_left (fun s a => s + lf a u) l (ls u))).
    { induction l as [|a l IH]; simpl; intros H s ls Hs; [exact Hs|].
      apply (IH (fun b Hb => H b (or_intror Hb)) (fun u => s u + f a u) (fun u => ls u + lf a u)).
      apply D_plus; auto. }
    intro H. exact (G H _ _ (D_const 0)).
  Qed.

  (** Derivatives are linear; in particular they vanish at 0. *)
  Lemma D_linear f l : D x f l -> is_linear l.
  Proof. now intros [H _]. Qed.

  (** ** Continuity *)
  Lemma D_continuous f l : D x f l -> continuous f x.
  Proof. intro H. apply (@filterdiff_continuous R_AbsRing U R_NormedModule). now exists l. Qed.

  Lemma D_lt (f g lf lg : U -> R) : D x f lf -> D x g lg -> f x < g x -> locally x (fun u => f u < g u).
  Proof.
    intros Hf Hg Hlt.
    assert (C : continuous (fun u => g u - f u) x) by (eapply D_continuous; apply D_minus; eassumption).
    assert (L : locally (g x - f x) (fun y => 0 < y)) by (apply (open_gt 0); lra).
    apply (filter_imp (fun u => 0 < g u - f u)); [intros u Hu; lra|exact (C _ L)].
  Qed.
  Lemma D_lt_const (f lf : U -> R) (c : R) : D x f lf -> f x < c -> locally x (fun u => f u < c).
  Proof. intros H. exact (D_lt f _ lf _ H (D_const c)). Qed.
  Lemma D_gt_const (f lf : U -> R) (c : R) : D x f lf -> c < f x -> locally x (fun u => c < f u).
  Proof. intros H. exact (D_lt _ f _ lf (D_const c) H). Qed.
  Lemma D_neq (f g lf lg : U -> R) : D x f lf -> D x g lg -> f x <> g x -> locally x (fun u => f u <> g u).
  Proof.
    intros Hf Hg Hne. destruct (Rlt_dec (f x) (g x)) as [Hlt|Hge].
    - eapply filter_imp; [|exact (D_lt _ _ _ _ Hf Hg Hlt)]. intros u Hu. simpl in Hu. lra.
    - assert (Hgt : g x < f x) by lra.
      eapply filter_imp; [|exact (D_lt _ _ _ _ Hg Hf Hgt)]. intros u Hu. simpl in Hu. lra.
  Qed.

  (** ** Functions that do not move *)
  Lemma still_const {A} (c : A) : still x (fun _ => c).
  Proof. unfold still. apply filter_forall. reflexivity. Qed.
  Lemma still_ext {A} (f g : U -> A) : (forall u, f u = g u) -> still x f -> still x g.
  Proof. intros H. unfold still. apply (@filter_imp _ (locally x) _). intros u Hu. now rewrite <- !H. Qed.
  Lemma still_ext_loc {A} (f g : U -> A) : locally x (fun u => f u = g u) -> still x f -> still x g.
  Proof.
    unfold still. intros Hfg Hf. pose proof (locally_singleton _ _ Hfg) as E.
    generalize (filter_and _ _ Hfg Hf). apply (@filter_imp _ (locally x) _). intros u [Hu Hv]. congruence.
  Qed.
  Lemma still_comp {A B} (h : A -> B) (f : U -> A) : still x f -> still x (fun u => h (f u)).
  Proof. unfold still. apply (@filter_imp _ (locally x) _). intros u Hu. now rewrite Hu. Qed.
  Lemma still_comp2 {A B C} (h : A -> B -> C) (f : U -> A) (g : U -> B) :
    still x f -> still x g -> still x (fun u => h (f u) (g u)).
  Proof.
    unfold still. intros Hf Hg. generalize (filter_and _ _ Hf Hg).
    apply (@filter_imp _ (locally x) _). intros u [Hu Hv]. now rewrite Hu, Hv.
  Qed.
  Lemma still_pair {A B} (f : U -> A) (g : U -> B) : still x f -> still x g -> still x (fun u => (f u, g u)).
  Proof. apply still_comp2. Qed.
  Lemma still_map {A B} (l : list A) (f : A -> U -> B) : (forall a, In a l -> still x (f a)) ->
    still x (fun u => map (fun a => f a u) l).
  Proof.
    induction l as [|a l IH]; simpl; intro H; [apply still_const|].
    apply (still_comp2 cons (f a) (fun u => map (fun a => f a u) l)); auto.
  Qed.
  (** A choice by a boolean that does not move is, near the point, one of its branches. *)
  Lemma still_if {A} (b : U -> bool) (f g : U -> A) : still x b -> (if b x then still x f else still x g) ->
    still x (fun u => if b u then f u else g u).
  Proof.
    intros Hb Hfg. eapply still_ext_loc with (f := fun u => if b x then f u else g u).
    - eapply filter_imp; [|exact Hb]. intros u Hu. simpl in Hu. now rewrite Hu.
    - destruct (b x); exact Hfg.
  Qed.

  Lemma still_D (f : U -> R) : still x f -> D x f (fun _ => 0).
  Proof.
    intro H. apply (D_ext_loc (fun _ => f x)); [|apply D_const].
    eapply filter_imp; [|exact H]. intros u Hu. now symmetry.
  Qed.
  Lemma D_if (b : U -> bool) (f g lf lg : U -> R) : still x b -> (if b x then D x f lf else D x g lg) ->
    D x (fun u => if b u then f u else g u) (fun u => if b x then lf u else lg u).
  Proof.
    intros Hb H. apply (D_ext_loc (fun u => if b x then f u else g u)).
    - eapply filter_imp; [|exact Hb]. intros u Hu. simpl in Hu. now rewrite Hu.
    - destruct (b x); exact H.
  Qed.

  (** Two functions that agree at the point and have the same derivative there: whichever of them is taken, and where,
      the derivative is the same. *)
  Lemma D_glue (b : U -> bool) (f g l : U -> R) : D x f l -> D x g l -> f x = g x ->
    D x (fun u => if b u then f u else g u) l.
  Proof.
    intros [L Hf] [_ Hg] E. split; [exact L|]. intros y Hy eps.
    assert (y = x) as -> by (symmetry; exact (is_filter_lim_locally_unique _ _ Hy)).
    generalize (filter_and _ _ (Hf x Hy eps) (Hg x Hy eps)). apply (@filter_imp _ (locally x) _).
    intros u [Hu Hv]. destruct (b u), (b x); rewrite ?E; rewrite ?E in Hu; assumption.
  Qed.

  (** Comparisons of differentiable functions do not move where the functions differ. *)
  Lemma still_ltb (f g lf lg : U -> R) : D x f lf -> D x g lg -> f x <> g x -> still x (fun u => Rltb (f u) (g u)).
  Proof.
    unfold still. intros Hf Hg Hne. destruct (Rtotal_order (f x) (g x)) as [H|[H|H]]; [|contradiction|].
    - generalize (D_lt _ _ _ _ Hf Hg H). apply (@filter_imp _ (locally x) _). intros u Hu. unfold Rltb.
      destruct (Rlt_dec (f u) (g u)), (Rlt_dec (f x) (g x)); auto; lra.
    - generalize (D_lt _ _ _ _ Hg Hf H). apply (@filter_imp _ (locally x) _). intros u Hu. unfold Rltb.
      destruct (Rlt_dec (f u) (g u)), (Rlt_dec (f x) (g x)); auto; lra.
  Qed.
  Lemma still_leb (f g lf lg : U -> R) : D x f lf -> D x g lg -> f x <> g x -> still x (fun u => Rleb (f u) (g u)).
  Proof.
    unfold still. intros Hf Hg Hne. destruct (Rtotal_order (f x) (g x)) as [H|[H|H]]; [|contradiction|].
    - generalize (D_lt _ _ _ _ Hf Hg H). apply (@filter_imp _ (locally x) _). intros u Hu. unfold Rleb.
      destruct (Rle_dec (f u) (g u)), (Rle_dec (f x) (g x)); auto; lra.
    - generalize (D_lt _ _ _ _ Hg Hf H). apply (@filter_imp _ (locally x) _). intros u Hu. unfold Rleb.
      destruct (Rle_dec (f u) (g u)), (Rle_dec (f x) (g x)); auto; lra.
  Qed.
  Lemma still_eqb (f g lf lg : U -> R) : D x f lf -> D x g lg -> f x <> g x -> still x (fun u => Reqb (f u) (g u)).
  Proof.
    unfold still. intros Hf Hg Hne. generalize (D_neq _ _ _ _ Hf Hg Hne).
    apply (@filter_imp _ (locally x) _). intros u Hu. unfold Reqb.
    destruct (Req_EM_T (f u) (g u)), (Req_EM_T (f x) (g x)); auto; contradiction.
  Qed.
End Calculus.

(** ** On the line, D is the ordinary derivative *)
Lemma D_is_derive (f l : R -> R) (x : R) : D (U := R_NormedModule) x f l -> is_derive f x (l 1).
Proof.
  intro H. pose proof (D_linear x f l H) as L. unfold is_derive.
  refine (@filterdiff_ext_lin R_AbsRing R_NormedModule R_NormedModule _ _ f l _ H _).
  intro y. etransitivity; [|exact (linear_scal l L y 1)]. f_equal. symmetry. apply Rmult_1_r.
Qed.
Lemma is_derive_D (f : R -> R) (x d : R) : is_derive f x d -> D (U := R_NormedModule) x f (fun y => y * d).
Proof. exact (fun H => H). Qed.
