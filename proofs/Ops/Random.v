(** Random ops: functions of a key and a shape. The draws u, 0 <= u < 2^24, of a key are in the world. *)
From Coq Require Import List NArith ZArith QArith Bool Arith.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Saves.
From Prooftape.Decl Require Import Names.
From Prooftape.Ops Require Import Attributes Moves Smoothness Elementwise Constant.
Import ListNotations.
Open Scope nat_scope.

Definition key_ok (a : attr) : bool := let key := int_of a in ((0 <=? key) && (key <? 2 ^ 128))%Z.
Definition probability_ok (a : attr) : bool :=
  is_rational a && Qle_bool 0 (rational_of a) && Qle_bool (rational_of a) 1.

(** draw number i as a number below 1 *)
Definition draw (w : world) (key : attr) (out : shape) (i : nat) : Q :=
  (Z.of_N (nth i (w_draws w (int_of key) (entries out)) 0%N) # 2 ^ 24)%Q.

(** ** rand_uniform *)
Definition rand_uniform_def : opdef :=
  constant (fun attrs => guard (key_ok (attr_at attrs 1)) (shape_of (attr_at attrs 0)))
           (fun w attrs => draw w (attr_at attrs 1)).
Definition rand_uniform_side := everywhere.
Lemma rand_uniform_sized : well_sized op_rand_uniform_decl rand_uniform_def. Proof. apply constant_sized. Qed.
Lemma rand_uniform_saves : saves_enough op_rand_uniform_decl rand_uniform_def. Proof. apply constant_saves. Qed.
Lemma rand_uniform_differentiable : side_enough op_rand_uniform_decl rand_uniform_def rand_uniform_side.
Proof. apply constant_differentiable. Qed.

(** ** bernoulli_mask: 1 where the draw is below the probability *)
Definition bernoulli_mask_def : opdef :=
  constant
    (fun attrs => guard (probability_ok (attr_at attrs 1) && key_ok (attr_at attrs 2)) (shape_of (attr_at attrs 0)))
    (fun w attrs out i =>
       if Qltb (draw w (attr_at attrs 2) out i) (rational_of (attr_at attrs 1)) then 1%Q else 0%Q).
Definition bernoulli_mask_side := everywhere.
Lemma bernoulli_mask_sized : well_sized op_bernoulli_mask_decl bernoulli_mask_def. Proof. apply constant_sized. Qed.
Lemma bernoulli_mask_saves : saves_enough op_bernoulli_mask_decl bernoulli_mask_def. Proof. apply constant_saves. Qed.
Lemma bernoulli_mask_differentiable : side_enough op_bernoulli_mask_decl bernoulli_mask_def bernoulli_mask_side.
Proof. apply constant_differentiable. Qed.

(** ** dropout: x / (1 - p) where the draw is below 1 - p, else 0; nothing is kept when p = 1 *)
Definition dropout_def : opdef := {|
  o_shape attrs shapes _ :=
    if probability_ok (attr_at attrs 0) && key_ok (attr_at attrs 1) then same_shape shapes else None;
  o_prog w attrs _ out _ :=
    let keep := (1 - rational_of (attr_at attrs 0))%Q in
    [Step (Lin (entries out)
       [fun i => if Qltb (draw w (attr_at attrs 1) out i) keep then [(Qred (/ keep), i)] else []]) [0]] |}.
Definition dropout_side := everywhere.
Lemma dropout_sized : well_sized op_dropout_decl dropout_def. Proof. by_text. Qed.
Lemma dropout_saves : saves_enough op_dropout_decl dropout_def. Proof. by_silence. Qed.
Lemma dropout_differentiable : side_enough op_dropout_decl dropout_def dropout_side. Proof. by_smoothness. Qed.
