(** * Adjointness of blocks and programs

    Over every commutative semiring, the JVP of a program and its VJP are transposes of each other, at any values
    [full] whatever and for any sizes: both multiply by the same Jacobian rows and drop the same pairs. *)
From Coq Require Import List QArith Arith Bool Lia Ring Ring_theory.
From Prooftape.Spec Require Import Scalar Tensor Block.
From Prooftape.Core Require Import Sums.
Import ListNotations.
Open Scope nat_scope.

(** ** Lengths; no law *)
Section Lengths.
  Variable R : num.
  Notation ten := (list R).

  Lemma bvjp_length ms b (a : list ten) out d : length (bvjp ms b a out d) = length ms.
  Proof. unfold bvjp. now rewrite map_length, seq_length. Qed.

  Lemma push_length p : forall ms (full dctx : list ten), length (push ms p full dctx) = length dctx + length p.
  Proof.
    induction p as [| s p IH]; intros; cbn [push length]; [lia |]. rewrite IH, app_length. cbn. lia.
  Qed.

  (** adding parts to a list of cotangents *)
  Definition collect (parts : list (nat * ten)) (g : list ten) : list ten :=
    fold_left (fun g e => tadd_at g (fst e) (snd e)) parts g.

  Lemma collect_length parts : forall g, length (collect parts g) = length g.
  Proof.
    induction parts as [| e parts IH]; intro g; [reflexivity |].
    change (length (collect parts (tadd_at g (fst e) (snd e))) = length g). now rewrite IH, tadd_at_length.
  Qed.

  Lemma pull_length p : forall ms (full ct : list ten),
    length ct = length ms + length p -> length (pull ms p full ct) = length ms.
  Proof.
    induction p as [| s p IH]; intros ms full ct L; cbn [pull]; [cbn in L; lia |].
    change (length (collect (combine (s_args s) (bvjp (sizes_at ms s) (s_blk s) (args_at full s)
      (slot full (length ms)) (slot (pull (ms ++ [blk_size (s_blk s)]) p full ct) (length ms))))
      (firstn (length ms) (pull (ms ++ [blk_size (s_blk s)]) p full ct))) = length ms).
    rewrite collect_length, firstn_length, IH; rewrite app_length; cbn in *; lia.
  Qed.

  Lemma prog_vjp_length ms p (full : list ten) d : p <> [] -> length (prog_vjp ms p full d) = length ms.
  Proof.
    intro NE. apply pull_length. rewrite app_length, repeat_length. destruct p; [now elim NE | cbn; lia].
  Qed.

  Lemma prog_jvp_slot ms p (full da : list ten) :
    length da = length ms -> prog_jvp ms p full da = slot (push ms p full da) (length ms + length p - 1).
  Proof.
    intro L. unfold prog_jvp, last_slot, slot. rewrite <- L, <- (push_length p ms full da).
    generalize (push ms p full da) as l. intro l. destruct l as [| x l _] using rev_ind; [reflexivity |].
    rewrite last_last, app_length, Nat.add_sub. symmetry. apply nth_middle.
  Qed.
End Lengths.
Arguments collect {R} _ _.

Section Adjoint.
  Variable R : num.
  Hypothesis SR : semi_ring_theory (@zero R) one add mul eq.
  Add Ring semiring_of_adjoint : SR.
  Notation ten := (list R).

  (** ** Blocks *)

  (** Both sides are the sum, over the output cells and the pairs inside the operands, of
      tangent * coefficient * cotangent. *)
  Theorem block_adjoint ms b (a : list ten) out da d :
    dot (blk_size b) (bjvp ms b a out da) d
    = sumn (length ms) (fun j => dot (nth j ms 0) (slot da j) (slot (bvjp ms b a out d) j)).
  Proof.
    unfold bjvp. rewrite dot_mk_l.
    rewrite (sumn_ext R (blk_size b) _ (fun i => sumn (length ms) (fun j =>
      suml (filter (fun e => snd e <? nth j ms 0) (bjac b a out j i))
           (fun e => mul (tget (slot da j) (snd e)) (mul (fst e) (tget d i)))))).
    2: { intros i _. rewrite <- (sumn_scal_r R SR). apply sumn_ext. intros j _. rewrite <- (suml_scal_r R SR).
         apply suml_ext. intro e. ring. }
    rewrite (sumn_swap R SR). apply sumn_ext. intros j Hj.
    assert (slot (bvjp ms b a out d) j = mk (nth j ms 0) (fun s =>
      suml (map (fun i => (i, bjac b a out j i)) (seq 0 (blk_size b))) (fun r =>
        suml (filter (fun e => snd e =? s) (snd r)) (fun e => mul (fst e) (tget d (fst r)))))) as ->.
    { unfold slot, bvjp. rewrite (nth_map_in _ _ _ _ 0) by (now rewrite seq_length). now rewrite seq_nth. }
    rewrite dot_mk_r.
    rewrite (sumn_ext R (nth j ms 0) _ (fun s => sumn (blk_size b) (fun i =>
      mul (tget (slot da j) s)
          (suml (filter (fun e => snd e =? s) (bjac b a out j i)) (fun e => mul (fst e) (tget d i)))))).
    2: { intros s _. rewrite suml_map, suml_seq. cbn [fst snd]. now rewrite <- (sumn_scal_l R SR). }
    rewrite (sumn_swap R SR). apply sumn_ext. intros i _. symmetry.
    apply (sumn_bins R SR (nth j ms 0) snd (bjac b a out j i) (tget (slot da j)) (fun e => mul (fst e) (tget d i))).
  Qed.

  (** ** Programs *)

  (** the pairing of two lists of tensors of sizes ms *)
  Definition pair_all (ms : list nat) (a b : list ten) : R :=
    sumn (length ms) (fun k => dot (nth k ms 0) (slot a k) (slot b k)).

  Lemma pair_all_snoc ms n a b :
    pair_all (ms ++ [n]) a b = add (pair_all ms a b) (dot n (slot a (length ms)) (slot b (length ms))).
  Proof.
    unfold pair_all. rewrite app_length, Nat.add_1_r. cbn [sumn]. rewrite nth_middle. f_equal.
    apply sumn_ext. intros k Hk. now rewrite app_nth1.
  Qed.

  Lemma pair_all_ext ms a a' b b' :
    (forall k, k < length ms -> slot a k = slot a' k) -> (forall k, k < length ms -> slot b k = slot b' k) ->
    pair_all ms a b = pair_all ms a' b'.
  Proof. intros Ha Hb. apply sumn_ext. intros k Hk. now rewrite Ha, Hb. Qed.

  (** Adding a part adds its pairing with the tangent of its slot; outside the list both are 0. *)
  Lemma pair_tadd_at ms a g k t : length g = length ms ->
    pair_all ms a (tadd_at g k t) = add (pair_all ms a g) (dot (nth k ms 0) (slot a k) t).
  Proof.
    intro L. destruct (Nat.lt_ge_cases k (length ms)) as [H | H].
    - transitivity (add (pair_all ms a g)
        (sumn (length ms) (fun i => if i =? k then dot (nth i ms 0) (slot a i) t else zero))).
      + unfold pair_all. rewrite <- (sumn_add R SR). apply sumn_ext. intros i _.
        rewrite (slot_tadd_at R) by lia. destruct (i =? k); [apply (dot_tadd_r R SR) | ring].
      + rewrite (sumn_pick R SR (length ms) k (fun i => dot (nth i ms 0) (slot a i) t)).
        now replace (k <? length ms) with true by (symmetry; now apply Nat.ltb_lt).
    - rewrite (nth_overflow ms) by exact H. cbn.
      replace (tadd_at g k t) with g; [ring |]. clear - L H. rewrite <- L in H. clear L. revert k H.
      induction g as [| x g IH]; intros [| k] H; cbn in *; try lia; auto. f_equal. apply IH. lia.
  Qed.

  Lemma pair_collect ms a parts : forall g, length g = length ms ->
    pair_all ms a (collect parts g)
    = add (pair_all ms a g) (suml parts (fun e => dot (nth (fst e) ms 0) (slot a (fst e)) (snd e))).
  Proof.
    induction parts as [| e parts IH]; intros g L; [cbn; ring |].
    change (collect (e :: parts) g) with (collect parts (tadd_at g (fst e) (snd e))).
    rewrite IH, pair_tadd_at, (suml_cons R SR) by (rewrite ?tadd_at_length; exact L). ring.
  Qed.

  (** Pushing tangents forward and pulling cotangents back, over all slots. *)
  Lemma push_pull p : forall ms (full dctx ct : list ten),
    length dctx = length ms -> length ct = length ms + length p ->
    pair_all (ms ++ map (fun s => blk_size (s_blk s)) p) (push ms p full dctx) ct
    = pair_all ms dctx (pull ms p full ct).
  Proof.
    induction p as [| s p IH]; intros ms full dctx ct Ld Lc; [cbn; now rewrite app_nil_r |].
    cbn [push pull map]. set (n := blk_size (s_blk s)).
    set (t := bjvp _ _ _ _ _). set (g := pull (ms ++ [n]) p full ct).
    assert (Lg : length g = length ms + 1).
    { unfold g. rewrite pull_length; rewrite app_length; cbn in *; lia. }
    replace (ms ++ n :: map (fun s => blk_size (s_blk s)) p)
      with ((ms ++ [n]) ++ map (fun s => blk_size (s_blk s)) p) by (now rewrite <- app_assoc).
    rewrite IH by (rewrite !app_length; cbn in *; lia). fold g. rewrite pair_all_snoc.
    replace (slot (dctx ++ [t]) (length ms)) with t by (unfold slot; now rewrite <- Ld, nth_middle).
    unfold t, n. rewrite block_adjoint.
    change (fold_left _ _ (firstn (length ms) g)) with
      (collect (combine (s_args s) (bvjp (sizes_at ms s) (s_blk s) (args_at full s) (slot full (length ms))
        (slot g (length ms)))) (firstn (length ms) g)).
    rewrite pair_collect by (rewrite firstn_length; lia). f_equal.
    - apply pair_all_ext; intros k Hk; unfold slot; [now rewrite app_nth1 by lia |].
      rewrite <- (firstn_skipn (length ms) g) at 1. rewrite app_nth1; [reflexivity | rewrite firstn_length; lia].
    - set (parts := bvjp _ _ _ _ _). unfold sizes_at. rewrite map_length.
      assert (Lp : length parts = length (s_args s)) by (unfold parts, sizes_at; now rewrite bvjp_length, map_length).
      rewrite (suml_nth R _ (0, [])), combine_length, Lp, Nat.min_id.
      apply sumn_ext. intros j Hj. rewrite combine_nth_lt by lia. cbn [fst snd].
      rewrite (nth_map_in _ _ _ _ 0) by exact Hj. unfold slot at 1, args_at. now rewrite (nth_map_in _ _ _ _ 0).
  Qed.

  Theorem program_adjoint ms p (full da : list ten) d n : p <> [] -> length da = length ms ->
    (match rev p with s :: _ => blk_size (s_blk s) | [] => 0 end) = n ->
    dot n (prog_jvp ms p full da) d = pair_all ms da (prog_vjp ms p full d).
  Proof.
    intros NE L <-. unfold prog_vjp. set (k := length ms + length p - 1).
    assert (0 < length p) by (destruct p; [now elim NE | cbn; lia]).
    rewrite <- push_pull; [| exact L | rewrite app_length, repeat_length; cbn; lia].
    rewrite (prog_jvp_slot R) by exact L. fold k. unfold pair_all. symmetry.
    rewrite (sumn_only R SR _ k).
    - replace (slot (repeat [] k ++ [d]) k) with d
        by (pose proof (nth_middle (repeat (@nil R) k) [] d []) as M; now rewrite repeat_length in M).
      f_equal. destruct p as [| s p' _] using rev_ind; [now elim NE |].
      rewrite rev_unit, map_app. cbn [map]. rewrite app_assoc.
      unfold k. rewrite app_length. cbn [length]. rewrite app_nth2; rewrite app_length, map_length; [| lia].
      now replace (length ms + (length p' + 1) - 1 - (length ms + length p')) with 0 by lia.
    - rewrite app_length, map_length. lia.
    - intros i Hi Ni. rewrite app_length, map_length in Hi.
      replace (slot (repeat [] k ++ [d]) i) with (@nil R); [apply (dot_nil_r R SR) |].
      unfold slot. rewrite app_nth1 by (rewrite repeat_length; lia). symmetry. apply nth_repeat.
  Qed.
End Adjoint.
Arguments pair_all {R} _ _ _.

(** A witness: a sum of squares at (2, 3), tangent (1, 1), cotangent 1, over the natural numbers. *)
Example program_adjoint_witness :
  let square := Step (Ew 2 (Scalar.Mul (Arg 0) (Arg 0)) [] [Some (Scalar.Add (Arg 0) (Arg 0))]) [0] in
  let total := Step (Lin 1 [fun _ => [(1%Q, 0); (1%Q, 1)]]) [1] in
  let p := [square; total] in
  let full := Block.run (R := nat_num) p [[2; 3]] in
  let jvp := prog_jvp (R := nat_num) [2] p full [[1; 1]] in
  dot (R := nat_num) 1 jvp [1] = pair_all (R := nat_num) [2] [[1; 1]] (prog_vjp (R := nat_num) [2] p full [1])
  /\ jvp = [10].
Proof. split; [now apply (program_adjoint nat_num nat_num_laws) | reflexivity]. Qed.
