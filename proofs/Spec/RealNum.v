(** * The real numbers as a [num]

    What each scalar function of the vocabulary means. Divisions and logarithms are Rocq's total functions; where
    they are not the mathematical ones (x / 0, ln of a negative number) the side conditions exclude the point. *)
From Coq Require Import Reals QArith Qreals Lra List.
Set Warnings "-ambiguous-paths".
From Coquelicot Require Import Coquelicot.
From Prooftape.Spec Require Import Scalar.
Open Scope R_scope.

Definition Rltb (x y : R) : bool := if Rlt_dec x y then true else false.
Definition Rleb (x y : R) : bool := if Rle_dec x y then true else false.
Definition Reqb (x y : R) : bool := if Req_EM_T x y then true else false.

(** x ** c: a product or its inverse for an integer c, exp (c ln x) for x > 0, else 0. *)
Definition Rpow (x : R) (c : Q) : R :=
  let c := Qred c in
  if Pos.eqb (Qden c) 1 then powerRZ x (Qnum c)
  else if Rlt_dec 0 x then exp (Q2R c * ln x) else 0.

Definition sigmoid (x : R) : R := / (1 + exp (- x)).
Definition softplus (x : R) : R := ln (1 + exp x).
(** erf x = 2/sqrt(pi) * integral of exp(-t^2) from 0 to x *)
Definition erf_prime (x : R) : R := 2 / sqrt PI * exp (- (x * x)).
Definition erf (x : R) : R := RInt erf_prime 0 x.
(** density and distribution function of the standard normal distribution *)
Definition normal_pdf (x : R) : R := exp (- (x * x) / 2) / sqrt (2 * PI).
Definition normal_cdf (x : R) : R := (1 + erf (x / sqrt 2)) / 2.

Definition Rapp (f : fn) (x : R) : R :=
  match f with
  | Exp => exp x
  | Expm1 => exp x - 1
  | Log => ln x
  | Log1p => ln (1 + x)
  | Sqrt => sqrt x
  | Sin => sin x
  | Cos => cos x
  | Tanh => tanh x
  | Sigmoid => sigmoid x
  | Softplus => softplus x
  | Erf => erf x
  | Gelu => x * normal_cdf x
  | Silu => x * sigmoid x
  | TanhPrime => 1 - tanh x * tanh x
  | SigmoidPrime => sigmoid x * (1 - sigmoid x)
  | ErfPrime => erf_prime x
  | GeluPrime => normal_cdf x + x * normal_pdf x
  | SiluPrime => sigmoid x * (1 + x * (1 - sigmoid x))
  | NormalPdf => normal_pdf x
  end.

Definition Rnum : num := {|
  car := R; zero := 0; one := 1; add := Rplus; sub := Rminus; mul := Rmult; div := Rdiv; neg := Ropp;
  lit := Q2R; ltb := Rltb; leb := Rleb; eqb := Reqb; pow := Rpow; app := Rapp |}.
