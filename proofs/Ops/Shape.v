(** Shape ops: the same entries in another shape or another order of axes. *)
From Coq Require Import List NArith ZArith QArith Bool Arith.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations.
From Prooftape.Decl Require Import Names.
From Prooftape.Ops Require Import Index Attributes Moves Smoothness.
Import ListNotations.
Open Scope nat_scope.

(** ** reshape, flatten *)
Definition reshape_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes with
    | [x] =>
        let asked := ints_of (attr_at attrs 0) in
        let s := map Z.to_N asked in
        guard (at_least 0 asked && (size s =? size x)%N) s
    | _ => None
    end;
  o_prog _ _ _ out _ := copies (entries out) |}.

Definition flatten_def : opdef := {|
  o_shape _ shapes _ := match shapes with [x] => Some [size x] | _ => None end;
  o_prog _ _ _ out _ := copies (entries out) |}.

(** ** Permutations of axes: output axis k is input axis [axes k] *)
Fixpoint position (a : nat) (l : list nat) : nat :=
  match l with [] => 0 | b :: l' => if a =? b then 0 else S (position a l') end.

Definition permuted (axes : list nat) (x : shape) : shape := map (axis_length x) axes.
(** the input cell that output cell i shows *)
Definition permuted_source (axes : list nat) (x out : shape) : nat -> nat :=
  let d := dims x in
  let e := dims out in
  let places := map (fun a => position a axes) (seq 0 (length d)) in
  fun i => let ix := unravel e i in ravel d (map (fun k => nth k ix 0) places).
Definition permutation (axes : list nat) (x out : shape) : prog := moves (entries out) (permuted_source axes x out).

Definition permute_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes with
    | [x] =>
        let axes := ints_of (attr_at attrs 0) in
        guard ((length axes =? length x) && forallb (fun a => axis_ok a (length x)) axes && distinct axes)
              (permuted (map Z.to_nat axes) x)
    | _ => None
    end;
  o_prog _ attrs shapes out _ := permutation (nats_of (attr_at attrs 0)) (hd [] shapes) out |}.

(** a permutation that the name fixes, with the rank *)
Definition fixed_permutation (axes : list nat) : opdef := {|
  o_shape _ shapes _ :=
    match shapes with [x] => guard (rank_is (length axes) x) (permuted axes x) | _ => None end;
  o_prog _ _ shapes out _ := permutation axes (hd [] shapes) out |}.

Definition transpose2d_def := fixed_permutation [1; 0].
Definition transpose3d_first_to_last_def := fixed_permutation [1; 2; 0].
Definition transpose3d_last_to_first_def := fixed_permutation [2; 0; 1].
Definition transpose3d_last_two_def := fixed_permutation [0; 2; 1].

(** axes depth and depth + 1 change places *)
Definition swapped (depth rank : nat) : list nat :=
  seq 0 depth ++ [S depth; depth] ++ seq (depth + 2) (rank - depth - 2).

Definition swap_adjacent_at_depth_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes with
    | [x] =>
        let depth := int_of (attr_at attrs 0) in
        guard ((0 <=? depth)%Z && (depth + 1 <? Z.of_nat (length x))%Z)
              (permuted (swapped (Z.to_nat depth) (length x)) x)
    | _ => None
    end;
  o_prog _ attrs shapes out _ :=
    let x := hd [] shapes in
    permutation (swapped (Z.to_nat (int_of (attr_at attrs 0))) (length x)) x out |}.

(** ** Obligations *)
Definition reshape_side := everywhere.
Lemma reshape_sized : well_sized op_reshape_decl reshape_def. Proof. by_text. Qed.
Lemma reshape_saves : saves_enough op_reshape_decl reshape_def. Proof. by_silence. Qed.
Lemma reshape_differentiable : side_enough op_reshape_decl reshape_def reshape_side.
Proof. by_smoothness. Qed.

Definition flatten_side := everywhere.
Lemma flatten_sized : well_sized op_flatten_decl flatten_def. Proof. by_text. Qed.
Lemma flatten_saves : saves_enough op_flatten_decl flatten_def. Proof. by_silence. Qed.
Lemma flatten_differentiable : side_enough op_flatten_decl flatten_def flatten_side.
Proof. by_smoothness. Qed.

Definition permute_side := everywhere.
Lemma permute_sized : well_sized op_permute_decl permute_def. Proof. by_text. Qed.
Lemma permute_saves : saves_enough op_permute_decl permute_def. Proof. by_silence. Qed.
Lemma permute_differentiable : side_enough op_permute_decl permute_def permute_side.
Proof. by_smoothness. Qed.

Definition transpose2d_side := everywhere.
Lemma transpose2d_sized : well_sized op_transpose2d_decl transpose2d_def. Proof. by_text. Qed.
Lemma transpose2d_saves : saves_enough op_transpose2d_decl transpose2d_def. Proof. by_silence. Qed.
Lemma transpose2d_differentiable : side_enough op_transpose2d_decl transpose2d_def transpose2d_side.
Proof. by_smoothness. Qed.

Definition transpose3d_first_to_last_side := everywhere.
Lemma transpose3d_first_to_last_sized : well_sized op_transpose3d_first_to_last_decl transpose3d_first_to_last_def.
Proof. by_text. Qed.
Lemma transpose3d_first_to_last_saves : saves_enough op_transpose3d_first_to_last_decl transpose3d_first_to_last_def.
Proof. by_silence. Qed.
Lemma transpose3d_first_to_last_differentiable :
  side_enough op_transpose3d_first_to_last_decl transpose3d_first_to_last_def transpose3d_first_to_last_side.
Proof. by_smoothness. Qed.

Definition transpose3d_last_to_first_side := everywhere.
Lemma transpose3d_last_to_first_sized : well_sized op_transpose3d_last_to_first_decl transpose3d_last_to_first_def.
Proof. by_text. Qed.
Lemma transpose3d_last_to_first_saves : saves_enough op_transpose3d_last_to_first_decl transpose3d_last_to_first_def.
Proof. by_silence. Qed.
Lemma transpose3d_last_to_first_differentiable :
  side_enough op_transpose3d_last_to_first_decl transpose3d_last_to_first_def transpose3d_last_to_first_side.
Proof. by_smoothness. Qed.

Definition transpose3d_last_two_side := everywhere.
Lemma transpose3d_last_two_sized : well_sized op_transpose3d_last_two_decl transpose3d_last_two_def.
Proof. by_text. Qed.
Lemma transpose3d_last_two_saves : saves_enough op_transpose3d_last_two_decl transpose3d_last_two_def.
Proof. by_silence. Qed.
Lemma transpose3d_last_two_differentiable :
  side_enough op_transpose3d_last_two_decl transpose3d_last_two_def transpose3d_last_two_side.
Proof. by_smoothness. Qed.

Definition swap_adjacent_at_depth_side := everywhere.
Lemma swap_adjacent_at_depth_sized : well_sized op_swap_adjacent_at_depth_decl swap_adjacent_at_depth_def.
Proof. by_text. Qed.
Lemma swap_adjacent_at_depth_saves : saves_enough op_swap_adjacent_at_depth_decl swap_adjacent_at_depth_def.
Proof. by_silence. Qed.
Lemma swap_adjacent_at_depth_differentiable :
  side_enough op_swap_adjacent_at_depth_decl swap_adjacent_at_depth_def swap_adjacent_at_depth_side.
Proof. by_smoothness. Qed.
