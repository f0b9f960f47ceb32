(** Well-typed graphs, as a proposition: what the checker establishes and the theorems assume. *)
From Coq Require Import List NArith Bool Arith.
From Prooftape.Spec Require Import Graph Op.
Import ListNotations.
Open Scope nat_scope.

Section Typing.
  Variable op : Type.
  Variable decl_of : op -> decl.
  Variable def_of : op -> opdef.

  Definition node_typed (ctx : list ty) (n : node op) : Prop :=
    let c := n_call n in
    (forall i, In i (n_args n) -> N.to_nat i < length ctx) /\
    map (at_ (Ty Mask []) ctx) (n_args n) = c_tys c /\
    length (n_nats n) = length (c_nats c) /\
    infer (decl_of (c_op c)) (def_of (c_op c)) (c_attrs c) (c_tys c) (c_nats c) = Some (c_out c).

  Fixpoint typed_from (ctx : list ty) (g : graph op) : Prop :=
    match g with
    | [] => True
    | n :: g' => node_typed ctx n /\ typed_from (ctx ++ [c_out (n_call n)]) g'
    end.
End Typing.
Arguments node_typed {op} _ _ _ _. Arguments typed_from {op} _ _ _ _.
