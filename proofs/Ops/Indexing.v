(** What gathers and labels are made of: taking rows, its transpose (adding rows where an index says), and one-hot
    masks; for literal indices and for indices read at evaluation. *)
From Coq Require Import List NArith ZArith QArith Bool Arith.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Saves.
From Prooftape.Decl Require Import Names.
From Prooftape.Ops Require Import Index Attributes Moves Smoothness Gather.
Import ListNotations.
Open Scope nat_scope.

(** ** take *)
Definition take_nat_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes with [_ :: s] => Some (N.of_nat (length (literal_indices attrs)) :: s) | _ => None end;
  o_prog _ attrs shapes out _ := takes (literal_indices attrs) (hd [] shapes) out |}.
Definition take_ref_def : opdef := {|
  o_shape _ shapes lens := match shapes, lens with [_ :: s], [k] => Some (k :: s) | _, _ => None end;
  o_prog _ _ shapes out nats := takes (read_indices nats) (hd [] shapes) out |}.

(** ** put_add: row r of the result is the sum of the rows whose index is r, in their order *)
Definition put (indices : list N) (x : shape) (i : nat) : list nat :=
  let len := row_size x in
  let r := N.of_nat (i / len) in
  map (fun p => fst p * len + i mod len)
    (filter (fun p => (snd p =? r)%N) (combine (seq 0 (length indices)) indices)).
Definition puts (indices : list N) (x out : shape) : prog := sums (entries out) (put indices x).

Definition put_add_nat_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes with
    | [k :: s] => guard (k =? N.of_nat (length (literal_indices attrs)))%N (Z.to_N (int_of (attr_at attrs 1)) :: s)
    | _ => None
    end;
  o_prog _ attrs shapes out _ := puts (literal_indices attrs) (hd [] shapes) out |}.
Definition put_add_ref_def : opdef := {|
  o_shape attrs shapes lens :=
    match shapes, lens with
    | [k :: s], [len] => guard (k =? len)%N (Z.to_N (int_of (attr_at attrs 0)) :: s)
    | _, _ => None
    end;
  o_prog _ _ shapes out nats := puts (read_indices nats) (hd [] shapes) out |}.

(** ** one_hot: a mask that is 1 where the column is the row's index *)
Definition hot (indices : list N) (out : shape) (i : nat) : Q :=
  let n := row_size out in
  match nth_error indices (i / n) with
  | Some k => if (k =? N.of_nat (i mod n))%N then 1%Q else 0%Q
  | None => 0%Q
  end.
Definition one_hots (indices : list N) (out : shape) : prog :=
  [Step (Const (map (hot indices out) (seq 0 (entries out)))) []].

Definition one_hot_nat_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes with
    | [] => Some [N.of_nat (length (literal_indices attrs)); Z.to_N (int_of (attr_at attrs 1))]
    | _ => None
    end;
  o_prog _ attrs _ out _ := one_hots (literal_indices attrs) out |}.
Definition one_hot_ref_def : opdef := {|
  o_shape attrs shapes lens :=
    match shapes, lens with [], [k] => Some [k; Z.to_N (int_of (attr_at attrs 0))] | _, _ => None end;
  o_prog _ _ _ out nats := one_hots (read_indices nats) out |}.

(** ** Obligations *)
Lemma one_hots_sized indices out n : sized_prog n (one_hots indices out) (N.to_nat (size out)).
Proof.
  split; [discriminate|]. split; [reflexivity|].
  change (length (map (hot indices out) (seq 0 (entries out))) = entries out).
  now rewrite map_length, seq_length.
Qed.
Ltac by_one_hots := apply fixed_sized; [reflexivity|reflexivity|]; intros; apply one_hots_sized.

(** A constant does not move. *)
Lemma constant_differentiable d o (side : side_cond) :
  (forall w attrs shapes out nats, exists l, o_prog o w attrs shapes out nats = [Step (Const l) []]) ->
  side_enough d o side.
Proof.
  intros H w attrs tys lens nats t p (_ & _ & ->) a _ _.
  destruct (H w attrs (map t_shape tys) (t_shape t) nats) as [l ->]. repeat split.
Qed.
Definition take_nat_side := everywhere.
Lemma take_nat_sized : well_sized op_take_nat_decl take_nat_def. Proof. by_text. Qed.
Lemma take_nat_saves : saves_enough op_take_nat_decl take_nat_def. Proof. by_silence. Qed.
Lemma take_nat_differentiable : side_enough op_take_nat_decl take_nat_def take_nat_side.
Proof. by_smoothness. Qed.

Definition take_ref_side := everywhere.
Lemma take_ref_sized : well_sized op_take_ref_decl take_ref_def. Proof. by_text. Qed.
Lemma take_ref_saves : saves_enough op_take_ref_decl take_ref_def. Proof. by_silence. Qed.
Lemma take_ref_differentiable : side_enough op_take_ref_decl take_ref_def take_ref_side.
Proof. by_smoothness. Qed.

Definition put_add_nat_side := everywhere.
Lemma put_add_nat_sized : well_sized op_put_add_nat_decl put_add_nat_def. Proof. by_text. Qed.
Lemma put_add_nat_saves : saves_enough op_put_add_nat_decl put_add_nat_def. Proof. by_silence. Qed.
Lemma put_add_nat_differentiable : side_enough op_put_add_nat_decl put_add_nat_def put_add_nat_side.
Proof. by_smoothness. Qed.

Definition put_add_ref_side := everywhere.
Lemma put_add_ref_sized : well_sized op_put_add_ref_decl put_add_ref_def. Proof. by_text. Qed.
Lemma put_add_ref_saves : saves_enough op_put_add_ref_decl put_add_ref_def. Proof. by_silence. Qed.
Lemma put_add_ref_differentiable : side_enough op_put_add_ref_decl put_add_ref_def put_add_ref_side.
Proof. by_smoothness. Qed.

Definition one_hot_nat_side := everywhere.
Lemma one_hot_nat_sized : well_sized op_one_hot_nat_decl one_hot_nat_def. Proof. by_one_hots. Qed.
Lemma one_hot_nat_saves : saves_enough op_one_hot_nat_decl one_hot_nat_def.
Proof. intro H; discriminate H. Qed.
Lemma one_hot_nat_differentiable : side_enough op_one_hot_nat_decl one_hot_nat_def one_hot_nat_side.
Proof. apply constant_differentiable; eexists; reflexivity. Qed.

Definition one_hot_ref_side := everywhere.
Lemma one_hot_ref_sized : well_sized op_one_hot_ref_decl one_hot_ref_def. Proof. by_one_hots. Qed.
Lemma one_hot_ref_saves : saves_enough op_one_hot_ref_decl one_hot_ref_def.
Proof. intro H; discriminate H. Qed.
Lemma one_hot_ref_differentiable : side_enough op_one_hot_ref_decl one_hot_ref_def one_hot_ref_side.
Proof. apply constant_differentiable; eexists; reflexivity. Qed.
