(** * Laws of sums and of the pairing

    [suml] sums over a list and [sumn] below a bound, both from the left, starting at 0. First what needs no
    law, then what needs a commutative semiring: the section hypothesis [SR], which every lemma takes first. *)
From Coq Require Import List ZArith QArith Arith Bool Lia Ring Ring_theory.
From Prooftape.Spec Require Import Scalar Tensor Block.
Import ListNotations.
Open Scope nat_scope.

(** ** Lists *)
Section Lists.
  Context {A B : Type}.

  Lemma nth_map_in (f : A -> B) l k d d' : k < length l -> nth k (map f l) d = f (nth k l d').
  Proof. intro H. rewrite nth_indep with (d' := f d') by (now rewrite map_length). apply map_nth. Qed.

  Lemma filter_none (p : A -> bool) l : (forall a, In a l -> p a = false) -> filter p l = [].
  Proof.
    induction l as [| a l IH]; intro H; [reflexivity |]. cbn. rewrite (H a) by now left.
    apply IH. intros b Hb. apply H. now right.
  Qed.

  Lemma filter_all (p : A -> bool) l : (forall a, In a l -> p a = true) -> filter p l = l.
  Proof.
    induction l as [| a l IH]; intro H; [reflexivity |]. cbn. rewrite (H a) by now left.
    rewrite IH; [reflexivity |]. intros b Hb. apply H. now right.
  Qed.

  Lemma in_combine_map (f : A -> B) l p : In p (combine l (map f l)) -> snd p = f (fst p).
  Proof. induction l as [| a l IH]; [contradiction |]. intros [<- |]; auto. Qed.

  Lemma combine_nth_lt (l : list A) (m : list B) k da db :
    k < length l -> k < length m -> nth k (combine l m) (da, db) = (nth k l da, nth k m db).
  Proof.
    revert m k. induction l as [| a l IH]; intros [| b m] k Hl Hm; cbn in *; try lia.
    destruct k; [reflexivity |]. apply IH; lia.
  Qed.
End Lists.

(** ** Without laws *)
Section Lawless.
  Variable R : num.
  Notation ten := (list R).

  Lemma mk_length n (f : nat -> R) : length (mk n f) = n.
  Proof. unfold mk. now rewrite map_length, seq_length. Qed.

  Lemma tget_mk n (f : nat -> R) i : i < n -> tget (mk n f) i = f i.
  Proof.
    intro H. unfold tget, mk. rewrite (nth_map_in _ _ _ _ 0) by (now rewrite seq_length).
    now rewrite seq_nth.
  Qed.

  Lemma tget_over (t : ten) i : length t <= i -> tget t i = zero.
  Proof. apply nth_overflow. Qed.

  Lemma tget_nil i : tget ([] : ten) i = zero.
  Proof. now destruct i. Qed.

  Lemma mk_ext n (f g : nat -> R) : (forall i, i < n -> f i = g i) -> mk n f = mk n g.
  Proof. intro H. apply map_ext_in. intros i Hi. apply H. apply in_seq in Hi. lia. Qed.

  Lemma tget_ext (s t : ten) : length s = length t -> (forall i, i < length s -> tget s i = tget t i) -> s = t.
  Proof. intros L H. now apply (nth_ext _ _ zero zero). Qed.

  Lemma mk_tget (t : ten) : mk (length t) (tget t) = t.
  Proof. apply tget_ext; [apply mk_length |]. intros i Hi. apply tget_mk. now rewrite mk_length in Hi. Qed.

  Lemma tadd_nil_r (t : ten) : tadd t [] = t.
  Proof. now destruct t. Qed.

  Lemma tadd_length (a b : ten) : length (tadd a b) = Nat.max (length a) (length b).
  Proof. revert b. induction a as [| x a IH]; intros [| y b]; cbn; rewrite ?IH; reflexivity. Qed.

  Lemma suml_ext_in {A} (l : list A) (f g : A -> R) :
    (forall a, In a l -> f a = g a) -> suml l f = suml l g.
  Proof.
    unfold suml. generalize (@zero R). induction l as [| a l IH]; intros z H; [reflexivity |]. cbn.
    rewrite (H a) by now left. apply IH. intros b Hb. apply H. now right.
  Qed.

  Lemma suml_ext {A} (l : list A) (f g : A -> R) : (forall a, f a = g a) -> suml l f = suml l g.
  Proof. intro H. apply suml_ext_in. auto. Qed.

  Lemma suml_map {A B} (h : A -> B) (l : list A) (f : B -> R) : suml (map h l) f = suml l (fun a => f (h a)).
  Proof. unfold suml. generalize (@zero R). induction l as [| a l IH]; intro z; [reflexivity | apply IH]. Qed.

  Lemma suml_snoc {A} (l : list A) a (f : A -> R) : suml (l ++ [a]) f = add (suml l f) (f a).
  Proof. unfold suml. now rewrite fold_left_app. Qed.

  Lemma sumn_ext n (f g : nat -> R) : (forall i, i < n -> f i = g i) -> sumn n f = sumn n g.
  Proof. induction n as [| n IH]; intro H; [reflexivity |]. cbn. rewrite IH, H by auto. reflexivity. Qed.

  (** A sum below a bound is the sum over the numbers below it. *)
  Lemma suml_seq n (f : nat -> R) : suml (seq 0 n) f = sumn n f.
  Proof. induction n as [| n IH]; [reflexivity |]. now rewrite seq_S, suml_snoc, IH. Qed.

  Lemma suml_nth {A} (l : list A) d (f : A -> R) : suml l f = sumn (length l) (fun i => f (nth i l d)).
  Proof.
    rewrite <- suml_seq. induction l as [| a l IH] using rev_ind; [reflexivity |].
    rewrite app_length, Nat.add_1_r, seq_S, !suml_snoc, IH. cbn [Nat.add]. rewrite nth_middle. f_equal.
    apply suml_ext_in. intros i Hi. apply in_seq in Hi. now rewrite app_nth1 by lia.
  Qed.

  Lemma dot_ext n (a a' b b' : ten) :
    (forall i, i < n -> tget a i = tget a' i) -> (forall i, i < n -> tget b i = tget b' i) -> dot n a b = dot n a' b'.
  Proof. intros Ha Hb. apply sumn_ext. intros i Hi. now rewrite Ha, Hb. Qed.
End Lawless.

(** ** Over a commutative semiring *)
Section Laws.
  Variable R : num.
  Hypothesis SR : semi_ring_theory (@zero R) one add mul eq.
  Add Ring semiring_of_laws : SR.
  Notation ten := (list R).
  Implicit Types (f g : nat -> R).

  Lemma add_0_r (x : R) : add x zero = x.
  Proof. ring. Qed.
  Lemma add_0_l (x : R) : add zero x = x.
  Proof. ring. Qed.
  Lemma mul_0_l (x : R) : mul zero x = zero.
  Proof. ring. Qed.
  Lemma mul_0_r (x : R) : mul x zero = zero.
  Proof. ring. Qed.

  Lemma suml_from {A} (l : list A) (h : A -> R) z :
    fold_left (fun s a => add s (h a)) l z = add z (suml l h).
  Proof.
    revert z. induction l as [| a l IH]; intro z; [cbn; ring |]. unfold suml. cbn [fold_left].
    rewrite !IH. ring.
  Qed.

  Lemma suml_cons {A} a (l : list A) (h : A -> R) : suml (a :: l) h = add (h a) (suml l h).
  Proof. unfold suml at 1. cbn [fold_left]. rewrite suml_from. ring. Qed.

  Lemma suml_app {A} (l m : list A) (h : A -> R) : suml (l ++ m) h = add (suml l h) (suml m h).
  Proof. unfold suml at 1. now rewrite fold_left_app, suml_from. Qed.

  Lemma suml_zero {A} (l : list A) : suml l (fun _ => zero) = @zero R.
  Proof. induction l as [| a l IH]; [reflexivity |]. rewrite suml_cons, IH. ring. Qed.

  Lemma suml_add {A} (l : list A) (h k : A -> R) :
    suml l (fun a => add (h a) (k a)) = add (suml l h) (suml l k).
  Proof. induction l as [| a l IH]; [cbn; ring |]. rewrite !suml_cons, IH. ring. Qed.

  Lemma suml_scal_l {A} c (l : list A) (h : A -> R) : suml l (fun a => mul c (h a)) = mul c (suml l h).
  Proof. induction l as [| a l IH]; [cbn; ring |]. rewrite !suml_cons, IH. ring. Qed.

  Lemma suml_scal_r {A} c (l : list A) (h : A -> R) : suml l (fun a => mul (h a) c) = mul (suml l h) c.
  Proof. induction l as [| a l IH]; [cbn; ring |]. rewrite !suml_cons, IH. ring. Qed.

  Lemma suml_flat_map {A B} (F : A -> list B) (l : list A) (h : B -> R) :
    suml (flat_map F l) h = suml l (fun a => suml (F a) h).
  Proof. induction l as [| a l IH]; [reflexivity |]. cbn [flat_map]. now rewrite suml_app, suml_cons, IH. Qed.

  Lemma suml_concat {A} (l : list (list A)) (h : A -> R) : suml (concat l) h = suml l (fun a => suml a h).
  Proof. induction l as [| a l IH]; [reflexivity |]. cbn [concat]. now rewrite suml_app, suml_cons, IH. Qed.

  Lemma suml_swap {A B} (l : list A) (m : list B) (h : A -> B -> R) :
    suml l (fun a => suml m (h a)) = suml m (fun b => suml l (fun a => h a b)).
  Proof.
    induction l as [| a l IH]; [cbn; now rewrite suml_zero |].
    rewrite suml_cons, IH, <- suml_add. apply suml_ext. intro b. now rewrite suml_cons.
  Qed.

  (** A filter is a sum with the rest replaced by 0. *)
  Lemma suml_filter {A} (p : A -> bool) (l : list A) (h : A -> R) :
    suml (filter p l) h = suml l (fun a => if p a then h a else zero).
  Proof.
    induction l as [| a l IH]; [reflexivity |]. cbn [filter]. rewrite suml_cons, <- IH.
    destruct (p a); [apply suml_cons | ring].
  Qed.

  Lemma suml_zero_in {A} (l : list A) (h : A -> R) : (forall a, In a l -> h a = zero) -> suml l h = zero.
  Proof. intro H. rewrite (suml_ext_in R l h (fun _ => zero) H). apply suml_zero. Qed.

  (** *** Sums below a bound *)
  Lemma sumn_zero n f : (forall i, i < n -> f i = zero) -> sumn n f = zero.
  Proof. intro H. rewrite <- suml_seq. apply suml_zero_in. intros i Hi. apply H. apply in_seq in Hi. lia. Qed.

  Lemma sumn_add n f g : sumn n (fun i => add (f i) (g i)) = add (sumn n f) (sumn n g).
  Proof. rewrite <- !suml_seq. apply suml_add. Qed.

  Lemma sumn_scal_l c n f : sumn n (fun i => mul c (f i)) = mul c (sumn n f).
  Proof. rewrite <- !suml_seq. apply suml_scal_l. Qed.

  Lemma sumn_scal_r c n f : sumn n (fun i => mul (f i) c) = mul (sumn n f) c.
  Proof. rewrite <- !suml_seq. apply suml_scal_r. Qed.

  Lemma sumn_swap n m (h : nat -> nat -> R) :
    sumn n (fun i => sumn m (h i)) = sumn m (fun j => sumn n (fun i => h i j)).
  Proof.
    rewrite <- !suml_seq. rewrite (suml_ext R (seq 0 n) _ (fun i => suml (seq 0 m) (h i))).
    2: { intro i. now rewrite suml_seq. }
    rewrite suml_swap. apply suml_ext. intro j. apply suml_seq.
  Qed.

  Lemma sumn_suml_swap {A} n (l : list A) (h : nat -> A -> R) :
    sumn n (fun i => suml l (h i)) = suml l (fun a => sumn n (fun i => h i a)).
  Proof. rewrite <- suml_seq, suml_swap. apply suml_ext. intro a. apply suml_seq. Qed.

  Lemma sumn_app n m f : sumn (n + m) f = add (sumn n f) (sumn m (fun i => f (n + i))).
  Proof.
    induction m as [| m IH]; [rewrite Nat.add_0_r; cbn; ring |].
    rewrite Nat.add_succ_r. cbn. rewrite IH. ring.
  Qed.

  Lemma sumn_first n f : sumn (S n) f = add (f 0) (sumn n (fun i => f (S i))).
  Proof. change (S n) with (1 + n). rewrite sumn_app. cbn. ring. Qed.

  (** One term picked out of a sum. *)
  Lemma sumn_pick n k f : sumn n (fun i => if i =? k then f i else zero) = if k <? n then f k else zero.
  Proof.
    induction n as [| n IH]; [reflexivity |]. cbn [sumn]. rewrite IH.
    destruct (Nat.eqb_spec n k) as [-> | N].
    - replace (k <? k) with false by (symmetry; apply Nat.ltb_irrefl).
      replace (k <? S k) with true by (symmetry; apply Nat.ltb_lt; lia). ring.
    - destruct (Nat.ltb_spec k n), (Nat.ltb_spec k (S n)); try lia; ring.
  Qed.

  (** Only one term can differ from 0. *)
  Lemma sumn_only n k f : k < n -> (forall i, i < n -> i <> k -> f i = zero) -> sumn n f = f k.
  Proof.
    intros L H. rewrite (sumn_ext R n f (fun i => if i =? k then f i else zero)).
    - rewrite sumn_pick. now replace (k <? n) with true by (symmetry; now apply Nat.ltb_lt).
    - intros i Hi. destruct (Nat.eqb_spec i k); auto.
  Qed.

  (** Sorting the terms of a sum over l by a number each of them carries. *)
  Lemma sumn_bins {A} n (key : A -> nat) (l : list A) f (h : A -> R) :
    sumn n (fun s => mul (f s) (suml (filter (fun a => key a =? s) l) h))
    = suml (filter (fun a => key a <? n) l) (fun a => mul (f (key a)) (h a)).
  Proof.
    rewrite suml_filter.
    rewrite (sumn_ext R n _ (fun s => suml l (fun a => if s =? key a then mul (f s) (h a) else zero))).
    - rewrite sumn_suml_swap. apply suml_ext. intro a. now rewrite (sumn_pick n (key a) (fun s => mul (f s) (h a))).
    - intros s _. rewrite suml_filter, <- suml_scal_l. apply suml_ext. intro a.
      rewrite (Nat.eqb_sym (key a) s). destruct (s =? key a); ring.
  Qed.

  (** *** The pairing *)
  Lemma tget_tadd (a b : ten) i : tget (tadd a b) i = add (tget a i) (tget b i).
  Proof.
    revert b i. induction a as [| x a IH]; intros b i.
    - change (tadd [] b) with b. rewrite (tget_nil R i). ring.
    - destruct b as [| y b]; [rewrite tget_nil; cbn [tadd]; ring |].
      destruct i as [| i]; [reflexivity | exact (IH b i)].
  Qed.

  Lemma dot_comm n (a b : ten) : dot n a b = dot n b a.
  Proof. apply sumn_ext. intros i _. ring. Qed.

  Lemma dot_nil_l n (b : ten) : dot n [] b = zero.
  Proof. apply sumn_zero. intros i _. rewrite tget_nil. ring. Qed.

  Lemma dot_nil_r n (a : ten) : dot n a [] = zero.
  Proof. rewrite dot_comm. apply dot_nil_l. Qed.

  Lemma dot_tadd_r n (a b c : ten) : dot n a (tadd b c) = add (dot n a b) (dot n a c).
  Proof. unfold dot. rewrite <- sumn_add. apply sumn_ext. intros i _. rewrite tget_tadd. ring. Qed.

  Lemma dot_tadd_l n (a b c : ten) : dot n (tadd a b) c = add (dot n a c) (dot n b c).
  Proof. now rewrite dot_comm, dot_tadd_r, !(dot_comm n c). Qed.

  Lemma dot_mk_l n f (b : ten) : dot n (mk n f) b = sumn n (fun i => mul (f i) (tget b i)).
  Proof. apply sumn_ext. intros i Hi. now rewrite tget_mk. Qed.

  Lemma dot_mk_r n (a : ten) f : dot n a (mk n f) = sumn n (fun i => mul (tget a i) (f i)).
  Proof. apply sumn_ext. intros i Hi. now rewrite tget_mk. Qed.

  (** *** Cotangents of several slots *)
  Lemma tadd_at_length (l : list ten) k t : length (tadd_at l k t) = length l.
  Proof. revert k. induction l as [| x l IH]; intros [| k]; cbn; auto. Qed.

  Lemma slot_tadd_at (l : list ten) k t j :
    k < length l -> slot (tadd_at l k t) j = if j =? k then tadd (slot l j) t else slot l j.
  Proof.
    unfold slot. revert k j. induction l as [| x l IH]; intros k j H; [cbn in H; lia |].
    destruct k as [| k], j as [| j]; try reflexivity. cbn in *. apply IH. lia.
  Qed.
End Laws.

(** The laws can be met: the natural numbers, where only +, * and the comparisons mean something. *)
Definition nat_num : num := {|
  car := nat; zero := 0; one := 1; add := Nat.add; sub := Nat.sub; mul := Nat.mul; div := Nat.div; neg := fun x => x;
  lit := fun q => Z.to_nat (Qnum q); ltb := Nat.ltb; leb := Nat.leb; eqb := Nat.eqb; pow := fun x _ => x;
  app := fun _ x => x |}.
Lemma nat_num_laws : semi_ring_theory (@zero nat_num) one add mul eq.
Proof. constructor; intros; cbn; lia. Qed.
