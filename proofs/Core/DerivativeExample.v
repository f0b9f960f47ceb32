(** * The hypotheses of [graph_derivative] can be met, and fail where they should

    A table of one op, the ramp max(x, 0), which has a kink at 0, and the graph with one ramp. At x = (1, -2) the
    entries' sum has derivative 1 along (1, 1): the tape's gradient is (1, 0). At x = (0, -2) the side condition
    does not hold. The real table is [Decl/Table.v]. *)
From Coq Require Import Reals Lra String List NArith QArith Bool Arith Lia.
Set Warnings "-ambiguous-paths".
From Coquelicot Require Import Coquelicot.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Tape Op RealNum Statements.
From Prooftape.Core Require Import Typing Side Obligations ScalarDerivative Saves AdjointGraph Link Sums.
From Prooftape.Core Require Import DerivativeBlocks Headline.
Import ListNotations.
Open Scope nat_scope.

Definition ramp_decl : decl := Decl "ramp" [Real] false 0 0 [] [Operand 0] Real true.
Definition ramp_def : opdef := OpDef
  (fun _ shapes _ => match shapes with [s] => Some s | _ => None end)
  (fun _ _ _ out _ =>
     [Step (Ew (N.to_nat (size out)) (Scalar.Max (Arg 0) (Lit 0)) [] [Some (Gt (Arg 0) (Lit 0))]) [0]]).
(** No entry is 0. *)
Definition ramp_side : side_cond := fun _ _ _ out _ a => forall i, i < N.to_nat (size out) -> rget (slot a 0) i <> 0%R.

Lemma ramp_operands w attrs tys lens nats t p :
  used ramp_decl ramp_def w attrs tys lens nats t p -> exists s, tys = [Ty Real s].
Proof.
  intros (I & _). unfold infer in I. destruct (operands_fit ramp_decl tys) eqn:E; [|discriminate].
  unfold operands_fit in E. cbn - [Nat.leb firstn all2] in E. rewrite !andb_true_iff, !Nat.leb_le in E.
  destruct E as [[H1 H2] H3]. cbn in H1, H2. destruct tys as [|[d s] [|t' tys]]; cbn in H1, H2; try lia.
  exists s. now destruct d.
Qed.
Lemma ramp_sized : well_sized ramp_decl ramp_def.
Proof.
  intros w attrs tys lens nats t p U. destruct (ramp_operands _ _ _ _ _ _ _ U) as [s ->].
  destruct U as (_ & _ & ->). repeat split; discriminate.
Qed.
Lemma ramp_saves : saves_enough ramp_decl ramp_def.
Proof.
  apply saves_by_check. intros w attrs tys lens nats t p U. destruct (ramp_operands _ _ _ _ _ _ _ U) as [s ->].
  destruct U as (_ & _ & ->). reflexivity.
Qed.
Lemma ramp_differentiable : side_enough ramp_decl ramp_def ramp_side.
Proof.
  intros w attrs tys lens nats t p U a La Hside. destruct (ramp_operands _ _ _ _ _ _ _ U) as [s ->].
  destruct U as (_ & _ & ->). destruct a as [|v [|]]; try discriminate La.
  split; [|split; discriminate].
  split; [|exact I]. intros i Hi. specialize (Hside i Hi). cbn in Hside.
  change (args_at (R := Rnum) [v] (Step (Ew (N.to_nat (size (t_shape t))) (Scalar.Max (Arg 0) (Lit 0)) []
    [Some (Gt (Arg 0) (Lit 0))]) [0])) with [v].
  apply (ew_by_rules_1 _ _ _ _ (rget v i)); cbn; rewrite RMicromega.Q2R_0; [auto|].
  unfold slopes_agree. cbn. now rewrite ?RMicromega.Q2R_0.
Qed.

Definition vector : ty := Ty Real [2%N].
Definition ramp_graph : graph unit := [Node (Call tt [] [vector] [] vector) [0%N] []].
Definition ramp_tape : tape unit := compile_tape (saves_of (fun _ : unit => ramp_decl)) 1 ramp_graph.

Lemma ramp_typed : typed_from (fun _ : unit => ramp_decl) (fun _ => ramp_def) [vector] ramp_graph.
Proof. repeat split. cbn. intros i [<-|[]]; cbn; lia. Qed.

Example ramp_derivative :
  Derivative unit (fun _ => ramp_decl) (fun _ => ramp_def) (fun _ => ramp_side) (fun _ => false) [vector] ramp_graph ramp_tape.
Proof.
  apply graph_derivative.
  - intros _. exact ramp_sized.
  - intros _. exact ramp_differentiable.
  - discriminate.
  - exact ramp_typed.
  - intros T add default K nats wanted x seed Lx _.
    exact (compiled_tape_is_graph unit _ ramp_graph 1 (typed_scoped _ _ _ ramp_graph [vector] ramp_typed)
             T add default K nats wanted x seed Lx).
  - apply graph_adjoint; [intros _; exact ramp_sized|intros _; exact ramp_saves|exact ramp_typed].
Qed.

Definition nowhere : world := World (fun _ => []) (fun _ _ => []).
Notation ramp_sides x :=
  (sides unit (fun _ => ramp_decl) (fun _ => ramp_def) (fun _ => ramp_side) (fun _ => false) ramp_graph nowhere (fun _ => 0%N) x).

Example ramp_side_holds : ramp_sides [[1; -2]%R].
Proof. split; [|exact I]. intros _ [|[|i]] Hi; cbn; [lra|lra|cbn in Hi; lia]. Qed.
Example ramp_side_fails : ~ ramp_sides [[0; -2]%R].
Proof. intros [H _]. apply (H eq_refl 0); cbn; [lia|reflexivity]. Qed.

(** The derivative of the sum of the ramps at (1, -2) along (1, 1). *)
Example ramp_slope : is_derive (fun t : R => Rmax (1 + t) 0 + Rmax (-2 + t) 0)%R 0%R 1%R.
Proof.
  pose proof (ramp_derivative nowhere (fun _ => 0%N) [[1; -2]%R] [Some [1; 1]%R] [None; Some [1; 1]%R]) as H.
  destruct H as [_ H]; [|reflexivity|exact ramp_side_holds|].
  { split; [reflexivity|split; [reflexivity|]]. intros [|k] Hk; [now repeat split|cbn in Hk; lia]. }
  assert (Hmax : forall a : R, (if Rltb 0 a then a else 0%R) = Rmax a 0).
  { intro a. unfold Rltb. destruct (Rlt_dec 0 a); [rewrite Rmax_left|rewrite Rmax_right]; lra. }
  assert (Hone : Rltb 0 1 = true) by (unfold Rltb; destruct (Rlt_dec 0 1); [reflexivity|lra]).
  assert (Htwo : Rltb 0 (-2) = false) by (unfold Rltb; destruct (Rlt_dec 0 (-2)); [lra|reflexivity]).
  cbv -[Rltb Q2R Rplus Rmult Ropp IZR is_derive AbsRing.sort R_AbsRing R_NormedModule] in H.
  rewrite RMicromega.Q2R_0, Hone, Htwo in H.
  match type of H with is_derive ?f _ ?slope =>
    apply (is_derive_ext f); [|assert (E : @eq R slope 1%R) by ring; exact (eq_rect _ (is_derive f 0%R) H _ E)] end.
  intro t. rewrite !Hmax, !Rmult_1_r.
  change (@eq R (0 + (0 + (1 + t) * 0 + (-2 + t) * 0) + (0 + Rmax (1 + t) 0 + Rmax (-2 + t) 0)) (Rmax
      (1 + t) 0 + Rmax (-2 + t) 0))%R.
  ring.
Qed.
