(** * Cross-evaluation: a recorded run of Python, checked against the op table

    A case holds one use of an op with everything Python computed for it in some exact [num]; a trace holds a whole
    graph, its tape, and every value and cotangent. [case_faults] and [trace_faults] name what differs: they are
    executed, nothing here is proved. *)
From Coq Require Import List NArith ZArith QArith Bool Arith.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Tape Op.
Import ListNotations.
Open Scope nat_scope.

Inductive fault := WrongType | WrongForward | WrongJvp | WrongVjp | WrongTapeValues | WrongTapeGradients.

Section Cases.
  Variable op : Type.
  Variable decl_of : op -> decl.
  Variable def_of : op -> opdef.
  Variable R : num.
  Variable same : R -> R -> bool.
  Notation ten := (list R).

  Definition same_ten (a b : ten) : bool := all2 same a b.
  Definition same_opt (a b : option ten) : bool :=
    match a, b with None, None => true | Some x, Some y => same_ten x y | _, _ => false end.
  Definition same_type (a b : ty) : bool := dtype_eqb (t_dtype a) (t_dtype b) && all2 N.eqb (t_shape a) (t_shape b).
  Definition world_of (lits : list (list Q)) (draws : list (Z * list N)) : world :=
    World (fun i => nth (N.to_nat i) lits [])
          (fun key n => match find (fun d => Z.eqb (fst d) key && (length (snd d) =? n)) draws with
                        | Some d => snd d
                        | None => []
                        end).
  Definition blame (ok : bool) (f : fault) : list fault := if ok then [] else [f].

  Record case := Case {
    q_call : call op; q_nats : list (list N); q_world : world;
    q_in : list ten; q_dx : list (option ten); q_ct : ten;
    q_fwd : ten; q_jvp : option ten; q_vjp : list (option ten) }.

  Definition case_faults (q : case) : list fault :=
    let c := q_call q in
    let K := kern decl_of def_of R (q_world q) c in
    let y := k_fwd K (q_nats q) (q_in q) in
    let entries := q_in q ++ [y] in
    let saved := map (fun p => nth p entries []) (saves_of decl_of c) in
    blame (match infer (decl_of (c_op c)) (def_of (c_op c)) (c_attrs c) (c_tys c) (c_nats c) with
           | Some t => same_type t (c_out c) | None => false end) WrongType ++
    blame (same_ten y (q_fwd q)) WrongForward ++
    blame (same_opt (k_jvp K (q_nats q) (q_in q) y (q_dx q)) (q_jvp q)) WrongJvp ++
    blame (all2 same_opt (k_vjp K (q_nats q) saved (q_ct q) (map is_real (c_tys c))) (q_vjp q)) WrongVjp.

  (** leaves, tangents of the leaves and a seed go in; values, tangents and cotangents of all slots come out *)
  Record trace := Trace {
    r_leaves : list ty; r_graph : graph op; r_tape : tape op; r_nats : list N; r_world : world;
    r_in : list ten; r_dx : list (option ten); r_seed : list (option ten);
    r_values : list ten; r_tangents : list (option ten); r_gradients : list (option ten) }.

  Definition trace_faults (r : trace) : list fault :=
    let K := kern decl_of def_of R (r_world r) in
    let nats i := nth (N.to_nat i) (r_nats r) 0%N in
    let tys := r_leaves r ++ map (fun n => c_out (n_call n)) (r_graph r) in
    let wanted i := is_real (nth (N.to_nat i) tys (Ty Mask [])) in
    let typed n := let c := n_call n in
      match infer (decl_of (c_op c)) (def_of (c_op c)) (c_attrs c) (c_tys c) (c_nats c) with
      | Some t => same_type t (c_out c) | None => false end in
    let values := eval [] K nats (r_graph r) (r_in r) in
    let tangents := jvp_ctx [] K nats (r_graph r) (r_in r) (r_dx r) in
    let spec := backprop_all_ctx tadd [] K (saves_of decl_of) nats wanted (r_graph r) (r_in r) (r_seed r) in
    let run := forward_from [] K nats (r_tape r) (r_in r) in
    let loop := backward_dense_from tadd [] K nats wanted (r_tape r) run (r_seed r) in
    blame (forallb typed (r_graph r)) WrongType ++
    blame (all2 same_ten values (r_values r)) WrongForward ++
    blame (all2 same_opt tangents (r_tangents r)) WrongJvp ++
    blame (all2 same_opt spec (r_gradients r)) WrongVjp ++
    blame (all2 same_ten run (r_values r)) WrongTapeValues ++
    blame (all2 same_opt loop (r_gradients r)) WrongTapeGradients.

  (** numbers of the faulty ones, with their faults *)
  Definition report {A} (faults : A -> list fault) (l : list A) : list (N * list fault) :=
    filter (fun p => match snd p with [] => false | _ => true end)
      (map (fun p => (N.of_nat (fst p), faults (snd p))) (combine (seq 0 (length l)) l)).
End Cases.
