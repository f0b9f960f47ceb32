(** * Graphs: the data a session records, and what they mean for any kernels

    A graph is first-order data: calls (an op with its attributes and types), nodes over earlier slots. Its
    meaning is given for kernels that are arbitrary functions on an arbitrary type T with an arbitrary [add]:
    nothing here knows an algebraic law. A cotangent is [Some] or absent, and absent is not zero. *)
From Coq Require Import List NArith ZArith QArith Bool Arith.
Import ListNotations.
Open Scope nat_scope.

(** ** Types and attributes *)
Inductive dtype := Real | Mask.
Definition shape := list N.
Record ty := Ty { t_dtype : dtype; t_shape : shape }.

Definition size (s : shape) : N := fold_right N.mul 1%N s.
Definition ty_size (t : ty) : nat := N.to_nat (size (t_shape t)).
Definition is_real (t : ty) : bool := match t_dtype t with Real => true | Mask => false end.

(** A number that a graph carries as data. Floats are exact dyadic rationals; three of them are not numbers. *)
Inductive number := Fin (q : Q) | PInf | MInf | NaN.

Inductive attr :=
| ANone
| ABool (b : bool)
| AInt (z : Z)
| ANum (q : number)
| AInts (l : list Z)
| APairs (l : list (Z * Z))
| ALit (id : N) (t : ty).      (* literal array number [id] of the graph; its entries are in the world *)

(** What an op may depend on besides its operands: the nat environment as read by one node, literal arrays, and the
    keyed random stream (draws u, 0 <= u < 2^24). Every theorem holds for every world. *)
Record world := World { w_lits : N -> list Q; w_draws : Z -> nat -> list N }.

Section Data.
  Variable op : Type.

  (** One use of an op, fully typed; a graph shares equal calls. *)
  Record call := Call { c_op : op; c_attrs : list attr; c_tys : list ty; c_nats : list N; c_out : ty }.
  (** [n_nats]: where in the nat environment each index vector starts (its length is in the call). *)
  Record node := Node { n_call : call; n_args : list N; n_nats : list N }.
  Definition graph := list node.        (* program order *)
End Data.
Arguments Call {op} _ _ _ _ _. Arguments c_op {op} _. Arguments c_attrs {op} _. Arguments c_tys {op} _.
Arguments c_nats {op} _. Arguments c_out {op} _.
Arguments Node {op} _ _ _. Arguments n_call {op} _. Arguments n_args {op} _. Arguments n_nats {op} _.

Section Meaning.
  Variables (op T : Type).
  Variable add : T -> T -> T.
  Variable default : T.         (* what an out-of-range read gives; never happens in a checked graph *)

  (** Kernels: any functions at all. The VJP gets the saved values, the index vectors, the cotangent of the
      result, and which operands want one; it may leave any operand's cotangent absent. *)
  Record kernel := Kernel {
    k_fwd : list (list N) -> list T -> T;
    k_jvp : list (list N) -> list T -> T -> list (option T) -> option T;
    k_vjp : list (list N) -> list T -> T -> list bool -> list (option T) }.
  Variable K : call op -> kernel.
  (** Positions the VJP reads: operands, or, one past them, the result. *)
  Variable saves : call op -> list nat.

  Variable nats : N -> N.       (* the nat environment: total, 0 outside *)

  Definition read (start len : N) : list N :=
    map (fun i => nats (start + N.of_nat i)%N) (seq 0 (N.to_nat len)).
  Definition reads (starts lens : list N) : list (list N) :=
    map (fun p => read (fst p) (snd p)) (combine starts lens).
  Definition node_nats (n : node op) : list (list N) := reads (n_nats n) (c_nats (n_call n)).

  Definition at_ {A} (d : A) (l : list A) (i : N) : A := nth (N.to_nat i) l d.
  Definition values (ctx : list T) (n : node op) : list T := map (at_ default ctx) (n_args n).

  (** ** eval: the values of the leaves, then one per node *)
  Definition node_value (ctx : list T) (n : node op) : T := k_fwd (K (n_call n)) (node_nats n) (values ctx n).
  Fixpoint eval_from (g : graph op) (ctx : list T) : list T :=
    match g with
    | [] => ctx
    | n :: g' => eval_from g' (ctx ++ [node_value ctx n])
    end.
  Definition eval (g : graph op) (leaves : list T) : list T := eval_from g leaves.

  (** ** jvp_ctx: tangents of the whole context, in one pass; an absent tangent does not move *)
  Definition present {A} (l : list (option A)) : bool := existsb (fun t => match t with Some _ => true | None => false end) l.
  Definition node_tangent (ctx : list T) (dctx : list (option T)) (n : node op) : option T :=
    let dargs := map (at_ None dctx) (n_args n) in
    if present dargs
    then k_jvp (K (n_call n)) (node_nats n) (values ctx n) (node_value ctx n) dargs
    else None.
  Fixpoint jvp_from (g : graph op) (ctx : list T) (dctx : list (option T)) : list (option T) :=
    match g with
    | [] => dctx
    | n :: g' => jvp_from g' (ctx ++ [node_value ctx n]) (dctx ++ [node_tangent ctx dctx n])
    end.
  Definition jvp_ctx (g : graph op) (leaves : list T) (dleaves : list (option T)) : list (option T) :=
    jvp_from g leaves dleaves.

  (** ** backprop_all_ctx: by recursion on the graph, its last node first.
      The node's contributions go, in operand order, to what comes before; an existing value stays on the left. *)
  Definition merge (old new : option T) : option T :=
    match old, new with
    | _, None => old
    | None, Some t => Some t
    | Some s, Some t => Some (add s t)
    end.
  Fixpoint add_at (ct : list (option T)) (i : nat) (t : option T) : list (option T) :=
    match ct, i with
    | [], _ => []
    | c :: ct', O => merge c t :: ct'
    | c :: ct', S i' => c :: add_at ct' i' t
    end.
  Definition contribute (ct : list (option T)) (args : list N) (parts : list (option T)) : list (option T) :=
    fold_left (fun ct p => add_at ct (N.to_nat (fst p)) (snd p)) (combine args parts) ct.

  Variable wanted : N -> bool.  (* slots whose cotangent is asked for *)

  (** What one node contributes: nothing when its own cotangent is absent or nobody wants its operands'. *)
  Definition node_parts (ctx : list T) (n : node op) (d : option T) : list (option T) :=
    let asks := map wanted (n_args n) in
    match d with
    | Some d =>
        if existsb (fun b => b) asks
        then let a := values ctx n in
             let entries := a ++ [node_value ctx n] in
             k_vjp (K (n_call n)) (node_nats n) (map (fun p => nth p entries default) (saves (n_call n))) d asks
        else []
    | None => []
    end.
  (** [ct] is over [ctx] and the nodes of [g]; the result too. Nodes to the right are dealt with first. *)
  Fixpoint backprop_from (g : graph op) (ctx : list T) (ct : list (option T)) : list (option T) :=
    match g with
    | [] => ct
    | n :: g' =>
        let ct' := backprop_from g' (ctx ++ [node_value ctx n]) ct in
        contribute ct' (n_args n) (node_parts ctx n (nth (length ctx) ct' None))
    end.
  Definition backprop_all_ctx (g : graph op) (leaves : list T) (seed : list (option T)) : list (option T) :=
    backprop_from g leaves seed.
End Meaning.
Arguments Kernel {T} _ _ _. Arguments k_fwd {T} _ _ _. Arguments k_jvp {T} _ _ _ _ _. Arguments k_vjp {T} _ _ _ _ _.
Arguments eval {op T} _ _ _ _ _. Arguments jvp_ctx {op T} _ _ _ _ _ _.
Arguments backprop_all_ctx {op T} _ _ _ _ _ _ _ _ _.
Arguments eval_from {op T} _ _ _ _ _. Arguments jvp_from {op T} _ _ _ _ _ _.
Arguments backprop_from {op T} _ _ _ _ _ _ _ _ _.
Arguments node_value {op T} _ _ _ _ _. Arguments node_tangent {op T} _ _ _ _ _ _.
Arguments node_parts {op T} _ _ _ _ _ _ _ _. Arguments values {op T} _ _ _. Arguments node_nats {op} _ _.
Arguments contribute {T} _ _ _ _. Arguments merge {T} _ _ _. Arguments add_at {T} _ _ _ _.
Arguments at_ {A} _ _ _. Arguments present {A} _.
