(** * Tapes: what the runtime executes

    The two loops below are src/prooftape/tape.py, line by line: [forward] and [backward_dense_from]. They know
    slots and kernels, and nothing of the graph. *)
From Coq Require Import List NArith Bool Arith.
From Prooftape.Spec Require Import Graph.
Import ListNotations.

Section Tape.
  Variable op : Type.

  (** Run [i_call] on the [i_args] slots into slot [i_out]; its VJP reads the [i_saves] slots, and both read the
      index vectors at [i_nats]: (start, length) pairs of the nat environment. *)
  Record instr := Instr
    { i_call : call op; i_out : N; i_args : list N; i_saves : list N; i_nats : list (N * N) }.
  Definition tape := list instr.

  Variable T : Type.
  Variable add : T -> T -> T.
  Variable default : T.
  Variable K : call op -> kernel T.
  Variable nats : N -> N.

  Definition slots (values : list T) (ids : list N) : list T := map (at_ default values) ids.
  Definition instr_nats (i : instr) : list (list N) := map (fun p => read nats (fst p) (snd p)) (i_nats i).

  (** forward_from: run instructions in order, appending one value each *)
  Fixpoint forward_from (tp : tape) (values : list T) : list T :=
    match tp with
    | [] => values
    | i :: tp' => forward_from tp' (values ++ [k_fwd (K (i_call i)) (instr_nats i) (slots values (i_args i))])
    end.

  Variable needed : N -> bool.

  (** the body of the reverse loop *)
  Definition backward_step (values : list T) (ct : list (option T)) (i : instr) : list (option T) :=
    match at_ None ct (i_out i) with
    | None => ct                                                        (* absent: the rule is not run *)
    | Some g =>
        let asks := map needed (i_args i) in
        if existsb (fun b => b) asks
        then let parts := k_vjp (K (i_call i)) (instr_nats i) (slots values (i_saves i)) g asks in
             contribute add ct (i_args i) parts
        else ct
    end.
  (** for i in reversed(tape.instrs): … *)
  Definition backward_dense_from (tp : tape) (values : list T) (seed : list (option T)) : list (option T) :=
    fold_left (backward_step values) (rev tp) seed.
End Tape.
Arguments Instr {op} _ _ _ _ _. Arguments i_call {op} _. Arguments i_out {op} _. Arguments i_args {op} _.
Arguments i_saves {op} _. Arguments i_nats {op} _.
Arguments forward_from {op T} _ _ _ _ _. Arguments backward_dense_from {op T} _ _ _ _ _ _ _ _.
Arguments backward_step {op T} _ _ _ _ _ _ _ _. Arguments slots {T} _ _ _. Arguments instr_nats {op} _ _.
