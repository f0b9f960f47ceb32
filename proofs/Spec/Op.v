(** * Ops: a declaration printed from Python, a shape rule and a program written here

    [decl] is generated into [Decl] from the Python record (names, arity, attributes, save list); [opdef] is what
    the Rocq file of the op adds: its shape rule and its meaning as a program of blocks. [kern] turns both into
    the kernels that graphs and tapes run, over any [num]. *)
From Coq Require Import String List NArith ZArith QArith Bool Arith.
From Prooftape.Spec Require Import Scalar Tensor Block Graph.
Import ListNotations.
Open Scope nat_scope.

Inductive sel := Operand (i : nat) | Result.
Inductive attr_kind := KInt | KNat | KBool | KNumber | KInts | KNats | KShape | KPairs | KPerAxis | KLiteral.

Record decl := Decl {
  d_name : string;
  d_operands : list dtype;
  d_variadic : bool;              (* any number >= 1 of operands, all of the one declared dtype *)
  d_optional : nat;               (* how many trailing operands may be left out *)
  d_nats : nat;                   (* number of index vectors *)
  d_attrs : list (attr_kind * bool);      (* kind, may be none *)
  d_saves : list sel;
  d_out : dtype;
  d_differentiable : bool }.

Record opdef := OpDef {
  o_shape : list attr -> list shape -> list N -> option shape;     (* attributes, operand shapes, index lengths *)
  o_prog : world -> list attr -> list shape -> shape -> list (list N) -> prog }.
      (* world, attributes, operand shapes, result shape, index vectors *)

(** ** Typing *)
Definition dtype_eqb (a b : dtype) : bool := match a, b with Real, Real | Mask, Mask => true | _, _ => false end.
Definition attr_fits (k : attr_kind * bool) (a : attr) : bool :=
  match a, fst k with
  | ANone, _ => snd k
  | AInt _, KInt => true
  | AInt z, KNat => (0 <=? z)%Z
  | ABool _, KBool => true
  | ANum _, KNumber => true
  | AInts _, (KInts | KPerAxis) => true
  | AInts l, (KNats | KShape) => forallb (fun z => (0 <=? z)%Z) l
  | APairs _, KPairs => true
  | ALit _ _, KLiteral => true
  | _, _ => false
  end.
Fixpoint all2 {A B} (f : A -> B -> bool) (a : list A) (b : list B) : bool :=
  match a, b with
  | [], [] => true
  | x :: a', y :: b' => f x y && all2 f a' b'
  | _, _ => false
  end.
Definition operands_fit (d : decl) (tys : list ty) : bool :=
  if d_variadic d
  then negb (length tys =? 0) && forallb (fun t => dtype_eqb (t_dtype t) (hd Real (d_operands d))) tys
  else (length (d_operands d) - d_optional d <=? length tys) && (length tys <=? length (d_operands d))
       && all2 (fun t k => dtype_eqb (t_dtype t) k) tys (firstn (length tys) (d_operands d)).
Definition max_rank := 64.

(** The type of the result; None: the use is refused. *)
Definition infer (d : decl) (o : opdef) (attrs : list attr) (tys : list ty) (nats : list N) : option ty :=
  if operands_fit d tys && all2 attr_fits (d_attrs d) attrs && (length nats =? d_nats d)
  then match o_shape o attrs (map t_shape tys) nats with
       | Some s => if length s <=? max_rank then Some (Ty (d_out d) s) else None
       | None => None
       end
  else None.

(** Positions the VJP of a use with n operands reads; n is the result. *)
Definition save_positions (d : decl) (n : nat) : list nat :=
  flat_map (fun s => match s with Operand i => if i <? n then [i] else [] | Result => [n] end) (d_saves d).

Section Ops.
  Variable op : Type.
  Variable decl_of : op -> decl.
  Variable def_of : op -> opdef.

  Definition saves_of (c : call op) : list nat := save_positions (decl_of (c_op c)) (length (c_tys c)).

  Section Kernels.
    Variable R : num.
    Variable w : world.
    Notation ten := (list R).

    Definition dense (t : option ten) : ten := match t with Some t => t | None => [] end.

    (** tangents of the operands; a mask does not move *)
    Definition movable (tys : list ty) (da : list (option ten)) : list ten :=
      map (fun p => if is_real (fst p) then dense (snd p) else []) (combine tys da).

    (** entry p of operands ++ [result] if it was saved *)
    Definition saved_at (saves : list nat) (saved : list ten) (p : nat) : option ten :=
      match find (fun e => Nat.eqb (fst e) p) (combine saves saved) with Some e => Some (snd e) | None => None end.
    Definition set_last (l : list ten) (t : option ten) : list ten :=
      match t with Some t => removelast l ++ [t] | None => l end.

    Definition kern (c : call op) : kernel ten :=
      let P := o_prog (def_of (c_op c)) w (c_attrs c) (map t_shape (c_tys c)) (t_shape (c_out c)) in
      let ms := map ty_size (c_tys c) in
      let n := length (c_tys c) in
      let smooth := d_differentiable (decl_of (c_op c)) in
      Kernel
        (fun nats a => prog_fwd (P nats) a)
        (fun nats a _ da => if smooth then Some (prog_jvp ms (P nats) (run (P nats) a) (movable (c_tys c) da)) else None)
        (fun nats saved d asks =>
           if smooth then
             let a := map (fun j => dense (saved_at (saves_of c) saved j)) (seq 0 n) in
             let full := set_last (run (P nats) a) (saved_at (saves_of c) saved n) in
             map (fun p => if fst (fst p) && is_real (snd (fst p)) then Some (snd p) else None)
               (combine (combine asks (c_tys c)) (prog_vjp ms (P nats) full d))
           else map (fun _ => None) asks).
  End Kernels.
End Ops.
Arguments saves_of {op} _ _. Arguments kern {op} _ _ _ _ _.
Arguments dense {R} _. Arguments saved_at {R} _ _ _. Arguments set_last {R} _ _.
Arguments movable {R} _ _.
