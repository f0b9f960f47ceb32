(** * Common-subexpression elimination preserves every value

    [cse] walks the nodes once. Operands are replaced by their representatives; a node that then equals an earlier
    one gets that one as its representative. The node itself stays where it is, now unused: [dce] removes it. *)
From Coq Require Import List NArith Bool Arith Lia.
From Prooftape.Spec Require Import Graph.
From Prooftape.Core Require Import CheckerEq Link Rename DeadCode.
Import ListNotations.
Open Scope nat_scope.

Section Sharing.
  Variable op : Type.
  Variable op_eqb : op -> op -> bool.
  Hypothesis op_eqb_ok : forall a b, op_eqb a b = true -> a = b.

  Definition node_eqb (a b : node op) : bool :=
    list_eqb N.eqb (n_args a) (n_args b) && list_eqb N.eqb (n_nats a) (n_nats b)
    && call_eqb op_eqb (n_call a) (n_call b).
  Lemma node_eqb_ok a b : node_eqb a b = true -> a = b.
  Proof.
    destruct a, b. unfold node_eqb. simpl. rewrite !andb_true_iff. intros ((Ha & Hn) & Hc).
    apply (list_eqb_ok _ _ N_eqb_ok) in Ha. apply (list_eqb_ok _ _ N_eqb_ok) in Hn.
    apply (call_eqb_ok _ _ op_eqb_ok) in Hc. congruence.
  Qed.

  (** [reps]: the representative of every slot so far; [seen]: nodes that are their own, with their slots. *)
  Definition earlier (seen : list (node op * N)) (n : node op) : option N :=
    option_map snd (find (fun p => node_eqb (fst p) n) seen).
  Fixpoint cse_from (k : nat) (reps : list N) (seen : list (node op * N)) (g : graph op) : graph op * list N :=
    match g with
    | [] => ([], reps)
    | n :: g' =>
        let n' := rename (at_ 0%N reps) n in
        let rest := match earlier seen n' with
                    | Some s => cse_from (S k) (reps ++ [s]) seen g'
                    | None => cse_from (S k) (reps ++ [N.of_nat k]) ((n', N.of_nat k) :: seen) g'
                    end in
        (n' :: fst rest, snd rest)
    end.
  Definition cse_all (n_leaves : nat) (g : graph op) := cse_from n_leaves (map N.of_nat (seq 0 n_leaves)) [] g.
  Definition cse (n_leaves : nat) (g : graph op) : graph op := fst (cse_all n_leaves g).
  Definition cse_slot (n_leaves : nat) (g : graph op) : N -> N := at_ 0%N (snd (cse_all n_leaves g)).

  Variable m : nat.       (* number of leaves *)

  (** What holds after the nodes [p] became [d]. *)
  Record inv (p d : graph op) (reps : list N) (seen : list (node op * N)) : Prop := Inv {
    inv_length : length d = length p;
    inv_reps : length reps = m + length p;
    inv_leaf : forall i, N.to_nat i < m -> at_ 0%N reps i = i;
    inv_ordered : forall j n, nth_error d j = Some n -> forall a, In a (n_args n) -> N.to_nat a < m + j;
    inv_node : forall j n, nth_error p j = Some n ->
      exists j', at_ 0%N reps (N.of_nat (m + j)) = N.of_nat (m + j') /\ j' <= j /\
        nth_error d j' = Some (rename (at_ 0%N reps) n) /\ (forall a, In a (n_args n) -> N.to_nat a < m + j);
    inv_seen : forall n s, In (n, s) seen -> exists j', s = N.of_nat (m + j') /\ nth_error d j' = Some n }.

  Lemma rename_same rho rho' (n : node op) : (forall a, In a (n_args n) -> rho' a = rho a) ->
    rename rho' n = rename rho n.
  Proof. intro H. unfold rename. f_equal. now apply map_ext_in. Qed.

  (** A representative is never later than what it stands for. *)
  Lemma rep_small p d reps seen i : inv p d reps seen -> N.to_nat i < m + length p ->
    N.to_nat (at_ 0%N reps i) <= N.to_nat i.
  Proof.
    intros H Hi. destruct (Nat.lt_ge_cases (N.to_nat i) m) as [L|L].
    - now rewrite (inv_leaf _ _ _ _ H).
    - destruct (nth_error p (N.to_nat i - m)) as [n|] eqn:E; [|apply nth_error_None in E; lia].
      destruct (inv_node _ _ _ _ H _ _ E) as (j' & Er & Hj & _).
      replace (N.of_nat (m + (N.to_nat i - m))) with i in Er by lia. lia.
  Qed.

  (** One more node, with representative m + j', is in order if node j' is equal to it. *)
  Lemma inv_step p d reps seen n j' : inv p d reps seen ->
    (forall a, In a (n_args n) -> N.to_nat a < m + length p) -> j' <= length p ->
    let n' := rename (at_ 0%N reps) n in nth_error (d ++ [n']) j' = Some n' ->
    forall seen', (forall e, In e seen' -> In e seen \/ e = (n', N.of_nat (m + length p))) ->
    inv (p ++ [n]) (d ++ [n']) (reps ++ [N.of_nat (m + j')]) seen'.
  Proof.
    intros H Hargs Hj' n' Hn' seen' Hseen.
    pose proof (inv_length _ _ _ _ H) as Ld. pose proof (inv_reps _ _ _ _ H) as Lr.
    assert (Same : forall i, N.to_nat i < m + length p -> at_ 0%N (reps ++ [N.of_nat (m + j')]) i = at_ 0%N reps i)
      by (intros i Hi; apply at_app_l; lia).
    split.
    - rewrite !app_length. simpl. lia.
    - rewrite !app_length. simpl. lia.
    - intros i Hi. rewrite Same by lia. now apply (inv_leaf _ _ _ _ H).
    - intros j n0 Hj a Ha. destruct (Nat.lt_ge_cases j (length d)) as [L|L].
      + rewrite nth_error_app1 in Hj by exact L. exact (inv_ordered _ _ _ _ H j n0 Hj a Ha).
      + rewrite nth_error_app2 in Hj by exact L. destruct (j - length d) as [|q] eqn:E; [|now destruct q].
        injection Hj as <-. simpl in Ha. apply in_map_iff in Ha. destruct Ha as (b & <- & Hb). specialize (Hargs b Hb).
        pose proof (rep_small _ _ _ _ b H Hargs). lia.
    - intros j n0 Hj. destruct (Nat.lt_ge_cases j (length p)) as [L|L].
      + rewrite nth_error_app1 in Hj by exact L. destruct (inv_node _ _ _ _ H j n0 Hj) as (q & Er & Hq & Hd & Ho).
        exists q. rewrite Same by lia. repeat split; auto.
        rewrite nth_error_app1 by lia. rewrite Hd. f_equal. symmetry. apply rename_same. intros a Ha.
        apply Same. specialize (Ho a Ha). lia.
      + rewrite nth_error_app2 in Hj by exact L. destruct (j - length p) as [|q] eqn:E; [|now destruct q].
        injection Hj as <-. assert (j = length p) as -> by lia. exists j'. split; [|split; [|split]]; auto.
        * rewrite <- Lr. apply at_app_mid.
        * rewrite Hn'. f_equal. symmetry. apply rename_same. intros a Ha. now apply Same, Hargs.
    - intros n0 s Hin. destruct (Hseen _ Hin) as [Hold|E].
      + destruct (inv_seen _ _ _ _ H n0 s Hold) as (q & -> & Hq). exists q. split; auto.
        rewrite nth_error_app1; auto. apply nth_error_Some. congruence.
      + injection E as -> ->. exists (length p). split; auto.
        rewrite nth_error_app2, Ld, Nat.sub_diag by lia. reflexivity.
  Qed.

  Lemma cse_inv g : forall p d reps seen, inv p d reps seen -> ordered_from (m + length p) g ->
    let r := cse_from (m + length p) reps seen g in exists seen', inv (p ++ g) (d ++ fst r) (snd r) seen'.
  Proof.
    induction g as [|n g IH]; intros p d reps seen H Hg; simpl.
    - rewrite !app_nil_r. now exists seen.
    - destruct Hg as [Hargs Hg]. set (n' := rename (at_ 0%N reps) n).
      pose proof (inv_length _ _ _ _ H) as Ld.
      assert (Next : m + length (p ++ [n]) = S (m + length p)) by (rewrite app_length; simpl; lia).
      assert (Go : forall s seen', inv (p ++ [n]) (d ++ [n']) (reps ++ [s]) seen' ->
        let r := cse_from (S (m + length p)) (reps ++ [s]) seen' g in
        exists seen'', inv (p ++ n :: g) (d ++ n' :: fst r) (snd r) seen'').
      { intros s seen' Hinv. specialize (IH _ _ _ _ Hinv). rewrite Next in IH. specialize (IH Hg). cbv zeta in IH.
        rewrite <- !app_assoc in IH. exact IH. }
      unfold earlier. fold n'.
      destruct (find (fun e => node_eqb (fst e) n') seen) as [[n1 s]|] eqn:E; cbn [option_map snd].
      + apply find_some in E. destruct E as [Hin E]. simpl in E. apply node_eqb_ok in E. subst n1.
        destruct (inv_seen _ _ _ _ H _ _ Hin) as (j' & -> & Hj').
        assert (j' < length d) by (apply nth_error_Some; congruence).
        apply Go, inv_step with (seen := seen); auto; try lia. fold n'. rewrite nth_error_app1; auto.
      + apply Go, inv_step with (seen := seen); auto.
        * fold n'. rewrite nth_error_app2, Ld, Nat.sub_diag by lia. reflexivity.
        * intros e [<-|He]; auto.
  Qed.

  Lemma inv_start : inv [] [] (map N.of_nat (seq 0 m)) [].
  Proof.
    split; auto.
    - rewrite map_length, seq_length. simpl. lia.
    - intros i Hi. unfold at_. rewrite (nth_indep _ _ (N.of_nat 0)) by (rewrite map_length, seq_length; exact Hi).
      rewrite map_nth, seq_nth by exact Hi. simpl. apply N2Nat.id.
    - intros j n E. now destruct j.
    - intros j n E. now destruct j.
    - intros n s [].
  Qed.

  Lemma cse_done g : ordered_from m g -> exists seen, inv g (cse m g) (snd (cse_all m g)) seen.
  Proof.
    intro H. rewrite <- (Nat.add_0_r m) in H. destruct (cse_inv g [] [] _ _ inv_start H) as [seen Hinv].
    simpl in Hinv. rewrite Nat.add_0_r in Hinv. now exists seen.
  Qed.

  Lemma cse_ordered g : ordered_from m g -> ordered_from m (cse m g).
  Proof.
    intro Hg. destruct (cse_done g Hg) as [seen H]. pose proof (inv_ordered _ _ _ _ H) as Ho. clear H Hg.
    revert Ho. generalize (cse m g). intro d. generalize m. induction d as [|n d IH]; intros k Ho; simpl; auto. split.
    - intros a Ha. specialize (Ho 0 n eq_refl a Ha). lia.
    - apply IH. intros j n0 Hj a Ha. specialize (Ho (S j) n0 Hj a Ha). lia.
  Qed.

  Lemma cse_renaming g : ordered_from m g -> renaming (fun _ => True) (cse_slot m g) m m g (cse m g).
  Proof.
    intros Hg k n _ Hk. destruct (cse_done g Hg) as [seen H].
    destruct (inv_node _ _ _ _ H k n Hk) as (k' & Er & _ & Hd & Hargs). exists k'. split; [exact Er|].
    split; [exact Hd|]. intros a Ha. split; [exact I|]. split; [now apply Hargs|].
    apply (inv_ordered _ _ _ _ H k' _ Hd). simpl. now apply in_map.
  Qed.
  Lemma cse_leaf g i : ordered_from m g -> N.to_nat i < m -> cse_slot m g i = i.
  Proof. intros Hg Hi. destruct (cse_done g Hg) as [seen H]. now apply (inv_leaf _ _ _ _ H). Qed.
End Sharing.
Arguments cse {op} _ _ _. Arguments cse_slot {op} _ _ _ _. Arguments cse_from {op} _ _ _ _ _.

Section Values.
  Variable op : Type.
  Variable op_eqb : op -> op -> bool.
  Hypothesis op_eqb_ok : forall a b, op_eqb a b = true -> a = b.
  Variables (T : Type) (default : T) (K : call op -> kernel T) (nats : N -> N).

  Theorem cse_keeps_values g x : ordered_from (length x) g ->
    forall i, N.to_nat i < length x + length g ->
      at_ default (eval default K nats (cse op_eqb (length x) g) x) (cse_slot op_eqb (length x) g i)
      = at_ default (eval default K nats g x) i.
  Proof.
    intros Hg i Hi. apply renamed_values with (dom := fun _ => True); auto.
    - intros j _ Hj. now rewrite (cse_leaf op op_eqb op_eqb_ok).
    - now apply cse_renaming.
  Qed.

  (** Sharing, then removal of what became unused. *)
  Definition shrink (n_leaves : nat) (roots : list N) (g : graph op) : graph op :=
    dce n_leaves (map (cse_slot op_eqb n_leaves g) roots) (cse op_eqb n_leaves g).
  Definition shrink_slot (n_leaves : nat) (roots : list N) (g : graph op) (r : N) : N :=
    dce_slot n_leaves (map (cse_slot op_eqb n_leaves g) roots) (cse op_eqb n_leaves g) (cse_slot op_eqb n_leaves g r).

  Theorem shrink_keeps_roots roots g x r :
    ordered_from (length x) g -> In r roots -> N.to_nat r < length x + length g ->
      at_ default (eval default K nats (shrink (length x) roots g) x) (shrink_slot (length x) roots g r)
      = at_ default (eval default K nats g x) r.
  Proof.
    intros Hg Hr Hlt. unfold shrink, shrink_slot. rewrite dce_keeps_roots.
    - now apply cse_keeps_values.
    - now apply (cse_ordered op op_eqb op_eqb_ok).
    - now apply in_map.
    - destruct (cse_done op op_eqb op_eqb_ok (length x) g Hg) as [seen H].
      pose proof (rep_small _ _ _ _ _ _ r H Hlt) as S. rewrite (inv_length _ _ _ _ _ _ H). unfold cse_slot. lia.
  Qed.
End Values.
Arguments shrink {op} _ _ _ _. Arguments shrink_slot {op} _ _ _ _ _.

(** Two equal nodes and what uses both: the second becomes the first, and goes. *)
Definition unit_eqb (a b : unit) : bool := true.
Lemma unit_eqb_ok a b : unit_eqb a b = true -> a = b.
Proof. now destruct a, b. Qed.
Definition with_twins : graph unit := [Node unit_call [0%N] []; Node unit_call [0%N] []; Node unit_call [1; 2]%N []].
Example with_twins_ordered : ordered_from 1 with_twins.
Proof. repeat split; intros a Ha; repeat destruct Ha as [<-|Ha]; simpl; try lia; destruct Ha. Qed.
Example twin_goes :
  shrink unit_eqb 1 [3%N] with_twins = [Node unit_call [0%N] []; Node unit_call [1; 1]%N []] /\
  shrink_slot unit_eqb 1 [3%N] with_twins 3 = 2%N.
Proof. split; reflexivity. Qed.
