(** * Adjointness of graphs (T2)

    First one node: its kernel's JVP and VJP, with the values the VJP really gets (the saved ones), absent tangents
    and cotangents, masks, and ops without a derivative. Then the graph, by induction on its nodes. *)
From Coq Require Import List NArith ZArith QArith Bool Arith Lia Ring Ring_theory.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Tape Op Statements.
From Prooftape.Core Require Import Typing Obligations Sums Adjoint.
Import ListNotations.
Open Scope nat_scope.

(** ** Lists of optional parts; no law *)
Section Parts.
  Variables (T : Type) (add : T -> T -> T).

  Lemma add_at_length ct i (t : option T) : length (add_at add ct i t) = length ct.
  Proof. revert i. induction ct as [| c ct IH]; intros [| i]; cbn; auto. Qed.

  Lemma nth_add_at ct i (t : option T) k :
    nth k (add_at add ct i t) None
    = if (k =? i) && (i <? length ct) then merge add (nth k ct None) t else nth k ct None.
  Proof.
    revert i k. induction ct as [| c ct IH]; intros i k; [cbn; now rewrite andb_false_r |].
    destruct i as [| i], k as [| k]; try reflexivity. cbn [add_at nth]. rewrite IH. reflexivity.
  Qed.

  Lemma contribute_length args parts : forall ct, length (contribute add ct args parts) = length ct.
  Proof.
    unfold contribute. generalize (combine args parts). intro l.
    induction l as [| e l IH]; intro ct; [reflexivity |]. cbn [fold_left]. now rewrite IH, add_at_length.
  Qed.

  Lemma contribute_cons i args t parts ct :
    contribute add ct (i :: args) (t :: parts) = contribute add (add_at add ct (N.to_nat i) t) args parts.
  Proof. reflexivity. Qed.
End Parts.

Section Graphs.
  Variable op : Type.
  Variable decl_of : op -> decl.
  Variable def_of : op -> opdef.
  Hypothesis sized : forall o, well_sized (decl_of o) (def_of o).
  Hypothesis saves : forall o, saves_enough (decl_of o) (def_of o).
  Variable R : num.
  Hypothesis SR : semi_ring_theory (@zero R) one add mul eq.
  Add Ring semiring_of_graphs : SR.
  Variable w : world.
  Notation ten := (list R).
  Notation K := (kern decl_of def_of R w).

  (** ** One kernel *)

  Lemma movable_slot tys (da : list (option ten)) j : length da = length tys -> j < length tys ->
    slot (movable tys da) j = if is_real (nth j tys (Ty Mask [])) then dense (nth j da None) else [].
  Proof.
    intros L H. unfold slot, movable.
    rewrite (nth_map_in _ _ _ _ (Ty Mask [], None)) by (rewrite combine_length; lia).
    now rewrite combine_nth_lt by lia.
  Qed.

  (** What the VJP of a kernel gets: the values at the save positions. *)
  Definition saved_values (c : call op) (a : list ten) (out : ten) : list ten :=
    map (fun p => nth p (a ++ [out]) []) (saves_of decl_of c).

  Theorem kernel_adjoint (c : call op) nats (a : list ten) out (da : list (option ten)) (d : ten) asks :
    infer (decl_of (c_op c)) (def_of (c_op c)) (c_attrs c) (c_tys c) (c_nats c) = Some (c_out c) ->
    map (fun l => N.of_nat (length l)) nats = c_nats c ->
    length a = length (c_tys c) -> length da = length (c_tys c) ->
    out = k_fwd (K c) nats a -> asks = map is_real (c_tys c) ->
    dot (ty_size (c_out c)) (dense (k_jvp (K c) nats a out da)) d
    = sumn (length (c_tys c)) (fun j => dot (nth j (map ty_size (c_tys c)) 0) (dense (nth j da None))
        (dense (nth j (k_vjp (K c) nats (saved_values c a out) d asks) None))).
  Proof.
    intros I Ln La Ld -> ->. unfold kern. cbn [k_fwd k_jvp k_vjp].
    set (p := o_prog _ _ _ _ _ nats). set (ms := map ty_size (c_tys c)).
    destruct (d_differentiable (decl_of (c_op c))) eqn:Df.
    - assert (used (decl_of (c_op c)) (def_of (c_op c)) w (c_attrs c) (c_tys c) (c_nats c) nats (c_out c) p) as U
        by (repeat split; auto).
      destruct (sized _ _ _ _ _ _ _ _ U) as (NE & _ & Sz).
      pose proof (saves _ Df _ _ _ _ _ _ _ U R a d La) as S. cbv zeta in S. fold ms in S.
      unfold saved_values, saves_of. rewrite S. clear S. cbn [dense].
      rewrite (program_adjoint R SR ms p _ _ _ (ty_size (c_out c))); auto.
      2: { unfold movable, ms. rewrite !map_length, combine_length. lia. }
      unfold pair_all. replace (length ms) with (length (c_tys c)) by (unfold ms; now rewrite map_length).
      apply sumn_ext. intros j Hj. rewrite movable_slot by auto.
      assert (length (prog_vjp ms p (run p a) d) = length (c_tys c)) as Lv.
      { rewrite prog_vjp_length by exact NE. unfold ms. apply map_length. }
      rewrite (nth_map_in _ _ _ _ (false, Ty Mask [], [])) by (rewrite !combine_length, map_length; lia).
      rewrite combine_nth_lt by (rewrite ?combine_length, ?map_length; lia).
      rewrite combine_nth_lt by (rewrite ?map_length; lia). cbn [fst snd].
      rewrite (nth_map_in _ _ _ _ (Ty Mask [])) by exact Hj.
      destruct (is_real (nth j (c_tys c) (Ty Mask []))); cbn [andb dense]; [reflexivity |].
      now rewrite (dot_nil_l R SR), (dot_nil_r R SR).
    - cbn [dense]. rewrite (dot_nil_l R SR). symmetry. apply (sumn_zero R SR). intros j Hj.
      rewrite (nth_map_in _ _ _ _ false) by (now rewrite map_length). apply (dot_nil_r R SR).
  Qed.

  (** ** The pairing of two contexts *)
  Notation ctx_of := (list (option ten)).
  Variable sizes : nat -> nat.          (* entries of each slot *)

  Definition paired (n : nat) (a b : ctx_of) : R :=
    sumn n (fun k => dot (sizes k) (dense (nth k a None)) (dense (nth k b None))).

  Lemma paired_app n (a : ctx_of) x b : length a = n ->
    paired (S n) (a ++ [x]) b = add (paired n a b) (dot (sizes n) (dense x) (dense (nth n b None))).
  Proof.
    intro L. unfold paired. cbn [sumn]. rewrite <- L at 3. rewrite nth_middle. f_equal.
    apply sumn_ext. intros k Hk. now rewrite app_nth1 by lia.
  Qed.

  Lemma dense_merge (old new : option ten) n (a : ten) :
    dot n a (dense (merge tadd old new)) = Scalar.add (dot n a (dense old)) (dot n a (dense new)).
  Proof.
    destruct old, new; cbn [merge dense]; rewrite ?(dot_tadd_r R SR), ?(dot_nil_r R SR); ring.
  Qed.

  Lemma paired_add_at n (a ct : ctx_of) i t : i < n -> i < length ct ->
    paired n a (add_at tadd ct i t)
    = Scalar.add (paired n a ct) (dot (sizes i) (dense (nth i a None)) (dense t)).
  Proof.
    intros Hn Hi.
    transitivity (Scalar.add (paired n a ct)
      (sumn n (fun k => if k =? i then dot (sizes k) (dense (nth k a None)) (dense t) else zero))).
    - unfold paired. rewrite <- (sumn_add R SR). apply sumn_ext. intros k _. rewrite nth_add_at.
      replace (i <? length ct) with true by (symmetry; now apply Nat.ltb_lt). rewrite andb_true_r.
      destruct (k =? i); [apply dense_merge | ring].
    - rewrite (sumn_pick R SR n i (fun k => dot (sizes k) (dense (nth k a None)) (dense t))).
      now replace (i <? n) with true by (symmetry; now apply Nat.ltb_lt).
  Qed.

  Lemma paired_contribute n (a : ctx_of) args : forall parts ct,
    (forall i, In i args -> N.to_nat i < n) -> n <= length ct -> length parts <= length args ->
    paired n a (contribute tadd ct args parts)
    = Scalar.add (paired n a ct) (sumn (length args) (fun j =>
        dot (sizes (N.to_nat (nth j args 0%N))) (dense (nth (N.to_nat (nth j args 0%N)) a None))
            (dense (nth j parts None)))).
  Proof.
    induction args as [| i args IH]; intros parts ct Ha Hn Hp.
    - cbn. ring.
    - destruct parts as [| t parts].
      + cbn [contribute combine fold_left]. rewrite (sumn_zero R SR); [unfold contribute; cbn; ring |].
        intros j _. rewrite (nth_overflow []) by (cbn; lia). apply (dot_nil_r R SR).
      + rewrite contribute_cons, IH.
        * rewrite paired_add_at; [| apply Ha; now left |].
          -- cbn [length]. rewrite (sumn_first R SR). cbn [nth]. ring.
          -- assert (N.to_nat i < n) by (apply Ha; now left). lia.
        * intros k Hk. apply Ha. now right.
        * now rewrite add_at_length.
        * cbn in Hp. lia.
  Qed.

  (** ** One node of a graph *)
  Variable nats : N -> N.
  Variable types : list ty.             (* of all slots *)
  Hypothesis sizes_are : forall k, sizes k = ty_size (nth k types (Ty Real [])).
  Definition real (k : N) : bool := is_real (nth (N.to_nat k) types (Ty Mask [])).

  Lemma node_nats_lengths (n : node op) : length (n_nats n) = length (c_nats (n_call n)) ->
    map (fun l => N.of_nat (length l)) (node_nats nats n) = c_nats (n_call n).
  Proof.
    unfold node_nats, reads. generalize (n_nats n) (c_nats (n_call n)). intros starts lens.
    revert lens. induction starts as [| s starts IH]; intros [| l lens] L; try discriminate; [reflexivity |].
    cbn. injection L as L. rewrite IH by exact L. unfold read. now rewrite map_length, seq_length, N2Nat.id.
  Qed.

  Lemma unasked (c : call op) ns saved (d : ten) asks j :
    nth j asks false = false -> dense (nth j (k_vjp (K c) ns saved d asks) None) = [].
  Proof.
    intro H. unfold kern. cbn [k_vjp]. destruct (d_differentiable _).
    - match goal with |- dense (nth j (map ?f ?l) None) = [] => set (F := f); set (L := l) end.
      destruct (Nat.lt_ge_cases j (length L)) as [B | B]; [| now rewrite nth_overflow by (now rewrite map_length)].
      rewrite (nth_map_in _ _ _ _ (false, Ty Mask [], [])) by exact B. unfold L in B. rewrite !combine_length in B.
      unfold L. rewrite !combine_nth_lt by (rewrite ?combine_length; lia). unfold F. cbn [fst snd]. now rewrite H.
    - destruct (Nat.lt_ge_cases j (length asks)) as [B | B].
      + now rewrite (nth_map_in _ _ _ _ false) by exact B.
      + now rewrite nth_overflow by (now rewrite map_length).
  Qed.

  Lemma vjp_length (c : call op) ns saved (d : ten) asks : length (k_vjp (K c) ns saved d asks) <= length asks.
  Proof.
    unfold kern. cbn [k_vjp]. destruct (d_differentiable _); rewrite map_length; [| lia].
    rewrite !combine_length. lia.
  Qed.

  Lemma parts_length ctx n d :
    length (node_parts [] K (saves_of decl_of) nats real ctx n d) <= length (n_args n).
  Proof.
    unfold node_parts. destruct d as [d |]; [| cbn; lia]. destruct (existsb _ _); [| cbn; lia].
    etransitivity; [apply vjp_length | now rewrite map_length].
  Qed.

  Lemma existsb_none {A} (p : A -> bool) l x : existsb p l = false -> In x l -> p x = false.
  Proof.
    intros H I. destruct (p x) eqn:E; auto. rewrite <- H. symmetry. apply existsb_exists. eauto.
  Qed.

  Lemma node_adjoint tctx later (n : node op) ctx (dctx : ctx_of) d :
    types = tctx ++ c_out (n_call n) :: later -> node_typed decl_of def_of tctx n ->
    length ctx = length tctx -> length dctx = length tctx ->
    dot (sizes (length tctx)) (dense (node_tangent [] K nats ctx dctx n)) (dense d)
    = sumn (length (n_args n)) (fun j =>
        dot (sizes (N.to_nat (nth j (n_args n) 0%N))) (dense (nth (N.to_nat (nth j (n_args n) 0%N)) dctx None))
            (dense (nth j (node_parts [] K (saves_of decl_of) nats real ctx n d) None))).
  Proof.
    intros Ht (Ha & Hc & Hl & Hi) Lc Ld.
    assert (forall j, j < length (n_args n) -> N.to_nat (nth j (n_args n) 0%N) < length tctx) as Ha'.
    { intros j Hj. apply Ha. now apply nth_In. }
    assert (Ls : length (c_tys (n_call n)) = length (n_args n)) by (rewrite <- Hc; apply map_length).
    assert (forall j, j < length (n_args n) ->
        sizes (N.to_nat (nth j (n_args n) 0%N)) = nth j (map ty_size (c_tys (n_call n))) 0) as Hs.
    { intros j Hj. rewrite sizes_are, <- Hc, map_map, (nth_map_in _ _ _ _ 0%N) by exact Hj.
      unfold at_. rewrite Ht, app_nth1 by auto. f_equal. apply nth_indep. auto. }
    assert (map real (n_args n) = map is_real (c_tys (n_call n))) as Hr.
    { rewrite <- Hc, map_map. apply map_ext_in. intros i Hi'. unfold real, at_. now rewrite Ht, app_nth1 by auto. }
    assert (sizes (length tctx) = ty_size (c_out (n_call n))) as Ho by (now rewrite sizes_are, Ht, nth_middle).
    destruct d as [d |].
    2: { rewrite (dot_nil_r R SR). symmetry. apply (sumn_zero R SR). intros j _. cbn [node_parts].
         rewrite (nth_overflow []) by (cbn; lia). apply (dot_nil_r R SR). }
    cbn [dense node_parts]. unfold node_tangent. set (dargs := map (at_ None dctx) (n_args n)).
    assert (forall j, j < length (n_args n) ->
        nth (N.to_nat (nth j (n_args n) 0%N)) dctx None = nth j dargs None) as Hd.
    { intros j Hj. unfold dargs. now rewrite (nth_map_in _ _ _ _ 0%N). }
    destruct (present dargs) eqn:P.
    - rewrite Ho, (kernel_adjoint (n_call n) _ _ _ dargs d (map real (n_args n))); auto.
      2: now apply node_nats_lengths.
      2, 3: unfold dargs, values; now rewrite map_length.
      rewrite Ls. apply sumn_ext. intros j Hj. rewrite Hs, Hd by exact Hj. f_equal.
      destruct (existsb (fun b => b) (map real (n_args n))) eqn:E; [reflexivity |].
      rewrite (nth_overflow []) by (cbn; lia). apply unasked.
      rewrite (nth_map_in _ _ _ _ 0%N) by exact Hj.
      apply (existsb_none _ _ _ E). apply in_map. now apply nth_In.
    - cbn [dense]. rewrite (dot_nil_l R SR). symmetry. apply (sumn_zero R SR). intros j Hj.
      rewrite Hd by exact Hj.
      assert (nth j dargs None = None) as ->; [| apply (dot_nil_l R SR)].
      assert (In (nth j dargs None) dargs) as I by (apply nth_In; unfold dargs; now rewrite map_length).
      pose proof (existsb_none _ _ _ P I). now destruct (nth j dargs None).
  Qed.

  (** ** The graph *)
  Lemma backprop_length g : forall ctx ct,
    length (backprop_from tadd [] K (saves_of decl_of) nats real g ctx ct) = length ct.
  Proof.
    induction g as [| n g IH]; intros ctx ct; [reflexivity |]. cbn [backprop_from]. now rewrite contribute_length.
  Qed.

  Lemma graph_from g : forall tctx ctx dctx ct,
    types = tctx ++ map (fun n => c_out (n_call n)) g -> typed_from decl_of def_of tctx g ->
    length ctx = length tctx -> length dctx = length tctx -> length ct = length tctx + length g ->
    paired (length tctx + length g) (jvp_from [] K nats g ctx dctx) ct
    = paired (length tctx) dctx (backprop_from tadd [] K (saves_of decl_of) nats real g ctx ct).
  Proof.
    induction g as [| n g IH]; intros tctx ctx dctx ct Ht Hg Lc Ld Lt.
    - cbn. now rewrite Nat.add_0_r.
    - destruct Hg as [Hn Hg]. cbn [map length] in *. cbn [jvp_from backprop_from].
      set (t := node_tangent [] K nats ctx dctx n). set (v := node_value [] K nats ctx n).
      set (ct' := backprop_from tadd [] K (saves_of decl_of) nats real g (ctx ++ [v]) ct).
      assert (length ct' = length ct) as L' by apply backprop_length.
      specialize (IH (tctx ++ [c_out (n_call n)]) (ctx ++ [v]) (dctx ++ [t]) ct).
      rewrite !app_length in IH. cbn [length] in IH. fold ct' in IH.
      replace (length tctx + S (length g)) with (length tctx + 1 + length g) by lia.
      rewrite IH; try lia; auto.
      2: now rewrite <- app_assoc.
      rewrite Nat.add_1_r, paired_app by exact Ld. rewrite Lc.
      destruct Hn as (Ha & Hn).
      rewrite paired_contribute; [| exact Ha | lia | apply parts_length]. f_equal.
      unfold t. eapply node_adjoint; eauto. now split.
  Qed.
End Graphs.

(** T2 for every typed graph over a table of ops that meet their obligations. *)
Theorem graph_adjoint op (decl_of : op -> decl) (def_of : op -> opdef) :
  (forall o, well_sized (decl_of o) (def_of o)) -> (forall o, saves_enough (decl_of o) (def_of o)) ->
  forall leaves g, typed_from decl_of def_of leaves g -> Adjoint op decl_of def_of leaves g.
Proof.
  intros W S leaves g T R SR w nats x dx seed Lx Ld Ls K.
  pose (types := slot_types op leaves g).
  exact (graph_from op decl_of def_of W S R SR w (size_of op leaves g) nats types (fun k => eq_refl)
           g leaves x dx seed eq_refl T Lx Ld Ls).
Qed.
