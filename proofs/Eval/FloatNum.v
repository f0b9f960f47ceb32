(** * IEEE binary64 that computes

    Rocq's primitive floats: round to nearest even, bit for bit the machine's. Scalar functions other than sqrt
    have no value here (nan), and x ** c only for small natural c, by repeated product. *)
From Coq Require Import List ZArith QArith Bool Floats Uint63.
From Prooftape.Spec Require Import Scalar.
Open Scope Z_scope.

(** exact for |z| < 2^53 *)
Definition of_Z (z : Z) : float :=
  match z with
  | Z0 => 0%float
  | Zpos _ => PrimFloat.of_uint63 (Uint63.of_Z z)
  | Zneg p => PrimFloat.opp (PrimFloat.of_uint63 (Uint63.of_Z (Zpos p)))
  end.
(** correctly rounded when numerator and denominator are exact *)
Definition of_Q (q : Q) : float := PrimFloat.div (of_Z (Qnum q)) (of_Z (Zpos (Qden q))).

Definition Fn64 : num := {|
  car := float; zero := 0%float; one := 1%float;
  add := PrimFloat.add; sub := PrimFloat.sub; mul := PrimFloat.mul; div := PrimFloat.div; neg := PrimFloat.opp;
  lit := of_Q;
  ltb := PrimFloat.ltb; leb := PrimFloat.leb; eqb := PrimFloat.eqb;
  pow := fun x c => match Qnum (Qred c) with
                    | Zpos n => Pos.iter (PrimFloat.mul x) 1%float n
                    | Z0 => 1%float
                    | Zneg _ => nan
                    end;
  app := fun f x => match f with Sqrt => PrimFloat.sqrt x | _ => nan end |}.

(** the same bits, all nans being one *)
Definition same_bits (a b : float) : bool :=
  match PrimFloat.classify a, PrimFloat.classify b with
  | NaN, NaN => true
  | PZero, PZero | NZero, NZero => true
  | PZero, _ | NZero, _ | _, PZero | _, NZero => false
  | _, _ => PrimFloat.eqb a b
  end.
