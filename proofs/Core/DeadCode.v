(** * Dead-code removal preserves every value that is asked for

    [live_from] walks the nodes from the last to the first and collects what the roots need; [dce] keeps those
    nodes, in order, and closes the gaps between their slots. Leaves stay. *)
From Coq Require Import List NArith Bool Arith Lia.
From Prooftape.Spec Require Import Graph.
From Prooftape.Core Require Import Link Rename.
Import ListNotations.
Open Scope nat_scope.

Definition mem (i : N) (l : list N) : bool := existsb (N.eqb i) l.
Lemma mem_in i l : mem i l = true <-> In i l.
Proof.
  unfold mem. rewrite existsb_exists. split.
  - intros (j & Hj & E). apply N.eqb_eq in E. now subst j.
  - intro H. exists i. now rewrite N.eqb_refl.
Qed.

Section DeadCode.
  Variable op : Type.

  (** Slots that the roots need, from a graph whose first node has slot k. *)
  Fixpoint live_from (k : nat) (g : graph op) (roots : list N) : list N :=
    match g with
    | [] => roots
    | n :: g' =>
        let later := live_from (S k) g' roots in
        if mem (N.of_nat k) later then n_args n ++ later else later
    end.

  (** How many of the n slots from k on are kept, and the new slot of a kept one. *)
  Definition kept (keep : N -> bool) (k n : nat) : nat := length (filter keep (map N.of_nat (seq k n))).
  Definition renumber (keep : N -> bool) (n_leaves : nat) (i : N) : N :=
    if N.to_nat i <? n_leaves then i else N.of_nat (n_leaves + kept keep n_leaves (N.to_nat i - n_leaves)).

  Fixpoint sweep_from (keep : N -> bool) (rho : N -> N) (k : nat) (g : graph op) : graph op :=
    match g with
    | [] => []
    | n :: g' =>
        if keep (N.of_nat k) then rename rho n :: sweep_from keep rho (S k) g' else sweep_from keep rho (S k) g'
    end.

  Definition live (n_leaves : nat) (roots : list N) (g : graph op) (i : N) : bool := mem i (live_from n_leaves g roots).
  Definition dce_slot (n_leaves : nat) (roots : list N) (g : graph op) : N -> N :=
    renumber (live n_leaves roots g) n_leaves.
  Definition dce (n_leaves : nat) (roots : list N) (g : graph op) : graph op :=
    sweep_from (live n_leaves roots g) (dce_slot n_leaves roots g) n_leaves g.

  (** ** What is live is closed under operands *)
  Lemma live_later k n g roots i : In i (live_from (S k) g roots) -> In i (live_from k (n :: g) roots).
  Proof. intro H. simpl. destruct (mem _ _); auto. apply in_or_app. now right. Qed.
  Lemma roots_live g : forall k roots i, In i roots -> In i (live_from k g roots).
  Proof. induction g as [|n g IH]; intros k roots i H; auto. apply live_later. auto. Qed.
  Lemma operands_live g : forall m k n roots, ordered_from m g -> nth_error g k = Some n ->
    In (N.of_nat (m + k)) (live_from m g roots) -> forall a, In a (n_args n) -> In a (live_from m g roots).
  Proof.
    induction g as [|n0 g IH]; intros m [|k] n roots Hg Hk Hlive a Ha; simpl in Hk; try discriminate;
      destruct Hg as [H0 Hg].
    - injection Hk as ->. simpl in *. rewrite Nat.add_0_r in Hlive. destruct (mem _ _) eqn:E.
      + apply in_or_app. now left.
      + apply mem_in in Hlive. congruence.
    - apply live_later. rewrite <- Nat.add_succ_comm in Hlive.
      apply (IH (S m) k n roots Hg Hk); auto.
      simpl in Hlive. destruct (mem (N.of_nat m) (live_from (S m) g roots)); auto.
      apply in_app_or in Hlive. destruct Hlive as [H|H]; auto. specialize (H0 _ H). lia.
  Qed.

  (** ** Where kept nodes go *)
  Lemma kept_succ keep k n : kept keep k (S n) = kept keep k n + (if keep (N.of_nat (k + n)) then 1 else 0).
  Proof.
    unfold kept. rewrite seq_S, map_app, filter_app, app_length. simpl. now destruct (keep (N.of_nat (k + n))).
  Qed.
  Lemma kept_grows keep k n n' : n <= n' -> kept keep k n <= kept keep k n'.
  Proof. induction 1; auto. rewrite kept_succ. lia. Qed.

  Lemma swept_node keep rho g : forall k j n, nth_error g j = Some n -> keep (N.of_nat (k + j)) = true ->
    nth_error (sweep_from keep rho k g) (kept keep k j) = Some (rename rho n).
  Proof.
    induction g as [|n0 g IH]; intros k [|j] n Hj Hkeep; simpl in Hj; try discriminate.
    - injection Hj as ->. simpl. rewrite Nat.add_0_r in Hkeep. now rewrite Hkeep.
    - rewrite <- Nat.add_succ_comm in Hkeep. specialize (IH (S k) j n Hj Hkeep).
      unfold kept in *. simpl. now destruct (keep (N.of_nat k)).
  Qed.

  Definition kept_or_leaf (keep : N -> bool) (n_leaves : nat) (i : N) : Prop :=
    N.to_nat i < n_leaves \/ keep i = true.

  Lemma dce_renaming m roots g : ordered_from m g ->
    renaming (kept_or_leaf (live m roots g) m) (dce_slot m roots g) m m g (dce m roots g).
  Proof.
    intros Hord k n [H|Hkeep] Hk; [lia|]. set (keep := live m roots g) in *.
    assert (Er : dce_slot m roots g (N.of_nat (m + k)) = N.of_nat (m + kept keep m k)).
    { unfold dce_slot, renumber. rewrite Nat2N.id. destruct (Nat.ltb_spec (m + k) m); [lia|].
      fold keep. now replace (m + k - m) with k by lia. }
    exists (kept keep m k). split; [exact Er|]. split; [now apply swept_node|].
    intros a Ha. pose proof (ordered_at op g m k n Hord Hk a Ha) as Hlt.
    assert (Hlive : keep a = true).
    { apply mem_in. apply (operands_live g m k n roots Hord Hk); auto. now apply mem_in. }
    split; [now right|]. split; [exact Hlt|].
    unfold dce_slot, renumber. fold keep. destruct (Nat.ltb_spec (N.to_nat a) m) as [Hl|Hl]; [lia|].
    rewrite Nat2N.id. set (j := N.to_nat a - m). assert (Hj : S j <= k) by (unfold j; lia).
    apply (kept_grows keep m) in Hj. rewrite kept_succ in Hj.
    replace (N.of_nat (m + j)) with a in Hj by (unfold j; lia). rewrite Hlive in Hj. lia.
  Qed.

  (** Every leaf and every live slot keeps its value; the roots are live. *)
  Theorem dce_keeps_values T (default : T) (K : call op -> kernel T) (nats : N -> N) (roots : list N) g x :
    ordered_from (length x) g ->
    forall i, kept_or_leaf (live (length x) roots g) (length x) i -> N.to_nat i < length x + length g ->
      at_ default (eval default K nats (dce (length x) roots g) x) (dce_slot (length x) roots g i)
      = at_ default (eval default K nats g x) i.
  Proof.
    intros Hord. apply renamed_values; [|now apply dce_renaming].
    intros i _ Hi. unfold dce_slot, renumber. now rewrite (proj2 (Nat.ltb_lt _ _) Hi).
  Qed.
  Corollary dce_keeps_roots T (default : T) (K : call op -> kernel T) (nats : N -> N) (roots : list N) g x r :
    ordered_from (length x) g -> In r roots -> N.to_nat r < length x + length g ->
      at_ default (eval default K nats (dce (length x) roots g) x) (dce_slot (length x) roots g r)
      = at_ default (eval default K nats g x) r.
  Proof. intros Hord Hr Hlt. apply dce_keeps_values; auto. right. apply mem_in. now apply roots_live. Qed.

  Lemma sweep_length keep rho g : forall k, length (sweep_from keep rho k g) <= length g.
  Proof.
    induction g as [|n g IH]; intro k; simpl; auto. specialize (IH (S k)).
    destruct (keep (N.of_nat k)); simpl; lia.
  Qed.
  Lemma dce_length m roots g : length (dce m roots g) <= length g.
  Proof. apply sweep_length. Qed.
End DeadCode.
Arguments dce {op} _ _ _. Arguments dce_slot {op} _ _ _ _. Arguments live {op} _ _ _ _.
Arguments live_from {op} _ _ _. Arguments sweep_from {op} _ _ _ _.

(** A graph of three nodes over one leaf, of which the root, slot 3, needs slots 1 and 3: the hypotheses hold, and
    the node in between goes. *)
Definition unit_call : call unit := Call tt [] [] [] (Ty Real []).
Definition with_dead : graph unit := [Node unit_call [0%N] []; Node unit_call [1%N] []; Node unit_call [1; 0]%N []].
Example with_dead_ordered : ordered_from 1 with_dead.
Proof. repeat split; intros a Ha; repeat destruct Ha as [<-|Ha]; simpl; try lia; destruct Ha. Qed.
Example dead_node_goes :
  dce 1 [3%N] with_dead = [Node unit_call [0%N] []; Node unit_call [1; 0]%N []] /\
  dce_slot 1 [3%N] with_dead 3 = 2%N.
Proof. split; reflexivity. Qed.
