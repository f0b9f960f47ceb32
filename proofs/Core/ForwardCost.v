(** * Forward mode costs one pass

    [jvp_counting] is forward mode with two counters, one per kind of kernel. It computes the values and the
    tangents of [eval] and [jvp_ctx] together, with one forward kernel and at most one tangent kernel per node,
    however many slots move; a node none of whose operands moves runs no tangent kernel. *)
From Coq Require Import List NArith Bool Arith Lia.
From Prooftape.Spec Require Import Graph.
From Prooftape.Core Require Import Link.
Import ListNotations.
Open Scope nat_scope.

Section Cost.
  Variables (op T : Type).
  Variable default : T.
  Variable K : call op -> kernel T.
  Variable nats : N -> N.

  Record state := State {
    values_so_far : list T; tangents_so_far : list (option T); forward_runs : nat; tangent_runs : nat }.

  Definition count_node (s : state) (n : node op) : state :=
    let a := values default (values_so_far s) n in
    let v := k_fwd (K (n_call n)) (node_nats nats n) a in                  (* one forward kernel *)
    let dargs := map (at_ None (tangents_so_far s)) (n_args n) in
    let moving := present dargs in
    let dv := if moving then k_jvp (K (n_call n)) (node_nats nats n) a v dargs else None in
    State (values_so_far s ++ [v]) (tangents_so_far s ++ [dv]) (S (forward_runs s))
          (if moving then S (tangent_runs s) else tangent_runs s).
  Definition jvp_counting (g : graph op) (x : list T) (dx : list (option T)) : state :=
    fold_left count_node g (State x dx 0 0).

  Lemma counting_from g : forall s,
    let r := fold_left count_node g s in
    values_so_far r = eval_from default K nats g (values_so_far s) /\
    tangents_so_far r = jvp_from default K nats g (values_so_far s) (tangents_so_far s) /\
    forward_runs r = forward_runs s + length g /\
    tangent_runs s <= tangent_runs r <= tangent_runs s + length g.
  Proof.
    induction g as [|n g IH]; intro s; simpl; [repeat split; lia|].
    destruct (IH (count_node s n)) as (Hv & Ht & Hf & Hk). simpl in *.
    split; [exact Hv|]. split; [exact Ht|]. split; [lia|].
    destruct (present (map (at_ None (tangents_so_far s)) (n_args n))); lia.
  Qed.

  Theorem forward_mode_is_one_pass g x dx :
    let r := jvp_counting g x dx in
    values_so_far r = eval default K nats g x /\
    tangents_so_far r = jvp_ctx default K nats g x dx /\
    forward_runs r = length g /\
    tangent_runs r <= length g.
  Proof.
    destruct (counting_from g (State x dx 0 0)) as (Hv & Ht & Hf & _ & Hk). unfold jvp_counting. tauto.
  Qed.

  (** Nothing moves, nothing runs. *)
  Theorem no_tangent_no_runs g x dx : present dx = false -> tangent_runs (jvp_counting g x dx) = 0.
  Proof.
    unfold jvp_counting. generalize 0 at 1. intro f. revert f x dx.
    induction g as [|n g IH]; intros f x dx Hdx; auto. simpl.
    assert (Still : forall i, at_ None dx i = None).
    { intro i. unfold at_. destruct (nth_in_or_default (N.to_nat i) dx None) as [Hin|Hd]; auto.
      destruct (nth (N.to_nat i) dx None) as [d|] eqn:E; auto.
      assert (present dx = true) by (apply existsb_exists; now exists (Some d)). congruence. }
    assert (P : present (map (at_ None dx) (n_args n)) = false).
    { induction (n_args n) as [|a l IHl]; auto. simpl. now rewrite Still. }
    unfold count_node. simpl. rewrite P. apply IH. unfold present in *. rewrite existsb_app, Hdx. reflexivity.
  Qed.
End Cost.

(** Two nodes of which one moves: two forward kernels and one tangent kernel run. *)
Example one_of_two_moves :
  let c := Call tt [] [] [] (Ty Real []) in
  let K := fun _ : call unit => Kernel (fun _ _ => 7) (fun _ _ _ _ => Some 1) (fun _ _ _ _ => []) in
  let r := jvp_counting unit nat 0 K (fun _ => 0%N) [Node c [0%N] []; Node c [1%N] []] [5; 6] [None; Some 2] in
  forward_runs nat r = 2 /\ tangent_runs nat r = 1 /\ tangents_so_far nat r = [None; Some 2; None; Some 1].
Proof. repeat split; reflexivity. Qed.
