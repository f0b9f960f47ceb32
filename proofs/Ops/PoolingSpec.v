(** * What pools compute over the real numbers

    [seen … t] are the cells of the image in window t: t * stride + q - padding for the cells q of the kernel, those
    in the padding left out. With sums over these cells,

    max_pool           is attained by one of them, and none is larger;
    avg_pool           (sum of x) / (number of cells of the kernel);
    smooth_max_pool    ln (sum of exp (beta x)) / beta;
    smooth_max_pool2d  (sum of x exp (beta x)) / (sum of exp (beta x)). *)
From Coq Require Import Reals QArith Qreals List NArith ZArith Arith Bool Lia Lra Ring_theory.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Sums.
From Prooftape.Ops Require Import Index Groups Spatial ConvSpec Pooling.
Import ListNotations.
Open Scope nat_scope.

Notation "'total' a 'in' l , e" := (suml (R := Rnum) l (fun a => e)) (at level 200, a name, l at level 100).

(** The cells of the image that window t sees, row-major. *)
Definition seen (kernel sz : list N) (stride padding : list Z) (t : list nat) : list (list nat) :=
  flat_map (fun q => let z := position stride padding t q in
                     if in_image sz z then [map Z.to_nat z] else []) (cells (dims kernel)).

(** ** From the program's windows to positions *)
Lemma pool_accepted rank kernel stride padding front sz p : length sz = length kernel ->
  pool_of rank (AInts kernel) (AInts stride) (AInts padding) [front ++ sz] = Some p ->
  p = Pool front (axes_of sz (map Z.to_N kernel) (map Z.to_N stride) (map Z.to_N padding)) /\
  good_attributes (length sz) stride padding /\ Forall (fun k => (0 < k)%Z) kernel.
Proof.
  intro L. unfold pool_of. set (d := match rank with Some r => r | None => length kernel end).
  destruct (image _ _) as [[[lead c] sz'] |] eqn:I; [| discriminate].
  destruct (per_axis (AInts kernel) _ _) as [k |] eqn:K; [| discriminate].
  destruct (per_axis (AInts stride) _ _) as [s |] eqn:S; [| discriminate].
  destruct (per_axis (AInts padding) _ _) as [pd |] eqn:P; [| discriminate].
  destruct (_ && _ && _); [| discriminate]. intro E. injection E as <-.
  apply per_axis_inv in K, S, P. destruct K as (? & E & -> & Lk & Hk), S as (? & E' & -> & Ls & Hs).
  destruct P as (? & E'' & -> & Lp & Hp). injection E as <-. injection E' as <-. injection E'' as <-.
  rewrite map_length in Lk, Ls, Lp.
  apply image_inv in I. destruct I as (I & _ & L' & _).
  change (lead ++ c :: sz') with (lead ++ [c] ++ sz') in I. rewrite app_assoc in I.
  apply app_same_end in I; [| congruence]. destruct I as [-> ->].
  repeat split; try congruence; apply Forall_forall; intros y Hy;
    [specialize (Hs y Hy) | specialize (Hp y Hy) | specialize (Hk y Hy)]; lia.
Qed.

Section Formulas.
  Variables (rank : option nat) (kernel stride padding : list Z) (front sz counts : shape) (p : pool).
  Hypothesis Lk : length sz = length kernel.
  Hypothesis accepted : pool_of rank (AInts kernel) (AInts stride) (AInts padding) [front ++ sz] = Some p.
  Let out := front ++ counts.
  Hypothesis shape_of_result : out = pool_shape p.

  Variables n t : list nat.
  Hypothesis Hn : inside (dims front) n.
  Hypothesis Ht : inside (dims counts) t.
  Let i := ravel (dims out) (n ++ t).
  (** the windows' cells, and where they lie in the flat image *)
  Let window_cells := seen (map Z.to_N kernel) sz stride padding t.
  Let at_cell s := ravel (dims (front ++ sz)) (n ++ s).

  Let axes := axes_of sz (map Z.to_N kernel) (map Z.to_N stride) (map Z.to_N padding).

  Lemma axes_fields : map a_size axes = sz /\ map a_kernel axes = map Z.to_N kernel.
  Proof.
    apply pool_accepted in accepted; [| exact Lk]. destruct accepted as (_ & (Ls & Lp & _) & _).
    destruct (axes_of_maps sz (map Z.to_N kernel) (map Z.to_N stride) (map Z.to_N padding)) as (Es & Ek & _);
      rewrite ?map_length; try congruence. now split.
  Qed.

  Lemma cell_inside : inside (dims out) (n ++ t).
  Proof. unfold out. rewrite dims_app. now apply inside_app. Qed.
  Lemma cell_lt : i < N.to_nat (size out).
  Proof. rewrite <- dims_size. apply ravel_lt, cell_inside. Qed.

  Lemma flat_map_map {A B C} (f : A -> list B) (h : B -> C) l :
    map h (flat_map f l) = flat_map (fun a => map h (f a)) l.
  Proof. induction l as [| a l IH]; [reflexivity |]. cbn. now rewrite map_app, IH. Qed.
  Lemma flat_map_ext_in {A B} (f g : A -> list B) l :
    (forall a, In a l -> f a = g a) -> flat_map f l = flat_map g l.
  Proof.
    induction l as [| a l IH]; intro H; [reflexivity |]. cbn. rewrite (H a) by now left.
    now rewrite IH by (intros b Hb; apply H; now right).
  Qed.

  Lemma window_positions : pool_window p i = map at_cell window_cells.
  Proof.
    destruct axes_fields as [Es Ek]. pose proof (pool_accepted _ _ _ _ _ _ _ Lk accepted) as (E & A & _).
    fold axes in E. unfold pool_window. rewrite <- shape_of_result. unfold i.
    rewrite unravel_ravel by apply cell_inside. rewrite E in *. cbn [p_front p_axes] in *.
    unfold window. rewrite <- (inside_length _ _ Hn), firstn_app, skipn_app, firstn_all, skipn_all, Nat.sub_diag.
    cbn [firstn skipn]. rewrite app_nil_l, app_nil_r. unfold window_cells, seen. rewrite flat_map_map.
    unfold kernels. rewrite Ek. apply flat_map_ext_in. intros q Hq.
    apply in_cells, inside_length in Hq. rewrite dims_length, map_length in Hq.
    assert (length t = length sz) as Lt.
    { rewrite (inside_length _ _ Ht), dims_length. apply app_inv_head in shape_of_result.
      cbn [p_axes] in shape_of_result. rewrite shape_of_result.
      rewrite map_length, <- (map_length a_size axes). now rewrite Es. }
    unfold axes. rewrite reach_position by (rewrite ?map_length; try assumption; congruence).
    unfold at_cell. rewrite dims_app. fold axes. unfold sizes. rewrite Es.
    now destruct (in_image _ _).
  Qed.

  Lemma window_cells_lt s : In s window_cells -> at_cell s < prod (pool_dims p).
  Proof.
    intro H. apply (pool_window_inside p i); [| rewrite window_positions; now apply in_map].
    rewrite <- shape_of_result, dims_size. exact cell_lt.
  Qed.

  Open Scope R_scope.
  Variable x : list R.
  Notation value y := (tget (R := Rnum) y).
  Notation cells_n := (N.to_nat (size out)).

  Lemma first_best_max row : forall b : nat, first_best (R := Rnum) x row = Some b ->
    In b row /\ forall s, In s row -> value x s <= value x b.
  Proof.
    unfold first_best. induction row as [| s row IH] using rev_ind; intro b; [discriminate |].
    rewrite fold_left_app. cbn [fold_left]. destruct (fold_left _ row None) as [b' |] eqn:F.
    - destruct (IH b' eq_refl) as [I M]. cbn [ltb Rnum]. unfold Rltb.
      destruct (Rlt_dec (value x b') (value x s)) as [L | L]; intro E; injection E as <-;
        (split; [rewrite in_app_iff; cbn; tauto |]);
        intros r Hr; apply in_app_iff in Hr; destruct Hr as [Hr | [<- | []]]; try specialize (M r Hr);
        unfold Rnum in *; cbn in *; lra.
    - intro E. injection E as <-. destruct row as [| r row] using rev_ind.
      + split; [now left |]. intros r [<- | []]. apply Rle_refl.
      + exfalso. clear IH. rewrite fold_left_app in F. cbn in F. destruct (fold_left _ row None); [| discriminate].
        destruct (Rltb _ _); discriminate.
  Qed.

  Theorem max_formula : exists s, In s window_cells /\
    value (prog_fwd (R := Rnum) (max_prog p cells_n) [x]) i = value x (at_cell s) /\
    forall s', In s' window_cells -> value x (at_cell s') <= value x (at_cell s).
  Proof.
    change (prog_fwd _ _) with (bfwd (R := Rnum) (Best cells_n (pool_window p) false) [x]).
    cbn [bfwd]. rewrite tget_mk by exact cell_lt. change (slot [x] 0) with x.
    destruct (first_best (R := Rnum) x (pool_window p i)) as [b |] eqn:B.
    - apply first_best_max in B. destruct B as [I M]. rewrite window_positions in I, M.
      apply in_map_iff in I. destruct I as (s & <- & I). exists s. repeat split; auto.
      intros s' Hs'. now apply M, in_map.
    - exfalso.
      assert (pool_window p i <> []) as NE.
      { apply pool_window_nonempty.
        - exact (proj1 (proj2 (pool_of_inv _ _ _ _ _ _ accepted))).
        - rewrite <- shape_of_result, dims_size. exact cell_lt. }
      destruct (pool_window p i) as [| s row] using rev_ind; [easy |]. clear IHrow. unfold first_best in B.
      rewrite fold_left_app in B. cbn in B. destruct (fold_left _ row None); [| discriminate].
      destruct (Rltb _ _); discriminate.
  Qed.

  (** Sums over windows. *)
  Lemma window_sum c (y : list R) :
    value (bfwd (R := Rnum) (Lin cells_n [weighted c (pool_window p)]) [y]) i
    = total s in window_cells, Q2R c * value y (at_cell s).
  Proof.
    cbn [bfwd]. rewrite tget_mk by exact cell_lt. unfold suml at 1. cbn [combine fold_left fst snd].
    change (@add Rnum) with Rplus. change (@zero Rnum) with 0. rewrite Rplus_0_l.
    unfold weighted. rewrite suml_map, window_positions, suml_map. reflexivity.
  Qed.

  Lemma real_laws : semi_ring_theory (@zero Rnum) one add mul eq.
  Proof. constructor; cbn; intros; ring. Qed.

  Lemma Q2R_inverse k : Q2R (inverse k) = / INR k.
  Proof.
    destruct k; [unfold Q2R, inverse; cbn; rewrite Rinv_0; lra |].
    unfold inverse, Q2R. cbn [Qnum Qden]. rewrite INR_IZR_INZ.
    rewrite <- (Nat2Pos.id (S k)) at 2 by easy. rewrite positive_nat_Z. lra.
  Qed.

  Theorem average_formula :
    value (prog_fwd (R := Rnum) (average_prog p cells_n) [x]) i
    = (total s in window_cells, value x (at_cell s)) / INR (prod (map Z.to_nat kernel)).
  Proof.
    destruct axes_fields as [_ Ek]. destruct (pool_accepted _ _ _ _ _ _ _ Lk accepted) as (E & _ & _).
    change (prog_fwd _ _) with (bfwd (R := Rnum)
      (Lin cells_n [weighted (inverse (prod (kernels (p_axes p)))) (pool_window p)]) [x]).
    rewrite window_sum. rewrite (suml_scal_l Rnum real_laws). cbn [mul Rnum]. rewrite Q2R_inverse.
    replace (kernels (p_axes p)) with (map Z.to_nat kernel); [unfold Rdiv; apply Rmult_comm |].
    rewrite E. cbn [p_axes]. fold axes. unfold kernels. rewrite Ek. unfold dims. rewrite map_map.
    apply map_ext. intro k. lia.
  Qed.

  Variable beta : Q.
  Notation b := (Q2R beta).
  Notation exponentials := (bfwd (R := Rnum) (Ew (prod (pool_dims p)) exp_scaled [beta] [Some exp_slope]) [x]).

  Lemma exponential s : In s window_cells -> value exponentials (at_cell s) = exp (b * value x (at_cell s)).
  Proof. intro H. cbn [bfwd]. now rewrite tget_mk by now apply window_cells_lt. Qed.

  Lemma Q2R_one : Q2R 1 = 1.
  Proof. unfold Q2R. cbn. lra. Qed.

  Theorem log_mean_formula :
    value (prog_fwd (R := Rnum) (log_mean_prog beta p cells_n) [x]) i
    = ln (total s in window_cells, exp (b * value x (at_cell s))) / b.
  Proof.
    set (sums := bfwd (R := Rnum) (Lin cells_n [weighted 1 (pool_window p)]) [exponentials]).
    change (prog_fwd _ _) with (bfwd (R := Rnum) (Ew cells_n (Div (Fn Log (Arg 0)) (Par 0)) [beta]
      [Some (Recip (Mul (Par 0) (Arg 0)))]) [sums]).
    cbn [bfwd]. rewrite tget_mk by exact cell_lt. cbn [sxe cell map nth div lit app Rnum Rapp].
    do 2 f_equal. unfold sums. rewrite window_sum. apply suml_ext_in. intros s Hs.
    now rewrite exponential, Q2R_one, Rmult_1_l by exact Hs.
  Qed.

  Theorem soft_mean_formula :
    value (prog_fwd (R := Rnum) (soft_mean_prog beta p cells_n) [x]) i
    = (total s in window_cells, exp (b * value x (at_cell s)) * value x (at_cell s))
      / (total s in window_cells, exp (b * value x (at_cell s))).
  Proof.
    pose proof exponential as Ex. set (e := exponentials) in *.
    set (products := bfwd (R := Rnum) (Bil (prod (pool_dims p)) (fun i => [(i, i)])) [x; e]).
    set (sums y := bfwd (R := Rnum) (Lin cells_n [weighted 1 (pool_window p)]) [y]).
    change (prog_fwd _ _) with (bfwd (R := Rnum) (Ew cells_n (Div (Arg 0) (Arg 1)) []
      [Some (Recip (Arg 1)); Some (Neg (Div (Arg 2) (Arg 1)))]) [sums products; sums e]).
    cbn [bfwd]. rewrite tget_mk by exact cell_lt. cbn [sxe cell map nth div Rnum].
    unfold sums. rewrite !window_sum. f_equal; apply suml_ext_in; intros s Hs; rewrite Q2R_one, Rmult_1_l.
    - unfold products. cbn [bfwd]. rewrite tget_mk by now apply window_cells_lt.
      unfold suml. cbn [fold_left fst snd slot nth add mul zero Rnum].
      change (slot [x; e] 0) with x. change (slot [x; e] 1) with e. rewrite Ex by exact Hs.
      rewrite Rplus_0_l. apply Rmult_comm.
    - now apply Ex.
  Qed.
End Formulas.

(** ** The same of the ops: at every cell (n, t) of an accepted use. [plain_op None max_prog] is max_pool,
    [plain_op (Some 2) max_prog] is max_pool2d, and so on. *)
Section Uses.
  Open Scope R_scope.
  Variables (rank : option nat) (world : world) (kernel stride padding : list Z) (front sz counts : shape).
  Variables (nats : list (list N)) (x : list R) (n t : list nat).
  Let out := front ++ counts.
  Let cells_seen := seen (map Z.to_N kernel) sz stride padding t.
  (** the entry of the image at position s of its spatial axes *)
  Let pixel s := entry Rnum (front ++ sz) x (n ++ s).
  Let result (o : opdef) attrs :=
    entry Rnum out (prog_fwd (R := Rnum) (o_prog o world attrs [front ++ sz] out nats) [x]) (n ++ t).
  Hypothesis same_rank : length sz = length kernel.
  Hypothesis Hn : inside (dims front) n.
  Hypothesis Ht : inside (dims counts) t.

  Let attrs := [AInts kernel; AInts stride; AInts padding].

  Lemma plain_accepted program : o_shape (plain_op rank program) attrs [front ++ sz] [] = Some out ->
    exists p, pool_of rank (AInts kernel) (AInts stride) (AInts padding) [front ++ sz] = Some p /\ out = pool_shape p /\
      result (plain_op rank program) attrs
      = tget (R := Rnum) (prog_fwd (R := Rnum) (program p (N.to_nat (size out))) [x]) (ravel (dims out) (n ++ t)).
  Proof.
    unfold result. cbn [o_shape o_prog plain_op plain attrs].
    destruct (pool_of _ _ _ _ _) as [p |]; [| discriminate]. intro E. injection E as E. now exists p.
  Qed.

  Theorem max_pool_formula : o_shape (plain_op rank max_prog) attrs [front ++ sz] [] = Some out ->
    exists s, In s cells_seen /\ result (plain_op rank max_prog) attrs = pixel s /\
      forall s', In s' cells_seen -> pixel s' <= pixel s.
  Proof.
    intro H. destruct (plain_accepted _ H) as (p & P & E & ->).
    exact (max_formula rank kernel stride padding front sz counts p same_rank P E n t Hn Ht x).
  Qed.

  Theorem avg_pool_formula : o_shape (plain_op rank average_prog) attrs [front ++ sz] [] = Some out ->
    result (plain_op rank average_prog) attrs
    = (total s in cells_seen, pixel s) / INR (prod (map Z.to_nat kernel)).
  Proof.
    intro H. destruct (plain_accepted _ H) as (p & P & E & ->).
    exact (average_formula rank kernel stride padding front sz counts p same_rank P E n t Hn Ht x).
  Qed.

  Variable beta : Q.
  Let sharp := [AInts kernel; ANum (Fin beta); AInts stride; AInts padding].

  Lemma smooth_accepted program : o_shape (smooth_op rank program) sharp [front ++ sz] [] = Some out ->
    exists p, pool_of rank (AInts kernel) (AInts stride) (AInts padding) [front ++ sz] = Some p /\ out = pool_shape p /\
      result (smooth_op rank program) sharp
      = tget (R := Rnum) (prog_fwd (R := Rnum) (program beta p (N.to_nat (size out))) [x]) (ravel (dims out) (n ++ t)).
  Proof.
    unfold result. cbn [o_shape o_prog smooth_op smooth sharp].
    destruct (pool_of _ _ _ _ _) as [p |]; [| discriminate]. destruct (Qeq_bool beta 0); [discriminate |].
    intro E. injection E as E. now exists p.
  Qed.

  Theorem log_sum_exp_formula : o_shape (smooth_op rank log_mean_prog) sharp [front ++ sz] [] = Some out ->
    result (smooth_op rank log_mean_prog) sharp
    = ln (total s in cells_seen, exp (Q2R beta * pixel s)) / Q2R beta.
  Proof.
    intro H. destruct (smooth_accepted _ H) as (p & P & E & ->).
    exact (log_mean_formula rank kernel stride padding front sz counts p same_rank P E n t Hn Ht x beta).
  Qed.

  Theorem weighted_mean_formula : o_shape (smooth_op rank soft_mean_prog) sharp [front ++ sz] [] = Some out ->
    result (smooth_op rank soft_mean_prog) sharp
    = (total s in cells_seen, exp (Q2R beta * pixel s) * pixel s) / (total s in cells_seen, exp (Q2R beta * pixel s)).
  Proof.
    intro H. destruct (smooth_accepted _ H) as (p & P & E & ->).
    exact (soft_mean_formula rank kernel stride padding front sz counts p same_rank P E n t Hn Ht x beta).
  Qed.
End Uses.
