(** * The link: running the compiled tape is evaluating and backpropagating the graph

    [compile_tape] is [compile_tape] of src/prooftape/tape.py. The theorems hold for every type of tensors, every
    kernels, every [add], every set of wanted slots and every seed: no algebraic law is used anywhere, so they hold
    of floating point, bit for bit. The proof works because the graph's recursion and the tape's reversed loop both
    deal with a node after everything to its right, and because the values a node reads are never overwritten. *)
From Coq Require Import List NArith Bool Arith Lia.
From Prooftape.Spec Require Import Graph Tape Op.
From Prooftape.Core Require Import Typing.
Import ListNotations.
Open Scope nat_scope.

(** ** Reading a list that was extended *)
Lemma at_app_l A (d : A) l l' i : N.to_nat i < length l -> at_ d (l ++ l') i = at_ d l i.
Proof. intro H. unfold at_. now apply app_nth1. Qed.
Lemma at_app_mid A (d : A) l x l' : at_ d (l ++ x :: l') (N.of_nat (length l)) = x.
Proof. unfold at_. rewrite Nat2N.id, app_nth2, Nat.sub_diag by lia. reflexivity. Qed.

Section Compile.
  Variable op : Type.
  Variable saves : call op -> list nat.

  (** The instruction of a node whose result is slot [out]; entry p of operands ++ [result] is saved for each
      save position p. *)
  Definition compile_node (n : node op) (out : N) : instr op :=
    Instr (n_call n) out (n_args n)
      (map (fun p => nth p (n_args n ++ [out]) 0%N) (saves (n_call n)))
      (combine (n_nats n) (c_nats (n_call n))).
  Fixpoint compile_from (k : nat) (g : graph op) : tape op :=
    match g with
    | [] => []
    | n :: g' => compile_node n (N.of_nat k) :: compile_from (S k) g'
    end.
  Definition compile_tape (n_leaves : nat) (g : graph op) : tape op := compile_from n_leaves g.

  (** What the link needs of a graph: operands come earlier, save positions are operands or the result. *)
  Definition node_scoped (k : nat) (n : node op) : Prop :=
    (forall i, In i (n_args n) -> N.to_nat i < k) /\
    (forall p, In p (saves (n_call n)) -> p <= length (n_args n)).
  Fixpoint scoped_from (k : nat) (g : graph op) : Prop :=
    match g with
    | [] => True
    | n :: g' => node_scoped k n /\ scoped_from (S k) g'
    end.

  Section Run.
    Variable T : Type.
    Variable add : T -> T -> T.
    Variable default : T.
    Variable K : call op -> kernel T.
    Variable nats : N -> N.

    Lemma compiled_nats n out : instr_nats nats (compile_node n out) = node_nats nats n.
    Proof. reflexivity. Qed.

    (** ** Forward *)
    Theorem forward_is_eval g : forall k ctx,
      forward_from default K nats (compile_from k g) ctx = eval_from default K nats g ctx.
    Proof. induction g as [|n g IH]; intros k ctx; simpl; auto. Qed.

    Lemma eval_extends g : forall ctx, exists rest, eval_from default K nats g ctx = ctx ++ rest.
    Proof.
      induction g as [|n g IH]; intro ctx; simpl; [exists []; now rewrite app_nil_r|].
      destruct (IH (ctx ++ [node_value default K nats ctx n])) as [rest E]. rewrite E, <- app_assoc. eauto.
    Qed.
    Lemma eval_length g : forall ctx, length (eval_from default K nats g ctx) = length ctx + length g.
    Proof. induction g as [|n g IH]; intro ctx; simpl; [lia|]. rewrite IH, app_length. simpl. lia. Qed.

    (** ** Backward *)
    Variable wanted : N -> bool.

    (** The saved slots hold what the graph's semantics hands to the VJP. *)
    Lemma saved_slots n ctx v rest : node_scoped (length ctx) n ->
      slots default (ctx ++ v :: rest) (i_saves (compile_node n (N.of_nat (length ctx))))
      = map (fun p => nth p (values default ctx n ++ [v]) default) (saves (n_call n)).
    Proof.
      intros [Hargs Hsaves]. unfold slots, compile_node, values. simpl. rewrite map_map. apply map_ext_in.
      intros p Hp. specialize (Hsaves p Hp).
      destruct (Nat.eq_dec p (length (n_args n))) as [->|Hne].
      - rewrite !app_nth2, map_length, Nat.sub_diag by (rewrite ?map_length; lia). simpl. apply at_app_mid.
      - rewrite !app_nth1 by (rewrite ?map_length; lia).
        rewrite (nth_indep _ default (at_ default ctx 0%N)) by (rewrite map_length; lia).
        rewrite map_nth. apply at_app_l. apply Hargs, nth_In. lia.
    Qed.

    (** One turn of the reverse loop is one node of [backprop_from]. *)
    Lemma step_is_node n ctx rest ct : node_scoped (length ctx) n ->
      let v := node_value default K nats ctx n in
      backward_step add default K nats wanted (ctx ++ v :: rest) ct (compile_node n (N.of_nat (length ctx)))
      = contribute add ct (n_args n)
          (node_parts default K saves nats wanted ctx n (nth (length ctx) ct None)).
    Proof.
      intros H v. unfold backward_step, node_parts. rewrite (saved_slots n ctx v rest H). simpl.
      unfold at_. rewrite Nat2N.id.
      assert (Z : contribute add ct (n_args n) [] = ct) by (unfold contribute; now destruct (n_args n)).
      destruct (nth (length ctx) ct None) as [d|]; auto.
      destruct (existsb _ _); auto.
    Qed.

    Theorem backward_is_backprop_from g : forall ctx seed, scoped_from (length ctx) g ->
      backward_dense_from add default K nats wanted (compile_from (length ctx) g) (eval_from default K nats g ctx) seed
      = backprop_from add default K saves nats wanted g ctx seed.
    Proof.
      induction g as [|n g IH]; intros ctx seed H; simpl; auto.
      destruct H as [Hn Hg]. set (v := node_value default K nats ctx n).
      assert (L : length (ctx ++ [v]) = S (length ctx)) by (rewrite app_length; simpl; lia).
      unfold backward_dense_from in *. simpl. rewrite fold_left_app. simpl.
      rewrite <- L, IH by now rewrite L.
      destruct (eval_extends g (ctx ++ [v])) as [rest E]. rewrite E, <- app_assoc. simpl.
      apply (step_is_node n ctx rest _ Hn).
    Qed.
  End Run.

  (** T1 for any scoped graph. *)
  Theorem compiled_tape_is_graph g n_leaves : scoped_from n_leaves g ->
    forall (T : Type) (add : T -> T -> T) (default : T) (K : call op -> kernel T)
           (nats : N -> N) (wanted : N -> bool) (x : list T) (seed : list (option T)), length x = n_leaves ->
      let values := eval default K nats g x in
      forward_from default K nats (compile_tape n_leaves g) x = values /\
      backward_dense_from add default K nats wanted (compile_tape n_leaves g) values seed
        = backprop_all_ctx add default K saves nats wanted g x seed.
  Proof.
    intros H T add default K nats wanted x seed <-. split.
    - apply forward_is_eval.
    - now apply backward_is_backprop_from.
  Qed.
End Compile.
Arguments compile_node {op} _ _ _. Arguments compile_from {op} _ _ _. Arguments compile_tape {op} _ _ _.
Arguments node_scoped {op} _ _ _. Arguments scoped_from {op} _ _ _.

(** ** Well-typed graphs are scoped *)
Section Typed.
  Variable op : Type.
  Variable decl_of : op -> decl.
  Variable def_of : op -> opdef.

  Lemma save_positions_in_range d n p : In p (save_positions d n) -> p <= n.
  Proof.
    unfold save_positions. rewrite in_flat_map. intros ([i|] & _ & H); simpl in H.
    - destruct (Nat.ltb_spec i n); simpl in H; [|tauto]. destruct H as [<-|[]]. lia.
    - destruct H as [<-|[]]. lia.
  Qed.

  Lemma typed_arity ctx n : node_typed decl_of def_of ctx n -> length (n_args n) = length (c_tys (n_call n)).
  Proof. intros (_ & E & _). now rewrite <- E, map_length. Qed.

  Lemma typed_node_scoped ctx n : node_typed decl_of def_of ctx n -> node_scoped (saves_of decl_of) (length ctx) n.
  Proof.
    intro H. split; [apply H|].
    intros p Hp. rewrite (typed_arity ctx n H). now apply save_positions_in_range with (d := decl_of (c_op (n_call n))).
  Qed.
  Lemma typed_scoped g : forall ctx, typed_from decl_of def_of ctx g -> scoped_from (saves_of decl_of) (length ctx) g.
  Proof.
    induction g as [|n g IH]; intros ctx H; simpl; auto. destruct H as [Hn Hg]. split.
    - now apply typed_node_scoped.
    - specialize (IH _ Hg). rewrite app_length in IH. simpl in IH. now rewrite Nat.add_1_r in IH.
  Qed.
End Typed.
