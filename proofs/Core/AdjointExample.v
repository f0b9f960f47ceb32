(** * The hypotheses of [graph_adjoint] can be met

    A table of one op, the product of two vectors, and the graph x * x; at x = (2, 3) over the natural numbers both
    sides of the theorem are 10. The real table is [Decl/Table.v]. *)
From Coq Require Import String List NArith QArith Bool Arith Lia.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Tape Op Statements.
From Prooftape.Core Require Import Typing Obligations Sums Saves Adjoint AdjointGraph.
Import ListNotations.
Open Scope nat_scope.

Definition product_decl : decl := Decl "product" [Real; Real] false 0 0 [] [Operand 0; Operand 1] Real true.
Definition product_def : opdef := OpDef
  (fun _ shapes _ => match shapes with [s; _] => Some s | _ => None end)
  (fun _ _ _ out _ =>
     [Step (Ew (N.to_nat (size out)) (Scalar.Mul (Arg 0) (Arg 1)) [] [Some (Arg 1); Some (Arg 0)]) [0; 1]]).

Lemma product_operands w attrs tys lens nats t p :
  used product_decl product_def w attrs tys lens nats t p -> length tys = 2.
Proof.
  intros (I & _). unfold infer in I. destruct (operands_fit product_decl tys) eqn:E; [| discriminate].
  unfold operands_fit in E. cbn - [Nat.leb firstn] in E. rewrite !andb_true_iff, !Nat.leb_le in E. lia.
Qed.
Lemma product_sized : well_sized product_decl product_def.
Proof.
  intros w attrs tys lens nats t p U. rewrite (product_operands _ _ _ _ _ _ _ U).
  destruct U as (_ & _ & ->). repeat split; discriminate.
Qed.
Lemma product_saves : saves_enough product_decl product_def.
Proof.
  apply saves_by_check. intros w attrs tys lens nats t p U. rewrite (product_operands _ _ _ _ _ _ _ U).
  destruct U as (_ & _ & ->). reflexivity.
Qed.

Definition vector : ty := Ty Real [2%N].
Definition square_graph : graph unit := [Node (Call tt [] [vector; vector] [] vector) [0%N; 0%N] []].

Example square_adjoint : Adjoint unit (fun _ => product_decl) (fun _ => product_def) [vector] square_graph.
Proof.
  apply graph_adjoint; [intros _; apply product_sized | intros _; apply product_saves |].
  repeat split. cbn. intros i [<- | [<- | []]]; cbn; lia.
Qed.

(** The numbers: a tangent (1, 1), the cotangent (1, 1) at the product. *)
Example square_both_sides :
  let K := kern (fun _ : unit => product_decl) (fun _ => product_def) nat_num (World (fun _ => []) (fun _ _ => [])) in
  let x := [[2; 3]] in
  let seed := [None; Some [1; 1]] in
  let pairing := pairing (R := nat_num) unit [vector] square_graph in
  pairing 2 (jvp_ctx [] K (fun _ => 0%N) square_graph x [Some [1; 1]]) seed = 10 /\
  pairing 1 [Some [1; 1]] (backprop_all_ctx (tadd (R := nat_num)) [] K (saves_of (fun _ => product_decl))
    (fun _ => 0%N) (real_slot unit [vector] square_graph) square_graph x seed) = 10.
Proof. split; reflexivity. Qed.
