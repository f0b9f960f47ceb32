(** * The headline: derivatives along a line, and the tape's gradient

    [Derivative] of [Spec/Statements.v]: along x + t dx every entry of every slot has the JVP's entry as its
    derivative, and the derivative of every seeded sum of slots is the pairing of dx with the tape's gradient. The
    first is [jvp_is_derivative] on the line; the second follows with [Linked] and [Adjoint]. *)
From Coq Require Import Reals Lia NArith List Bool Arith.
Set Warnings "-ambiguous-paths".
From Coquelicot Require Import Coquelicot.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Tape Op RealNum Statements.
From Prooftape.Core Require Import Typing Side Obligations Calculus Sums DerivativeBlocks DerivativeProg DerivativeGraph.
Import ListNotations.
Open Scope nat_scope.

(** ** The line *)
Lemma slot_line (x : list (list R)) (dx : list (option (list R))) t k : length dx = length x ->
  slot (line x dx t) k
  = match nth k dx None with Some d => tadd (R := Rnum) (slot x k) (map (Rmult t) d) | None => slot x k end.
Proof.
  intro L. unfold slot, line. change (car Rnum) with R. destruct (Nat.lt_ge_cases k (length x)) as [Hk|Hk].
  - rewrite (nth_map_in _ _ k [] ([], None)) by (rewrite combine_length, L; lia).
    rewrite combine_nth_lt by lia. reflexivity.
  - rewrite (nth_overflow dx) by lia. rewrite !nth_overflow by (rewrite ?map_length, ?combine_length; lia). reflexivity.
Qed.
Lemma rget_scaled t d i : rget (map (Rmult t) d) i = (t * rget d i)%R.
Proof. unfold tget. change (@zero Rnum) with 0%R. rewrite <- (Rmult_0_r t) at 1. apply map_nth. Qed.
Lemma rget_line (x : list (list R)) (dx : list (option (list R))) t k i : length dx = length x ->
  rget (slot (line x dx t) k) i = (rget (slot x k) i + t * rget (dense (R := Rnum) (nth k dx None)) i)%R.
Proof.
  intro L. rewrite slot_line by exact L. destruct (nth k dx None) as [d|]; cbn [dense].
  - rewrite (tget_tadd Rnum Rnum_laws), rget_scaled. reflexivity.
  - rewrite (tget_nil Rnum). symmetry. etransitivity; [apply f_equal, Rmult_0_r|]. apply Rplus_0_r.
Qed.
(** A context without absent entries. *)
Lemma dense_some (l : list (list R)) k : dense (R := Rnum) (nth k (map Some l) None) = slot l k.
Proof.
  unfold slot. destruct (Nat.lt_ge_cases k (length l)) as [Hk|Hk].
  - now rewrite (nth_map_in Some l k None []).
  - now rewrite !nth_overflow by (rewrite ?map_length; exact Hk).
Qed.
(** The tangent of the line at t. *)
Definition scaled (dx : list (option (list R))) (t : R) : list (option (list R)) := map (option_map (map (Rmult t))) dx.
Lemma nth_scaled dx t k : nth k (scaled dx t) None = option_map (map (Rmult t)) (nth k dx None).
Proof. exact (map_nth (option_map (map (Rmult t))) dx None k). Qed.
Lemma scaled_one dx : scaled dx 1 = dx.
Proof.
  rewrite <- (map_id dx) at 2. apply map_ext. intros [d|]; [|reflexivity]. cbn [option_map]. f_equal.
  rewrite <- (map_id d) at 2. apply map_ext. intro r. apply Rmult_1_l.
Qed.

Section Headline.
  Variable op : Type.
  Variable decl_of : op -> decl.
  Variable def_of : op -> opdef.
  Variable side_of : op -> side_cond.
  Variable held : op -> bool.
  Variable leaves : list ty.
  Variable g : graph op.
  Variable tp : tape op.
  Notation n_slots := (n_slots op leaves g).
  Notation size_of := (size_of op leaves g).
  Notation fits := (fits op leaves g).
  Notation pairing := (@Statements.pairing op leaves g Rnum).
  (** Values at y, held nodes keeping what they have at x. *)
  Definition held_eval (w : world) (nats : N -> N) (x y : list (list R)) : list (list R) :=
    eval_held op decl_of def_of held w nats (eval [] (kern decl_of def_of Rnum w) nats g x) g y.

  Lemma line_zero (x : list (list R)) (dx : list (option (list R))) : fits x dx -> line x dx 0%R = x.
  Proof.
    intros (Lx & Ld & H). unfold n_leaves in *. change (car Rnum) with R in *.
    assert (L : length dx = length x) by congruence.
    assert (Ll : length (line x dx 0%R) = length x).
    { unfold line. change (car Rnum) with R. rewrite map_length, combine_length, L. lia. }
    apply (nth_ext _ _ [] [] Ll). intros k Hk. change (slot (line x dx 0%R) k = slot x k). rewrite slot_line by exact L.
    rewrite Ll, Lx in Hk. specialize (H k Hk).
    destruct (nth k dx None) as [d|]; [|reflexivity]. destruct H as [Hx [Hd _]].
    apply (tget_ext Rnum).
    - rewrite (tadd_length Rnum). change (car Rnum) with R in *. rewrite map_length. unfold slot. lia.
    - intros i _. rewrite (tget_tadd Rnum Rnum_laws), rget_scaled.
      change (rget (slot x k) i + 0 * rget d i = rget (slot x k) i)%R. ring.
  Qed.

  (** The line is a curve, with tangent t dx. *)
  Lemma line_moves (x : list (list R)) (dx : list (option (list R))) : fits x dx ->
    moves (U := R_NormedModule) 0%R leaves (line x dx) (scaled dx).
  Proof.
    intros (Lx & Ld & H). unfold n_leaves in *. change (car Rnum) with R in *.
    assert (L : length dx = length x) by congruence.
    assert (E : forall k d, k < length leaves -> nth k (slot_types op leaves g) d = nth k leaves d).
    { intros k d Hk. now apply app_nth1. }
    split.
    - intro t. unfold line. change (car Rnum) with R. rewrite map_length, combine_length, L. lia.
    - intro t. unfold scaled. now rewrite map_length.
    - intros k i.
      set (d := rget (dense (R := Rnum) (nth k dx None)) i).
      apply (D_ext (U := R_NormedModule) 0%R (fun t => rget (slot x k) i + d * t)%R _ (fun t => 0 + d * t)%R).
      + intro t. rewrite rget_line by exact L. unfold d. apply f_equal, Rmult_comm.
      + intro t. rewrite nth_scaled. unfold d. destruct (nth k dx None) as [v|]; cbn [option_map dense].
        * rewrite rget_scaled. ring.
        * rewrite (tget_nil Rnum). change (@zero Rnum) with 0%R. ring.
      + apply (D_plus (U := R_NormedModule)); [apply D_const|].
        exact (D_scal (U := R_NormedModule) 0%R d (fun t => t) (fun t => t) (filterdiff_id _)).
    - intros t k s Hk Hs. rewrite nth_scaled. specialize (H k Hk).
      destruct (nth k dx None) as [v|]; cbn [option_map dense]; [|apply (tget_nil Rnum)].
      apply (tget_over Rnum). change (car Rnum) with R. rewrite map_length. destruct H as [_ [-> _]].
      unfold Statements.size_of. rewrite E by exact Hk. now rewrite (nth_indep leaves _ (Ty Mask [])).
    - intros k Hk Hm. specialize (H k Hk). destruct H as [_ H].
      apply (still_ext (U := R_NormedModule) 0%R (fun _ => slot x k)); [|apply still_const].
      intro t. rewrite slot_line by exact L. destruct (nth k dx None) as [v|]; [|reflexivity].
      destruct H as [_ H]. unfold real_slot in H. rewrite Nat2N.id, E, Hm in H by exact Hk. discriminate.
  Qed.

  Section Facts.
    Hypothesis all_sized : forall o, well_sized (decl_of o) (def_of o).
    Hypothesis all_differentiable : forall o, side_enough (decl_of o) (def_of o) (side_of o).
    Hypothesis held_still : forall o, held o = true -> d_differentiable (decl_of o) = false.
    Hypothesis typed : typed_from decl_of def_of leaves g.

    (** Forward mode: the derivative of every entry of every slot along x + t dx. *)
    Theorem jvp_along_line w nats (x : list (list R)) (dx : list (option (list R))) : fits x dx ->
        sides op decl_of def_of side_of held g w nats x ->
      let K := kern decl_of def_of Rnum w in
      forall k i, is_derive (fun t => rget (nth k (held_eval w nats x (line x dx t)) []) i) 0%R
        (rget (dense (R := Rnum) (nth k (jvp_ctx [] K nats g x dx) None)) i).
    Proof.
      intros Hfit Hside K k i. pose proof (line_zero x dx Hfit) as E0. unfold sides in Hside. rewrite <- E0 in Hside.
      pose proof (jvp_is_derivative op decl_of def_of side_of held all_sized all_differentiable held_still w nats (U := R_NormedModule) 0%R
        g leaves (line x dx) (scaled dx) (line_moves x dx Hfit) typed Hside) as M.
      pose proof (D_is_derive _ _ _ (moves_D M k i)) as H. cbv beta in H. rewrite E0, scaled_one in H. exact H.
    Qed.

    (** The same over any normed space of parameters: the tape's gradient is the Fréchet gradient. *)
    Theorem gradient_is_derivative {U : NormedModule R_AbsRing} (u0 : U) X dX w nats seed :
      Linked op decl_of leaves g tp -> Adjoint op decl_of def_of leaves g -> length seed = n_slots ->
      moves u0 leaves X dX -> sides op decl_of def_of side_of held g w nats (X u0) ->
      let K := kern decl_of def_of Rnum w in
      let values := eval [] K nats g (X u0) in
      D u0 (fun u => pairing n_slots (map Some (held_eval w nats (X u0) (X u))) seed)
        (fun u => pairing (n_leaves leaves) (dX u)
           (backward_dense_from (tadd (R := Rnum)) [] K nats (real_slot op leaves g) tp values seed)).
    Proof.
      intros Hlink Hadj Hseed HX Hside K values.
      pose proof (jvp_is_derivative op decl_of def_of side_of held all_sized all_differentiable held_still w nats u0 g leaves X dX
        HX typed Hside) as M. fold K in M.
      destruct (Hlink (list Rnum) (tadd (R := Rnum)) [] K nats (real_slot op leaves g) (X u0) seed
        (moves_length HX u0) Hseed) as [_ E].
      pose proof (fun u => Hadj Rnum Rnum_laws w nats (X u0) (dX u) seed (moves_length HX u0)
          (moves_dlength HX u) Hseed) as A.
      cbv zeta in A. fold K in A. fold values in E.
      apply D_ext with
        (f := fun u => rsumn n_slots (fun k => rsumn (size_of k) (fun i =>
          rget (dense (R := Rnum) (nth k seed None)) i * rget (slot (held_eval w nats (X u0) (X u)) k) i)%R))
        (l := fun u => rsumn n_slots (fun k => rsumn (size_of k) (fun i =>
          rget (dense (R := Rnum) (nth k seed None)) i *
          rget (dense (R := Rnum) (nth k (jvp_ctx [] K nats g (X u0) (dX u)) None)) i)%R)).
      - intro u. apply (sumn_ext Rnum). intros k _. apply (sumn_ext Rnum). intros i _.
        rewrite Rmult_comm. apply (f_equal (fun v => rget v i * _)%R). symmetry. apply dense_some.
      - intro u. rewrite E, <- A. apply (sumn_ext Rnum). intros k _. apply (sumn_ext Rnum). intros i _.
        apply Rmult_comm.
      - apply D_sumn. intros k _. apply D_sumn. intros i _.
        exact (D_scal u0 _ (fun u => rget (slot (held_eval w nats (X u0) (X u)) k) i)
          (fun u => rget (dense (R := Rnum) (nth k (jvp_ctx [] K nats g (X u0) (dX u)) None)) i) (moves_D M k i)).
    Qed.

    (** Reverse mode: the derivative of every seeded sum of slots is what the tape's gradient says. *)
    Theorem graph_derivative : Linked op decl_of leaves g tp -> Adjoint op decl_of def_of leaves g ->
      Derivative op decl_of def_of side_of held leaves g tp.
    Proof.
      intros Hlink Hadj w nats x dx seed Hfit Hseed Hside K values slots. split.
      - intros k i _. exact (jvp_along_line w nats x dx Hfit Hside k i).
      - pose proof (line_zero x dx Hfit) as E0. unfold sides in Hside. rewrite <- E0 in Hside.
        pose proof (D_is_derive _ _ _ (gradient_is_derivative (U := R_NormedModule) 0%R (line x dx) (scaled dx) w nats seed
          Hlink Hadj Hseed (line_moves x dx Hfit) Hside)) as H.
        cbv beta in H. rewrite E0, scaled_one in H. exact H.
    Qed.
  End Facts.
End Headline.
