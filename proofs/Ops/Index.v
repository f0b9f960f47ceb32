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

(** ** Some axes of a list, and the others *)
(** the entries at the positions that f chooses; the first position is k *)
Fixpoint pick {A} (f : nat -> bool) (k : nat) (l : list A) : list A :=
  match l with
  | [] => []
  | x :: l' => if f k then x :: pick f (S k) l' else pick f (S k) l'
  end.
(** its inverse: n entries, the chosen ones from [b], the others from [a] *)
Fixpoint weave (f : nat -> bool) (k n : nat) (a b : list nat) : list nat :=
  match n with
  | O => []
  | S n' => if f k then hd 0 b :: weave f (S k) n' a (tl b) else hd 0 a :: weave f (S k) n' (tl a) b
  end.

Definition among (axes : list nat) (k : nat) : bool := existsb (Nat.eqb k) axes.
Definition within {A} (axes : list nat) (l : list A) : list A := pick (among axes) 0 l.
Definition without {A} (axes : list nat) (l : list A) : list A := pick (fun k => negb (among axes k)) 0 l.

(** ** Groups: the cells of a tensor that a reduction over some axes puts together *)
(** the cells of group j, ascending; groups are numbered as the cells of [without axes d] *)
Definition members (d axes : list nat) (j : nat) : list nat :=
  map (fun r => ravel d (weave (among axes) 0 (length d) (unravel (without axes d) j) r)) (cells (within axes d)).
(** the group of cell i *)
Definition group_of (d axes : list nat) (i : nat) : nat := ravel (without axes d) (without axes (unravel d i)).

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

(** *** Groups *)
Lemma weave_length f : forall n k a b, length (weave f k n a b) = n.
Proof. induction n; intros; simpl; [|destruct (f k); simpl; rewrite IHn]; reflexivity. Qed.
Lemma weave_pick f : forall (l : list nat) k, weave f k (length l) (pick (fun k => negb (f k)) k l) (pick f k l) = l.
Proof. induction l as [|x l IH]; intro k; simpl; [reflexivity|]. destruct (f k); simpl; now rewrite IH. Qed.
Lemma pick_weave f : forall (d : list nat) k a b,
  length a = length (pick (fun k => negb (f k)) k d) -> length b = length (pick f k d) ->
  pick (fun k => negb (f k)) k (weave f k (length d) a b) = a /\ pick f k (weave f k (length d) a b) = b.
Proof.
  induction d as [|n d IH]; intros k a b; simpl.
  - destruct a, b; simpl; intros; try discriminate; auto.
  - destruct (f k) eqn:E; simpl; intros Ha Hb; rewrite E; simpl.
    + destruct b as [|y b]; [discriminate|]. destruct (IH (S k) a b) as [H1 H2]; auto.
      simpl. rewrite H1, H2. auto.
    + destruct a as [|y a]; [discriminate|]. destruct (IH (S k) a b) as [H1 H2]; auto.
      simpl. rewrite H1, H2. auto.
Qed.
Lemma inside_pick f d : forall k ix, inside d ix -> inside (pick f k d) (pick f k ix).
Proof.
  unfold inside. induction d; intros k ix H; inversion H; subst; simpl; [constructor|].
  destruct (f k); [constructor|]; auto.
Qed.
Lemma inside_weave f d : forall k a b,
  inside (pick (fun k => negb (f k)) k d) a -> inside (pick f k d) b -> inside d (weave f k (length d) a b).
Proof.
  unfold inside. induction d as [|n d IH]; intros k a b; simpl; [constructor|].
  destruct (f k); simpl; intros Ha Hb.
  - inversion Hb; subst. constructor; auto.
  - inversion Ha; subst. constructor; auto.
Qed.

Lemma members_length d axes j : length (members d axes j) = prod (within axes d).
Proof. unfold members. rewrite map_length. apply cells_length. Qed.

Lemma group_of_lt d axes i : i < prod d -> group_of d axes i < prod (without axes d).
Proof. intro H. apply ravel_lt, inside_pick, unravel_inside, H. Qed.

Lemma member_position d axes j r : j < prod (without axes d) -> inside (within axes d) r ->
  let ix := weave (among axes) 0 (length d) (unravel (without axes d) j) r in
  inside d ix /\ without axes ix = unravel (without axes d) j /\ within axes ix = r.
Proof.
  intros Hj Hr ix. split; [apply inside_weave; [apply unravel_inside, Hj|exact Hr]|].
  apply pick_weave; [apply unravel_length|apply inside_length, Hr].
Qed.

Lemma members_lt d axes j i : j < prod (without axes d) -> In i (members d axes j) -> i < prod d.
Proof.
  intros Hj H. unfold members in H. apply in_map_iff in H. destruct H as (r & <- & Hr). apply in_cells in Hr.
  apply ravel_lt, (member_position d axes j r Hj Hr).
Qed.

Lemma members_group d axes j i : j < prod (without axes d) -> In i (members d axes j) -> group_of d axes i = j.
Proof.
  intros Hj H. unfold members in H. apply in_map_iff in H. destruct H as (r & <- & Hr). apply in_cells in Hr.
  destruct (member_position d axes j r Hj Hr) as (Hin & Hw & _).
  unfold group_of. rewrite unravel_ravel, Hw by exact Hin. apply ravel_unravel, Hj.
Qed.

(** Every cell is in its own group. *)
Lemma members_own d axes i : i < prod d -> In i (members d axes (group_of d axes i)).
Proof.
  intro H. unfold members, group_of. pose proof (unravel_inside _ _ H) as Hin.
  apply in_map_iff. exists (within axes (unravel d i)). split.
  - rewrite unravel_ravel by apply inside_pick, Hin.
    rewrite <- (unravel_length d i), weave_pick. apply ravel_unravel, H.
  - apply in_cells, inside_pick, Hin.
Qed.

Lemma members_nodup d axes j : j < prod (without axes d) -> NoDup (members d axes j).
Proof.
  intro Hj. unfold members. assert (H : forall r, In r (cells (within axes d)) -> inside (within axes d) r).
  { intros r Hr. now apply in_cells. }
  revert H. generalize (cells_nodup (within axes d)). generalize (cells (within axes d)).
  intros l Hl. induction Hl as [|r l Hr Hl IH]; intro H; simpl; [constructor|]. constructor; [|apply IH; firstorder].
  intro Hi. apply in_map_iff in Hi. destruct Hi as (r' & E & Hr'). apply Hr.
  destruct (member_position d axes j r Hj (H r (or_introl eq_refl))) as (H1 & _ & <-).
  destruct (member_position d axes j r' Hj (H r' (or_intror Hr'))) as (H2 & _ & H3).
  rewrite <- (unravel_ravel d _ H1), <- E, (unravel_ravel d _ H2), H3. exact Hr'.
Qed.
