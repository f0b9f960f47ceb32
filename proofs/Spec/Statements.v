(** * What a certificate says

    Three properties of a graph and the tape that runs it. A certificate file states them for one concrete graph
    and tape; [Certificates/Check.v] proves them of every pair that its checker accepts. *)
From Coq Require Import List NArith QArith Bool Arith Ring_theory Reals.
Set Warnings "-ambiguous-paths".
From Coquelicot Require Import Coquelicot.
From Prooftape.Spec Require Import Scalar Tensor Graph Tape Op RealNum.
Import ListNotations.
Open Scope nat_scope.

Section Statements.
  Variable op : Type.
  Variable decl_of : op -> decl.
  Variable def_of : op -> opdef.
  (** Where an op is differentiable, at real operand values: relu input not 0, log argument positive, no ties … *)
  Variable side_of : op -> world -> list attr -> list shape -> shape -> list (list N) -> list (list R) -> Prop.
  (** Ops whose derivative is 0 by definition although their value moves: detach. Theorems about derivatives speak
      of the function in which such values are held where they are. *)
  Variable held : op -> bool.

  Variable leaves : list ty.
  Variable g : graph op.
  Variable tp : tape op.

  Definition slot_types : list ty := leaves ++ map (fun n => c_out (n_call n)) g.
  Definition size_of (k : nat) : nat := ty_size (nth k slot_types (Ty Real [])).
  Definition real_slot (k : N) : bool := is_real (nth (N.to_nat k) slot_types (Ty Mask [])).
  Definition n_leaves := length leaves.
  Definition n_slots := length leaves + length g.

  (** T1. The two loops of the tape compute [eval] and [backprop_all_ctx]: for every type of tensors, every
      kernels, every [add], whatever is wanted. No law is used, so it holds of floating point, bit for bit. *)
  Definition Linked : Prop :=
    forall (T : Type) (add : T -> T -> T) (default : T) (K : call op -> kernel T)
           (nats : N -> N) (wanted : N -> bool) (x : list T) (seed : list (option T)),
      length x = n_leaves -> length seed = n_slots ->
      let values := eval default K nats g x in
      forward_from default K nats tp x = values /\
      backward_dense_from add default K nats wanted tp values seed
        = backprop_all_ctx add default K (saves_of decl_of) nats wanted g x seed.

  (** The pairing of two contexts over the first n slots; absent entries count as 0. *)
  Definition pairing {R : num} (n : nat) (a b : list (option (list R))) : R :=
    sumn n (fun k => dot (size_of k) (dense (nth k a None)) (dense (nth k b None))).

  (** T2. Reverse mode is the transpose of forward mode: <jvp dx, seed> = <dx, backprop seed>, over every
      commutative semiring, with the kernels of the op table; any scalar functions, no side condition. *)
  Definition Adjoint : Prop :=
    forall (R : num), semi_ring_theory (@zero R) one add mul eq ->
    forall (w : world) (nats : N -> N) (x : list (list R)) (dx seed : list (option (list R))),
      length x = n_leaves -> length dx = n_leaves -> length seed = n_slots ->
      let K := kern decl_of def_of R w in
      pairing n_slots (jvp_ctx [] K nats g x dx) seed
      = pairing n_leaves dx (backprop_all_ctx tadd [] K (saves_of decl_of) nats real_slot g x seed).

  (** [eval], with the values of held nodes taken from [base], which is over the whole context. Without such nodes,
      and at the point where [base] was computed, it is [eval]. *)
  Fixpoint eval_held (w : world) (nats : N -> N) (base : list (list Rnum)) (g : graph op) (ctx : list (list Rnum)) :
      list (list Rnum) :=
    match g with
    | [] => ctx
    | n :: g' =>
        let v := if held (c_op (n_call n)) then nth (length ctx) base []
                 else node_value [] (kern decl_of def_of Rnum w) nats ctx n in
        eval_held w nats base g' (ctx ++ [v])
    end.

  (** Every node meets the side condition of its op at the values it sees; a held node has none. *)
  Fixpoint sides_from (w : world) (nats : N -> N) (g : graph op) (ctx : list (list Rnum)) : Prop :=
    match g with
    | [] => True
    | n :: g' =>
        let c := n_call n in
        let K := kern decl_of def_of Rnum w in
        (held (c_op c) = false ->
         side_of (c_op c) w (c_attrs c) (map t_shape (c_tys c)) (t_shape (c_out c)) (node_nats nats n) (values [] ctx n)) /\
        sides_from w nats g' (ctx ++ [node_value [] K nats ctx n])
    end.
  Definition sides (w : world) (nats : N -> N) (x : list (list Rnum)) : Prop := sides_from w nats g x.

  (** The point x + t dx; leaves without a tangent stay. *)
  Definition line (x : list (list Rnum)) (dx : list (option (list Rnum))) (t : R) : list (list Rnum) :=
    map (fun p => match snd p with
                  | Some d => tadd (fst p) (map (mul (n := Rnum) t) d)
                  | None => fst p
                  end) (combine x dx).

  Definition fits (x : list (list Rnum)) (dx : list (option (list Rnum))) : Prop :=
    length x = n_leaves /\ length dx = n_leaves /\
    forall k, k < n_leaves ->
      length (nth k x []) = size_of k /\
      match nth k dx None with
      | Some d => length d = size_of k /\ real_slot (N.of_nat k) = true
      | None => True
      end.

  (** T3. Over the reals, where the side conditions hold: the JVP is the derivative of every entry of every slot
      along x + t dx, and the tape's gradient gives the derivative of every seeded sum of outputs. *)
  Definition Derivative : Prop :=
    forall (w : world) (nats : N -> N) (x : list (list Rnum)) (dx seed : list (option (list Rnum))),
      fits x dx -> length seed = n_slots -> sides w nats x ->
      let K := kern decl_of def_of Rnum w in
      let values := eval [] K nats g x in
      let slots t := eval_held w nats values g (line x dx t) in
      (forall k i, k < n_slots ->
         is_derive (fun t => tget (nth k (slots t) []) i) 0%R
                   (tget (dense (nth k (jvp_ctx [] K nats g x dx) None)) i)) /\
      is_derive (fun t => pairing n_slots (map Some (slots t)) seed) 0%R
        (pairing n_leaves dx (backward_dense_from tadd [] K nats real_slot tp values seed)).

  Definition Certified : Prop := Linked /\ Adjoint /\ Derivative.
End Statements.
