(** The checker accepts exactly the well-typed graphs with their compiled tape: a problem it reports is a problem. *)
From Coq Require Import List NArith Bool Arith Lia.
From Prooftape.Spec Require Import Graph Tape Op.
From Prooftape.Core Require Import Typing Link CheckerEq.
From Prooftape.Certificates Require Import Check.
Import ListNotations.
Open Scope nat_scope.

Section Complete.
  Variable op : Type.
  Variable op_eqb : op -> op -> bool.
  Variable decl_of : op -> decl.
  Variable def_of : op -> opdef.
  Hypothesis op_eqb_refl : forall a, op_eqb a a = true.

  Lemma operands_accepted m k ctx : holds_list m k ctx -> forall args j,
    (forall a, In a args -> N.to_nat a < length ctx) ->
    check_operands m j args (map (at_ (Ty Mask []) ctx) args) = None.
  Proof.
    intros [Hk H] args. induction args as [|a args IH]; intros j Hin; simpl; auto.
    rewrite H. assert (La : N.to_nat a < length ctx) by (apply Hin; now left).
    rewrite (nth_error_nth' ctx (Ty Mask []) La). unfold at_ at 1.
    rewrite (proj2 (ty_eqb_ok _ _) eq_refl). apply IH. intros b Hb. apply Hin. now right.
  Qed.

  Lemma instr_accepted n k : check_instr op op_eqb decl_of n k (compile_node (saves_of decl_of) n k) = None.
  Proof.
    unfold check_instr. rewrite (call_eqb_refl _ _ op_eqb_refl), N.eqb_refl. simpl.
    rewrite (proj2 (list_eqb_ok _ _ N_eqb_ok _ _) eq_refl). simpl.
    rewrite (proj2 (list_eqb_ok _ _ N_eqb_ok _ _) eq_refl). simpl.
    now rewrite (proj2 (list_eqb_ok _ _ (pair_eqb_ok _ _ _ _ N_eqb_ok N_eqb_ok) _ _) eq_refl).
  Qed.

  Lemma walk_accepts g : forall k m ctx, holds_list m k ctx -> typed_from decl_of def_of ctx g ->
    walk op_eqb decl_of def_of k m g (compile_from (saves_of decl_of) (length ctx) g) = None.
  Proof.
    induction g as [|n g IH]; intros k m ctx Hm Hg; cbn [compile_from walk tl]; auto.
    destruct Hg as [(Hin & Htys & Hlen & Hinfer) Hg].
    rewrite <- Htys, (operands_accepted m k ctx Hm _ _ Hin).
    assert (Hc : check_call op decl_of def_of (n_call n) = None).
    { unfold check_call. now rewrite Hinfer, (proj2 (ty_eqb_ok _ _) eq_refl). }
    rewrite Hc. unfold check_lengths. rewrite Hlen, Nat.eqb_refl.
    replace (N.of_nat (length ctx)) with k by (destruct Hm; lia). rewrite instr_accepted.
    replace (S (length ctx)) with (length (ctx ++ [c_out (n_call n)])) by (rewrite app_length; simpl; lia).
    apply IH; [now apply holds_store|exact Hg].
  Qed.

  Theorem diagnose_accepts leaves g : typed_from decl_of def_of leaves g ->
    diagnose op_eqb decl_of def_of leaves g (compile_tape (saves_of decl_of) (length leaves) g) = None.
  Proof. intro H. unfold diagnose. apply (walk_accepts g _ _ leaves); [apply leaves_hold|exact H]. Qed.

  Hypothesis op_eqb_ok : forall a b, op_eqb a b = true -> a = b.

  Theorem check_exact leaves g tp :
    check op_eqb decl_of def_of leaves g tp = true <->
    typed_from decl_of def_of leaves g /\ tp = compile_tape (saves_of decl_of) (length leaves) g.
  Proof.
    split.
    - intro H. split; [exact (check_typed op_eqb decl_of def_of op_eqb_ok leaves g tp H)
                      |exact (check_tape op_eqb decl_of def_of op_eqb_ok leaves g tp H)].
    - intros [H ->]. unfold check. now rewrite diagnose_accepts.
  Qed.
End Complete.
