(** * Holding values where they are

    What [eval_held] of Spec/Statements.v is: evaluation, when nothing is held, and also at the point it is held at. *)
From Coq Require Import List NArith Bool Arith.
From Prooftape.Spec Require Import Scalar Graph Op RealNum Statements.
From Prooftape.Core Require Import Link.
Import ListNotations.

Section Held.
  Variable op : Type.
  Variable decl_of : op -> decl.
  Variable def_of : op -> opdef.
  Variable held : op -> bool.
  Variable w : world.
  Variable nats : N -> N.
  Notation K := (kern decl_of def_of Rnum w).

  Theorem nothing_held base g : forall ctx, existsb (fun n => held (c_op (n_call n))) g = false ->
    eval_held op decl_of def_of held w nats base g ctx = eval [] K nats g ctx.
  Proof.
    unfold eval. induction g as [|n g IH]; intros ctx H; [reflexivity|].
    apply orb_false_iff in H. destruct H as [Hn Hg]. cbn [eval_held eval_from]. rewrite Hn. now apply IH.
  Qed.

  Theorem held_here g : forall x, eval_held op decl_of def_of held w nats (eval [] K nats g x) g x = eval [] K nats g x.
  Proof.
    unfold eval. induction g as [|n g IH]; intro x; [reflexivity|]. cbn [eval_held eval_from].
    set (v := node_value [] K nats x n).
    destruct (eval_extends op (list Rnum) [] K nats g (x ++ [v])) as [rest E].
    assert (Ev : nth (length x) (eval_from [] K nats g (x ++ [v])) [] = v).
    { rewrite E, <- app_assoc. apply nth_middle. }
    rewrite Ev. destruct (held _); apply IH.
  Qed.
End Held.
