(** Row-major index arithmetic that the op files share. All total: nonsense in, some number out. *)
From Coq Require Import List NArith ZArith Arith Bool.
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
