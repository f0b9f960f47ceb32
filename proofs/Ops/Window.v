(** Sliding windows of the last axes, their transpose, and the mask of first maxima. *)
From Coq Require Import Reals List NArith ZArith QArith Bool Arith Lia.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations.
From Prooftape.Decl Require Import Names.
From Prooftape.Ops Require Import Index Attributes Moves Smoothness.
Import ListNotations.
Open Scope nat_scope.

(** ** Windows: a tensor (…, n1 … nd) shows as (…, o1 … od, k1 … kd) *)
(** Is there a window on every axis? *)
Fixpoint windows_fit (size kernel : list N) : bool :=
  match size, kernel with
  | n :: size', k :: kernel' => (k <=? n)%N && windows_fit size' kernel'
  | _, _ => true
  end.
Fixpoint window_counts (size kernel stride : list N) : list N :=
  match size, kernel, stride with
  | n :: size', k :: kernel', s :: stride' => ((n - k) / s + 1)%N :: window_counts size' kernel' stride'
  | _, _, _ => []
  end.

(** where cell q of window o lies *)
Fixpoint window_cell (stride o q : list nat) : list nat :=
  match stride, o, q with
  | s :: stride', a :: o', b :: q' => a * s + b :: window_cell stride' o' q'
  | _, _, _ => []
  end.
(** the window whose cell q lies at p, if there is one *)
Fixpoint window_at (stride counts p q : list nat) : option (list nat) :=
  match stride, counts, p, q with
  | s :: stride', c :: counts', a :: p', b :: q' =>
      match window_at stride' counts' p' q' with
      | Some o => guard ((b <=? a) && ((a - b) mod s =? 0) && ((a - b) / s <? c)) ((a - b) / s :: o)
      | None => None
      end
  | _, _, _, _ => Some []
  end.

Definition windows_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes with
    | [x] =>
        let kernel := ints_of (attr_at attrs 0) in
        let stride := ints_of (attr_at attrs 1) in
        let d := length kernel in
        let k := map Z.to_N kernel in
        let lead := firstn (length x - d) x in
        let size := skipn (length x - d) x in
        guard (at_least 1 kernel && at_least 1 stride && (length stride =? d) && (d <=? length x) &&
               windows_fit size k)
              (lead ++ window_counts size k (map Z.to_N stride) ++ k)
    | _ => None
    end;
  o_prog _ attrs shapes out _ :=
    let x := dims (hd [] shapes) in
    let e := dims out in
    let stride := nats_of (attr_at attrs 1) in
    let d := length stride in
    let lead := length x - d in
    moves (entries out) (fun i =>
      let ix := unravel e i in
      ravel x (firstn lead ix ++ window_cell stride (firstn d (skipn lead ix)) (skipn (lead + d) ix))) |}.

Definition fold_windows_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes with
    | [x] =>
        let size := map Z.to_N (ints_of (attr_at attrs 0)) in
        let stride := ints_of (attr_at attrs 1) in
        let d := length size in
        let lead := length x - 2 * d in
        let kernel := skipn (lead + d) x in
        guard (at_least 1 stride && (length stride =? d) && (2 * d <=? length x) && windows_fit size kernel &&
               shape_eqb (firstn d (skipn lead x)) (window_counts size kernel (map Z.to_N stride)))
              (firstn lead x ++ size)
    | _ => None
    end;
  o_prog _ attrs shapes out _ :=
    let x := dims (hd [] shapes) in
    let e := dims out in
    let stride := nats_of (attr_at attrs 1) in
    let d := length stride in
    let lead := length x - 2 * d in
    let counts := firstn d (skipn lead x) in
    let places := cells (skipn (lead + d) x) in
    sums (entries out) (fun i =>
      let ix := unravel e i in
      flat_map (fun q =>
        match window_at stride counts (skipn lead ix) q with
        | Some o => [ravel x (firstn lead ix ++ o ++ q)]
        | None => []
        end) places) |}.

(** ** first_max: along the last axis, the first largest of the candidates *)
(** The mask of candidates; without one, every cell is. *)
Definition candidate (w : world) (a : attr) (x : list nat) (s : nat) : bool :=
  match a with
  | ALit id t =>
      let d := dims (t_shape t) in
      negb (Qeq_bool (nth (aligned d (unravel x s)) (w_lits w id) 0%Q) 0)
  | _ => true
  end.
(** the candidates of the row that cell i lies in; rows have [len] cells *)
Definition candidates (w : world) (a : attr) (x : list nat) (len i : nat) : list nat :=
  filter (candidate w a x) (seq (i / len * len) len).
Definition last_length (x : list nat) : nat := last x 1.

(** Whether [valid] leaves a row without a candidate is not seen here: shape rules do not read literals. *)
Definition first_max_def : opdef := {|
  o_shape attrs shapes _ :=
    match shapes with
    | [x] =>
        let wide :=
          match attr_at attrs 0 with
          | ALit _ t =>
              match t_dtype t, broadcast (t_shape t) x with Mask, Some s => shape_eqb s x | _, _ => false end
          | _ => true
          end in
        guard (rank_from 1 x && (0 <? last x 0)%N && wide) x
    | _ => None
    end;
  o_prog w attrs shapes out _ :=
    let x := dims (hd [] shapes) in
    let len := last_length x in
    [Step (BestMask (entries out) (candidates w (attr_at attrs 0) x len)) [0]] |}.

(** In each row with candidates one of them is larger than the others. *)
Definition first_max_side : side_cond := fun w attrs shapes out _ a =>
  let x := dims (hd [] shapes) in
  forall i, i < entries out ->
    let row := candidates w (attr_at attrs 0) x (last_length x) i in
    row = [] \/
    exists b, In b row /\ forall s, In s row -> s <> b -> (tget (R := Rnum) (slot a 0) s < tget (R := Rnum) (slot a 0) b)%R.

(** ** Obligations *)
Definition windows_side := everywhere.
Lemma windows_sized : well_sized op_windows_decl windows_def. Proof. by_text. Qed.
Lemma windows_saves : saves_enough op_windows_decl windows_def. Proof. by_silence. Qed.
Lemma windows_differentiable : side_enough op_windows_decl windows_def windows_side.
Proof. by_smoothness. Qed.

Definition fold_windows_side := everywhere.
Lemma fold_windows_sized : well_sized op_fold_windows_decl fold_windows_def. Proof. by_text. Qed.
Lemma fold_windows_saves : saves_enough op_fold_windows_decl fold_windows_def. Proof. by_silence. Qed.
Lemma fold_windows_differentiable : side_enough op_fold_windows_decl fold_windows_def fold_windows_side.
Proof. by_smoothness. Qed.

Lemma candidates_nodup w a x len i : NoDup (candidates w a x len i).
Proof. apply NoDup_filter, seq_NoDup. Qed.

Lemma first_max_sized : well_sized op_first_max_decl first_max_def. Proof. by_text. Qed.
Lemma first_max_saves : saves_enough op_first_max_decl first_max_def. Proof. intro H. discriminate H. Qed.
Lemma first_max_differentiable : side_enough op_first_max_decl first_max_def first_max_side.
Proof.
  intros w attrs tys lens nats t p (Hi & _ & ->) a La H.
  split; [|split; reflexivity]. split; [|exact I]. intros i Hi'. destruct (H i Hi') as [E | (b & Hb & Hs)].
  - left. exact E.
  - right. exists b. split; [exact Hb|]. split; [apply candidates_nodup|]. exact Hs.
Qed.
