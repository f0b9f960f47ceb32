(** * Numbers and scalar expressions

    A [num] is a type with arithmetic and NO laws: floats, rationals, polynomials and the reals all are one.
    Theorems that need laws ask for them (adjointness: a commutative semiring; derivatives: the reals).
    An [sx] is a scalar expression; elementwise ops and their local derivatives are such expressions, printed
    from the Python rules into [Decl]. *)
From Coq Require Import List NArith QArith Bool.
Import ListNotations.

(** The scalar functions of the array vocabulary, by their Python names. *)
Inductive fn :=
  Exp | Expm1 | Log | Log1p | Sqrt | Sin | Cos | Tanh | Sigmoid | Softplus | Erf | Gelu | Silu
| TanhPrime | SigmoidPrime | ErfPrime | GeluPrime | SiluPrime | NormalPdf.

Record num := Num {
  car :> Type;
  zero : car;
  one : car;
  add : car -> car -> car;
  sub : car -> car -> car;
  mul : car -> car -> car;
  div : car -> car -> car;
  neg : car -> car;
  lit : Q -> car;                 (* a literal of the graph *)
  ltb : car -> car -> bool;
  leb : car -> car -> bool;
  eqb : car -> car -> bool;
  pow : car -> Q -> car;          (* x ** c with a literal c *)
  app : fn -> car -> car }.

Arguments zero {n}. Arguments one {n}. Arguments add {n} _ _. Arguments sub {n} _ _. Arguments mul {n} _ _.
Arguments div {n} _ _. Arguments neg {n} _. Arguments lit {n} _. Arguments ltb {n} _ _. Arguments leb {n} _ _.
Arguments eqb {n} _ _. Arguments pow {n} _ _. Arguments app {n} _ _.

Inductive sx :=
| Arg (i : nat)                   (* operand i; after the operands comes the op's own result *)
| Par (i : nat)                   (* literal number attribute i of the op *)
| Lit (q : Q)
| Add (a b : sx) | Sub (a b : sx) | Mul (a b : sx) | Div (a b : sx) | Neg (a : sx)
| Recip (a : sx) | Square (a : sx)
| Pow (a : sx) (c : nat)          (* a ** parameter c *)
| PowPrime (a : sx) (c : nat)     (* c * a ** (c - 1); 0 when c = 0 *)
| Max (a b : sx) | Min (a b : sx) | Abs (a : sx) | Sign (a : sx)
| Gt (a b : sx) | Ge (a b : sx) | Equal (a b : sx)     (* 1 where it holds, else 0 *)
| If (c a b : sx)                 (* a where c is not 0, else b *)
| Fn (f : fn) (a : sx).

Section Eval.
  Variable R : num.
  Variable ps : list Q.           (* parameters *)
  Variable env : list R.          (* operands, then the result *)

  Definition truth (b : bool) : R := if b then one else zero.
  Definition holds (c : R) : bool := negb (eqb c zero).

  Fixpoint sxe (e : sx) : R :=
    match e with
    | Arg i => nth i env zero
    | Par i => lit (nth i ps 0%Q)
    | Lit q => lit q
    | Add a b => add (sxe a) (sxe b)
    | Sub a b => sub (sxe a) (sxe b)
    | Mul a b => mul (sxe a) (sxe b)
    | Div a b => div (sxe a) (sxe b)
    | Neg a => neg (sxe a)
    | Recip a => div one (sxe a)
    | Square a => mul (sxe a) (sxe a)
    | Pow a c => pow (sxe a) (nth c ps 0%Q)
    | PowPrime a c =>
        let q := nth c ps 0%Q in
        if Qeq_bool q 0 then zero else mul (lit q) (pow (sxe a) (Qred (q - 1)))
    | Max a b => if ltb (sxe b) (sxe a) then sxe a else sxe b
    | Min a b => if ltb (sxe b) (sxe a) then sxe b else sxe a
    | Abs a => if ltb (sxe a) zero then neg (sxe a) else sxe a
    | Sign a => if ltb zero (sxe a) then one else if ltb (sxe a) zero then neg one else zero
    | Gt a b => truth (ltb (sxe b) (sxe a))
    | Ge a b => truth (leb (sxe b) (sxe a))
    | Equal a b => truth (eqb (sxe a) (sxe b))
    | If c a b => if holds (sxe c) then sxe a else sxe b
    | Fn f a => app f (sxe a)
    end.
End Eval.
Arguments sxe {R} _ _ _. Arguments truth {R} _. Arguments holds {R} _.
