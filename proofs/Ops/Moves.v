(** Programs that only move and add entries: one [Lin] block whose coefficients are all 1. *)
From Coq Require Import List NArith QArith Arith.
From Prooftape.Spec Require Import Scalar Tensor Block Graph.
Import ListNotations.
Open Scope nat_scope.

Definition ones (cells : list nat) : list (Q * nat) := map (fun s => (1%Q, s)) cells.
(** the cell s of an operand, or nothing *)
Definition maybe (b : bool) (s : nat) : list nat := if b then [s] else [].
(** the number of entries of a result *)
Definition entries (s : shape) : nat := N.to_nat (size s).

(** out_i = the sum of the operand's cells in row i *)
Definition sums (n : nat) (row : nat -> list nat) : prog := [Step (Lin n [fun i => ones (row i)]) [0]].
(** out_i = the operand's cell [source i] *)
Definition moves (n : nat) (source : nat -> nat) : prog := sums n (fun i => [source i]).
(** out_i = the operand's cell i *)
Definition copies (n : nat) : prog := moves n (fun i => i).
