(** * Pooling: maximum, average and two smooth maxima of sliding windows

    Windows of a maximum or a smooth maximum see no padding; an average counts it as zeros. The padding is at most
    half the kernel, so that no window lies in the padding altogether ([window_nonempty]). *)
From Coq Require Import Reals QArith Qreals List NArith ZArith Arith Bool Lia Lra.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Saves Sums ScalarDerivative.
From Prooftape.Decl Require Import Names.
From Prooftape.Ops Require Import Index Smoothness Groups Spatial.
Import ListNotations.
Open Scope nat_scope.

(** The axes before the spatial ones, and the spatial ones. *)
Record pool := Pool { p_front : shape; p_axes : list axis }.

(** What all shape rules of pools check. [rank] is the number of spatial axes; None: as many as the kernel has. *)
Definition pool_of (rank : option nat) (kernel stride padding : attr) (shapes : list shape) : option pool :=
  match shapes, kernel with
  | [x], AInts l =>
      let d := match rank with Some r => r | None => length l end in
      match image d x, per_axis kernel d 1, per_axis stride d 1, per_axis padding d 0 with
      | Some (lead, c, sizes), Some k, Some s, Some p =>
          let axes := axes_of sizes k s p in
          if (1 <=? d) && forallb (fun a => (2 * a_padding a <=? a_kernel a)%N) axes && forallb fits axes
          then Some (Pool (lead ++ [c]) axes)
          else None
      | _, _, _, _ => None
      end
  | _, _ => None
  end.

Definition pool_shape (p : pool) : shape := p_front p ++ map windows (p_axes p).
Definition pool_dims (p : pool) : list nat := dims (p_front p) ++ sizes (p_axes p).
(** The cells of the image that cell i of the result sees. *)
Definition pool_window (p : pool) (i : nat) : list nat :=
  window (dims (p_front p)) (p_axes p) (unravel (dims (pool_shape p)) i).

(** ** Programs, for a result of n cells *)
Definition max_prog (p : pool) (n : nat) : prog := [Step (Best n (pool_window p) false) [0]].

Definition average_prog (p : pool) (n : nat) : prog :=
  [Step (Lin n [weighted (inverse (prod (kernels (p_axes p)))) (pool_window p)]) [0]].

(** exp (beta * x), and its slope in terms of x and of the result *)
Definition exp_scaled : sx := Fn Exp (Mul (Par 0) (Arg 0)).
Definition exp_slope : sx := Mul (Par 0) (Arg 1).

(** (1 / beta) * log (sum of exp (beta * x)) *)
Definition log_mean_prog (beta : Q) (p : pool) (n : nat) : prog :=
  [ Step (Ew (prod (pool_dims p)) exp_scaled [beta] [Some exp_slope]) [0];
    Step (Lin n [weighted 1 (pool_window p)]) [1];
    Step (Ew n (Div (Fn Log (Arg 0)) (Par 0)) [beta] [Some (Recip (Mul (Par 0) (Arg 0)))]) [2] ].

(** sum of x * exp (beta * x) over sum of exp (beta * x) *)
Definition soft_mean_prog (beta : Q) (p : pool) (n : nat) : prog :=
  [ Step (Ew (prod (pool_dims p)) exp_scaled [beta] [Some exp_slope]) [0];
    Step (Bil (prod (pool_dims p)) (fun i => [(i, i)])) [0; 1];
    Step (Lin n [weighted 1 (pool_window p)]) [2];
    Step (Lin n [weighted 1 (pool_window p)]) [1];
    Step (Ew n (Div (Arg 0) (Arg 1)) [] [Some (Recip (Arg 1)); Some (Neg (Div (Arg 2) (Arg 1)))]) [3; 4] ].

(** ** Ops *)
Definition plain (rank : option nat) (attrs : list attr) (shapes : list shape) : option pool :=
  match attrs with
  | [kernel; stride; padding] => pool_of rank kernel stride padding shapes
  | _ => None
  end.
(** beta is a finite number other than 0 *)
Definition smooth (rank : option nat) (attrs : list attr) (shapes : list shape) : option (Q * pool) :=
  match attrs with
  | [kernel; ANum (Fin beta); stride; padding] =>
      match pool_of rank kernel stride padding shapes with
      | Some p => if Qeq_bool beta 0 then None else Some (beta, p)
      | None => None
      end
  | _ => None
  end.

Definition plain_op (rank : option nat) (program : pool -> nat -> prog) : opdef := {|
  o_shape := fun attrs shapes _ => option_map pool_shape (plain rank attrs shapes);
  o_prog := fun _ attrs shapes out _ =>
    match plain rank attrs shapes with Some p => program p (N.to_nat (size out)) | None => [] end |}.
Definition smooth_op (rank : option nat) (program : Q -> pool -> nat -> prog) : opdef := {|
  o_shape := fun attrs shapes _ => option_map (fun g => pool_shape (snd g)) (smooth rank attrs shapes);
  o_prog := fun _ attrs shapes out _ =>
    match smooth rank attrs shapes with Some (beta, p) => program beta p (N.to_nat (size out)) | None => [] end |}.

Definition max_pool_def : opdef := plain_op None max_prog.
Definition max_pool2d_def : opdef := plain_op (Some 2) max_prog.
Definition avg_pool_def : opdef := plain_op None average_prog.
Definition avg_pool2d_def : opdef := plain_op (Some 2) average_prog.
Definition smooth_max_pool_def : opdef := smooth_op None log_mean_prog.
Definition smooth_max_pool2d_def : opdef := smooth_op (Some 2) soft_mean_prog.

(** ** Where they are differentiable *)

(** Every window has one largest cell. *)
Definition one_largest (rank : option nat) : side_cond := fun _ attrs shapes out _ a =>
  forall p, plain rank attrs shapes = Some p -> forall i, i < N.to_nat (size out) ->
    exists b, In b (pool_window p i) /\
      forall s, In s (pool_window p i) -> s <> b ->
        (tget (R := Rnum) (nth 0 a []) s < tget (R := Rnum) (nth 0 a []) b)%R.

Definition max_pool_side : side_cond := one_largest None.
Definition max_pool2d_side : side_cond := one_largest (Some 2).
Definition avg_pool_side : side_cond := everywhere.
Definition avg_pool2d_side : side_cond := everywhere.
Definition smooth_max_pool_side : side_cond := everywhere.
Definition smooth_max_pool2d_side : side_cond := everywhere.

(** ** Accepted pools *)
Lemma pool_of_inv rank k s p shapes g : pool_of rank k s p shapes = Some g ->
  length shapes = 1 /\ Forall pooled (p_axes g) /\ map (fun x => prod (dims x)) shapes = [prod (pool_dims g)].
Proof.
  unfold pool_of. destruct shapes as [| x [| ? ?]]; try discriminate. destruct k as [| | | | l | |]; try discriminate.
  set (d := match rank with Some r => r | None => length l end).
  destruct (image d x) as [[[lead c] sz] |] eqn:I; [| discriminate].
  destruct (per_axis (AInts l) d 1) as [k' |] eqn:K; [| discriminate].
  destruct (per_axis s d 1) as [s' |] eqn:S; [| discriminate].
  destruct (per_axis p d 0) as [p' |] eqn:P; [| discriminate].
  destruct (_ && _ && _) eqn:B; [| discriminate]. intro E. injection E as <-. cbn [p_axes p_front].
  apply andb_true_iff in B. destruct B as [B F]. apply andb_true_iff in B. destruct B as [_ H].
  apply image_inv in I. destruct I as (-> & _ & Ls & Hs).
  apply per_axis_least in K, S, P; try lia. destruct K as [Lk Hk], S as [Lst Hst], P as [Lp _].
  assert (length k' = length sz) as L1 by congruence. assert (length s' = length sz) as L2 by congruence.
  assert (length p' = length sz) as L3 by congruence.
  destruct (axes_of_maps _ _ _ _ L1 L2 L3) as (Es & Ek & Est & _).
  repeat split.
  - apply Forall_forall. intros a Ha. rewrite forallb_forall in F, H.
    specialize (F a Ha). specialize (H a Ha). apply N.leb_le in H.
    assert (In (a_size a) sz) as A1 by (rewrite <- Es; now apply in_map).
    assert (In (a_kernel a) k') as A2 by (rewrite <- Ek; now apply in_map).
    assert (In (a_stride a) s') as A3 by (rewrite <- Est; now apply in_map).
    specialize (Hs _ A1). specialize (Hk _ A2). specialize (Hst _ A3). repeat split; auto; lia.
  - cbn [map]. f_equal. unfold pool_dims, sizes. cbn [p_front p_axes].
    now rewrite Es, <- dims_app, <- app_assoc.
Qed.

Section Plain.
  Variables (d : decl) (rank : option nat) (program : pool -> nat -> prog).

  Lemma used_plain w attrs tys lens nats t p : used d (plain_op rank program) w attrs tys lens nats t p ->
    length tys = 1 /\ exists g, plain rank attrs (map t_shape tys) = Some g /\ Forall pooled (p_axes g) /\
      t_shape t = pool_shape g /\ p = program g (ty_size t).
  Proof.
    intro U. apply used_shape in U. destruct U as [S ->]. cbn [o_shape o_prog plain_op] in *.
    destruct (plain _ _ _) as [g |] eqn:G; [| discriminate]. injection S as S.
    pose proof G as G'. unfold plain in G'. destruct attrs as [| ? [| ? [| ? [| ? ?]]]]; try discriminate.
    apply pool_of_inv in G'. destruct G' as (L & F & _). rewrite map_length in L.
    split; [exact L |]. exists g. now repeat split.
  Qed.
End Plain.

Section Smooth.
  Variables (d : decl) (rank : option nat) (program : Q -> pool -> nat -> prog).

  Lemma used_smooth w attrs tys lens nats t p : used d (smooth_op rank program) w attrs tys lens nats t p ->
    length tys = 1 /\ exists beta g, ~ (beta == 0)%Q /\ Forall pooled (p_axes g) /\
      prod (pool_dims g) = ty_size (hd (Ty Real []) tys) /\
      t_shape t = pool_shape g /\ p = program beta g (ty_size t).
  Proof.
    intro U. apply used_shape in U. destruct U as [S ->]. cbn [o_shape o_prog smooth_op] in *.
    destruct (smooth _ _ _) as [[beta g] |] eqn:G; [| discriminate]. injection S as S.
    unfold smooth in G. destruct attrs as [| k [| [| | | [q | | |] | | |] [| s [| pd [| ? ?]]]]]; try discriminate.
    destruct (pool_of _ _ _ _ _) as [g' |] eqn:P; [| discriminate].
    destruct (Qeq_bool q 0) eqn:Z; [discriminate |]. injection G as -> ->.
    apply pool_of_inv in P. destruct P as (L & F & E). rewrite map_length in L. split; [exact L |].
    exists beta, g. repeat split; auto.
    - intro H. apply Qeq_bool_iff in H. congruence.
    - destruct tys as [| t0 [| ? ?]]; try discriminate. cbn in E. injection E as E. unfold ty_size. cbn [hd].
      now rewrite <- E, dims_size.
  Qed.
End Smooth.

(** ** Sizes and saved values: both are read off the program *)
Ltac by_plain := intros w attrs tys lens nats t p U; apply used_plain in U;
  now destruct U as (-> & g & _ & _ & _ & ->).
Ltac by_smooth := intros w attrs tys lens nats t p U; apply used_smooth in U;
  now destruct U as (-> & beta & g & _ & _ & _ & _ & ->).

Lemma max_pool_sized : well_sized op_max_pool_decl max_pool_def.
Proof. by_plain. Qed.
Lemma max_pool_saves : saves_enough op_max_pool_decl max_pool_def.
Proof. apply saves_by_check. by_plain. Qed.
Lemma max_pool2d_sized : well_sized op_max_pool2d_decl max_pool2d_def.
Proof. by_plain. Qed.
Lemma max_pool2d_saves : saves_enough op_max_pool2d_decl max_pool2d_def.
Proof. apply saves_by_check. by_plain. Qed.
Lemma avg_pool_sized : well_sized op_avg_pool_decl avg_pool_def.
Proof. by_plain. Qed.
Lemma avg_pool_saves : saves_enough op_avg_pool_decl avg_pool_def.
Proof. apply saves_by_check. by_plain. Qed.
Lemma avg_pool2d_sized : well_sized op_avg_pool2d_decl avg_pool2d_def.
Proof. by_plain. Qed.
Lemma avg_pool2d_saves : saves_enough op_avg_pool2d_decl avg_pool2d_def.
Proof. apply saves_by_check. by_plain. Qed.
Lemma smooth_max_pool_sized : well_sized op_smooth_max_pool_decl smooth_max_pool_def.
Proof. by_smooth. Qed.
Lemma smooth_max_pool_saves : saves_enough op_smooth_max_pool_decl smooth_max_pool_def.
Proof. apply saves_by_check. by_smooth. Qed.
Lemma smooth_max_pool2d_sized : well_sized op_smooth_max_pool2d_decl smooth_max_pool2d_def.
Proof. by_smooth. Qed.
Lemma smooth_max_pool2d_saves : saves_enough op_smooth_max_pool2d_decl smooth_max_pool2d_def.
Proof. apply saves_by_check. by_smooth. Qed.

(** ** Derivatives *)
Section Windows.
  Variable g : pool.
  Hypothesis accepted : Forall pooled (p_axes g).
  Variable i : nat.
  Hypothesis cell_of_result : i < prod (dims (pool_shape g)).

  Lemma window_at : inside (dims (p_front g) ++ dims (map windows (p_axes g))) (unravel (dims (pool_shape g)) i).
  Proof. unfold pool_shape in *. rewrite <- dims_app. now apply unravel_inside. Qed.

  Lemma pool_window_nodup : NoDup (pool_window g i).
  Proof. apply window_NoDup. exact (proj1 (inside_split _ _ _ window_at)). Qed.
  Lemma pool_window_nonempty : pool_window g i <> [].
  Proof. apply window_nonempty; [exact accepted | exact window_at]. Qed.
  Lemma pool_window_inside s : In s (pool_window g i) -> s < prod (pool_dims g).
  Proof. apply window_inside. exact (proj1 (inside_split _ _ _ window_at)). Qed.
End Windows.

Lemma result_cells t g : t_shape t = pool_shape g -> ty_size t = prod (dims (pool_shape g)).
Proof. intro E. unfold ty_size. now rewrite E, dims_size. Qed.

Lemma max_prog_differentiable d rank : d_differentiable d = true -> d_out d = Real ->
  side_enough d (plain_op rank max_prog) (one_largest rank).
Proof.
  intros S M w attrs tys lens nats t p U a _ H. rewrite S, M. split; [| easy].
  apply used_plain in U. destruct U as (_ & g & G & _ & E & ->). split; [| exact I].
  intros i Hi. right. destruct (H g G i Hi) as (b & Hb & B). exists b. repeat split; [exact Hb | | exact B].
  rewrite (result_cells t g E) in Hi. now apply pool_window_nodup.
Qed.

Lemma max_pool_differentiable : side_enough op_max_pool_decl max_pool_def max_pool_side.
Proof. now apply max_prog_differentiable. Qed.
Lemma max_pool2d_differentiable : side_enough op_max_pool2d_decl max_pool2d_def max_pool2d_side.
Proof. now apply max_prog_differentiable. Qed.

Lemma average_prog_differentiable d rank : d_differentiable d = true -> d_out d = Real ->
  side_enough d (plain_op rank average_prog) everywhere.
Proof.
  intros S M. apply smooth_differentiable; auto. intros. cbn [o_prog plain_op]. now destruct (plain _ _ _).
Qed.

Lemma avg_pool_differentiable : side_enough op_avg_pool_decl avg_pool_def avg_pool_side.
Proof. now apply average_prog_differentiable. Qed.
Lemma avg_pool2d_differentiable : side_enough op_avg_pool2d_decl avg_pool2d_def avg_pool2d_side.
Proof. now apply average_prog_differentiable. Qed.

Section Smooth_derivatives.
  Open Scope R_scope.
  Variable beta : Q.
  Variable g : pool.
  Hypothesis accepted : Forall pooled (p_axes g).
  Notation ten := (list R).
  Notation m := (prod (pool_dims g)).
  Notation n := (prod (dims (pool_shape g))).
  Notation exponentials x := (bfwd (R := Rnum) (Ew m exp_scaled [beta] [Some exp_slope]) [x]).
  Notation totals x := (bfwd (R := Rnum) (Lin n [weighted 1 (pool_window g)]) [exponentials x]).

  Lemma sum_pos {A} (l : list A) (f : A -> R) : l <> [] -> (forall s, In s l -> 0 < f s) -> 0 < suml (R := Rnum) l f.
  Proof.
    destruct l as [| s l] using rev_ind; [easy |]. intros _ H. rewrite suml_snoc.
    assert (0 <= suml (R := Rnum) l f) as L.
    { clear IHl. induction l as [| r l IH] using rev_ind; [apply Rle_refl |]. rewrite suml_snoc.
      apply Rplus_le_le_0_compat.
      - apply IH. intros q Hq. apply H. rewrite !in_app_iff in *. tauto.
      - left. apply H. rewrite !in_app_iff. cbn. tauto. }
    apply Rplus_le_lt_0_compat; [exact L |]. apply H. rewrite in_app_iff. cbn. tauto.
  Qed.

  (** Every window has a cell, and exponentials are positive. *)
  Lemma totals_pos (x : ten) i : (i < n)%nat -> 0 < tget (R := Rnum) (totals x) i.
  Proof.
    intro Hi. cbn [bfwd combine]. rewrite tget_mk by exact Hi. unfold suml at 1. cbn [fold_left fst snd].
    change (@add Rnum) with Rplus. change (@zero Rnum) with 0. rewrite Rplus_0_l.
    unfold weighted. rewrite suml_map. apply sum_pos; [now apply pool_window_nonempty |].
    intros s Hs. cbn [fst snd]. rewrite tget_mk by now apply (pool_window_inside g i Hi). cbn.
    apply Rmult_lt_0_compat; [unfold Q2R; cbn; lra | apply exp_pos].
  Qed.

  Lemma exp_scaled_diff masks (v : R) : ew_diff exp_scaled [beta] [Some exp_slope] masks [v].
  Proof.
    apply ew_by_rules_1; [cbn; tauto |]. unfold slopes_agree. cbn. ring.
  Qed.

  Lemma log_scaled_diff masks (v : R) : ~ (beta == 0)%Q -> 0 < v ->
    ew_diff (Div (Fn Log (Arg 0)) (Par 0)) [beta] [Some (Recip (Mul (Par 0) (Arg 0)))] masks [v].
  Proof.
    intros B V. assert (Q2R beta <> 0) as B'.
    { intro E. apply B. apply eqR_Qeq. rewrite E. unfold Q2R. cbn. lra. }
    apply ew_by_rules_1; [cbn; tauto |]. unfold slopes_agree. cbn. field. split; [lra | exact B'].
  Qed.

  Lemma ratio_diff masks (u v : R) : v <> 0 ->
    ew_diff (Div (Arg 0) (Arg 1)) [] [Some (Recip (Arg 1)); Some (Neg (Div (Arg 2) (Arg 1)))] masks [u; v].
  Proof.
    intro V. apply ew_by_rules_2; [cbn; tauto | |]; unfold slopes_agree; cbn; field; exact V.
  Qed.

  Lemma log_mean_side masks (x : ten) : ~ (beta == 0)%Q -> prog_side masks (log_mean_prog beta g n) [x].
  Proof.
    intro B. cbn [prog_side log_mean_prog s_blk s_args blk_side].
    split; [intros i _; apply exp_scaled_diff |]. split; [exact I |]. split; [| exact I].
    intros i Hi. apply log_scaled_diff; [exact B | exact (totals_pos x i Hi)].
  Qed.

  Lemma soft_mean_side masks (x : ten) : prog_side masks (soft_mean_prog beta g n) [x].
  Proof.
    cbn [prog_side soft_mean_prog s_blk s_args blk_side].
    split; [intros i _; apply exp_scaled_diff |]. do 3 (split; [exact I |]). split; [| exact I].
    intros i Hi. apply ratio_diff. apply Rgt_not_eq. exact (totals_pos x i Hi).
  Qed.
End Smooth_derivatives.

Lemma log_mean_differentiable d rank : d_differentiable d = true -> d_out d = Real ->
  side_enough d (smooth_op rank log_mean_prog) everywhere.
Proof.
  intros S M w attrs tys lens nats t p U a L _. rewrite S, M. split; [| easy].
  apply used_smooth in U. destruct U as (L1 & beta & g & B & F & _ & E & ->). rewrite L1 in L.
  destruct a as [| x [| ? ?]]; try discriminate. rewrite (result_cells t g E). now apply log_mean_side.
Qed.

Lemma soft_mean_differentiable d rank : d_differentiable d = true -> d_out d = Real ->
  side_enough d (smooth_op rank soft_mean_prog) everywhere.
Proof.
  intros S M w attrs tys lens nats t p U a L _. rewrite S, M. split; [| easy].
  apply used_smooth in U. destruct U as (L1 & beta & g & _ & F & _ & E & ->). rewrite L1 in L.
  destruct a as [| x [| ? ?]]; try discriminate. rewrite (result_cells t g E). now apply soft_mean_side.
Qed.

Lemma smooth_max_pool_differentiable :
  side_enough op_smooth_max_pool_decl smooth_max_pool_def smooth_max_pool_side.
Proof. now apply log_mean_differentiable. Qed.
Lemma smooth_max_pool2d_differentiable :
  side_enough op_smooth_max_pool2d_decl smooth_max_pool2d_def smooth_max_pool2d_side.
Proof. now apply soft_mean_differentiable. Qed.
