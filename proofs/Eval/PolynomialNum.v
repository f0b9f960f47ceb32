(** * Polynomials with rational coefficients that compute

    A polynomial is the sorted list of its (monomial, coefficient) pairs, no coefficient 0; a monomial is the sorted
    list of its variables, with repetition. Running an op on variables gives its exact coefficients: agreement
    with Python there is agreement on all inputs of that shape. Only polynomial ops run here. *)
From Coq Require Import List NArith ZArith QArith Bool.
From Prooftape.Spec Require Import Scalar.
Import ListNotations.

Definition mono := list N.
Definition poly := list (mono * Q).

Fixpoint mono_cmp (a b : mono) : comparison :=
  match a, b with
  | [], [] => Eq
  | [], _ => Lt
  | _, [] => Datatypes.Gt
  | x :: a', y :: b' => match N.compare x y with Eq => mono_cmp a' b' | c => c end
  end.
Fixpoint mono_insert (x : N) (m : mono) : mono :=
  match m with
  | [] => [x]
  | y :: m' => if N.leb x y then x :: m else y :: mono_insert x m'
  end.
Definition mono_mul (a b : mono) : mono := fold_right mono_insert b a.

Fixpoint term_add (m : mono) (c : Q) (p : poly) : poly :=
  match p with
  | [] => [(m, c)]
  | (n, d) :: p' =>
      match mono_cmp m n with
      | Lt => (m, c) :: p
      | Eq => let e := Qred (c + d) in if Qeq_bool e 0 then p' else (n, e) :: p'
      | Datatypes.Gt => (n, d) :: term_add m c p'
      end
  end.
Definition poly_add (a b : poly) : poly := fold_left (fun p t => term_add (fst t) (snd t) p) a b.
Definition poly_scale (c : Q) (p : poly) : poly :=
  if Qeq_bool c 0 then [] else map (fun t => (fst t, Qred (c * snd t))) p.
Definition poly_mul (a b : poly) : poly :=
  fold_left (fun p t =>
    fold_left (fun p u => term_add (mono_mul (fst t) (fst u)) (Qred (snd t * snd u)) p) b p) a [].
Definition constant (c : Q) : poly := if Qeq_bool c 0 then [] else [([], Qred c)].
Definition variable (i : N) : poly := [([i], 1%Q)].
Definition poly_eqb (a b : poly) : bool :=
  (fix go a b := match a, b with
     | [], [] => true
     | (m, c) :: a', (n, d) :: b' => match mono_cmp m n with Eq => Qeq_bool c d && go a' b' | _ => false end
     | _, _ => false
     end) a b.
(** division by a constant *)
Definition poly_div (a b : poly) : poly :=
  match b with [([], c)] => poly_scale (Qinv c) a | _ => [] end.
Definition poly_pow (x : poly) (c : Q) : poly :=
  match Qnum (Qred c) with
  | Zpos n => Pos.iter (poly_mul x) (constant 1) n
  | _ => constant 1
  end.

Definition Pn : num := {|
  car := poly; zero := []; one := constant 1;
  add := poly_add; sub := fun a b => poly_add a (poly_scale (-1) b); mul := poly_mul; div := poly_div;
  neg := poly_scale (-1); lit := constant;
  ltb := fun _ _ => false; leb := fun _ _ => false; eqb := poly_eqb;
  pow := poly_pow; app := fun _ _ => [] |}.
