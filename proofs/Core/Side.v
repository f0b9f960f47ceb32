(** Where programs are differentiable: definitions. [Core/ScalarDerivative.v] and [Core/Derivative.v] prove that
    these conditions suffice; op files derive them from the readable side conditions of each op. *)
From Coq Require Import Reals QArith Qreals List Bool Arith.
Set Warnings "-ambiguous-paths".
From Coquelicot Require Import Coquelicot.
From Prooftape.Spec Require Import Scalar Tensor Block Graph RealNum.
Import ListNotations.
Open Scope R_scope.

(** f has the (Fréchet) derivative l at x. *)
Definition D {U : NormedModule R_AbsRing} (x : U) (f l : U -> R) : Prop :=
  @filterdiff R_AbsRing U R_NormedModule f (locally x) l.
(** f does not move near x. *)
Definition still {A} {U : NormedModule R_AbsRing} (x : U) (f : U -> A) : Prop := locally x (fun u => f u = f x).

(** ** Scalar expressions *)
Definition fn_ok (f : fn) (x : R) : Prop :=
  match f with Log | Sqrt => 0 < x | Log1p => -1 < x | _ => True end.
Definition fn_d (f : fn) (x : R) : R :=
  match f with
  | Exp => exp x
  | Expm1 => exp x
  | Log => / x
  | Log1p => / (1 + x)
  | Sqrt => / (2 * sqrt x)
  | Sin => cos x
  | Cos => - sin x
  | Tanh => Rapp TanhPrime x
  | Sigmoid => Rapp SigmoidPrime x
  | Softplus => sigmoid x
  | Erf => erf_prime x
  | Gelu => Rapp GeluPrime x
  | Silu => Rapp SiluPrime x
  | TanhPrime => -2 * tanh x * (1 - tanh x * tanh x)
  | SigmoidPrime => sigmoid x * (1 - sigmoid x) * (1 - 2 * sigmoid x)
  | ErfPrime => -2 * x * erf_prime x
  | GeluPrime => normal_pdf x * (2 - x * x)
  | SiluPrime => sigmoid x * (1 - sigmoid x) * (2 + x * (1 - 2 * sigmoid x))
  | NormalPdf => - x * normal_pdf x
  end.

Definition pow_ok (x : R) (c : Q) : Prop :=
  let c := Qred c in
  if Pos.eqb (Qden c) 1 then ((0 <= Qnum c)%Z \/ x <> 0) else 0 < x.

Section Sx.
  Variable ps : list Q.
  Variable masks : list bool.       (* operands that are masks: they do not move *)
  Variable v : list R.
  Notation ev e := (sxe (R := Rnum) ps v e).

  (** e is differentiable at v, by the rules of calculus *)
  Fixpoint sx_ok (e : sx) : Prop :=
    match e with
    | Arg _ | Par _ | Lit _ => True
    | Add a b | Sub a b | Mul a b => sx_ok a /\ sx_ok b
    | Div a b => sx_ok a /\ sx_ok b /\ ev b <> 0
    | Neg a | Square a => sx_ok a
    | Recip a => sx_ok a /\ ev a <> 0
    | Pow a c => sx_ok a /\ pow_ok (ev a) (nth c ps 0%Q)
    | PowPrime _ _ => False
    | Max a b | Min a b => sx_ok a /\ sx_ok b /\ ev a <> ev b
    | Abs a | Sign a => sx_ok a /\ ev a <> 0
    | Gt a b | Ge a b | Equal a b => sx_ok a /\ sx_ok b /\ ev a <> ev b
    | If c a b => sx_still c /\ (if holds (R := Rnum) (ev c) then sx_ok a else sx_ok b)
    | Fn f a => sx_ok a /\ fn_ok f (ev a)
    end
  (** e is locally constant at v *)
  with sx_still (e : sx) : Prop :=
    match e with
    | Par _ | Lit _ => True
    | Arg i => nth i masks false = true
    | Gt a b | Ge a b | Equal a b => sx_ok a /\ sx_ok b /\ ev a <> ev b
    | Sign a => sx_ok a /\ ev a <> 0
    | If c a b => sx_still c /\ (if holds (R := Rnum) (ev c) then sx_still a else sx_still b)
    | _ => False
    end.

  (** the derivative of e with respect to operand j *)
  Fixpoint sx_d (j : nat) (e : sx) : R :=
    match e with
    | Arg i => if Nat.eqb i j then 1 else 0
    | Par _ | Lit _ => 0
    | Add a b => sx_d j a + sx_d j b
    | Sub a b => sx_d j a - sx_d j b
    | Mul a b => sx_d j a * ev b + ev a * sx_d j b
    | Div a b => (sx_d j a * ev b - ev a * sx_d j b) / (ev b * ev b)
    | Neg a => - sx_d j a
    | Recip a => - sx_d j a / (ev a * ev a)
    | Square a => 2 * ev a * sx_d j a
    | Pow a c => let q := nth c ps 0%Q in
        if Qeq_bool q 0 then 0 else Q2R q * Rpow (ev a) (Qred (q - 1)) * sx_d j a
    | PowPrime _ _ => 0
    | Max a b => if Rltb (ev b) (ev a) then sx_d j a else sx_d j b
    | Min a b => if Rltb (ev b) (ev a) then sx_d j b else sx_d j a
    | Abs a => if Rltb (ev a) 0 then - sx_d j a else sx_d j a
    | Sign _ | Gt _ _ | Ge _ _ | Equal _ _ => 0
    | If c a b => if holds (R := Rnum) (ev c) then sx_d j a else sx_d j b
    | Fn f a => fn_d f (ev a) * sx_d j a
    end.
End Sx.

(** f at operand values v has the local derivatives ds, along any curve through v whose masks do not move. *)
Definition ew_diff (f : sx) (ps : list Q) (ds : list (option sx)) (masks : list bool) (v : list R) : Prop :=
  forall (U : NormedModule R_AbsRing) (x : U) (F dF : nat -> U -> R),
    (forall j, (j < length v)%nat -> F j x = nth j v 0 /\ D x (F j) (dF j)) ->
    (forall j, (j < length v)%nat -> nth j masks false = true -> still x (F j) /\ forall u, dF j u = 0) ->
    D x (fun u => sxe (R := Rnum) ps (map (fun j => F j u) (seq 0 (length v))) f)
        (fun u => sumn (R := Rnum) (length v) (fun j =>
           match nth j ds None with
           | Some d => sxe (R := Rnum) ps (v ++ [sxe (R := Rnum) ps v f]) d * dF j u
           | None => 0
           end)).

(** ** Blocks and programs *)
(** One cell of the row is strictly larger than all others (or the row is empty); no cell occurs twice. *)
Definition unique_best (x : list R) (row : list nat) : Prop :=
  row = [] \/ exists b, In b row /\ NoDup row /\
    forall s, In s row -> s <> b -> tget (R := Rnum) x s < tget (R := Rnum) x b.

Definition blk_side (b : blk) (masks : list bool) (a : list (list R)) : Prop :=
  match b with
  | Lin _ _ | Bil _ _ | Const _ => True
  | Ew n f ps ds => forall i, (i < n)%nat -> ew_diff f ps ds masks (cell (R := Rnum) a i)
  | Cmp n f ps => forall i, (i < n)%nat -> sx_still ps masks (cell (R := Rnum) a i) f
  | Best n row _ | BestMask n row => forall i, (i < n)%nat -> unique_best (slot a 0) (row i)
  | NoneOf _ _ => nth 0 masks false = true
  end.

(** Blocks whose result does not move. *)
Definition blk_still (b : blk) : bool := blk_mask b || match b with Const _ => true | _ => false end.

Fixpoint prog_side (masks : list bool) (p : prog) (ctx : list (list R)) : Prop :=
  match p with
  | [] => True
  | s :: p' =>
      blk_side (s_blk s) (map (fun k => nth k masks false) (s_args s)) (args_at (R := Rnum) ctx s) /\
      prog_side (masks ++ [blk_mask (s_blk s)]) p' (ctx ++ [bfwd (R := Rnum) (s_blk s) (args_at (R := Rnum) ctx s)])
  end.
Definition prog_still (p : prog) : bool :=
  match rev p with s :: _ => blk_still (s_blk s) | [] => false end.
