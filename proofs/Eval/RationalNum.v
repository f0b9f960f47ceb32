(** * Exact rationals that compute

    For cross-evaluation with Python (src/prooftape/testing/mirror.py has the same functions). exp is 2^x on
    integers and log is additive on powers of two, so that shifting by a maximum changes nothing, exactly; sqrt is
    right on squares of integers, sigmoid and softplus have their symmetries; every other function is some number
    fixed by its name and argument, so that rules which agree call the same functions on the same arguments, short
    of a coincidence. *)
From Coq Require Import List NArith ZArith QArith Bool Qcanon.
From Prooftape.Spec Require Import Scalar.
Import ListNotations.
Open Scope Z_scope.

Definition fn_index (f : fn) : Z :=
  match f with
  | Exp => 0 | Expm1 => 1 | Log => 2 | Log1p => 3 | Sqrt => 4 | Sin => 5 | Cos => 6 | Tanh => 7 | Sigmoid => 8
  | Softplus => 9 | Erf => 10 | Gelu => 11 | Silu => 12 | TanhPrime => 13 | SigmoidPrime => 14 | ErfPrime => 15
  | GeluPrime => 16 | SiluPrime => 17 | NormalPdf => 18
  end.

(** a positive number made of k and x = p/q *)
Definition opaque (k : Z) (x : Q) : Q :=
  let p := Qnum x in let q := Zpos (Qden x) in
  Qred (Qmake ((31 * p + 17 * q + 7919 * (k + 1)) mod 61 + 1)
              (Z.to_pos ((13 * p + 7 * (q * q) + 104729 * (k + 1)) mod 11 + 1))).

Definition two_to (p : Z) : Q :=
  match p with
  | Z0 => 1%Q
  | Zpos n => Qmake (Z.pow_pos 2 n) 1
  | Zneg n => Qmake 1 (Pos.pow 2 n)
  end.
Fixpoint odd_part (p : positive) : Z * positive :=
  match p with xO p' => let (k, o) := odd_part p' in (k + 1, o) | _ => (0, p) end.
Definition log_like (x : Q) : Q :=
  match Qnum x with
  | Zpos n =>
      let (a, o) := odd_part n in let (b, r) := odd_part (Qden x) in
      let k := Qmake (a - b) 1 in
      if Pos.eqb o r then k else Qred (k + opaque 2 (Qmake (Zpos o) r))%Q
  | _ => opaque 2 x
  end.

(** exact on squares of integers: attention divides by the root of a width *)
Definition sqrt_like (x : Q) : Q :=
  let r := Z.sqrt (Qnum x) in
  if Pos.eqb (Qden x) 1 && Z.eqb (r * r) (Qnum x) && Z.ltb 0 r then Qmake r 1 else opaque 4 x.

(** sigmoid(-x) = 1 - sigmoid(x) and softplus(-x) = softplus(x) - x: stable formulas rest on these *)
Definition sigmoid_like (x : Q) : Q :=
  match Qnum x with
  | Z0 => Qmake 1 2
  | Zpos _ => Qred (1 - opaque 8 (Qopp x))%Q
  | Zneg _ => opaque 8 x
  end.
Definition softplus_like (x : Q) : Q :=
  match Qnum x with Zpos _ => Qred (x + opaque 9 (Qopp x))%Q | _ => opaque 9 x end.

Definition Qapp (f : fn) (x : Q) : Q :=
  match f with
  | Sigmoid => sigmoid_like x
  | Softplus => softplus_like x
  | Sqrt => sqrt_like x
  | Exp => if Pos.eqb (Qden x) 1 then two_to (Qnum x) else opaque 0 x
  | Log => log_like x
  | _ => opaque (fn_index f) x
  end.

Definition Qpower_or_opaque (x c : Q) : Q :=
  if Pos.eqb (Qden c) 1 then Qred (Qpower x (Qnum c))
  else opaque (100 + Qnum c + 7 * Zpos (Qden c)) x.

Definition Qn : num := {|
  car := Q; zero := 0%Q; one := 1%Q;
  add := fun a b => Qred (a + b)%Q; sub := fun a b => Qred (a - b)%Q; mul := fun a b => Qred (a * b)%Q;
  div := fun a b => Qred (a / b)%Q; neg := fun a => Qred (- a)%Q; lit := Qred;
  ltb := fun a b => negb (Qle_bool b a); leb := Qle_bool; eqb := Qeq_bool;
  pow := fun x c => Qpower_or_opaque x (Qred c); app := Qapp |}.
