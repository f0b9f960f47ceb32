(** * No theorem is vacuous

    For every public theorem with hypotheses, a concrete instance that meets them. [X_witness] belongs to the theorem
    X of Theorems.v; scripts/export_theory.py asks for one wherever a statement has hypotheses. *)
From Coq Require Import List NArith ZArith QArith Arith Reals Lra Lia Bool.
Set Warnings "-ambiguous-paths".
From Coquelicot Require Import Coquelicot.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Tape Op Statements RealNum.
From Prooftape.Decl Require Import Names Table.
From Prooftape.Certificates Require Import Certify.
From Prooftape Require Import Theorems.
From Prooftape.Core Require Sums DerivativeBlocks DerivativeGraph Headline Link Rename DeadCode CommonSubexpression
  Pruning Absorb.
From Prooftape.Ops Require Index Conv ConvTranspose ConvSpec Pooling PoolingSpec SoftmaxSpec NormSpec Attention
  AttentionSpec Groups PieceFacts.
Import ListNotations.
Open Scope nat_scope.

(** ** A graph over the real op table: the sum of relu(x), x of length 2 *)
Definition vector : ty := Ty Real [2%N].
Definition relu_call : call opname := Call op_relu [] [vector] [] vector.
Definition sum_call : call opname := Call op_sum [] [vector] [] (Ty Real []).
Definition leaves : list ty := [vector].
Definition ramps : graph opname := [Node relu_call [0%N] []; Node sum_call [1%N] []].
Definition ramps_tape : tape opname := [Instr relu_call 1 [0%N] [0%N] []; Instr sum_call 2 [1%N] [] []].
Definition nowhere : world := World (fun _ => []) (fun _ _ => []).
Definition no_nats : N -> N := fun _ => 0%N.
Definition point : list (list Rnum) := [[1; -2]%R].
Definition direction : list (option (list Rnum)) := [Some [1; 1]%R].

Example certified_witness : check leaves ramps ramps_tape = true.
Proof. reflexivity. Qed.
Definition typed := Check.check_typed opname_eqb decl_of def_of opname_eqb_ok leaves ramps ramps_tape certified_witness.
Example adjoint_witness : Adjoint leaves ramps.
Proof. exact (adjoint _ _ _ all_sized all_saves leaves ramps typed). Qed.
Example link_witness : Link.scoped_from (saves_of decl_of) 1 ramps.
Proof. exact (Link.typed_scoped _ _ _ ramps leaves typed). Qed.

(** The side condition holds at (1, -2), and not at (0, -2): it is a condition. *)
Example sides_hold : Statements.sides opname decl_of def_of side_of held_of ramps nowhere no_nats point.
Proof. split; [intros _ [|[|i]] Hi; cbn; [lra|lra|cbn in Hi; lia]|split; [intros _; exact I|exact I]]. Qed.
Example sides_fail : ~ Statements.sides opname decl_of def_of side_of held_of ramps nowhere no_nats [[0; -2]%R].
Proof. intros [H _]. apply (H eq_refl 0); cbn; [lia|reflexivity]. Qed.
Example point_fits : Statements.fits opname leaves ramps point direction.
Proof. split; [reflexivity|split; [reflexivity|]]. intros [|k] Hk; [now repeat split|cbn in Hk; lia]. Qed.
Example derivative_witness : Derivative leaves ramps ramps_tape.
Proof. exact (proj2 (proj2 (certified leaves ramps ramps_tape certified_witness))). Qed.
Example moves_witness :
  DerivativeGraph.moves (U := R_NormedModule) 0%R leaves (Statements.line point direction) (Headline.scaled direction).
Proof. exact (Headline.line_moves opname leaves ramps point direction point_fits). Qed.
Definition jvp_is_derivative_witness := jvp_is_derivative _ _ _ _ _ all_sized all_differentiable held_still nowhere no_nats
  _ _ ramps leaves _ _ moves_witness typed.
Definition gradient_is_derivative_witness := gradient_is_derivative _ _ _ _ _ leaves ramps ramps_tape all_sized
  all_differentiable held_still typed R_NormedModule 0%R _ _ nowhere no_nats [None; None; Some [1%R]]
  (proj1 (certified _ _ _ certified_witness)) adjoint_witness eq_refl moves_witness.
Definition kernel_adjoint_witness := kernel_adjoint _ _ _ all_sized all_saves Sums.nat_num Sums.nat_num_laws nowhere
  relu_call [] [[3; 4]] _ [Some [1; 1]] [5; 6] _ eq_refl eq_refl eq_refl eq_refl eq_refl eq_refl.
Definition check_exact_witness := check_exact _ _ decl_of def_of opname_eqb_refl opname_eqb_ok leaves ramps ramps_tape.

(** A graph that holds a value: x * detach(x), whose derivative along dx is x * dx, not 2 x * dx. *)
Definition detach_call : call opname := Call op_detach [] [vector] [] vector.
Definition mul_call : call opname := Call op_mul [] [vector; vector] [] vector.
Definition holding : graph opname := [Node detach_call [0%N] []; Node mul_call [0; 1]%N []].
Definition holding_tape : tape opname := [Instr detach_call 1 [0%N] [] []; Instr mul_call 2 [0; 1]%N [0; 1]%N []].
Example holding_checked : check leaves holding holding_tape = true.
Proof. reflexivity. Qed.
Example holding_sides x : Statements.sides opname decl_of def_of side_of held_of holding nowhere no_nats x.
Proof. split; [discriminate|split; [intros _; exact I|exact I]]. Qed.
Example nothing_held_witness : existsb (fun n => held_of (c_op (n_call n))) ramps = false.
Proof. reflexivity. Qed.

(** ** Rewriting *)
Definition dead_code_removal_witness := DeadCode.with_dead_ordered.
Definition common_subexpressions_witness := CommonSubexpression.with_twins_ordered.
Definition renaming_keeps_values_witness :=
  CommonSubexpression.cse_renaming unit CommonSubexpression.unit_eqb CommonSubexpression.unit_eqb_ok 1
    CommonSubexpression.with_twins CommonSubexpression.with_twins_ordered.
Definition pruning_witness := conj Pruning.bool_kernels_independent Pruning.two_branches_closed.
Definition pruning_by_the_table := Pruning.kern_independent _ decl_of def_of Rnum nowhere.

(** ** Absorbing zero *)
Definition absorbing_zero_witness := Absorb.absorbing_witness.
Definition absent_never_run_witness := Absorb.absent_witness.
Definition zero_gives_zero_witness := Absorb.zero_cotangent_witness.

(** ** Textbook formulas, at small sizes *)
Definition matmul_spec_witness R := matmul_spec R 2 3 2 [] [] 1 1 (le_n 2) (le_n 2).
Definition matmul_vjp_left_witness :=
  matmul_vjp_left Sums.nat_num Sums.nat_num_laws 2 3 2 [] [] [] 1 2 (le_n 2) (le_n 3).
Definition matmul_vjp_right_witness :=
  matmul_vjp_right Sums.nat_num Sums.nat_num_laws 2 3 2 [] [] [] 2 1 (le_n 3) (le_n 2).
Definition bmm_spec_witness R := bmm_spec R 2 2 3 2 [] [] 1 1 1 (le_n 2) (le_n 2) (le_n 2).

Lemma inside_1_1 : Index.inside [2; 2] [1; 1].
Proof. repeat constructor. Qed.
Lemma inside_0 : Index.inside [1] [0].
Proof. repeat constructor. Qed.
Lemma inside_2 : Index.inside [3] [2].
Proof. repeat constructor. Qed.
Lemma inside_3 : Index.inside [4] [3].
Proof. repeat constructor. Qed.
Definition conv_spec_witness w b x :=
  conv_spec Rnum PieceFacts.real_laws RMicromega.Q2R_1 None nowhere [1; 1]%Z [0; 0]%Z [] 1%N 1%N [2; 2]%N [3; 3]%N [2; 2]%N
    [] w b x eq_refl eq_refl [] 0 [1; 1] (Forall2_nil _) (le_n 1) inside_1_1.
Definition conv_transpose_spec_witness w b x :=
  conv_transpose_spec Rnum PieceFacts.real_laws RMicromega.Q2R_1 None nowhere [2]%Z [1]%Z [] 1%N 1%N [3]%N [2]%N [3]%N
    [] w b x eq_refl eq_refl [] 0 [2] (Forall2_nil _) (le_n 1) inside_2.
Definition max_pool_spec_witness x :=
  max_pool_spec None nowhere [2]%Z [1]%Z [1]%Z [1]%N [3]%N [4]%N [] x [0] [3] eq_refl inside_0 inside_3 eq_refl.
Definition avg_pool_spec_witness x :=
  avg_pool_spec None nowhere [2]%Z [1]%Z [1]%Z [1]%N [3]%N [4]%N [] x [0] [3] eq_refl inside_0 inside_3 eq_refl.
Definition smooth_max_pool_spec_witness x :=
  smooth_max_pool_spec None nowhere [2]%Z [1]%Z [1]%Z [1]%N [3]%N [4]%N [] x [0] [3] eq_refl inside_0 inside_3
    (1 # 2) eq_refl.
Definition smooth_max_pool2d_spec_witness x :=
  smooth_max_pool2d_spec (Some 2) nowhere [2; 2]%Z [1; 1]%Z [0; 0]%Z [1]%N [3; 3]%N [2; 2]%N [] x [0] [1; 1] eq_refl
    inside_0 inside_1_1 1%Q eq_refl.

Definition softmax_spec_witness x := softmax_spec nowhere 1 [2; 3]%N [] x 1 2 0 (le_n 2) (le_n 2) (le_n 3) (le_n 1).
Definition log_softmax_spec_witness x :=
  log_softmax_spec nowhere 1 [2; 3]%N [] x 1 2 0 (le_n 2) (le_n 2) (le_n 3) (le_n 1).
Definition logsumexp_spec_witness x := logsumexp_spec nowhere [0]%Z [3]%N []%N [] x 0 eq_refl (le_n 1).
Example softmax_shift_witness : forall j, j < Groups.extent (Groups.along_one 0 [2]%N) ->
  tget (R := Rnum) [5; 6]%R j =
  (tget (R := Rnum) [1; 2]%R j - (fun _ => -4) (Groups.group_of (Groups.along_one 0 [2]%N) j))%R.
Proof. intros [|[|j]] H; cbn in *; [lra|lra|lia]. Qed.
Definition layer_norm_spec_witness x gamma beta :=
  layer_norm_spec nowhere [2; 3]%N [] (1 # 100000) x gamma beta 1 2 ltac:(discriminate) (le_n 2) (le_n 3).
Definition rms_norm_spec_witness x gamma :=
  rms_norm_spec nowhere [2; 3]%N [] (1 # 100000) x gamma 1 2 ltac:(discriminate) (le_n 2) (le_n 3).
Definition attention_spec_witness wq wk wv wo x :=
  attention_spec nowhere 1 2 4 2 2 [] wq wk wv wo x 0 1 3 
    (le_S _ _ (le_n 1)) (le_S _ _ (le_n 1)) (le_n 1) (le_n 2) (le_n 4).
Definition masked_attention_spec_witness wq wk wv wo x mask :=
  masked_attention_spec nowhere 1 2 4 2 2 [] wq wk wv wo x mask 0 1 3
    (le_S _ _ (le_n 1)) (le_S _ _ (le_n 1)) (le_n 1) (le_n 2) (le_n 4).
(** The second query of two keeps nothing. *)
Example idle_query_gets_zeros_witness :
  Attention.keeps_nothing (Attention.Attention 1 2 4 2 2) [1; 0; 0; 0]%R 1 = true.
Proof.
  cbv -[Req_EM_T]. repeat match goal with |- context [Req_EM_T ?a ?a] => destruct (Req_EM_T a a); [|congruence] end.
  reflexivity.
Qed.
