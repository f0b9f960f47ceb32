(** * The blocks that composite ops are built of

    Sums over groups (rows of [Ops/Groups.v]) and pointwise products are linear and bilinear; exponentials,
    logarithms, reciprocals and inverse roots are elementwise, each with its derivative. *)
From Coq Require Import List NArith QArith Arith.
From Prooftape.Spec Require Import Scalar Block.
From Prooftape.Ops Require Import Groups.
Import ListNotations.
Open Scope nat_scope.

(** the mean of n entries, in one cell *)
Definition mean_of (n : nat) : nat -> list (Q * nat) := weighted (inverse n) (fun _ => seq 0 n).
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
