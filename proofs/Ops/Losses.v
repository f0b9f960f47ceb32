(** * Losses: means over all entries, or over all rows

    The mean of no entries is 0 here and nan in floats; the side conditions exclude it. *)
From Coq Require Import List NArith ZArith QArith Arith Bool.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op.
From Prooftape.Core Require Import Obligations Saves.
From Prooftape.Ops Require Import Index Attributes Groups Pieces Smoothness.
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

(** z^2 / 2 where |z| <= delta, delta (|z| - delta / 2) elsewhere; the slope is z, cut off at delta *)
Definition difference (a b : nat) : sx := Sub (Arg a) (Arg b).
Definition huber_entry : sx :=
  let z := difference 0 1 in
  If (Ge (Par 0) (Abs z)) (Mul (Lit (1 # 2)) (Square z)) (Mul (Par 0) (Add (Abs z) (Mul (Lit (-1 # 2)) (Par 0)))).
Definition cut_off (z : sx) : sx := Max (Min z (Par 0)) (Neg (Par 0)).
Definition huber_slopes : list (option sx) := [Some (cut_off (difference 0 1)); Some (cut_off (difference 1 0))].

Definition huber_loss_def : opdef := {|
  o_shape := fun attrs shapes _ =>
    match attrs with [ANum (Fin delta)] => if Qle_bool delta 0 then None else pair_shape shapes | _ => None end;
  o_prog := fun _ attrs shapes out _ =>
    let n := pair_entries shapes in
    [Step (Ew n huber_entry [rational_of (attr_at attrs 0)] huber_slopes) [0; 1];
     Step (Lin (N.to_nat (size out)) [mean_of n]) [2]] |}.

(** softplus(x) - t x for a logit x and a target t, written from the side where nothing overflows *)
Definition bce_positive : sx := Gt (Arg 0) (Lit 0).
Definition bce_tail : sx := If bce_positive (Neg (Arg 0)) (Arg 0).
Definition bce_wrong : sx := If bce_positive (Sub (Lit 1) (Arg 1)) (Arg 1).
Definition bce_entry : sx := Sub (Fn Softplus bce_tail) (Mul bce_wrong bce_tail).
Definition bce_slope : sx := Sub (Fn Sigmoid bce_tail) bce_wrong.
Definition bce_slopes : list (option sx) := [Some (If bce_positive (Neg bce_slope) bce_slope); Some (Neg (Arg 0))].

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
