(** * Which values a VJP reads

    [reads_only n saves p] decides, for a program p over n operands, that the Jacobian rows its VJP multiplies by
    can be computed from the operands in [saves] (and from the result, if position n is in [saves]). It computes
    with symbolic sizes and rows: only the kinds of the blocks, their arguments and the slopes are looked at.
    [saves_by_check] turns it into the obligation [saves_enough]; [saves_all] and [saves_silent] serve programs
    whose structure is not concrete. *)
From Coq Require Import List NArith QArith Bool Arith Lia.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op.
From Prooftape.Core Require Import Obligations Sums.
Import ListNotations.
Open Scope nat_scope.

(** ** The check *)

(** [e] mentions only arguments that [known] has true; one past the end of [known] reads 0 and is known too. *)
Fixpoint sx_known (known : list bool) (e : sx) : bool :=
  match e with
  | Arg i => nth i known true
  | Par _ | Lit _ => true
  | Add a b | Sub a b | Mul a b | Div a b | Max a b | Min a b | Gt a b | Ge a b | Equal a b =>
      sx_known known a && sx_known known b
  | Neg a | Recip a | Square a | Pow a _ | PowPrime a _ | Abs a | Sign a | Fn _ a => sx_known known a
  | If c a b => sx_known known c && (sx_known known a && sx_known known b)
  end.

(** The result of b is computable, by what is known of its arguments. *)
Definition fwd_known (b : blk) (known : list bool) : bool :=
  match b with
  | Lin _ _ => forallb (fun k => k) known
  | Bil _ _ => nth 0 known true && nth 1 known true
  | Ew _ f _ _ | Cmp _ f _ => sx_known known f
  | Best _ _ _ | BestMask _ _ | NoneOf _ _ => nth 0 known true
  | Const _ => true
  end.

(** The Jacobian of b is computable, by what is known of its arguments and of its result. *)
Definition jac_known (b : blk) (known : list bool) (out : bool) : bool :=
  match b with
  | Bil _ _ => nth 0 known true && nth 1 known true
  | Ew _ _ _ ds => forallb (fun d => match d with Some d => sx_known (known ++ [out]) d | None => true end) ds
  | Best _ _ _ => nth 0 known true
  | Lin _ _ | Const _ | Cmp _ _ _ | BestMask _ _ | NoneOf _ _ => true
  end.

Fixpoint steps_known (result : bool) (known : list bool) (p : prog) : bool :=
  match p with
  | [] => true
  | s :: p' =>
      let args := map (fun k => nth k known false) (s_args s) in
      let out := fwd_known (s_blk s) args || (match p' with [] => result | _ => false end) in
      jac_known (s_blk s) args out && steps_known result (known ++ [out]) p'
  end.

Definition is_saved (saves : list nat) (k : nat) : bool := existsb (Nat.eqb k) saves.
Definition reads_only (n : nat) (saves : list nat) (p : prog) : bool :=
  steps_known (is_saved saves n) (map (is_saved saves) (seq 0 n)) p.

(** Blocks whose Jacobian reads no value at all. *)
Definition blk_silent (b : blk) : bool :=
  match b with Bil _ _ | Ew _ _ _ _ | Best _ _ _ => false | _ => true end.

(** ** Agreement of two lists of values *)
Section Agree.
  Variable R : num.
  Notation ten := (list R).

  (** Two lists of values agree where they are known; past the end of [known] they agree too. *)
  Definition agree (known : list bool) (a a' : list ten) : Prop :=
    length a = length a' /\ forall k, nth k known true = true -> slot a k = slot a' k.

  Lemma nth_cell (a : list ten) i k : nth k (cell a i) zero = tget (slot a k) i.
  Proof.
    unfold cell, slot. destruct (Nat.lt_ge_cases k (length a)) as [H | H].
    - rewrite nth_indep with (d' := tget [] i) by (now rewrite map_length).
      apply (map_nth (fun t : ten => tget t i)).
    - rewrite !nth_overflow by (rewrite ?map_length; lia). now destruct i.
  Qed.

  Lemma sxe_agree ps (env env' : list R) known e :
    (forall k, nth k known true = true -> nth k env zero = nth k env' zero) ->
    sx_known known e = true -> sxe ps env e = sxe ps env' e.
  Proof.
    intro H. induction e; cbn [sx_known sxe]; intro K; rewrite ?andb_true_iff in K;
      try (rewrite ?IHe, ?IHe1, ?IHe2, ?IHe3 by tauto; reflexivity); now apply H.
  Qed.

  Lemma agree_all known (a a' : list ten) :
    length known = length a -> agree known a a' -> forallb (fun k => k) known = true -> a = a'.
  Proof.
    intros L [La H] K. apply (nth_ext _ _ [] []); auto. intros k Hk. apply H.
    rewrite forallb_forall in K. apply K, nth_In. lia.
  Qed.

  Lemma bfwd_agree b known (a a' : list ten) :
    length known = length a -> agree known a a' -> fwd_known b known = true -> bfwd b a = bfwd b a'.
  Proof.
    intros L A. pose proof A as [La H]. destruct b; cbn [fwd_known bfwd]; intro K; rewrite ?andb_true_iff in K.
    - now rewrite (agree_all _ _ _ L A K).
    - rewrite (H 0), (H 1) by tauto. reflexivity.
    - apply map_ext. intro i. apply (sxe_agree _ _ _ known); auto. intros k Hk. rewrite !nth_cell. now rewrite H.
    - now rewrite (H 0).
    - reflexivity.
    - apply map_ext. intro i. apply (sxe_agree _ _ _ known); auto. intros k Hk. rewrite !nth_cell. now rewrite H.
    - now rewrite (H 0).
    - now rewrite (H 0).
  Qed.

  Lemma bjac_agree b known out (a a' : list ten) (o o' : ten) j i :
    length known = length a -> agree known a a' -> (out = true -> o = o') ->
    jac_known b known out = true -> bjac b a o j i = bjac b a' o' j i.
  Proof.
    intros L A O. pose proof A as [La H]. destruct b; cbn [jac_known bjac]; intro K; rewrite ?andb_true_iff in K;
      try reflexivity.
    - now rewrite (H 0), (H 1) by tauto.
    - destruct (nth j ds None) as [d |] eqn:E; [| reflexivity].
      assert (sx_known (known ++ [out]) d = true) as Kd.
      { rewrite forallb_forall in K. apply (K (Some d)). rewrite <- E. apply nth_In.
        destruct (Nat.lt_ge_cases j (length ds)) as [| G]; auto.
        rewrite nth_overflow in E by exact G. discriminate. }
      do 2 f_equal. refine (sxe_agree _ _ _ (known ++ [out]) _ _ Kd). intros k Hk.
      destruct (Nat.lt_ge_cases k (length a)) as [G | G].
      + rewrite app_nth1 in Hk by lia.
        rewrite !app_nth1 by (unfold cell; rewrite map_length; lia). rewrite !nth_cell. now rewrite H.
      + rewrite app_nth2 in Hk by lia.
        rewrite !app_nth2 by (unfold cell; rewrite map_length; lia).
        unfold cell. rewrite !map_length, <- La. rewrite L in Hk.
        destruct (k - length a) as [| m]; cbn in *; [now rewrite O | now destruct m].
    - now rewrite (H 0).
  Qed.

  Lemma bvjp_ext ms b (a a' : list ten) (o o' d : ten) :
    (forall j i, bjac b a o j i = bjac b a' o' j i) -> bvjp ms b a o d = bvjp ms b a' o' d.
  Proof.
    intro H. unfold bvjp. apply map_ext. intro j.
    rewrite (map_ext _ (fun i => (i, bjac b a' o' j i))); [reflexivity | intro i; now rewrite H].
  Qed.

  (** The VJP reads values only through the Jacobians of the steps. *)
  Lemma pull_ext p : forall ms (full full' ct : list ten),
    (forall m s, nth_error p m = Some s -> forall j i,
       bjac (s_blk s) (args_at full s) (slot full (length ms + m)) j i
       = bjac (s_blk s) (args_at full' s) (slot full' (length ms + m)) j i) ->
    pull ms p full ct = pull ms p full' ct.
  Proof.
    induction p as [| s p IH]; intros ms full full' ct H; [reflexivity |].
    cbn [pull]. rewrite (IH _ full full').
    - rewrite (bvjp_ext _ _ _ (args_at full' s) _ (slot full' (length ms))); [reflexivity |].
      intros j i. specialize (H 0 s eq_refl j i). now rewrite Nat.add_0_r in H.
    - intros m t E j i. rewrite app_length. cbn [length]. specialize (H (S m) t E j i).
      now replace (length ms + 1 + m) with (length ms + S m) by lia.
  Qed.

  Lemma run_length p : forall ctx : list ten, length (run p ctx) = length ctx + length p.
  Proof. induction p as [| s p IH]; intro ctx; cbn [run length]; [lia |]. rewrite IH, app_length. cbn. lia. Qed.

  Lemma run_slot p : forall (ctx : list ten) k, k < length ctx -> slot (run p ctx) k = slot ctx k.
  Proof.
    induction p as [| s p IH]; intros ctx k H; [reflexivity |]. cbn [run].
    rewrite IH by (rewrite app_length; lia). unfold slot. now apply app_nth1.
  Qed.

  Lemma last_slot_nth (l : list ten) : last_slot l = slot l (length l - 1).
  Proof.
    unfold last_slot, slot. induction l as [| x [| y l] IH]; try reflexivity.
    change (last (x :: y :: l) []) with (last (y :: l) []). rewrite IH. cbn. now rewrite Nat.sub_0_r.
  Qed.

  Lemma slot_set_last (l : list ten) t k :
    slot (set_last l (Some t)) k = if k =? length l - 1 then t else slot l k.
  Proof.
    unfold slot. cbn [set_last]. destruct l as [| x l0 _] using rev_ind; [now destruct k as [| [|]] |].
    rewrite removelast_last, app_length. cbn [length]. replace (length l0 + 1 - 1) with (length l0) by lia.
    destruct (Nat.eqb_spec k (length l0)) as [-> | N]; [apply nth_middle |].
    destruct (Nat.lt_ge_cases k (length l0)) as [G | G]; [now rewrite !app_nth1 by lia |].
    rewrite !nth_overflow; auto; rewrite app_length; cbn; lia.
  Qed.

  Lemma args_agree known s (c c' : list ten) :
    (forall k, nth k known false = true -> slot c k = slot c' k) ->
    agree (map (fun k => nth k known false) (s_args s)) (args_at c s) (args_at c' s).
  Proof.
    intro H. split; [unfold args_at; now rewrite !map_length |]. intros k Hk. unfold slot at 1 2, args_at.
    destruct (Nat.lt_ge_cases k (length (s_args s))) as [G | G].
    - rewrite (nth_map_in _ _ _ _ 0) in Hk by auto. rewrite !(nth_map_in _ _ _ _ 0) by auto. now apply H.
    - now rewrite !nth_overflow by (now rewrite map_length).
  Qed.

  Lemma args_length known (c : list ten) s :
    length (map (fun k => nth k known false) (s_args s)) = length (args_at c s).
  Proof. unfold args_at. now rewrite !map_length. Qed.

  Lemma slot_app_l (c c' : list ten) k : k < length c -> slot (c ++ c') k = slot c k.
  Proof. intro H. unfold slot. now apply app_nth1. Qed.

  Lemma slot_mid (c : list ten) v : slot (c ++ [v]) (length c) = v.
  Proof. apply nth_middle. Qed.

  Lemma known_below known (k : nat) : nth k known false = true -> k < length known.
  Proof.
    intro H. destruct (Nat.lt_ge_cases k (length known)); auto. rewrite nth_overflow in H by auto. discriminate.
  Qed.

  (** If the check accepts, runs from contexts that agree where they are known have the same Jacobians; [full'] is
      the second run, up to its last slot when the result is saved. *)
  Lemma steps_agree result p : forall known (ctx ctx' full' : list ten),
    steps_known result known p = true ->
    length known = length ctx -> length ctx = length ctx' ->
    (forall k, nth k known false = true -> slot ctx k = slot ctx' k) ->
    (forall k, k + 1 < length ctx + length p \/ result = false -> slot full' k = slot (run p ctx') k) ->
    (result = true -> slot full' (length ctx + length p - 1) = slot (run p ctx) (length ctx + length p - 1)) ->
    forall m s, nth_error p m = Some s -> forall j i,
      bjac (s_blk s) (args_at (run p ctx) s) (slot (run p ctx) (length ctx + m)) j i
      = bjac (s_blk s) (args_at full' s) (slot full' (length ctx + m)) j i.
  Proof.
    induction p as [| s p IH]; intros known ctx ctx' full' K Lk Lc A F Z; [intros [|]; discriminate |].
    cbn [steps_known] in K. apply andb_true_iff in K. destruct K as [Kj K].
    set (args := map (fun k => nth k known false) (s_args s)) in *.
    set (out := fwd_known (s_blk s) args || _) in *.
    cbn [run length] in *.
    set (v := bfwd (s_blk s) (args_at ctx s)) in *. set (v' := bfwd (s_blk s) (args_at ctx' s)) in *.
    assert (fwd_known (s_blk s) args = true -> v = v') as V.
    { intro E. apply (bfwd_agree _ args); [apply args_length | now apply args_agree | exact E]. }
    assert (forall k, nth k known false = true -> slot (run p (ctx ++ [v])) k = slot full' k) as B.
    { intros k Hk. pose proof (known_below _ _ Hk). rewrite F by (left; lia).
      rewrite !run_slot by (rewrite app_length; lia). rewrite !slot_app_l by lia. now apply A. }
    assert (out = true -> slot (run p (ctx ++ [v])) (length ctx) = slot full' (length ctx)) as O.
    { intro E. unfold out in E. destruct p as [| s' p'].
      - cbn [run length] in *. destruct result.
        + specialize (Z eq_refl). now replace (length ctx + 1 - 1) with (length ctx) in Z by lia.
        + rewrite orb_false_r in E. rewrite F by now right. rewrite slot_mid, Lc, slot_mid. now apply V.
      - rewrite orb_false_r in E. rewrite F by (left; cbn [length]; lia).
        rewrite !run_slot by (rewrite app_length; cbn; lia). rewrite slot_mid, Lc, slot_mid. now apply V. }
    intros [| m] t E j i.
    - injection E as <-. rewrite Nat.add_0_r.
      apply (bjac_agree _ args out); [apply args_length | now apply args_agree | exact O | exact Kj].
    - cbn in E. replace (length ctx + S m) with (length (ctx ++ [v]) + m) by (rewrite app_length; cbn; lia).
      apply (IH (known ++ [out]) _ (ctx' ++ [v'])); auto; rewrite ?app_length; cbn [length]; try lia.
      + intros k Hk. destruct (Nat.lt_trichotomy k (length ctx)) as [G | [G | G]].
        * rewrite app_nth1 in Hk by lia. rewrite !slot_app_l by lia. now apply A.
        * subst k. rewrite slot_mid, Lc, slot_mid. apply V.
          rewrite <- Lk, nth_middle in Hk. unfold out in Hk.
          destruct p; [now destruct m | now rewrite orb_false_r in Hk].
        * rewrite nth_overflow in Hk by (rewrite app_length; cbn; lia). discriminate.
      + intros k [Hk | Hk]; apply F; [left; lia | now right].
      + intro Er. specialize (Z Er).
        now replace (length ctx + 1 + length p - 1) with (length ctx + S (length p) - 1) by lia.
  Qed.

  (** ** What the kernel finds among the saved values *)
  Lemma find_saved saves (entries : list ten) k :
    saved_at saves (map (fun i => nth i entries []) saves) k
    = if is_saved saves k then Some (nth k entries []) else None.
  Proof.
    unfold saved_at, is_saved. induction saves as [| i saves IH]; [reflexivity |]. cbn.
    rewrite (Nat.eqb_sym k i). destruct (Nat.eqb_spec i k) as [-> |]; [reflexivity | exact IH].
  Qed.

  Lemma slot_args (saves : list nat) (a : list ten) out k : k < length a ->
    slot (map (fun j => dense (saved_at saves (map (fun i => nth i (a ++ [out]) []) saves) j)) (seq 0 (length a))) k
    = if is_saved saves k then slot a k else [].
  Proof.
    intro H. unfold slot at 1. rewrite (nth_map_in _ _ _ _ 0) by (now rewrite seq_length).
    rewrite seq_nth by auto. cbn [Nat.add]. rewrite find_saved.
    destruct (is_saved saves k); [cbn; now apply app_nth1 | reflexivity].
  Qed.

  Lemma length_pred_lt (k n : nat) : k + 1 < n -> (k =? n - 1) = false.
  Proof. intro H. apply Nat.eqb_neq. lia. Qed.

  (** The heart: at the saved values, the VJP of an accepted program is its VJP. *)
  Lemma reads_only_vjp saves p (a : list ten) ms ct : length ms = length a ->
    reads_only (length a) saves p = true ->
    let entries := a ++ [prog_fwd p a] in
    let at_saves := map (fun k => nth k entries []) saves in
    let a' := map (fun j => dense (saved_at saves at_saves j)) (seq 0 (length a)) in
    prog_vjp ms p (set_last (run p a') (saved_at saves at_saves (length a))) ct = prog_vjp ms p (run p a) ct.
  Proof.
    intros Lm C entries at_saves a'. unfold prog_vjp. symmetry. apply pull_ext. rewrite Lm.
    assert (La' : length a' = length a) by (unfold a'; now rewrite map_length, seq_length).
    unfold at_saves. rewrite find_saved.
    replace (nth (length a) entries []) with (prog_fwd p a) by (symmetry; apply nth_middle).
    apply (steps_agree (is_saved saves (length a)) _ (map (is_saved saves) (seq 0 (length a))) _ a'); auto.
    - now rewrite map_length, seq_length.
    - intros k Hk. pose proof (known_below _ _ Hk) as Lk. rewrite map_length, seq_length in Lk.
      rewrite (nth_map_in _ _ _ _ 0), seq_nth in Hk by (rewrite ?seq_length; auto).
      unfold a', at_saves, entries. rewrite slot_args by auto. cbn in Hk. now rewrite Hk.
    - intros k [Hk | Hk]; [| now rewrite Hk]. destruct (is_saved saves (length a)); [| reflexivity].
      rewrite slot_set_last, run_length, La', length_pred_lt by lia. reflexivity.
    - intro E. rewrite E, slot_set_last, run_length, La', Nat.eqb_refl.
      unfold prog_fwd. now rewrite last_slot_nth, run_length.
  Qed.
End Agree.
Arguments agree {R} _ _ _.

(** ** The obligation *)
Section Obligation.
  Variable d : decl.
  Variable o : opdef.

  (** The usual way: the check reduces to [true] for the program of every accepted use. *)
  Theorem saves_by_check :
    (forall w attrs tys lens nats t p, used d o w attrs tys lens nats t p ->
       reads_only (length tys) (save_positions d (length tys)) p = true) ->
    saves_enough d o.
  Proof.
    intros H _ w attrs tys lens nats t p U R a ct La. cbv zeta. specialize (H _ _ _ _ _ _ _ U).
    rewrite <- La in *. apply reads_only_vjp; [now rewrite map_length | assumption].
  Qed.

  (** If all that a block reads is known, so is its result, and so are its Jacobians. *)
  Lemma sx_known_all known e : forallb (fun k => k) known = true -> sx_known known e = true.
  Proof.
    intro H. induction e; cbn; rewrite ?IHe, ?IHe1, ?IHe2, ?IHe3; auto.
    destruct (Nat.lt_ge_cases i (length known)); [| now rewrite nth_overflow].
    rewrite forallb_forall in H. now apply H, nth_In.
  Qed.

  Lemma known_all_nth known k : forallb (fun k => k) known = true -> nth k known true = true.
  Proof. exact (sx_known_all known (Arg k)). Qed.

  Lemma fwd_known_all b known : forallb (fun k => k) known = true -> fwd_known b known = true.
  Proof.
    intro H. destruct b; cbn [fwd_known]; rewrite ?(known_all_nth _ _ H), ?(sx_known_all _ _ H); auto.
  Qed.

  Lemma jac_known_all b known : forallb (fun k => k) known = true -> jac_known b known true = true.
  Proof.
    intro H. destruct b; cbn [jac_known]; rewrite ?(known_all_nth _ _ H); auto.
    apply forallb_forall. intros [e |] _; [| reflexivity]. apply sx_known_all. now rewrite forallb_app, H.
  Qed.

  Lemma steps_known_all result p : forall known,
    forallb (fun k => k) known = true -> scoped (length known) p = true -> steps_known result known p = true.
  Proof.
    induction p as [| s p IH]; intros known H S; [reflexivity |].
    apply andb_true_iff in S. destruct S as [S S']. cbn [steps_known].
    assert (forallb (fun k => k) (map (fun k => nth k known false) (s_args s)) = true) as A.
    { apply forallb_forall. intros b B. apply in_map_iff in B. destruct B as [k [<- B]].
      rewrite forallb_forall in S, H. apply H, nth_In. apply Nat.ltb_lt. now apply S. }
    rewrite (fwd_known_all _ _ A), orb_true_l, (jac_known_all _ _ A).
    apply IH; [now rewrite forallb_app, H | rewrite app_length, Nat.add_1_r; exact S'].
  Qed.

  (** Every operand is saved: any program will do. *)
  Theorem saves_all :
    well_sized d o ->
    (forall w attrs tys lens nats t p, used d o w attrs tys lens nats t p ->
       forall k, k < length tys -> In k (save_positions d (length tys))) ->
    saves_enough d o.
  Proof.
    intros W H. apply saves_by_check. intros w attrs tys lens nats t p U.
    destruct (W _ _ _ _ _ _ _ U) as (_ & S & _). apply steps_known_all.
    - apply forallb_forall. intros b B. apply in_map_iff in B. destruct B as [k [<- B]]. apply in_seq in B.
      apply existsb_exists. exists k. split; [| apply Nat.eqb_refl]. apply (H _ _ _ _ _ _ _ U). lia.
    - now rewrite map_length, seq_length.
  Qed.

  (** No Jacobian reads a value: any save list will do, also when the program has no concrete structure. *)
  Theorem saves_silent :
    (forall w attrs tys lens nats t p, used d o w attrs tys lens nats t p ->
       forallb (fun s => blk_silent (s_blk s)) p = true) ->
    saves_enough d o.
  Proof.
    intro H. apply saves_by_check. intros w attrs tys lens nats t p U. specialize (H _ _ _ _ _ _ _ U).
    unfold reads_only. generalize (map (is_saved (save_positions d (length tys))) (seq 0 (length tys))) as known.
    clear U. induction p as [| s p IH]; intro known; [reflexivity |].
    apply andb_true_iff in H. destruct H as [Hs H]. cbn [steps_known]. rewrite IH by assumption.
    now destruct (s_blk s).
  Qed.
End Obligation.

(** ** Witnesses *)

(** The check at work on sizes and rows that are variables: x0 * x1 then a sum; a square root that saves its
    result; and a save list that is too short is refused. *)
Example check_product n m rows :
  reads_only 2 [0; 1] [Step (Ew n (Mul (Arg 0) (Arg 1)) [] [Some (Arg 1); Some (Arg 0)]) [0; 1]; Step (Lin m rows) [2]]
  = true.
Proof. reflexivity. Qed.
Example check_sqrt n :
  reads_only 1 [1] [Step (Ew n (Fn Sqrt (Arg 0)) [] [Some (Div (Lit 1) (Add (Arg 1) (Arg 1)))]) [0]] = true.
Proof. reflexivity. Qed.
Example check_refuses n :
  reads_only 2 [0] [Step (Ew n (Mul (Arg 0) (Arg 1)) [] [Some (Arg 1); Some (Arg 0)]) [0; 1]] = false.
Proof. reflexivity. Qed.
