(** The checker at work: one graph and tape it accepts, and one corruption for every reason it can give. *)
From Coq Require Import String List NArith ZArith Bool Arith.
From Prooftape.Spec Require Import Graph Tape Op Statements.
From Prooftape.Core Require Import Link.
From Prooftape.Certificates Require Import Check.
Import ListNotations.
Open Scope N_scope.

(** Two ops are enough: a product of equal shapes, and a choice of entries of a vector. *)
Inductive toy := Times | Take.
Definition toy_eqb (a b : toy) : bool := match a, b with Times, Times | Take, Take => true | _, _ => false end.
Definition toy_decl (o : toy) : decl :=
  match o with
  | Times => Decl "times" [Real; Real] false 0 0 [] [Operand 0; Operand 1; Result] Real true
  | Take => Decl "take" [Real] false 0 1 [] [] Real true
  end.
Definition toy_def (o : toy) : opdef :=
  {| o_shape _ shapes lens :=
       match o, shapes, lens with
       | Times, [[n]; [m]], [] => if n =? m then Some [n] else None
       | Take, [[_]], [k] => Some [k]
       | _, _, _ => None
       end;
     o_prog _ _ _ _ _ := [] |}.
Lemma toy_eqb_ok a b : toy_eqb a b = true -> a = b.
Proof. now destruct a, b. Qed.

Notation vector n := (Ty Real [n]).
Definition times3 : call toy := Call Times [] [vector 3; vector 3] [] (vector 3).
Definition times2 : call toy := Call Times [] [vector 2; vector 2] [] (vector 2).
Definition take2 : call toy := Call Take [] [vector 3] [2] (vector 2).
Definition leaves : list ty := [vector 3; vector 3].
Definition graph : graph toy := [Node times3 [0; 1] []; Node take2 [2] [5]; Node times2 [3; 3] []].
Definition tape : tape toy := [
  Instr times3 2 [0; 1] [0; 1; 2] [];
  Instr take2 3 [2] [] [(5, 2)];
  Instr times2 4 [3; 3] [3; 3; 4] []].
Notation diagnose := (diagnose toy_eqb toy_decl toy_def).

Lemma accepted : check toy_eqb toy_decl toy_def leaves graph tape = true.
Proof. reflexivity. Qed.
Theorem linked : Linked toy toy_decl leaves graph tape.
Proof. exact (check_linked toy_eqb toy_decl toy_def toy_eqb_ok leaves graph tape accepted). Qed.
Example tape_is_compiled : tape = compile_tape (saves_of toy_decl) 2 graph.
Proof. reflexivity. Qed.

(** ** Corrupted graphs *)
Notation found g := (diagnose leaves g (compile_tape (saves_of toy_decl) 2 g)).

Example self_reference : found [Node times3 [0; 2] []] = Some (At 2 (UnknownSlot 1 2)).
Proof. reflexivity. Qed.
Example wrong_operand_type :
  found [Node take2 [0] [0]; Node times3 [0; 2] []] = Some (At 3 (OperandType 1 2 (vector 2) (vector 3))).
Proof. reflexivity. Qed.
Example operand_missing : found [Node times3 [0] []] = Some (At 2 (OperandCount 1 2)).
Proof. reflexivity. Qed.
Example operand_too_many : found [Node take2 [0; 1] [0]] = Some (At 2 (OperandCount 2 1)).
Proof. reflexivity. Qed.
Example index_vector_missing : found [Node take2 [0] []] = Some (At 2 (IndexVectorCount 0 1)).
Proof. reflexivity. Qed.
Example rule_refuses : found [Node (Call Times [] [vector 3] [] (vector 3)) [0] []] = Some (At 2 CallRefused).
Proof. reflexivity. Qed.
Example wrong_result_type :
  found [Node (Call Times [] [vector 3; vector 3] [] (vector 9)) [0; 1] []]
  = Some (At 2 (ResultType (vector 9) (vector 3))).
Proof. reflexivity. Qed.
(** every use is judged by its own data, whatever was accepted before *)
Example wrong_second_call :
  found [Node times3 [0; 1] []; Node (Call Times [] [vector 3; vector 3] [] (vector 9)) [0; 1] []]
  = Some (At 3 (ResultType (vector 9) (vector 3))).
Proof. reflexivity. Qed.

(** ** Corrupted tapes *)
Notation second i := (diagnose leaves graph [hd i tape; i; nth 2 tape i]).

Example wrong_call : second (Instr times3 3 [2] [] [(5, 2)]) = Some (At 3 InstrCall).
Proof. reflexivity. Qed.
Example wrong_out : second (Instr take2 2 [2] [] [(5, 2)]) = Some (At 3 (InstrOut 2 3)).
Proof. reflexivity. Qed.
Example wrong_args : second (Instr take2 3 [1] [] [(5, 2)]) = Some (At 3 (InstrArgs [1] [2])).
Proof. reflexivity. Qed.
Example wrong_saves : second (Instr take2 3 [2] [2] [(5, 2)]) = Some (At 3 (InstrSaves [2] [])).
Proof. reflexivity. Qed.
Example wrong_nats : second (Instr take2 3 [2] [] [(5, 3)]) = Some (At 3 (InstrNats [(5, 3)] [(5, 2)])).
Proof. reflexivity. Qed.
Example dropped : diagnose leaves graph (removelast tape) = Some (At 4 MissingInstr).
Proof. reflexivity. Qed.
Example duplicated : diagnose leaves graph (tape ++ [Instr times2 4 [3; 3] [3; 3; 4] []]) = Some (At 5 ExtraInstr).
Proof. reflexivity. Qed.
Example swapped : diagnose leaves graph (rev tape) = Some (At 2 InstrCall).
Proof. reflexivity. Qed.
