(** Matrix products. Axes before the last two are a batch and broadcast; [matmul] reads a vector on the left as a
    row and one on the right as a column, and drops that axis from the result. *)
From Coq Require Import List NArith ZArith QArith Bool Arith.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Saves.
From Prooftape.Decl Require Import Names.
From Prooftape.Ops Require Import Index Attributes Moves Smoothness.
Import ListNotations.
Open Scope nat_scope.

(** ** Products of matrices m x k and k x n *)
(** the summands of result cell i: matrices [left] and [right] of the batches, for matrix number t of the result *)
Definition product_row (left right : nat -> nat) (m k n i : nat) : list (nat * nat) :=
  let c := i mod n in
  let r := i / n mod m in
  let t := i / n / m in
  let a := left t * (m * k) + r * k in
  let b := right t * (k * n) + c in
  map (fun p => (a + p, b + p * n)) (seq 0 k).

(** the axes before the last two *)
Definition batch {A} (s : list A) : list A := firstn (length s - 2) s.
(** the last two axes; a vector gets the missing one, before or after *)
Definition left_matrix (s : list nat) : nat * nat :=
  match last_n 2 s with [m; k] => (m, k) | [k] => (1, k) | _ => (0, 0) end.
Definition right_matrix (s : list nat) : nat * nat :=
  match last_n 2 s with [k; n] => (k, n) | [k] => (k, 1) | _ => (0, 0) end.

Definition products (a b out : shape) : prog :=
  let da := dims a in
  let db := dims b in
  let wide := firstn (Nat.max (length (batch da)) (length (batch db))) (dims out) in
  let matrix d t := aligned (batch d) (unravel wide t) in
  let '(m, k) := left_matrix da in
  let '(_, n) := right_matrix db in
  [Step (Bil (entries out) (product_row (matrix da) (matrix db) m k n)) [0; 1]].

(** ** Shape rules *)
(** length of the last axis, of the last but one *)
Definition last_axis (s : shape) : N := last s 0%N.
Definition second_last (s : shape) : N := last (removelast s) 0%N.

(** equal leading axes *)
Definition product_shape (a b : shape) : option shape :=
  guard (rank_from 2 a && rank_from 2 b && shape_eqb (batch a) (batch b) && (last_axis a =? second_last b)%N)
        (removelast a ++ [last_axis b]).

Definition bmm_def : opdef := {|
  o_shape _ shapes _ :=
    match shapes with [a; b] => if rank_is 3 a && rank_is 3 b then product_shape a b else None | _ => None end;
  o_prog _ _ shapes out _ := products (nth 0 shapes []) (nth 1 shapes []) out |}.

Definition absorbing_matmul_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes, attrs with
    | [a; b], [AInt z] => if (z =? 0)%Z || (z =? 1)%Z then product_shape a b else None
    | _, _ => None
    end;
  o_prog _ _ shapes out _ := products (nth 0 shapes []) (nth 1 shapes []) out |}.

Definition matmul_def : opdef := {|
  o_shape _ shapes _ :=
    match shapes with
    | [a; b] =>
        let inner := if rank_from 2 b then second_last b else last_axis b in
        if rank_from 1 a && rank_from 1 b && (last_axis a =? inner)%N then
          match broadcast (batch a) (batch b) with
          | Some s => Some (s ++ (if rank_from 2 a then [second_last a] else []) ++
                                 (if rank_from 2 b then [last_axis b] else []))
          | None => None
          end
        else None
    | _ => None
    end;
  o_prog _ _ shapes out _ := products (nth 0 shapes []) (nth 1 shapes []) out |}.

(** ** linear: rows of x times the transpose of w, plus b *)
Definition linear_row (inputs outputs i : nat) : list (nat * nat) :=
  let x := i / outputs * inputs in
  let w := i mod outputs * inputs in
  map (fun p => (x + p, w + p)) (seq 0 inputs).

Definition linear_def : opdef := {|
  o_shape _ shapes _ :=
    match shapes with
    | [[m; k]; b; x] => guard (shape_eqb b [m] && rank_from 1 x && (last_axis x =? k)%N) (removelast x ++ [m])
    | _ => None
    end;
  o_prog _ _ shapes out _ :=
    let w := dims (nth 0 shapes []) in
    let outputs := nth 0 w 0 in
    let inputs := nth 1 w 0 in
    [Step (Bil (entries out) (linear_row inputs outputs)) [2; 0];
     Step (Lin (entries out) [fun i => ones [i]; fun i => ones [i mod outputs]]) [3; 1]] |}.

(** ** Obligations *)
(** The program of a product is one bilinear block, whatever the shapes. *)
Lemma products_one_block a b out : exists row, products a b out = [Step (Bil (entries out) row) [0; 1]].
Proof. unfold products. destruct (left_matrix _) as [m k], (right_matrix _) as [k' n]. eexists. reflexivity. Qed.

Lemma product_op_sized d o : d_variadic d = false -> d_optional d = 0 -> length (d_operands d) = 2 ->
  (forall w attrs shapes out nats, exists row,
     o_prog o w attrs shapes out nats = [Step (Bil (entries out) row) [0; 1]]) ->
  well_sized d o.
Proof.
  intros Hv Ho Hn H. apply fixed_sized; auto. intros w attrs shapes out nats _. rewrite Hn.
  destruct (H w attrs shapes out nats) as [row ->]. split; [discriminate|split; reflexivity].
Qed.
Lemma product_op_saves d o : d_variadic d = false -> d_optional d = 0 -> length (d_operands d) = 2 ->
  d_saves d = [Operand 0; Operand 1] ->
  (forall w attrs shapes out nats, exists row,
     o_prog o w attrs shapes out nats = [Step (Bil (entries out) row) [0; 1]]) ->
  saves_enough d o.
Proof.
  intros Hv Ho Hn Hs H. apply saves_by_check. intros w attrs tys lens nats t p (Hused & _ & ->).
  rewrite (infer_arity _ _ _ _ _ _ Hused Hv Ho), Hn. unfold save_positions. rewrite Hs.
  destruct (H w attrs (map t_shape tys) (t_shape t) nats) as [row ->]. reflexivity.
Qed.
Lemma product_op_differentiable d o (side : side_cond) : d_differentiable d = true -> d_out d = Real ->
  (forall w attrs shapes out nats, exists row,
     o_prog o w attrs shapes out nats = [Step (Bil (entries out) row) [0; 1]]) ->
  side_enough d o side.
Proof.
  intros Hd Ho H. apply smooth_differentiable; auto. intros w attrs shapes out nats.
  destruct (H w attrs shapes out nats) as [row ->]. reflexivity.
Qed.
Ltac by_one_block lemma := apply lemma; try reflexivity; intros; apply products_one_block.

Definition bmm_side := everywhere.
Lemma bmm_sized : well_sized op_bmm_decl bmm_def. Proof. by_one_block product_op_sized. Qed.
Lemma bmm_saves : saves_enough op_bmm_decl bmm_def. Proof. by_one_block product_op_saves. Qed.
Lemma bmm_differentiable : side_enough op_bmm_decl bmm_def bmm_side.
Proof. by_one_block product_op_differentiable. Qed.

Definition absorbing_matmul_side := everywhere.
Lemma absorbing_matmul_sized : well_sized op_absorbing_matmul_decl absorbing_matmul_def.
Proof. by_one_block product_op_sized. Qed.
Lemma absorbing_matmul_saves : saves_enough op_absorbing_matmul_decl absorbing_matmul_def.
Proof. by_one_block product_op_saves. Qed.
Lemma absorbing_matmul_differentiable :
  side_enough op_absorbing_matmul_decl absorbing_matmul_def absorbing_matmul_side.
Proof. by_one_block product_op_differentiable. Qed.

Definition matmul_side := everywhere.
Lemma matmul_sized : well_sized op_matmul_decl matmul_def. Proof. by_one_block product_op_sized. Qed.
Lemma matmul_saves : saves_enough op_matmul_decl matmul_def. Proof. by_one_block product_op_saves. Qed.
Lemma matmul_differentiable : side_enough op_matmul_decl matmul_def matmul_side.
Proof. by_one_block product_op_differentiable. Qed.

Definition linear_side := everywhere.
Lemma linear_sized : well_sized op_linear_decl linear_def. Proof. by_text. Qed.
Lemma linear_saves : saves_enough op_linear_decl linear_def. Proof. by_reading. Qed.
Lemma linear_differentiable : side_enough op_linear_decl linear_def linear_side. Proof. by_smoothness. Qed.
