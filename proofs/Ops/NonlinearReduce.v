(** * Reductions that are not linear: maximum, log-sum-exp, variance. Reduced axes are dropped. *)
From Coq Require Import Reals Lra List NArith ZArith QArith Arith Bool Lia.
From Prooftape.Spec Require Import Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Saves.
From Prooftape.Ops Require Import Attributes Groups Pieces PieceFacts Smoothness.
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
        match reduced_shape axes x with
        | Some s => guard (forallb (fun a => (0 <? axis_length x (Z.to_nat a))%N) axes) s
        | None => None   (* an axis out of range never becomes a [nat] *)
        end
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

(** ** Derivatives *)
(** The groups of an accepted use are the cells of its result. *)
Lemma reduced_groups axes x out : reduced_shape axes x = Some out -> groups (along axes x) = N.to_nat (size out).
Proof.
  unfold reduced_shape. destruct (reduced_axes_ok axes x); [| discriminate]. intro H. injection H as <-.
  apply groups_along.
Qed.

(** Every group has one entry that is larger than all others. *)
Definition unique_maximum (x : list R) (cells : list nat) : Prop :=
  exists b, In b cells /\ forall s, In s cells -> s <> b -> (entry x s < entry x b)%R.
Definition reduce_max_side : side_cond := fun _ attrs shapes out _ a =>
  forall o, o < N.to_nat (size out) -> unique_maximum (slot a 0) (members (reduced_view attrs shapes) o).

Lemma reduce_max_differentiable : side_enough op_reduce_max_decl reduce_max_def reduce_max_side.
Proof.
  apply composite_differentiable; try reflexivity. intros w attrs shapes out lens nats masks a Ls La Hs S.
  destruct a as [| x [|]]; try discriminate. destruct shapes as [| s [|]]; try discriminate.
  assert (groups (reduced_view attrs [s]) = N.to_nat (size out)) as G.
  { cbn [o_shape reduce_max_def] in Hs. destruct attrs as [| [] [|]]; try discriminate.
    destruct (reduced_shape l s) eqn:E; [| discriminate]. destruct (forallb _ l) in Hs; [| discriminate].
    injection Hs as <-. exact (reduced_groups _ _ _ E). }
  cbn [o_prog reduce_max_def]. steps. split; [| exact I]. intros o Ho. destruct (S o Ho) as (b & Hb & H).
  right. exists b. repeat split; auto. apply members_NoDup. now rewrite G.
Qed.

(** There is something to sum, or no result. *)
Definition logsumexp_side : side_cond := fun _ attrs shapes out _ _ =>
  0 < group_size (reduced_view attrs shapes) \/ size out = 0%N.

Lemma logsumexp_differentiable : side_enough op_logsumexp_decl logsumexp_def logsumexp_side.
Proof.
  apply composite_differentiable; try reflexivity. intros w attrs shapes out lens nats masks a Ls La Hs S.
  destruct a as [| x [|]]; try discriminate. destruct shapes as [| s [|]]; try discriminate.
  set (v := reduced_view attrs [s]). assert (groups v = N.to_nat (size out)) as G.
  { cbn [o_shape logsumexp_def] in Hs. destruct attrs as [| [] [|]]; try discriminate.
    exact (reduced_groups _ _ _ Hs). }
  cbn [o_prog logsumexp_def]. fold v. steps. split; [apply exps_side |]. split; [exact I |]. split; [| exact I].
  apply logs_side. intros o Ho. rewrite entry_lin, row_sum by exact Ho. apply total_pos.
  - apply members_nonempty. destruct S as [S | S]; [exact S |]. rewrite S in Ho. cbn in Ho. lia.
  - intros c Hc. rewrite entry_exps; [apply exp_pos |]. apply (members_lt v o); [lia | exact Hc].
Qed.

(** More than ddof entries are reduced. *)
Definition var_side : side_cond := fun _ attrs shapes out _ _ => 0 < var_divisor attrs shapes \/ size out = 0%N.
Lemma var_differentiable : side_enough op_var_decl var_def var_side.
Proof. by_smoothness. Qed.
