(** Boolean equality of the data in a certificate. Each test comes with its meaning, as an equivalence: a checker
    built on these tests accepts exactly what it should. *)
From Coq Require Import List NArith ZArith QArith Bool.
From Prooftape.Spec Require Import Graph Op.
Import ListNotations.
Open Scope bool_scope.

(** [eqb] decides equality. *)
Definition decides {A} (eqb : A -> A -> bool) : Prop := forall a b, eqb a b = true <-> a = b.

Lemma by_cases A (eqb : A -> A -> bool) :
  (forall a b, eqb a b = true -> a = b) -> (forall a, eqb a a = true) -> decides eqb.
Proof. intros H R a b. split; [apply H|intros ->; apply R]. Qed.

Fixpoint list_eqb {A} (eqb : A -> A -> bool) (a b : list A) : bool :=
  match a, b with
  | [], [] => true
  | x :: a', y :: b' => if eqb x y then list_eqb eqb a' b' else false
  | _, _ => false
  end.
Lemma list_eqb_ok A (eqb : A -> A -> bool) : decides eqb -> decides (list_eqb eqb).
Proof.
  intros H a. induction a as [|x a IH]; intros [|y b]; simpl; try (split; congruence).
  specialize (H x y). specialize (IH b). destruct (eqb x y).
  - assert (x = y) as <- by now apply H. rewrite IH. split; congruence.
  - split; [discriminate|]. intro E. injection E as <- _. destruct H as [_ H]. discriminate (H eq_refl).
Qed.

Definition pair_eqb {A B} (ea : A -> A -> bool) (eb : B -> B -> bool) (p q : A * B) : bool :=
  if ea (fst p) (fst q) then eb (snd p) (snd q) else false.
Lemma pair_eqb_ok A B (ea : A -> A -> bool) (eb : B -> B -> bool) :
  decides ea -> decides eb -> decides (pair_eqb ea eb).
Proof.
  intros Ha Hb. apply by_cases.
  - intros [a b] [a' b']. unfold pair_eqb. simpl. destruct (ea a a') eqn:E; [|discriminate]. intro F.
    f_equal; [now apply Ha|now apply Hb].
  - intros [a b]. unfold pair_eqb. simpl. rewrite (proj2 (Ha a a) eq_refl). now apply Hb.
Qed.

Lemma N_eqb_ok : decides N.eqb. Proof. exact N.eqb_eq. Qed.
Lemma Z_eqb_ok : decides Z.eqb. Proof. exact Z.eqb_eq. Qed.

(** Fractions are compared as written: a graph's numbers are data, 1/2 and 2/4 are two of them. *)
Definition frac_eqb (a b : Q) : bool := Z.eqb (Qnum a) (Qnum b) && Pos.eqb (Qden a) (Qden b).
Lemma frac_eqb_ok : decides frac_eqb.
Proof.
  apply by_cases.
  - intros [n d] [n' d']. unfold frac_eqb. simpl. rewrite andb_true_iff, Z.eqb_eq, Pos.eqb_eq. now intros [-> ->].
  - intros [n d]. unfold frac_eqb. simpl. now rewrite Z.eqb_refl, Pos.eqb_refl.
Qed.

Definition ty_eqb (a b : ty) : bool :=
  if dtype_eqb (t_dtype a) (t_dtype b) then list_eqb N.eqb (t_shape a) (t_shape b) else false.
Lemma ty_eqb_ok : decides ty_eqb.
Proof.
  pose proof (list_eqb_ok _ _ N_eqb_ok) as L. apply by_cases.
  - intros [[] s] [[] s']; unfold ty_eqb; simpl; try discriminate; rewrite (L s s'); now intros ->.
  - intros [[] s]; unfold ty_eqb; simpl; now apply L.
Qed.

Definition number_eqb (a b : number) : bool :=
  match a, b with
  | Fin p, Fin q => frac_eqb p q
  | PInf, PInf | MInf, MInf | NaN, NaN => true
  | _, _ => false
  end.
Lemma number_eqb_ok : decides number_eqb.
Proof.
  apply by_cases.
  - intros [] []; simpl; try discriminate; auto. rewrite (frac_eqb_ok q q0). now intros ->.
  - intros []; simpl; auto. now apply frac_eqb_ok.
Qed.

Definition attr_eqb (a b : attr) : bool :=
  match a, b with
  | ANone, ANone => true
  | ABool x, ABool y => Bool.eqb x y
  | AInt x, AInt y => Z.eqb x y
  | ANum x, ANum y => number_eqb x y
  | AInts x, AInts y => list_eqb Z.eqb x y
  | APairs x, APairs y => list_eqb (pair_eqb Z.eqb Z.eqb) x y
  | ALit i t, ALit j u => if N.eqb i j then ty_eqb t u else false
  | _, _ => false
  end.
Lemma attr_eqb_ok : decides attr_eqb.
Proof.
  pose proof (list_eqb_ok _ _ Z_eqb_ok) as LZ.
  pose proof (list_eqb_ok _ _ (pair_eqb_ok _ _ _ _ Z_eqb_ok Z_eqb_ok)) as LP.
  apply by_cases.
  - intros [] []; simpl; try discriminate; auto; intro H; f_equal.
    + now apply eqb_prop.
    + now apply Z_eqb_ok.
    + now apply number_eqb_ok.
    + now apply LZ.
    + now apply LP.
    + destruct (N.eqb id id0) eqn:E; [now apply N_eqb_ok|discriminate].
    + destruct (N.eqb id id0) eqn:E; [now apply ty_eqb_ok|discriminate].
  - intros []; simpl; auto.
    + apply eqb_reflx.
    + apply Z.eqb_refl.
    + now apply number_eqb_ok.
    + now apply LZ.
    + now apply LP.
    + rewrite N.eqb_refl. now apply ty_eqb_ok.
Qed.

Section Call.
  Variable op : Type.
  Variable op_eqb : op -> op -> bool.

  Definition call_eqb (a b : call op) : bool :=
    if op_eqb (c_op a) (c_op b) then
    if list_eqb ty_eqb (c_tys a) (c_tys b) then
    if list_eqb attr_eqb (c_attrs a) (c_attrs b) then
    if list_eqb N.eqb (c_nats a) (c_nats b) then ty_eqb (c_out a) (c_out b)
    else false else false else false else false.
  Lemma call_eqb_ok : (forall a b, op_eqb a b = true -> a = b) -> forall a b, call_eqb a b = true -> a = b.
  Proof.
    intros op_eqb_ok [o a t n u] [o' a' t' n' u']. unfold call_eqb. simpl.
    destruct (op_eqb o o') eqn:Eo; [|discriminate]. destruct (list_eqb ty_eqb t t') eqn:Et; [|discriminate].
    destruct (list_eqb attr_eqb a a') eqn:Ea; [|discriminate].
    destruct (list_eqb N.eqb n n') eqn:En; [|discriminate]. intro Eu.
    apply op_eqb_ok in Eo. apply (list_eqb_ok _ _ ty_eqb_ok) in Et. apply (list_eqb_ok _ _ attr_eqb_ok) in Ea.
    apply (list_eqb_ok _ _ N_eqb_ok) in En. apply ty_eqb_ok in Eu. congruence.
  Qed.
  Lemma call_eqb_refl : (forall a, op_eqb a a = true) -> forall a, call_eqb a a = true.
  Proof.
    intros R [o a t n u]. unfold call_eqb. simpl.
    rewrite R, (proj2 (list_eqb_ok _ _ ty_eqb_ok t t) eq_refl), (proj2 (list_eqb_ok _ _ attr_eqb_ok a a) eq_refl),
      (proj2 (list_eqb_ok _ _ N_eqb_ok n n) eq_refl).
    now apply ty_eqb_ok.
  Qed.
End Call.
Arguments call_eqb {op} _ _ _.
