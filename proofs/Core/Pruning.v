(** * Pruning: cotangents nobody needs may be left out

    A set of slots is closed when a node belongs to it as soon as one of its operands does, unless the node's VJP
    is silent, that of an op without a derivative: the slots whose cotangents feed the ones that are asked for.
    Backprop restricted to a closed set gives on that set what unrestricted backprop gives, provided a kernel's part
    for one operand does not depend on which other operands ask. That proviso is a property of kernels, and the
    kernels of the op table have it; those of their ops that are not differentiable are silent. *)
From Coq Require Import List NArith Bool Arith Lia.
From Prooftape.Spec Require Import Scalar Block Graph Tape Op.
From Prooftape.Core Require Import Link.
Import ListNotations.
Open Scope nat_scope.

Definition parts_independent {op T} (K : call op -> kernel T) : Prop :=
  forall c nats saved d asks asks' j, length asks = length asks' ->
    nth j asks false = true -> nth j asks' false = true ->
    nth j (k_vjp (K c) nats saved d asks) None = nth j (k_vjp (K c) nats saved d asks') None.

(** The VJP leaves every operand's cotangent absent. *)
Definition silent {op T} (K : call op -> kernel T) (c : call op) : Prop :=
  forall nats saved d asks j, nth j (k_vjp (K c) nats saved d asks) None = None.

Fixpoint closed_from {op T} (K : call op -> kernel T) (needed : N -> bool) (k : nat) (g : graph op) : Prop :=
  match g with
  | [] => True
  | n :: g' =>
      (silent K (n_call n) \/ forall a, In a (n_args n) -> needed a = true -> needed (N.of_nat k) = true) /\
      closed_from K needed (S k) g'
  end.

Section Pruning.
  Variables (op T : Type).
  Variable add : T -> T -> T.
  Variable default : T.
  Variable K : call op -> kernel T.
  Variable saves : call op -> list nat.
  Variable nats : N -> N.
  Hypothesis independent : parts_independent K.

  (** ** Contributions, entry by entry *)
  Lemma add_at_length t : forall ct k, length (add_at add ct k t) = length ct.
  Proof. induction ct as [|c ct IH]; intros [|k]; simpl; auto. Qed.
  Lemma add_at_none : forall ct k, add_at add ct k None = ct.
  Proof. induction ct as [|c ct IH]; intros [|k]; simpl; auto; [now destruct c|now rewrite IH]. Qed.
  Lemma nth_add_at t : forall ct k i, nth i (add_at add ct k t) None
    = if (i =? k) && (k <? length ct) then merge add (nth i ct None) t else nth i ct None.
  Proof. induction ct as [|c ct IH]; intros [|k] [|i]; simpl; auto; [now rewrite andb_false_r|]. now rewrite IH. Qed.

  (** A list of parts that is too short contributes nothing at its end. *)
  Lemma contribute_cons ct a args parts :
    contribute add ct (a :: args) parts = contribute add (add_at add ct (N.to_nat a) (hd None parts)) args (tl parts).
  Proof.
    destruct parts as [|t parts]; auto. unfold contribute. simpl. rewrite add_at_none. now destruct args.
  Qed.
  Lemma contribute_length args : forall ct parts, length (contribute add ct args parts) = length ct.
  Proof.
    induction args as [|a args IH]; intros ct parts; [reflexivity|]. now rewrite contribute_cons, IH, add_at_length.
  Qed.
  Lemma backprop_length wanted g : forall ctx ct,
    length (backprop_from add default K saves nats wanted g ctx ct) = length ct.
  Proof. induction g as [|n g IH]; intros ctx ct; simpl; auto. now rewrite contribute_length, IH. Qed.

  (** ** Two sets of wanted slots *)
  Variables needed wanted : N -> bool.
  Hypothesis needed_wanted : forall i, needed i = true -> wanted i = true.

  Definition agree (ct ct' : list (option T)) : Prop :=
    length ct = length ct' /\ forall i, needed (N.of_nat i) = true -> nth i ct None = nth i ct' None.

  Lemma contribute_agree args : forall ct ct' parts parts', agree ct ct' ->
    (forall j a, nth_error args j = Some a -> needed a = true -> nth j parts None = nth j parts' None) ->
    agree (contribute add ct args parts) (contribute add ct' args parts').
  Proof.
    induction args as [|a args IH]; intros ct ct' parts parts' [Hlen Hct] Hparts; [now split|].
    rewrite !contribute_cons. apply IH.
    - split; [now rewrite !add_at_length|]. intros i Hi. rewrite !nth_add_at, Hlen, (Hct i Hi).
      destruct ((i =? N.to_nat a) && (N.to_nat a <? length ct')) eqn:E; auto.
      apply andb_true_iff in E. destruct E as [E _]. apply Nat.eqb_eq in E. f_equal.
      specialize (Hparts 0 a eq_refl). subst i. rewrite N2Nat.id in Hi. specialize (Hparts Hi).
      now destruct parts, parts'.
    - intros j b Hj Hb.
      assert (Tail : forall l : list (option T), nth j (tl l) None = nth (S j) l None) by (intros [|]; now destruct j).
      rewrite !Tail. exact (Hparts (S j) b Hj Hb).
  Qed.

  Lemma silent_parts ctx n d j : silent K (n_call n) -> forall w,
    nth j (node_parts default K saves nats w ctx n d) None = None.
  Proof.
    intros Hs w. unfold node_parts. destruct d as [d|]; [|now destruct j].
    destruct (existsb _ _); [apply Hs|now destruct j].
  Qed.

  Theorem pruned_from g : forall ctx seed seed', closed_from K needed (length ctx) g -> agree seed seed' ->
    agree (backprop_from add default K saves nats needed g ctx seed)
          (backprop_from add default K saves nats wanted g ctx seed').
  Proof.
    induction g as [|n g IH]; intros ctx seed seed' Hclosed Hseed; simpl; auto.
    destruct Hclosed as [Hn Hg]. set (v := node_value default K nats ctx n).
    assert (L : length (ctx ++ [v]) = S (length ctx)) by (rewrite app_length; simpl; lia).
    specialize (IH (ctx ++ [v]) seed seed'). rewrite L in IH. specialize (IH Hg Hseed).
    apply contribute_agree; auto. intros j a Hj Ha.
    destruct Hn as [Hn|Hn]; [now rewrite !silent_parts|].
    pose proof (nth_error_In _ _ Hj) as Hin. destruct IH as [_ Hct]. rewrite (Hct _ (Hn a Hin Ha)).
    unfold node_parts. destruct (nth (length ctx) _ None) as [d|]; auto.
    assert (Asks : forall w, w a = true -> existsb (fun b => b) (map w (n_args n)) = true /\
                                           nth j (map w (n_args n)) false = true).
    { intros w Hw. split.
      - apply existsb_exists. exists true. split; auto. rewrite <- Hw. now apply in_map.
      - apply nth_error_nth. now rewrite (map_nth_error w j (n_args n) Hj), Hw. }
    destruct (Asks needed Ha) as [-> Hj1]. destruct (Asks wanted (needed_wanted a Ha)) as [-> Hj2].
    apply independent; auto. now rewrite !map_length.
  Qed.
End Pruning.

(** ** The statement for whole graphs, and for tapes *)
Section Whole.
  Variables (op T : Type).
  Variable add : T -> T -> T.
  Variable default : T.
  Variable K : call op -> kernel T.
  Variable saves : call op -> list nat.
  Variable nats : N -> N.
  Variables needed wanted : N -> bool.
  Hypothesis independent : parts_independent K.
  Hypothesis needed_wanted : forall i, needed i = true -> wanted i = true.

  Theorem pruned_backprop g x seed i : closed_from K needed (length x) g -> needed i = true ->
    at_ None (backprop_all_ctx add default K saves nats needed g x seed) i
    = at_ None (backprop_all_ctx add default K saves nats wanted g x seed) i.
  Proof.
    intros Hclosed Hi. unfold backprop_all_ctx.
    destruct (pruned_from op T add default K saves nats independent needed wanted needed_wanted g x seed seed Hclosed)
      as [_ H]; [now split|].
    apply H. now rewrite N2Nat.id.
  Qed.

  Theorem pruned_tape g x seed i : scoped_from saves (length x) g -> closed_from K needed (length x) g ->
    needed i = true ->
    let values := eval default K nats g x in
    let tape := compile_tape saves (length x) g in
    at_ None (backward_dense_from add default K nats needed tape values seed) i
    = at_ None (backward_dense_from add default K nats wanted tape values seed) i.
  Proof.
    intros Hscoped Hclosed Hi. simpl.
    rewrite !(proj2 (compiled_tape_is_graph op saves g (length x) Hscoped T add default K nats _ x seed eq_refl)).
    now apply pruned_backprop.
  Qed.
End Whole.

(** ** The kernels of the op table are independent *)
Section Kernels.
  Variables (A : Type) (f : ty -> A -> option A).
  Definition part (p : bool * ty * A) : option A := if fst (fst p) then f (snd (fst p)) (snd p) else None.
  Lemma nth_asked (asks : list bool) : forall tys parts j, nth j asks false = true ->
    nth j (map part (combine (combine asks tys) parts)) None
    = nth j (map (fun p : ty * A => f (fst p) (snd p)) (combine tys parts)) None.
  Proof.
    induction asks as [|b asks IH]; intros [|t tys] [|p parts] [|j] H; simpl in *; try discriminate; auto.
    unfold part. simpl. now rewrite H.
  Qed.
End Kernels.
Lemma kern_independent (op : Type) (decl_of : op -> decl) (def_of : op -> opdef) (R : num) (w : world) :
  parts_independent (kern decl_of def_of R w).
Proof.
  intros c nats saved d asks asks' j _ H H'. unfold kern. simpl.
  destruct (d_differentiable (decl_of (c_op c))).
  - set (f := fun t (v : list R) => if is_real t then Some v else None).
    assert (E : forall l, map (fun p => if fst (fst p) && is_real (snd (fst p)) then Some (snd p) else None) l
                          = map (part (list R) f) l) by (intro l; apply map_ext; now intros [[[] t] v]).
    now rewrite !E, !nth_asked.
  - assert (E : forall l : list bool, nth j (map (fun _ => @None (list R)) l) None = None).
    { clear. intro l. revert l. induction j; intros [|b l]; simpl; auto. }
    now rewrite !E.
Qed.

Lemma kern_silent (op : Type) (decl_of : op -> decl) (def_of : op -> opdef) (R : num) (w : world) c :
  d_differentiable (decl_of (c_op c)) = false -> silent (kern decl_of def_of R w) c.
Proof.
  intros H nats saved d asks j. unfold kern. simpl. rewrite H. revert j.
  induction asks as [|b asks IH]; intros [|j]; simpl; auto.
Qed.

(** The hypotheses hold of a graph with a part to leave out: slots 0, 2 and 4 feed the gradient of leaf 0. Slot 5,
    made of slot 0 by an op without a derivative, feeds nothing. *)
Definition smooth_call : call bool := Call true [] [] [] (Ty Real []).
Definition rough_call : call bool := Call false [] [] [] (Ty Real []).
Definition two_branches : graph bool :=
  [Node smooth_call [0%N] []; Node smooth_call [1%N] []; Node smooth_call [2; 3]%N []; Node rough_call [0%N] []].
Definition bool_kernels (c : call bool) : kernel nat :=
  Kernel (fun _ _ => 0) (fun _ _ _ _ => None) (fun _ _ d asks => if c_op c then map (fun _ => Some d) asks else []).
Example bool_kernels_independent : parts_independent bool_kernels.
Proof.
  intros c nats saved d asks asks' j _ H H'. simpl. destruct (c_op c); [|reflexivity].
  assert (E : forall l, nth j l false = true -> nth j (map (fun _ : bool => Some d) l) None = Some d).
  { clear. induction j; intros [|b l]; simpl; auto; discriminate. }
  now rewrite !E.
Qed.
Definition feeds_leaf_0 (i : N) : bool := N.even i.
Example two_branches_closed : closed_from bool_kernels feeds_leaf_0 2 two_branches.
Proof.
  repeat split; try (right; intros a Ha; repeat destruct Ha as [<-|Ha]; simpl; auto; try discriminate; now destruct Ha).
  left. intros nats saved d asks [|j]; reflexivity.
Qed.
