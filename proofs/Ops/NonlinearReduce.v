(** * Reductions that are not linear: maximum, log-sum-exp, variance. Reduced axes are dropped. *)
From Coq Require Import List NArith ZArith QArith Arith Bool.
From Prooftape.Spec Require Import Tensor Block Graph Op.
From Prooftape.Core Require Import Obligations Saves.
From Prooftape.Ops Require Import Attributes Groups Pieces Smoothness.
From Prooftape.Decl Require Import Names.
Import ListNotations.
Open Scope nat_scope.

Definition reduced_view (attrs : list attr) (shapes : list shape) : view :=
  along (ints_of (attr_at attrs 0)) (nth 0 shapes []).

(** ** reduce_max: tied entries share the derivative evenly *)
Definition reduce_max_def : opdef := {|
  o_shape := fun attrs shapes _ =>
    match attrs, shapes with
    | [AInts axes], [x] =>
        if forallb (fun a => (0 <? axis_length x (Z.to_nat a))%N) axes then reduced_shape axes x else None
    | _, _ => None
    end;
  o_prog := fun _ attrs shapes out _ =>
    [Step (Best (N.to_nat (size out)) (members (reduced_view attrs shapes)) true) [0]] |}.

(** ** logsumexp *)
Definition logsumexp_def : opdef := {|
  o_shape := fun attrs shapes _ =>
    match attrs, shapes with [AInts axes], [x] => reduced_shape axes x | _, _ => None end;
  o_prog := fun _ attrs shapes out _ =>
    let v := reduced_view attrs shapes in
    let n := N.to_nat (size out) in
    [Step (exps (extent v)) [0]; Step (Lin n [sum_of (members v)]) [1]; Step (logs n) [2]] |}.

(** ** var: the sum of squared deviations from the mean, over (number of entries - ddof) *)
Definition var_divisor (attrs : list attr) (shapes : list shape) : nat :=
  group_size (reduced_view attrs shapes) - Z.to_nat (int_of (attr_at attrs 1)).
Definition var_def : opdef := {|
  o_shape := fun attrs shapes _ =>
    match attrs, shapes with [AInts axes; AInt _], [x] => reduced_shape axes x | _, _ => None end;
  o_prog := fun _ attrs shapes out _ =>
    let v := reduced_view attrs shapes in
    [Step (Lin (extent v) [centred v]) [0]; Step (squares (extent v)) [1; 1];
     Step (Lin (N.to_nat (size out)) [weighted (inverse (var_divisor attrs shapes)) (members v)]) [2]] |}.

Lemma reduce_max_sized : well_sized op_reduce_max_decl reduce_max_def.
Proof. by_text. Qed.
Lemma logsumexp_sized : well_sized op_logsumexp_decl logsumexp_def.
Proof. by_text. Qed.
Lemma var_sized : well_sized op_var_decl var_def.
Proof. by_text. Qed.

Lemma reduce_max_saves : saves_enough op_reduce_max_decl reduce_max_def.
Proof. by_reading. Qed.
Lemma logsumexp_saves : saves_enough op_logsumexp_decl logsumexp_def.
Proof. by_reading. Qed.
Lemma var_saves : saves_enough op_var_decl var_def.
Proof. by_reading. Qed.
