(** Row-major index arithmetic that the op files share. All total: nonsense in, some number out; the lemmas say
    what holds of positions inside a shape. *)
From Coq Require FinFun.
From Coq Require Import List NArith ZArith Arith Bool Lia.
From Prooftape.Spec Require Import Graph.
Import ListNotations.
Open Scope nat_scope.

Definition dims (s : shape) : list nat := map N.to_nat s.
Definition prod (d : list nat) : nat := fold_right Nat.mul 1 d.

(** position of a cell: the index along each axis *)
Fixpoint unravel (d : list nat) (i : nat) : list nat :=
  match d with
  | [] => []
  | _ :: d' => (i / prod d') :: unravel d' (i mod prod d')
  end.
Fixpoint ravel (d ix : list nat) : nat :=
  match d, ix with
  | _ :: d', k :: ix' => k * prod d' + ravel d' ix'
  | _, _ => 0
  end.
(** all positions of a shape, row-major *)
Fixpoint cells (d : list nat) : list (list nat) :=
  match d with
  | [] => [[]]
  | n :: d' => flat_map (fun k => map (cons k) (cells d')) (seq 0 n)
  end.

(** ** Broadcasting *)
(** position in an operand of shape d, whose axes of length 1 are repeated, of the position ix *)
Fixpoint clip (d ix : list nat) : list nat :=
  match d, ix with
  | n :: d', k :: ix' => (if n =? 1 then 0 else k) :: clip d' ix'
  | _, _ => []
  end.
(** the last n entries *)
Definition last_n {A} (n : nat) (l : list A) : list A := skipn (length l - n) l.
(** the cell of an operand of shape d that position ix of the wide shape reads (trailing axes aligned) *)
Definition aligned (d ix : list nat) : nat := ravel d (clip d (last_n (length d) ix)).

(** ** Facts *)
Definition inside (d ix : list nat) : Prop := Forall2 (fun k n => k < n) ix d.

Lemma prod_app a b : prod (a ++ b) = prod a * prod b.
Proof. induction a; simpl; [|rewrite IHa]; lia. Qed.

Lemma dims_size s : prod (dims s) = N.to_nat (size s).
Proof. induction s; simpl; [|rewrite IHs, N2Nat.inj_mul]; reflexivity. Qed.

Lemma unravel_length d : forall i, length (unravel d i) = length d.
Proof. induction d; simpl; auto. Qed.

Lemma inside_length d ix : inside d ix -> length ix = length d.
Proof. intro H. induction H; simpl; congruence. Qed.

Lemma ravel_lt d : forall ix, inside d ix -> ravel d ix < prod d.
Proof.
  induction d; intros ix H; inversion H; subst; simpl; [lia|].
  match goal with Hf : Forall2 _ _ d |- _ => specialize (IHd _ Hf) end. nia.
Qed.

Lemma unravel_inside d : forall i, i < prod d -> inside d (unravel d i).
Proof.
  induction d as [|n d IH]; intros i H; simpl in *; constructor.
  - apply Nat.div_lt_upper_bound; nia.
  - apply IH, Nat.mod_upper_bound. nia.
Qed.

Lemma ravel_unravel d : forall i, i < prod d -> ravel d (unravel d i) = i.
Proof.
  induction d as [|n d IH]; intros i H; simpl in *; [lia|].
  assert (prod d <> 0) by nia.
  rewrite IH by now apply Nat.mod_upper_bound. rewrite (Nat.div_mod_eq i (prod d)) at 3. lia.
Qed.

Lemma unravel_ravel d : forall ix, inside d ix -> unravel d (ravel d ix) = ix.
Proof.
  induction d as [|n d IH]; intros ix H; inversion H as [|k ? ix' ? Hk Hix]; subst; simpl; [reflexivity|].
  pose proof (ravel_lt _ _ Hix). f_equal.
  - rewrite Nat.div_add_l, Nat.div_small; lia.
  - rewrite Nat.add_comm, Nat.mod_add, Nat.mod_small by lia. auto.
Qed.

Lemma in_cells d : forall ix, In ix (cells d) <-> inside d ix.
Proof.
  induction d as [|n d IH]; intro ix; simpl.
  - split; [intros [<-|[]]; constructor|]. intro H. inversion H. auto.
  - rewrite in_flat_map. split.
    + intros (k & Hk & H). apply in_map_iff in H. destruct H as (r & <- & Hr).
      apply in_seq in Hk. constructor; [lia|]. now apply IH.
    + intro H. inversion H as [|k ? r ? Hk Hr]; subst. exists k. split; [apply in_seq; lia|].
      apply in_map, IH, Hr.
Qed.

Lemma cells_length d : length (cells d) = prod d.
Proof.
  induction d as [|n d IH]; simpl; [reflexivity|]. rewrite <- (seq_length n 0) at 2.
  induction (seq 0 n) as [|k l IHl]; simpl; [reflexivity|]. rewrite app_length, map_length, IHl. lia.
Qed.

Lemma nodup_app A (a b : list A) : NoDup a -> NoDup b -> (forall x, In x a -> ~ In x b) -> NoDup (a ++ b).
Proof.
  intros Ha Hb. induction Ha as [|x a Hx Ha IH]; simpl; intro H; [exact Hb|]. constructor; [|auto].
  rewrite in_app_iff. intros [?|?]; [easy|]. eapply H; eauto.
Qed.

Lemma cells_nodup d : NoDup (cells d).
Proof.
  induction d as [|n d IH]; simpl; [constructor; [easy|constructor]|].
  generalize (seq_NoDup n 0). induction (seq 0 n) as [|k l IHl]; intro Hl; simpl; [constructor|].
  inversion Hl as [|? ? Hk Hl']; subst. apply nodup_app; [|auto|].
  - apply FinFun.Injective_map_NoDup; [|exact IH]. intros a b E. now inversion E.
  - intros x Hx Hy. apply in_map_iff in Hx. destruct Hx as (? & <- & _).
    apply in_flat_map in Hy. destruct Hy as (k' & Hk' & Hy). apply in_map_iff in Hy. destruct Hy as (? & E & _).
    inversion E; subst. easy.
Qed.

Lemma seq_from a n : seq a n = map (Nat.add a) (seq 0 n).
Proof.
  revert a. induction n as [|n IH]; intro a; simpl; [reflexivity|]. rewrite Nat.add_0_r, (IH 1), (IH (S a)), map_map.
  f_equal. apply map_ext. intro. lia.
Qed.

(** The positions come in the order of their numbers. *)
Lemma cells_seq d : cells d = map (unravel d) (seq 0 (prod d)).
Proof.
  induction d as [|n d IH]; simpl; [reflexivity|]. rewrite IH. set (p := prod d).
  enough (H : forall n s, flat_map (fun k => map (cons k) (map (unravel d) (seq 0 p))) (seq s n)
              = map (fun i => i / p :: unravel d (i mod p)) (seq (s * p) (n * p))) by exact (H n 0).
  clear. induction n as [|n IHn]; intro s; simpl; [reflexivity|].
  rewrite seq_app, map_app, IHn. f_equal; [|f_equal; f_equal; lia].
  rewrite (seq_from (s * p)), !map_map. apply map_ext_in. intros r Hr. apply in_seq in Hr.
  replace ((s * p + r) mod p) with r by (rewrite Nat.add_comm, Nat.mod_add, Nat.mod_small; lia).
  rewrite Nat.div_add_l, Nat.div_small by lia. f_equal. lia.
Qed.
Lemma nth_cells d i : i < prod d -> nth i (cells d) [] = unravel d i.
Proof.
  intro H. rewrite cells_seq. rewrite nth_indep with (d' := unravel d 0) by (rewrite map_length, seq_length; lia).
  rewrite map_nth, seq_nth by lia. reflexivity.
Qed.
