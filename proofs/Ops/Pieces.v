(** * The blocks that composite ops are built of

    Sums over groups and pointwise products are linear and bilinear; exponentials, logarithms, reciprocals and
    inverse roots are elementwise, each with its derivative. *)
From Coq Require Import List NArith QArith Arith.
From Prooftape.Spec Require Import Scalar Block Op.
From Prooftape.Core Require Import Obligations Saves.
From Prooftape.Ops Require Import Groups Smoothness.
Import ListNotations.
Open Scope nat_scope.

(** ** Rows of linear blocks *)

(** 1/n; 0 for n = 0, as the theory of rationals has it *)
Definition inverse (n : nat) : Q := match n with O => 0%Q | S _ => (1 # Pos.of_nat n)%Q end.

Definition same (i : nat) : list (Q * nat) := [(1%Q, i)].
Definition minus (i : nat) : list (Q * nat) := [((-1)%Q, i)].
(** c times the sum of the cells of row i *)
Definition weighted (c : Q) (rows : nat -> list nat) (i : nat) : list (Q * nat) := map (fun s => (c, s)) (rows i).
Definition sum_of (rows : nat -> list nat) : nat -> list (Q * nat) := weighted 1 rows.
(** an entry minus the mean of its group *)
Definition centred (v : view) (i : nat) : list (Q * nat) :=
  same i ++ weighted (- inverse (group_size v)) (peers v) i.
(** the mean of n entries, once *)
Definition mean_of (n : nat) (_ : nat) : list (Q * nat) := map (fun s => (inverse n, s)) (seq 0 n).

(** ** Blocks *)

(** out_i = x_0[i] * x_1[f i] *)
Definition times (n : nat) (f : nat -> nat) : blk := Bil n (fun i => [(i, f i)]).
Definition itself (i : nat) : nat := i.
Definition squares (n : nat) : blk := times n itself.       (* of one operand, given twice *)

(** The derivatives use the result, which comes after the operand. *)
Definition exps (n : nat) : blk := Ew n (Fn Exp (Arg 0)) [] [Some (Arg 1)].
Definition logs (n : nat) : blk := Ew n (Fn Log (Arg 0)) [] [Some (Recip (Arg 0))].
Definition reciprocals (n : nat) : blk := Ew n (Recip (Arg 0)) [] [Some (Neg (Square (Arg 1)))].
(** 1 / sqrt(x + eps) *)
Definition inverse_roots (n : nat) (eps : Q) : blk :=
  Ew n (Recip (Fn Sqrt (Add (Arg 0) (Par 0)))) [eps] [Some (Mul (Lit (-1 # 2)) (Mul (Arg 1) (Square (Arg 1))))].
(** 1 / sqrt(n), a constant that is not a literal *)
Definition inverse_root_of (n : nat) : blk := Ew 1 (Recip (Fn Sqrt (Lit (inject_Z (Z.of_nat n))))) [] [].

(** closes [saves_enough] for an op with a fixed number of operands and a program of known structure *)
Ltac by_structure := apply saves_by_check; intros w attrs tys lens nats t p (Hi & _ & ->);
  rewrite (infer_arity _ _ _ _ _ _ Hi eq_refl eq_refl); reflexivity.
