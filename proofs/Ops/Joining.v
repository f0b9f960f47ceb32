(** Joining, slicing and padding: entries moved to other places, with a literal around them. *)
From Coq Require Import List NArith ZArith QArith Bool Arith Lia.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Saves.
From Prooftape.Decl Require Import Names.
From Prooftape.Ops Require Import Index Attributes Moves Smoothness.
Import ListNotations.
Open Scope nat_scope.

(** ** concat *)
(** shapes that agree on every other axis, joined along one *)
Definition joined (axis : nat) (shapes : list shape) : option shape :=
  match shapes with
  | first :: _ =>
      let rest s := with_axis s axis 0 in
      guard (forallb (fun s => (length s =? length first) && shape_eqb (rest s) (rest first)) shapes)
            (with_axis first axis (fold_right N.add 0%N (map (fun s => axis_length s axis) shapes)))
  | [] => None
  end.

(** For each operand, which begins at [start] along the axis: the cell that output position ix shows, if it is
    one of this operand. *)
Fixpoint joined_rows (axis start : nat) (e : list nat) (operands : list (list nat)) : list (nat -> list (Q * nat)) :=
  match operands with
  | [] => []
  | d :: operands' =>
      let stop := start + nth axis d 0 in
      (fun i =>
         let ix := unravel e i in
         let k := nth axis ix 0 in
         ones (maybe ((start <=? k) && (k <? stop)) (ravel d (firstn axis ix ++ (k - start) :: skipn (S axis) ix))))
      :: joined_rows axis stop e operands'
  end.
Definition joins (axis : nat) (shapes : list shape) (out : shape) : prog :=
  [Step (Lin (entries out) (joined_rows axis 0 (dims out) (map dims shapes))) (seq 0 (length shapes))].

Definition concat_def : opdef := {|
  o_shape attrs shapes _ :=
    let axis := int_of (attr_at attrs 0) in
    if axis_ok axis (length (hd [] shapes)) then joined (Z.to_nat axis) shapes else None;
  o_prog _ attrs shapes out _ := joins (Z.to_nat (int_of (attr_at attrs 0))) shapes out |}.

Definition concat_vectors_def : opdef := {|
  o_shape _ shapes _ := if forallb (rank_is 1) shapes then joined 0 shapes else None;
  o_prog _ _ shapes out _ := joins 0 shapes out |}.

Definition concat_dim0_def : opdef := {|
  o_shape _ shapes _ := if forallb (rank_from 1) shapes then joined 0 shapes else None;
  o_prog _ _ shapes out _ := joins 0 shapes out |}.

(** ** slice *)
Definition sliced (x : shape) (axis : nat) (start length : Z) : option shape :=
  guard ((0 <=? length) && (0 <=? start) && (start + length <=? Z.of_N (axis_length x axis)))%Z
        (with_axis x axis (Z.to_N length)).
Definition slices (axis : nat) (start : Z) (x out : shape) : prog :=
  let d := dims x in
  let e := dims out in
  let start := Z.to_nat start in
  moves (entries out) (fun i =>
    let ix := unravel e i in ravel d (firstn axis ix ++ (start + nth axis ix 0) :: skipn (S axis) ix)).

Definition slice_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes, attrs with
    | [x], [AInt axis; AInt start; AInt length] =>
        if axis_ok axis (List.length x) then sliced x (Z.to_nat axis) start length else None
    | _, _ => None
    end;
  o_prog _ attrs shapes out _ :=
    slices (Z.to_nat (int_of (attr_at attrs 0))) (int_of (attr_at attrs 1)) (hd [] shapes) out |}.

Definition slice_range0_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes, attrs with
    | [x], [AInt start; AInt length] => if rank_from 1 x then sliced x 0 start length else None
    | _, _ => None
    end;
  o_prog _ attrs shapes out _ := slices 0 (int_of (attr_at attrs 0)) (hd [] shapes) out |}.

(** ** pad: the first step is the literal alone; inside, an entry of x is shown, outside, the literal *)
(** the position in x of a position of the result, if it is inside *)
Fixpoint unpadded (before d ix : list nat) : option (list nat) :=
  match before, d, ix with
  | b :: before', n :: d', k :: ix' =>
      match unpadded before' d' ix' with
      | Some r => guard ((b <=? k) && (k <? b + n)) ((k - b) :: r)
      | None => None
      end
  | _, _, _ => Some []
  end.

Definition pad_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes with
    | [x] =>
        let widths := pairs_of (attr_at attrs 0) in
        guard ((length widths =? length x) && forallb (fun p => (0 <=? fst p) && (0 <=? snd p))%Z widths &&
               match attr_at attrs 1 with ANum (Fin _) => true | _ => false end)
              (map (fun q => fst q + Z.to_N (fst (snd q) + snd (snd q)))%N (combine x widths))
    | _ => None
    end;
  o_prog _ attrs shapes out _ :=
    let d := dims (hd [] shapes) in
    let e := dims out in
    let before := map (fun p => Z.to_nat (fst p)) (pairs_of (attr_at attrs 0)) in
    let place i := unpadded before d (unravel e i) in
    [Step (Const [rational_of (attr_at attrs 1)]) [];
     Step (Lin (entries out)
             [fun i => ones (match place i with Some r => [ravel d r] | None => [] end);
              fun i => ones (match place i with Some _ => [] | None => [0] end)]) [0; 1]] |}.

(** ** Obligations *)
Lemma scoped_seq n : forallb (fun k => k <? n) (seq 0 n) = true.
Proof. apply forallb_forall. intros k Hk. apply in_seq in Hk. apply Nat.ltb_lt. lia. Qed.

Definition concat_side := everywhere.
Lemma concat_sized : well_sized op_concat_decl concat_def.
Proof.
  intros w attrs tys lens nats t p (_ & _ & ->). split; [discriminate|]. split; [|reflexivity].
  change (forallb (fun k => k <? length tys) (seq 0 (length (map t_shape tys))) && true = true).
  now rewrite map_length, scoped_seq.
Qed.
Lemma concat_saves : saves_enough op_concat_decl concat_def. Proof. by_silence. Qed.
Lemma concat_differentiable : side_enough op_concat_decl concat_def concat_side. Proof. by_smoothness. Qed.

(** two operands *)
Ltac two_operands := apply fixed_sized; [reflexivity|reflexivity|];
  intros w attrs shapes out nats H; destruct shapes as [|? [|? [|]]]; try discriminate H;
  split; [discriminate|split; reflexivity].

Definition concat_vectors_side := everywhere.
Lemma concat_vectors_sized : well_sized op_concat_vectors_decl concat_vectors_def. Proof. two_operands. Qed.
Lemma concat_vectors_saves : saves_enough op_concat_vectors_decl concat_vectors_def. Proof. by_silence. Qed.
Lemma concat_vectors_differentiable :
  side_enough op_concat_vectors_decl concat_vectors_def concat_vectors_side.
Proof. by_smoothness. Qed.

Definition concat_dim0_side := everywhere.
Lemma concat_dim0_sized : well_sized op_concat_dim0_decl concat_dim0_def. Proof. two_operands. Qed.
Lemma concat_dim0_saves : saves_enough op_concat_dim0_decl concat_dim0_def. Proof. by_silence. Qed.
Lemma concat_dim0_differentiable : side_enough op_concat_dim0_decl concat_dim0_def concat_dim0_side.
Proof. by_smoothness. Qed.

Definition slice_side := everywhere.
Lemma slice_sized : well_sized op_slice_decl slice_def. Proof. by_text. Qed.
Lemma slice_saves : saves_enough op_slice_decl slice_def. Proof. by_silence. Qed.
Lemma slice_differentiable : side_enough op_slice_decl slice_def slice_side. Proof. by_smoothness. Qed.

Definition slice_range0_side := everywhere.
Lemma slice_range0_sized : well_sized op_slice_range0_decl slice_range0_def. Proof. by_text. Qed.
Lemma slice_range0_saves : saves_enough op_slice_range0_decl slice_range0_def. Proof. by_silence. Qed.
Lemma slice_range0_differentiable : side_enough op_slice_range0_decl slice_range0_def slice_range0_side.
Proof. by_smoothness. Qed.

Definition pad_side := everywhere.
Lemma pad_sized : well_sized op_pad_decl pad_def. Proof. by_text. Qed.
Lemma pad_saves : saves_enough op_pad_decl pad_def. Proof. by_silence. Qed.
Lemma pad_differentiable : side_enough op_pad_decl pad_def pad_side. Proof. by_smoothness. Qed.
