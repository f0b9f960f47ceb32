(** Broadcasting, sums and means. The entries that a sum takes together are a group of [Ops/Groups.v], in row-major
    order. *)
From Coq Require Import List NArith ZArith QArith Bool Arith.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations.
From Prooftape.Decl Require Import Names.
From Prooftape.Ops Require Import Index Attributes Groups Moves Smoothness.
Import ListNotations.
Open Scope nat_scope.

(** ** broadcast_to: axis k of x becomes axis [axes k] of the result; an axis of length 1 is repeated *)
Definition broadcast_to_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes, attrs with
    | [x], [AInts asked; AInts axes] =>
        let s := map Z.to_N asked in
        guard ((length axes =? length x) && forallb (fun a => axis_ok a (length s)) axes && increasing axes &&
               forallb (fun p => (fst p =? 1)%N || existsb (fun q => (snd p =? fst q)%Z && (fst p =? snd q)%N)
                                                          (combine (map Z.of_nat (seq 0 (length s))) s))
                       (combine x axes))
              s
    | _, _ => None
    end;
  o_prog _ attrs shapes out _ :=
    let d := dims (hd [] shapes) in
    let e := dims out in
    let axes := nats_of (attr_at attrs 1) in
    moves (entries out) (fun i =>
      let ix := unravel e i in ravel d (clip d (map (fun a => nth a ix 0) axes))) |}.

(** ** Sums *)
Definition every_axis (s : shape) : list Z := map Z.of_nat (seq 0 (length s)).

Definition reduce_sum_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes with [x] => reduced_shape (ints_of (attr_at attrs 0)) x | _ => None end;
  o_prog _ attrs shapes out _ :=
    let v := along (ints_of (attr_at attrs 0)) (hd [] shapes) in
    sums (entries out) (members v) |}.

Definition sum_def : opdef := {|
  o_shape _ shapes _ := match shapes with [_] => Some [] | _ => None end;
  o_prog _ _ shapes out _ :=
    let x := hd [] shapes in
    let v := along (every_axis x) x in
    sums (entries out) (members v) |}.

(** ** Means: every coefficient is 1/n, n the number of entries that a mean takes together *)
Definition means (n : nat) (v : view) : prog :=
  let c := inverse (group_size v) in
  [Step (Lin n [weighted c (members v)]) [0]].
(** There is something to take the mean of: no entry of the result is 0/0. *)
Definition some_entries (v : view) (out : shape) : Prop := group_size v <> 0 \/ entries out = 0.

Definition reduce_mean_view (attrs : list attr) (shapes : list shape) : view :=
  along (ints_of (attr_at attrs 0)) (hd [] shapes).
Definition reduce_mean_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes with [x] => reduced_shape (ints_of (attr_at attrs 0)) x | _ => None end;
  o_prog _ attrs shapes out _ := means (entries out) (reduce_mean_view attrs shapes) |}.

Definition mean_view (shapes : list shape) : view := let x := hd [] shapes in along (every_axis x) x.
Definition mean_def : opdef := {|
  o_shape _ shapes _ := match shapes with [_] => Some [] | _ => None end;
  o_prog _ _ shapes out _ := means (entries out) (mean_view shapes) |}.

(** ** Obligations *)
Definition broadcast_to_side := everywhere.
Lemma broadcast_to_sized : well_sized op_broadcast_to_decl broadcast_to_def. Proof. by_text. Qed.
Lemma broadcast_to_saves : saves_enough op_broadcast_to_decl broadcast_to_def. Proof. by_silence. Qed.
Lemma broadcast_to_differentiable : side_enough op_broadcast_to_decl broadcast_to_def broadcast_to_side.
Proof. by_smoothness. Qed.

Definition reduce_sum_side := everywhere.
Lemma reduce_sum_sized : well_sized op_reduce_sum_decl reduce_sum_def. Proof. by_text. Qed.
Lemma reduce_sum_saves : saves_enough op_reduce_sum_decl reduce_sum_def. Proof. by_silence. Qed.
Lemma reduce_sum_differentiable : side_enough op_reduce_sum_decl reduce_sum_def reduce_sum_side.
Proof. by_smoothness. Qed.

Definition sum_side := everywhere.
Lemma sum_sized : well_sized op_sum_decl sum_def. Proof. by_text. Qed.
Lemma sum_saves : saves_enough op_sum_decl sum_def. Proof. by_silence. Qed.
Lemma sum_differentiable : side_enough op_sum_decl sum_def sum_side. Proof. by_smoothness. Qed.

Definition reduce_mean_side : side_cond := fun _ attrs shapes out _ _ =>
  some_entries (reduce_mean_view attrs shapes) out.
Lemma reduce_mean_sized : well_sized op_reduce_mean_decl reduce_mean_def. Proof. by_text. Qed.
Lemma reduce_mean_saves : saves_enough op_reduce_mean_decl reduce_mean_def. Proof. by_silence. Qed.
Lemma reduce_mean_differentiable : side_enough op_reduce_mean_decl reduce_mean_def reduce_mean_side.
Proof. by_smoothness. Qed.

Definition mean_side : side_cond := fun _ _ shapes out _ _ => some_entries (mean_view shapes) out.
Lemma mean_sized : well_sized op_mean_decl mean_def. Proof. by_text. Qed.
Lemma mean_saves : saves_enough op_mean_decl mean_def. Proof. by_silence. Qed.
Lemma mean_differentiable : side_enough op_mean_decl mean_def mean_side. Proof. by_smoothness. Qed.
