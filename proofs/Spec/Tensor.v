(** * Tensors

    A tensor is the flat list of its entries, row-major. Reading outside gives 0; addition pads the shorter list
    with zeros, so the empty list is a zero of every shape. *)
From Coq Require Import List Arith.
From Prooftape.Spec Require Import Scalar.
Import ListNotations.

Section Tensor.
  Variable R : num.
  Notation ten := (list R).

  Definition tget (t : ten) (i : nat) : R := nth i t zero.
  Definition mk (n : nat) (f : nat -> R) : ten := map f (seq 0 n).

  Fixpoint tadd (a b : ten) : ten :=
    match a, b with
    | [], _ => b
    | _, [] => a
    | x :: a', y :: b' => add x y :: tadd a' b'
    end.

  (** Sums run from the left and start at 0: in floats the order is part of the meaning. *)
  Definition suml {A} (l : list A) (f : A -> R) : R := fold_left (fun s a => add s (f a)) l zero.
  Fixpoint sumn (n : nat) (f : nat -> R) : R :=
    match n with O => zero | S k => add (sumn k f) (f k) end.

  (** The pairing of two tensors with n entries. *)
  Definition dot (n : nat) (a b : ten) : R := sumn n (fun i => mul (tget a i) (tget b i)).
End Tensor.
Arguments tget {R} _ _. Arguments mk {R} _ _. Arguments tadd {R} _ _. Arguments suml {R A} _ _.
Arguments sumn {R} _ _. Arguments dot {R} _ _ _.
