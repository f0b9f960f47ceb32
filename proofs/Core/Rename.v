(** * Renaming slots preserves values

    A renaming sends slots of one graph to slots of another: leaves to leaves that hold the same value, a node to
    one with the same call, the same index vectors and the renamed operands. Then a slot and its image have the
    same value, for every type of tensors and every kernels. The renaming may be defined on part of the slots
    (what dead-code removal keeps), and may send several nodes to one (common subexpressions). *)
From Coq Require Import List NArith Bool Arith Lia.
From Prooftape.Spec Require Import Graph.
From Prooftape.Core Require Import Link.
Import ListNotations.
Open Scope nat_scope.

Section Rename.
  Variable op : Type.

  Definition rename (rho : N -> N) (n : node op) : node op := Node (n_call n) (map rho (n_args n)) (n_nats n).

  (** The image of node k of [g] (over [m] leaves) is a node of [g'] (over [m'] leaves). Its operands are renamed
      too, and come earlier on both sides. *)
  Definition node_renamed (dom : N -> Prop) (rho : N -> N) (m m' k : nat) (n : node op) (g' : graph op) : Prop :=
    exists k', rho (N.of_nat (m + k)) = N.of_nat (m' + k') /\ nth_error g' k' = Some (rename rho n) /\
      forall a, In a (n_args n) -> dom a /\ N.to_nat a < m + k /\ N.to_nat (rho a) < m' + k'.
  Definition renaming (dom : N -> Prop) (rho : N -> N) (m m' : nat) (g g' : graph op) : Prop :=
    forall k n, dom (N.of_nat (m + k)) -> nth_error g k = Some n -> node_renamed dom rho m m' k n g'.

  Section Values.
    Variable T : Type.
    Variable default : T.
    Variable K : call op -> kernel T.
    Variable nats : N -> N.
    Notation eval := (eval default K nats).
    Notation eval_from := (eval_from default K nats).

    Lemma eval_from_app g1 : forall g2 ctx, eval_from (g1 ++ g2) ctx = eval_from g2 (eval_from g1 ctx).
    Proof. induction g1 as [|n g1 IH]; intros g2 ctx; simpl; auto. Qed.

    (** Every node's slot holds its kernel's value at the final values of its operands. *)
    Lemma value_at_node g x k n : nth_error g k = Some n ->
      (forall a, In a (n_args n) -> N.to_nat a < length x + k) ->
      at_ default (eval g x) (N.of_nat (length x + k))
      = k_fwd (K (n_call n)) (node_nats nats n) (values default (eval g x) n).
    Proof.
      intros Hk Hargs. destruct (nth_error_split g k Hk) as (g1 & g2 & -> & Hlen).
      unfold Graph.eval. rewrite eval_from_app. simpl. set (ctx := eval_from g1 x).
      assert (L : length ctx = length x + k) by (unfold ctx; rewrite eval_length; lia).
      set (v := node_value default K nats ctx n).
      destruct (eval_extends op T default K nats g2 (ctx ++ [v])) as [rest E]. rewrite E, <- app_assoc. simpl.
      rewrite <- L, at_app_mid. unfold v, node_value. f_equal. unfold values. apply map_ext_in. intros a Ha.
      symmetry. apply at_app_l. rewrite L. auto.
    Qed.
    Lemma value_at_leaf g x i : N.to_nat i < length x -> at_ default (eval g x) i = at_ default x i.
    Proof.
      intro H. unfold Graph.eval. destruct (eval_extends op T default K nats g x) as [rest E]. rewrite E.
      now apply at_app_l.
    Qed.

    Theorem renamed_values (dom : N -> Prop) (rho : N -> N) (g g' : graph op) (x x' : list T) :
      (forall i, dom i -> N.to_nat i < length x ->
        N.to_nat (rho i) < length x' /\ at_ default x' (rho i) = at_ default x i) ->
      renaming dom rho (length x) (length x') g g' ->
      forall i, dom i -> N.to_nat i < length x + length g ->
        at_ default (eval g' x') (rho i) = at_ default (eval g x) i.
    Proof.
      intros Hleaves Hnodes.
      assert (H : forall b i, N.to_nat i < b -> dom i -> N.to_nat i < length x + length g ->
        at_ default (eval g' x') (rho i) = at_ default (eval g x) i).
      2: { intros i. exact (H (S (N.to_nat i)) i (Nat.lt_succ_diag_r _)). }
      induction b as [|b IH]; intros i Hb Hdom Hi; [lia|].
      destruct (Nat.lt_ge_cases (N.to_nat i) (length x)) as [Hleaf|Hnode].
      - destruct (Hleaves i Hdom Hleaf) as [Hr Hv]. now rewrite !value_at_leaf.
      - set (k := N.to_nat i - length x). assert (Ei : i = N.of_nat (length x + k)) by (unfold k; lia).
        destruct (nth_error g k) as [n|] eqn:Hk; [|apply nth_error_None in Hk; unfold k in Hk; lia].
        rewrite Ei in Hdom. destruct (Hnodes k n Hdom Hk) as (k' & Er & Hk' & Hargs). rewrite Ei, Er.
        rewrite (value_at_node g x k n Hk) by (intros a Ha; now apply Hargs).
        rewrite (value_at_node g' x' k' _ Hk').
        + f_equal. unfold values, rename. simpl. rewrite map_map. apply map_ext_in. intros a Ha.
          destruct (Hargs a Ha) as (Hd & Hlt & _). apply IH; auto; lia.
        + simpl. intros a' Ha'. apply in_map_iff in Ha'. destruct Ha' as (a & <- & Ha). now apply Hargs.
    Qed.
  End Values.
End Rename.
Arguments rename {op} _ _. Arguments renaming {op} _ _ _ _ _ _. Arguments node_renamed {op} _ _ _ _ _ _ _.
Arguments renamed_values {op T} _ _ _ _ _ _ _ _ _.

(** ** Graphs whose operands come earlier *)
Section Ordered.
  Variable op : Type.
  Fixpoint ordered_from (k : nat) (g : graph op) : Prop :=
    match g with
    | [] => True
    | n :: g' => (forall a, In a (n_args n) -> N.to_nat a < k) /\ ordered_from (S k) g'
    end.
  Lemma scoped_ordered saves g : forall k, scoped_from saves k g -> ordered_from k g.
  Proof. induction g as [|n g IH]; intros k H; simpl; auto. destruct H as [[H _] Hg]. auto. Qed.
  Lemma ordered_at g : forall m k n, ordered_from m g -> nth_error g k = Some n ->
    forall a, In a (n_args n) -> N.to_nat a < m + k.
  Proof.
    induction g as [|n0 g IH]; intros m [|k] n Hg Hk; simpl in Hk; try discriminate; destruct Hg as [H0 Hg].
    - injection Hk as ->. rewrite Nat.add_0_r. exact H0.
    - intros a Ha. specialize (IH (S m) k n Hg Hk a Ha). lia.
  Qed.
End Ordered.
Arguments ordered_from {op} _ _.
