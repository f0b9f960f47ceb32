(** * The checker of certificates

    A certificate is a file with plain data in the types of [Spec]: each distinct call once, then one line per
    node and one per instruction, with the theorem about them:

      Definition c0 : call opname := Call op_matmul [] [Ty Real [2; 3]; Ty Real [3; 4]] [] (Ty Real [2; 4]).
      Definition c1 : call opname := Call op_tanh [] [Ty Real [2; 4]] [] (Ty Real [2; 4]).
      Definition leaves : list ty := [Ty Real [2; 3]; Ty Real [3; 4]].
      Definition graph : graph opname := [
        Node c0 [0; 1] [];
        Node c1 [2] []].
      Definition tape : tape opname := [
        Instr c0 2 [0; 1] [0; 1] [];
        Instr c1 3 [2] [3] []].

    all numbers in [N_scope]. A node is: call, operand slots, start of each index vector. An instruction is: call,
    result slot, operand slots, saved slots, (start, length) of each index vector. Slots count the leaves first.

    [diagnose] walks nodes and instructions together, in program order, and gives the first problem or None;
    [check] accepts when there is none. Types of slots are kept in a binary tree; checking 3,000 nodes takes about
    0.1 s, reading them 3 s. (Looking up whether an equal call was accepted before costs more than its shape rule.) *)
From Coq Require Import List NArith Bool Arith Lia FMapPositive.
From Prooftape.Spec Require Import Graph Tape Op Statements.
From Prooftape.Core Require Import Typing Link CheckerEq.
Import ListNotations.
Open Scope nat_scope.

(** What is wrong with a node (the first six) or with its instruction. *)
Inductive reason :=
| UnknownSlot (operand slot : N)                    (* the operand is not an earlier slot *)
| OperandType (operand slot : N) (found wanted : ty)  (* the slot's type is not the one the call was typed with *)
| OperandCount (found wanted : nat)
| IndexVectorCount (found wanted : nat)
| CallRefused                                       (* the op's rule refuses attributes, types or lengths *)
| ResultType (found wanted : ty)                    (* the op's rule gives another type than the call says *)
| InstrCall
| InstrOut (found wanted : N)
| InstrArgs (found wanted : list N)
| InstrSaves (found wanted : list N)
| InstrNats (found wanted : list (N * N))
| MissingInstr
| ExtraInstr.                                       (* an instruction after the last node *)
(** [At slot reason]: the slot is the node's result; leaves are not checked. *)
Inductive problem := At (slot : N) (why : reason).

(** The first of two checks that finds a problem; the second is not run when the first did. *)
Local Notation "a 'then_check' b" := (match a with None => b | Some r => Some r end) (at level 60, right associativity).

(** ** Types of slots, in a tree *)
Definition types := PositiveMap.t ty.
Definition find (m : types) (i : N) : option ty := PositiveMap.find (N.succ_pos i) m.
Definition store (m : types) (i : N) (t : ty) : types := PositiveMap.add (N.succ_pos i) t m.
Fixpoint store_all (m : types) (i : N) (l : list ty) : types :=
  match l with [] => m | t :: l' => store_all (store m i t) (N.succ i) l' end.

(** The tree holds the list [l], and [k] is the next slot. *)
Definition holds_list (m : types) (k : N) (l : list ty) : Prop :=
  N.to_nat k = length l /\ forall i, find m i = nth_error l (N.to_nat i).

Lemma holds_empty : holds_list (PositiveMap.empty ty) 0 [].
Proof.
  split; [reflexivity|]. intro i. unfold find. rewrite PositiveMap.gempty. now destruct (N.to_nat i).
Qed.
Lemma succ_pos_inj i j : N.succ_pos i = N.succ_pos j -> i = j.
Proof. intro H. apply N.succ_inj. rewrite <- !N.succ_pos_spec. now rewrite H. Qed.
Lemma holds_store m k l t : holds_list m k l -> holds_list (store m k t) (N.succ k) (l ++ [t]).
Proof.
  intros [Hk H]. split; [rewrite app_length; simpl; lia|]. intro i. unfold find, store.
  destruct (N.eq_dec i k) as [->|Hne].
  - rewrite PositiveMap.gss, Hk, nth_error_app2, Nat.sub_diag by lia. reflexivity.
  - rewrite PositiveMap.gso by (intro E; now apply Hne, succ_pos_inj).
    fold (find m i). rewrite H.
    destruct (Nat.lt_ge_cases (N.to_nat i) (length l)) as [L|L]; [now rewrite nth_error_app1|].
    rewrite !(proj2 (nth_error_None _ _)); auto. rewrite app_length. simpl. lia.
Qed.
Lemma holds_store_all l' : forall m k l, holds_list m k l ->
  holds_list (store_all m k l') (k + N.of_nat (length l')) (l ++ l').
Proof.
  induction l' as [|t l' IH]; intros m k l H; simpl; [now rewrite N.add_0_r, app_nil_r|].
  apply (holds_store _ _ _ t), IH in H. rewrite <- app_assoc in H. simpl in H.
  now replace (k + N.pos (Pos.of_succ_nat (length l')))%N with (N.succ k + N.of_nat (length l'))%N by lia.
Qed.

Section Check.
  Variable op : Type.
  Variable op_eqb : op -> op -> bool.
  Variable decl_of : op -> decl.
  Variable def_of : op -> opdef.

  (** ** One node *)
  Fixpoint check_operands (m : types) (j : N) (args : list N) (tys : list ty) : option reason :=
    match args, tys with
    | [], [] => None
    | a :: args', t :: tys' =>
        match find m a with
        | None => Some (UnknownSlot j a)
        | Some u => if ty_eqb u t then check_operands m (N.succ j) args' tys' else Some (OperandType j a u t)
        end
    | _, _ => Some (OperandCount (N.to_nat j + length args) (N.to_nat j + length tys))
    end.
  Definition check_call (c : call op) : option reason :=
    match infer (decl_of (c_op c)) (def_of (c_op c)) (c_attrs c) (c_tys c) (c_nats c) with
    | None => Some CallRefused
    | Some t => if ty_eqb t (c_out c) then None else Some (ResultType (c_out c) t)
    end.
  Definition check_lengths (n : node op) : option reason :=
    let found := length (n_nats n) in
    let wanted := length (c_nats (n_call n)) in
    if found =? wanted then None else Some (IndexVectorCount found wanted).

  (** ** One instruction *)
  Definition check_instr (n : node op) (k : N) (i : instr op) : option reason :=
    let e := compile_node (saves_of decl_of) n k in
    if negb (call_eqb op_eqb (i_call i) (i_call e)) then Some InstrCall else
    if negb (N.eqb (i_out i) (i_out e)) then Some (InstrOut (i_out i) (i_out e)) else
    if negb (list_eqb N.eqb (i_args i) (i_args e)) then Some (InstrArgs (i_args i) (i_args e)) else
    if negb (list_eqb N.eqb (i_saves i) (i_saves e)) then Some (InstrSaves (i_saves i) (i_saves e)) else
    if negb (list_eqb (pair_eqb N.eqb N.eqb) (i_nats i) (i_nats e)) then Some (InstrNats (i_nats i) (i_nats e)) else
    None.

  (** ** All of them *)
  Fixpoint walk (k : N) (m : types) (g : graph op) (tp : tape op) : option problem :=
    match g, tp with
    | [], [] => None
    | [], _ :: _ => Some (At k ExtraInstr)
    | n :: g', _ =>
        let c := n_call n in
        match
          check_operands m 0 (n_args n) (c_tys c) then_check
          check_call c then_check
          check_lengths n then_check
          match tp with [] => Some MissingInstr | i :: _ => check_instr n k i end
        with
        | Some r => Some (At k r)
        | None => walk (N.succ k) (store m k (c_out c)) g' (tl tp)
        end
    end.

  Definition diagnose (leaves : list ty) (g : graph op) (tp : tape op) : option problem :=
    walk (N.of_nat (length leaves)) (store_all (PositiveMap.empty ty) 0 leaves) g tp.
  Definition check (leaves : list ty) (g : graph op) (tp : tape op) : bool :=
    match diagnose leaves g tp with None => true | Some _ => false end.

  Lemma check_is_no_problem leaves g tp : check leaves g tp = true <-> diagnose leaves g tp = None.
  Proof. unfold check. now destruct (diagnose leaves g tp). Qed.

  (** ** Soundness *)
  Hypothesis op_eqb_ok : forall a b, op_eqb a b = true -> a = b.

  Lemma operands_ok m k ctx : holds_list m k ctx -> forall args tys j, check_operands m j args tys = None ->
    (forall a, In a args -> N.to_nat a < length ctx) /\ map (at_ (Ty Mask []) ctx) args = tys.
  Proof.
    intros [_ H] args. induction args as [|a args IH]; intros [|t tys] j; simpl; try discriminate; [easy|].
    rewrite H. destruct (nth_error ctx (N.to_nat a)) as [u|] eqn:E; [|discriminate].
    destruct (ty_eqb u t) eqn:Et; [|discriminate]. intro Hrest. apply IH in Hrest. destruct Hrest as [Hin Hmap].
    apply ty_eqb_ok in Et. subst u. split.
    - intros b [<-|Hb]; auto. apply nth_error_Some. congruence.
    - f_equal; auto. unfold at_. now apply nth_error_nth.
  Qed.

  Definition accepted (c : call op) : Prop :=
    infer (decl_of (c_op c)) (def_of (c_op c)) (c_attrs c) (c_tys c) (c_nats c) = Some (c_out c).
  Lemma call_ok c : check_call c = None -> accepted c.
  Proof.
    unfold check_call, accepted. destruct (infer _ _ _ _ _) as [t|]; [|discriminate].
    destruct (ty_eqb t (c_out c)) eqn:E; [|discriminate]. intros _. apply ty_eqb_ok in E. now subst t.
  Qed.
  Lemma lengths_ok n : check_lengths n = None -> length (n_nats n) = length (c_nats (n_call n)).
  Proof. unfold check_lengths. now destruct (Nat.eqb_spec (length (n_nats n)) (length (c_nats (n_call n)))). Qed.

  Lemma instr_ok n k i : check_instr n k i = None -> i = compile_node (saves_of decl_of) n k.
  Proof.
    unfold check_instr. destruct (compile_node _ _ _) as [c' o' a' s' v'], i as [c o a s v]. simpl.
    destruct (call_eqb op_eqb c c') eqn:Ec; [|discriminate]. destruct (N.eqb o o') eqn:Eo; [|discriminate].
    destruct (list_eqb N.eqb a a') eqn:Ea; [|discriminate]. destruct (list_eqb N.eqb s s') eqn:Es; [|discriminate].
    destruct (list_eqb _ v v') eqn:Ev; [|discriminate]. intros _.
    apply (call_eqb_ok _ _ op_eqb_ok) in Ec. apply N_eqb_ok in Eo.
    apply (list_eqb_ok _ _ N_eqb_ok) in Ea. apply (list_eqb_ok _ _ N_eqb_ok) in Es.
    apply (list_eqb_ok _ _ (pair_eqb_ok _ _ _ _ N_eqb_ok N_eqb_ok)) in Ev. congruence.
  Qed.

  Lemma walk_ok g : forall k m ctx tp, holds_list m k ctx -> walk k m g tp = None ->
    typed_from decl_of def_of ctx g /\ tp = compile_from (saves_of decl_of) (length ctx) g.
  Proof.
    induction g as [|n g IH]; intros k m ctx tp Hm Hw; simpl in Hw.
    - now destruct tp.
    - destruct (check_operands m 0 (n_args n) (c_tys (n_call n))) eqn:Ho; [discriminate|].
      destruct (check_call (n_call n)) eqn:Hc; [discriminate|].
      destruct (check_lengths n) eqn:Hl; [discriminate|].
      destruct tp as [|i tp]; [discriminate|]. destruct (check_instr n k i) eqn:Hi; [discriminate|].
      apply (operands_ok m k ctx Hm) in Ho. apply call_ok in Hc. apply lengths_ok in Hl. apply instr_ok in Hi.
      apply (IH _ _ (ctx ++ [c_out (n_call n)]) tp) in Hw; [|now apply holds_store].
      destruct Hw as [Hg Htp]. destruct Hm as [Hk _]. simpl. split.
      + split; [|exact Hg]. unfold node_typed. tauto.
      + rewrite app_length in Htp. simpl in Htp. rewrite Nat.add_1_r in Htp.
        now rewrite Hi, Htp, <- Hk, N2Nat.id.
  Qed.

  Lemma leaves_hold leaves :
    holds_list (store_all (PositiveMap.empty ty) 0 leaves) (N.of_nat (length leaves)) leaves.
  Proof. exact (holds_store_all leaves _ _ [] holds_empty). Qed.

  Section Accepted.
    Variable leaves : list ty.
    Variable g : graph op.
    Variable tp : tape op.
    Hypothesis accepts : check leaves g tp = true.

    Lemma check_ok :
      typed_from decl_of def_of leaves g /\ tp = compile_tape (saves_of decl_of) (length leaves) g.
    Proof.
      unfold check, diagnose in accepts. destruct (walk _ _ _ _) eqn:E; [discriminate|].
      exact (walk_ok g _ _ leaves tp (leaves_hold leaves) E).
    Qed.
    (** What the theorems about derivatives assume. *)
    Theorem check_typed : typed_from decl_of def_of leaves g.
    Proof. exact (proj1 check_ok). Qed.
    Theorem check_tape : tp = compile_tape (saves_of decl_of) (length leaves) g.
    Proof. exact (proj2 check_ok). Qed.

    (** T1 of every pair that the checker accepts. *)
    Theorem check_linked : Linked op decl_of leaves g tp.
    Proof.
      unfold Linked. intros T add default K nats wanted x seed Hx _. rewrite check_tape.
      apply compiled_tape_is_graph; [|exact Hx].
      apply (typed_scoped op decl_of def_of g leaves check_typed).
    Qed.
  End Accepted.
End Check.
Arguments check {op} _ _ _ _ _ _. Arguments diagnose {op} _ _ _ _ _ _. Arguments walk {op} _ _ _ _ _ _ _.
Arguments check_typed {op} _ _ _ _ _ _ _ _. Arguments check_tape {op} _ _ _ _ _ _ _ _.
Arguments check_linked {op} _ _ _ _ _ _ _ _.
