(** Reading attributes, and the small checks that shape rules share. Shape rules take attributes as a graph stores
    them: axes counted from 0, in increasing order where the order means nothing, nothing left to infer. *)
From Coq Require Import List NArith ZArith QArith Bool Arith.
From Prooftape.Spec Require Import Graph.
Import ListNotations.
Open Scope nat_scope.

(** ** Readers; an attribute of another kind reads as nothing *)
Definition attr_at (attrs : list attr) (k : nat) : attr := nth k attrs ANone.
Definition int_of (a : attr) : Z := match a with AInt z => z | _ => 0%Z end.
Definition ints_of (a : attr) : list Z := match a with AInts l => l | _ => [] end.
Definition pairs_of (a : attr) : list (Z * Z) := match a with APairs l => l | _ => [] end.
(** a number of the graph, where it is a number *)
Definition rational_of (a : attr) : Q := match a with ANum (Fin q) => q | _ => 0%Q end.
Definition nats_of (a : attr) : list nat := map Z.to_nat (ints_of a).

(** ** Checks *)
(** a notation, so that what is guarded is not computed for nothing *)
Notation guard b a := (if b then Some a else None).

Definition axis_ok (axis : Z) (rank : nat) : bool := ((0 <=? axis) && (axis <? Z.of_nat rank))%Z.
Fixpoint increasing (l : list Z) : bool :=
  match l with
  | a :: ((b :: _) as l') => (a <? b)%Z && increasing l'
  | _ => true
  end.
Fixpoint distinct (l : list Z) : bool :=
  match l with [] => true | a :: l' => negb (existsb (Z.eqb a) l') && distinct l' end.
Definition at_least (least : Z) (l : list Z) : bool := forallb (fun v => (least <=? v)%Z) l.

Fixpoint shape_eqb (a b : shape) : bool :=
  match a, b with
  | [], [] => true
  | x :: a', y :: b' => (x =? y)%N && shape_eqb a' b'
  | _, _ => false
  end.
Definition rank_is (n : nat) (s : shape) : bool := length s =? n.
Definition rank_from (n : nat) (s : shape) : bool := n <=? length s.
(** length of axis k *)
Definition axis_length (s : shape) (k : nat) : N := nth k s 0%N.
(** the shape with another length on axis k *)
Definition with_axis (s : shape) (k : nat) (n : N) : shape := firstn k s ++ n :: skipn (S k) s.

(** two shapes broadcast, trailing axes aligned; here aligned from the right, so on reversed shapes *)
Fixpoint broadcast_rev (a b : shape) : option shape :=
  match a, b with
  | [], s | s, [] => Some s
  | m :: a', n :: b' =>
      match broadcast_rev a' b' with
      | Some s => if (n =? m)%N || (n =? 1)%N then Some (m :: s) else if (m =? 1)%N then Some (n :: s) else None
      | None => None
      end
  end.
Definition broadcast (a b : shape) : option shape := option_map (@rev N) (broadcast_rev (rev a) (rev b)).

Lemma shape_eqb_eq a : forall b, shape_eqb a b = true -> a = b.
Proof.
  induction a as [|x a IH]; intros [|y b] H; simpl in H; try easy. apply andb_prop in H. destruct H as [H1 H2].
  apply N.eqb_eq in H1. subst. f_equal. auto.
Qed.

(** ** Axes of a reduction *)
(** as a graph stores them: increasing, in range, and none only for a scalar *)
Definition reduced_axes_ok (axes : list Z) (s : shape) : bool :=
  forallb (fun a => axis_ok a (length s)) axes && increasing axes && (negb (length axes =? 0) || rank_is 0 s).
(** the shape without these axes *)
Definition without_axes (axes : list Z) (s : shape) : shape :=
  map snd (filter (fun p => negb (existsb (Z.eqb (Z.of_nat (fst p))) axes)) (combine (seq 0 (length s)) s)).
Definition reduced_shape (axes : list Z) (s : shape) : option shape :=
  guard (reduced_axes_ok axes s) (without_axes axes s).
