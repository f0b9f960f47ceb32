(** * Losses: means over all entries, or over all rows

    The mean of no entries is 0 here and nan in floats; the side conditions exclude it. *)
From Coq Require Import Reals Lra List NArith ZArith QArith Qreals Arith Bool Lia.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Saves.
From Prooftape.Ops Require Import Index Attributes Groups Pieces PieceFacts EntryLosses Smoothness.
From Prooftape.Decl Require Import Names.
Import ListNotations.
Open Scope nat_scope.

(** ** Prediction against target, entry by entry; their shapes are equal *)
Definition pair_entries (shapes : list shape) : nat := N.to_nat (size (nth 0 shapes [])).
Definition pair_shape (shapes : list shape) : option shape :=
  match shapes with [a; b] => guard (shape_eqb a b) [] | _ => None end.

Definition mse_loss_def : opdef := {|
  o_shape := fun _ shapes _ => pair_shape shapes;
  o_prog := fun _ _ shapes out _ =>
    let n := pair_entries shapes in
    [Step (Lin n [same; minus]) [0; 1]; Step (squares n) [2; 2]; Step (Lin (N.to_nat (size out)) [mean_of n]) [3]] |}.

Definition huber_loss_def : opdef := {|
  o_shape := fun attrs shapes _ =>
    match attrs with [ANum (Fin delta)] => if Qle_bool delta 0 then None else pair_shape shapes | _ => None end;
  o_prog := fun _ attrs shapes out _ =>
    let n := pair_entries shapes in
    [Step (Ew n huber_entry [rational_of (attr_at attrs 0)] huber_slopes) [0; 1];
     Step (Lin (N.to_nat (size out)) [mean_of n]) [2]] |}.

Definition bce_with_logits_def : opdef := {|
  o_shape := fun _ shapes _ => pair_shape shapes;
  o_prog := fun _ _ shapes out _ =>
    let n := pair_entries shapes in
    [Step (Ew n bce_entry [] bce_slopes) [0; 1]; Step (Lin (N.to_nat (size out)) [mean_of n]) [2]] |}.

(** ** Rows of class scores against labels; a label that names no class contributes nothing *)
Definition label_shape (shapes : list shape) (lens : list N) : option shape :=
  match shapes, lens with
  | [[classes]], [labels] => guard ((0 <? classes)%N && (labels =? 1)%N) []
  | [[rows; classes]], [labels] => guard ((0 <? classes)%N && (labels =? rows)%N) []
  | _, _ => None
  end.
Definition classes (shapes : list shape) : nat := last (dims (nth 0 shapes [])) 1.
Definition row_count (shapes : list shape) : nat := prod (removelast (dims (nth 0 shapes []))).
Definition score_view (shapes : list shape) : view := rows_view (row_count shapes) (classes shapes).

(** the class that the label of row i names, if any *)
Definition label (nats : list (list N)) (classes i : nat) : option nat :=
  let l := nth i (nth 0 nats []) 0%N in if (l <? N.of_nat classes)%N then Some (N.to_nat l) else None.
(** the labelled cells of all rows; the rows with a label *)
Definition labelled_cells (nats : list (list N)) (rows classes : nat) : list nat :=
  flat_map (fun i => match label nats classes i with Some l => [i * classes + l] | None => [] end) (seq 0 rows).
Definition labelled_rows (nats : list (list N)) (rows classes : nat) : list nat :=
  flat_map (fun i => match label nats classes i with Some _ => [i] | None => [] end) (seq 0 rows).

(** The mean over all rows of log(sum(exp(row))) - the labelled entry. *)
Definition cross_entropy_def : opdef := {|
  o_shape := fun _ shapes lens => label_shape shapes lens;
  o_prog := fun _ _ shapes out nats =>
    let r := row_count shapes in
    let c := classes shapes in
    let v := score_view shapes in
    [Step (exps (extent v)) [0]; Step (Lin r [sum_of (members v)]) [1]; Step (logs r) [2];
     Step (Lin (N.to_nat (size out))
             [weighted (- inverse r) (fun _ => labelled_cells nats r c);
              weighted (inverse r) (fun _ => labelled_rows nats r c)]) [0; 3]] |}.
(** Minus the mean over all rows of the labelled entry. *)
Definition nll_loss_def : opdef := {|
  o_shape := fun _ shapes lens => label_shape shapes lens;
  o_prog := fun _ _ shapes out nats =>
    let r := row_count shapes in
    [Step (Lin (N.to_nat (size out)) [weighted (- inverse r) (fun _ => labelled_cells nats r (classes shapes))]) [0]] |}.

Lemma mse_loss_sized : well_sized op_mse_loss_decl mse_loss_def.
Proof. by_text. Qed.
Lemma huber_loss_sized : well_sized op_huber_loss_decl huber_loss_def.
Proof. by_text. Qed.
Lemma bce_with_logits_sized : well_sized op_bce_with_logits_decl bce_with_logits_def.
Proof. by_text. Qed.
Lemma cross_entropy_sized : well_sized op_cross_entropy_decl cross_entropy_def.
Proof. by_text. Qed.
Lemma nll_loss_sized : well_sized op_nll_loss_decl nll_loss_def.
Proof. by_text. Qed.

Lemma mse_loss_saves : saves_enough op_mse_loss_decl mse_loss_def.
Proof. by_reading. Qed.
Lemma huber_loss_saves : saves_enough op_huber_loss_decl huber_loss_def.
Proof. by_reading. Qed.
Lemma bce_with_logits_saves : saves_enough op_bce_with_logits_decl bce_with_logits_def.
Proof. by_reading. Qed.
Lemma cross_entropy_saves : saves_enough op_cross_entropy_decl cross_entropy_def.
Proof. by_reading. Qed.
Lemma nll_loss_saves : saves_enough op_nll_loss_decl nll_loss_def.
Proof. by_reading. Qed.

(** ** Derivatives: everywhere, given something to take the mean of *)
Definition some_pairs : side_cond := fun _ _ shapes _ _ _ => 0 < pair_entries shapes.
Definition some_rows : side_cond := fun _ _ shapes _ _ _ => 0 < row_count shapes.

Definition mse_loss_side := some_pairs.
Lemma mse_loss_differentiable : side_enough op_mse_loss_decl mse_loss_def mse_loss_side.
Proof. by_smoothness. Qed.

Lemma two_cells (a b : list R) i : cell (R := Rnum) [a; b] i = [entry a i; entry b i].
Proof. reflexivity. Qed.

Definition huber_loss_side := some_pairs.
Lemma huber_loss_differentiable : side_enough op_huber_loss_decl huber_loss_def huber_loss_side.
Proof.
  apply composite_differentiable; try reflexivity. intros w attrs shapes out lens nats masks a _ La Hs _.
  destruct a as [| x [| y [|]]]; try discriminate. cbn [o_prog huber_loss_def]. steps. split; [| now split].
  intros i _. rewrite two_cells. apply huber_entry_diff. cbn [o_shape huber_loss_def] in Hs.
  destruct attrs as [| [| | | [delta | | |] | | | ] [|]]; try discriminate. cbn [rational_of attr_at nth].
  destruct (Qle_bool delta 0) eqn:E; [discriminate |].
  assert (0 < delta)%Q as P by (apply Qnot_le_lt; intro L; apply Qle_bool_iff in L; congruence).
  apply Qlt_Rlt in P. now rewrite Q2R_0 in P.
Qed.

Definition bce_with_logits_side := some_pairs.
Lemma bce_with_logits_differentiable : side_enough op_bce_with_logits_decl bce_with_logits_def bce_with_logits_side.
Proof.
  apply composite_differentiable; try reflexivity. intros w attrs shapes out lens nats masks a _ La _ _.
  destruct a as [| x [| y [|]]]; try discriminate. cbn [o_prog bce_with_logits_def]. steps. split; [| now split].
  intros i _. rewrite two_cells. apply bce_entry_diff.
Qed.

Definition cross_entropy_side := some_rows.
Lemma cross_entropy_differentiable : side_enough op_cross_entropy_decl cross_entropy_def cross_entropy_side.
Proof.
  apply composite_differentiable; try reflexivity. intros w attrs shapes out lens nats masks a Ls La Hs _.
  destruct a as [| x [|]]; try discriminate. destruct shapes as [| s [|]]; try discriminate.
  assert (0 < classes [s]) as C.
  { cbn [o_shape cross_entropy_def label_shape] in Hs.
    destruct s as [| p [| q [|]]]; try discriminate; destruct lens as [| l [|]]; try discriminate;
      match type of Hs with (if ?b then _ else _) = _ => destruct b eqn:E; [| discriminate] end;
      apply andb_prop in E; destruct E as [E _]; apply N.ltb_lt in E; cbn; lia. }
  cbn [o_prog cross_entropy_def]. steps. split; [apply exps_side |]. split; [exact I |]. split; [| now split].
  apply logs_side. intros r Hr. rewrite entry_lin, row_sum by exact Hr. apply total_pos.
  - apply members_nonempty. unfold score_view, rows_view. cbn [group_size]. lia.
  - intros c Hc. rewrite entry_exps; [apply exp_pos |]. apply (members_lt _ r); [| exact Hc].
    unfold score_view, rows_view. cbn [groups]. lia.
Qed.

Definition nll_loss_side := some_rows.
Lemma nll_loss_differentiable : side_enough op_nll_loss_decl nll_loss_def nll_loss_side.
Proof. by_smoothness. Qed.
