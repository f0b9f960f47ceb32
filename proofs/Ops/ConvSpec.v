(** * What convolutions compute, as textbooks write it

    For any number of spatial axes, any leading axes, any stride and padding, over every commutative semiring:

    conv            out[n, o, t] = b[o] + sum over c, q of w[o, c, q] * x[n, c, t * stride + q - padding]
                    where x is 0 outside its image;
    conv_transpose  out[n, o, t] = b[o] + sum over c, q, p with p * stride + q - padding = t of w[c, o, q] * x[n, c, p]

    Positions t, p, q are lists of indices, one per spatial axis. *)
From Coq Require Import List NArith ZArith QArith Arith Bool Lia Ring Ring_theory.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op.
From Prooftape.Core Require Import Sums.
From Prooftape.Ops Require Import Index Spatial Conv ConvTranspose.
Import ListNotations.
Open Scope nat_scope.

(** ** The words of the formulas *)

(** t * stride + q - padding along every axis *)
Fixpoint position (stride padding : list Z) (t q : list nat) : list Z :=
  match stride, padding, t, q with
  | s :: stride, p :: padding, k :: t, r :: q => (Z.of_nat k * s + Z.of_nat r - p)%Z :: position stride padding t q
  | _, _, _, _ => []
  end.
Definition in_image (sizes : list N) (z : list Z) : bool :=
  all2 (fun n k => (0 <=? k)%Z && (k <? Z.of_N n)%Z) sizes z.
Definition lands_on (z : list Z) (t : list nat) : bool := all2 (fun k r => (k =? Z.of_nat r)%Z) z t.

(** ** Positions: the programs' and the formulas' *)
Lemma app_same_end {A} (a b x y : list A) : a ++ x = b ++ y -> length x = length y -> a = b /\ x = y.
Proof.
  revert b. induction a as [| h a IH]; intros [| h' b] E L; cbn in E.
  - now split.
  - apply (f_equal (@length A)) in E. cbn in E. rewrite app_length in E. lia.
  - apply (f_equal (@length A)) in E. cbn in E. rewrite app_length in E. lia.
  - injection E as -> E. destruct (IH _ E L) as [-> ->]. now split.
Qed.

(** What an accepted use knows of its attributes. *)
Definition good_attributes (rank : nat) (stride padding : list Z) : Prop :=
  length stride = rank /\ length padding = rank /\
  Forall (fun s => (0 < s)%Z) stride /\ Forall (fun p => (0 <= p)%Z) padding.

Lemma geometry_accepted flip rank stride padding u v kernel b lead c sz g : length sz = length kernel ->
  geometry_of flip rank [AInts stride; AInts padding] [u :: v :: kernel; [b]; lead ++ c :: sz] = Some g ->
  g = Geometry lead c (if flip then v else u) (axes_of sz kernel (map Z.to_N stride) (map Z.to_N padding)) /\
  c = (if flip then u else v) /\ good_attributes (length kernel) stride padding.
Proof.
  intros L. unfold geometry_of.
  destruct (image _ _) as [[[lead' c'] sz'] |] eqn:I; [| discriminate].
  destruct (per_axis (AInts stride) _ _) as [s |] eqn:S; [| discriminate].
  destruct (per_axis (AInts padding) _ _) as [p |] eqn:P; [| discriminate].
  destruct (_ && _ && _ && _) eqn:B; [| discriminate]. intro E. injection E as <-.
  apply andb_true_iff in B. destruct B as [_ B]. apply N.eqb_eq in B.
  apply image_inv in I. destruct I as (I & _ & L' & _).
  apply app_same_end in I; [| cbn; congruence]. destruct I as [-> I]. injection I as -> ->.
  apply per_axis_inv in S, P. destruct S as (? & E & -> & Ls & Hs), P as (? & E' & -> & Lp & Hp).
  injection E as <-. injection E' as <-. rewrite map_length in Ls, Lp. rewrite <- B.
  repeat split; auto; apply Forall_forall; intros y Hy; [specialize (Hs y Hy) | specialize (Hp y Hy)]; lia.
Qed.

(** Along one axis. *)
Lemma scaled k s : (0 <= s)%Z -> Z.of_nat (k * N.to_nat (Z.to_N s)) = (Z.of_nat k * s)%Z.
Proof. intro H. rewrite Nat2Z.inj_mul, N_nat_Z, Z2N.id by exact H. reflexivity. Qed.

Lemma reach1_position n m s p k r : (0 <= s)%Z -> (0 <= p)%Z ->
  let z := (Z.of_nat k * s + Z.of_nat r - p)%Z in
  reach1 (Axis n m (Z.to_N s) (Z.to_N p)) k r
  = if (0 <=? z)%Z && (z <? Z.of_N n)%Z then Some (Z.to_nat z) else None.
Proof.
  intros Hs Hp z. unfold reach1. cbn [a_size a_stride a_padding]. pose proof (scaled k s Hs) as E.
  set (a := k * N.to_nat (Z.to_N s)) in *. subst z. rewrite <- E.
  destruct (Nat.leb_spec (N.to_nat (Z.to_N p)) (a + r)); destruct (Z.leb_spec 0 (Z.of_nat a + Z.of_nat r - p));
    try lia; cbn [andb]; [| reflexivity].
  destruct (Nat.ltb_spec (a + r - N.to_nat (Z.to_N p)) (N.to_nat n));
    destruct (Z.ltb_spec (Z.of_nat a + Z.of_nat r - p) (Z.of_N n)); try lia; [| reflexivity].
  f_equal. lia.
Qed.

Lemma reach_position sz : forall kernel stride padding t q, length kernel = length sz ->
  good_attributes (length sz) stride padding -> length t = length sz -> length q = length sz ->
  let z := position stride padding t q in
  reach (axes_of sz kernel (map Z.to_N stride) (map Z.to_N padding)) t q
  = if in_image sz z then Some (map Z.to_nat z) else None.
Proof.
  unfold reach. induction sz as [| n sz IH]; intros [| m kernel] [| s stride] [| p padding] [| k t] [| r q];
    intros L (Ls & Lp & S & P) Lt Lq; try discriminate; [reflexivity |].
  inversion S; subst. inversion P; subst. cbn [axes_of map each position in_image all2].
  rewrite reach1_position by lia. set (z := (Z.of_nat k * s + Z.of_nat r - p)%Z).
  cbn in L, Ls, Lp, Lt, Lq. rewrite IH by (unfold good_attributes; auto with arith; repeat split; auto; lia).
  unfold in_image. destruct (_ && _); [| reflexivity]. cbn [andb]. now destruct (all2 _ _ _).
Qed.

(** *** Transposed *)
Lemma source1_iff a t q s : (0 < a_stride a)%N -> source1 a t q = Some s <->
  s * N.to_nat (a_stride a) + q = t + N.to_nat (a_padding a) /\ s < N.to_nat (a_size a).
Proof.
  intro Hs. unfold source1. set (k := t + _). set (d := N.to_nat (a_stride a)). assert (0 < d) by (unfold d; lia).
  destruct (Nat.leb_spec q k); cbn [andb]; [| split; [discriminate | intros [E _]; lia]].
  pose proof (Nat.div_mod_eq (k - q) d) as M. set (e := (k - q) / d) in *.
  destruct (Nat.eqb_spec ((k - q) mod d) 0) as [Z | Z]; cbn [andb].
  - destruct (Nat.ltb_spec e (N.to_nat (a_size a))) as [G | G].
    + split; [intro E; injection E as <-; lia |]. intros [E _]. f_equal.
      assert (d * e = d * s) as F by lia. apply Nat.mul_cancel_l in F; lia.
    + split; [discriminate |]. intros [E F]. assert (d * e = d * s) as F' by lia.
      apply Nat.mul_cancel_l in F'; lia.
  - split; [discriminate |]. intros [E _]. exfalso. apply Z. replace (k - q) with (s * d) by lia.
    apply Nat.mod_mul. lia.
Qed.

Section Formulas.
  Variable R : num.
  Hypothesis SR : semi_ring_theory (@zero R) one add mul eq.
  Hypothesis lit_one : lit (n := R) 1%Q = one.
  Add Ring numbers : SR.
  Notation ten := (list R).
  Infix "+" := (@add R). Infix "*" := (@mul R).
  Notation "'total' a 'in' l , e" := (suml (R := R) l (fun a => e)) (at level 200, a name, l at level 100).

  (** the entry of a tensor of shape s at a position *)
  Definition entry (s : shape) (x : ten) (ix : list nat) : R := tget x (ravel (dims s) ix).
  (** x[n, c, z]: 0 where z is outside the image *)
  Definition padded (lead : shape) (channels : N) (sizes : list N) (x : ten) (n : list nat) (c : nat) (z : list Z)
      : R :=
    if in_image sizes z then entry (lead ++ channels :: sizes) x (n ++ c :: map Z.to_nat z) else zero.

  (** ** What the program computes *)
  Lemma conv_prog_value weight pairs g rest out (w b x : ten) n k t :
    out = g_lead g ++ g_out g :: rest ->
    inside (dims (g_lead g)) n -> k < N.to_nat (g_out g) -> inside (dims rest) t ->
    entry out (prog_fwd (conv_prog weight pairs g out) [w; b; x]) (n ++ k :: t)
    = tget b k + total c in seq 0 (N.to_nat (g_in g)), total q in cells (kernels (g_axes g)),
        match pairs t q with
        | Some s => tget w (weight k c q) * tget x (ravel (image_dims g) (n ++ c :: s))
        | None => zero
        end.
  Proof.
    intros -> Hn Hk Ht. set (out := g_lead g ++ g_out g :: rest).
    assert (inside (dims out) (n ++ k :: t)) as H.
    { unfold out. rewrite dims_app. apply inside_app; [exact Hn | now constructor]. }
    pose proof (inside_length _ _ Hn) as Ln. rewrite dims_length in Ln.
    unfold entry. set (i := ravel (dims out) (n ++ k :: t)).
    assert (i < N.to_nat (size out)) as Hi by (rewrite <- dims_size; now apply ravel_lt).
    assert (unravel (dims out) i = n ++ k :: t) as Hu by now apply unravel_ravel.
    set (y := bfwd (Bil (N.to_nat (size out)) (products weight pairs g (dims out))) [w; x]).
    change (prog_fwd _ _) with
      (bfwd (Lin (N.to_nat (size out)) [fun i => [(1%Q, i)]; fun i => [(1%Q, bias g (dims out) i)]]) [y; b]).
    cbn [bfwd]. rewrite tget_mk by exact Hi.
    unfold suml at 1. cbn [combine fold_left fst snd]. unfold suml at 1 2. cbn [fold_left fst snd].
    unfold y. cbn [bfwd]. rewrite tget_mk by exact Hi. rewrite lit_one. unfold bias, products. rewrite Hu.
    rewrite <- Ln, nth_middle, firstn_app, skipn_app, firstn_all, skipn_all, Nat.sub_diag. cbn [firstn skipn].
    rewrite app_nil_l, app_nil_r. rewrite (suml_flat_map R SR). unfold slot. cbn [nth].
    match goal with |- zero + (zero + one * ?y) + (zero + one * ?z) = _ => transitivity (z + y); [ring |] end.
    f_equal. apply suml_ext. intro c. rewrite (suml_flat_map R SR). apply suml_ext. intro q.
    destruct (pairs t q); [| reflexivity]. unfold suml. cbn [fold_left fst snd]. ring.
  Qed.

  (** ** Convolution *)
  Theorem conv_formula rank world stride padding lead o c kernel sz counts nats (w b x : ten) :
    let attrs := [AInts stride; AInts padding] in
    let shapes := [o :: c :: kernel; [o]; lead ++ c :: sz] in
    let out := lead ++ o :: counts in
    length sz = length kernel ->
    o_shape (conv_of rank) attrs shapes [] = Some out ->
    forall n k t, inside (dims lead) n -> k < N.to_nat o -> inside (dims counts) t ->
      entry out (prog_fwd (o_prog (conv_of rank) world attrs shapes out nats) [w; b; x]) (n ++ k :: t)
      = tget b k +
        total i in seq 0 (N.to_nat c), total q in cells (dims kernel),
          entry (o :: c :: kernel) w (k :: i :: q) * padded lead c sz x n i (position stride padding t q).
  Proof.
    intros attrs shapes out L. cbn [o_shape o_prog conv_of].
    destruct (geometry_of false rank attrs shapes) as [g |] eqn:G; [| discriminate].
    apply geometry_accepted in G; [| exact L]. destruct G as (-> & _ & A).
    cbn [g_axes g_lead g_out]. destruct (forallb _ _); [| discriminate]. intro E. injection E as E.
    intros n k t Hn Hk Ht.
    rewrite (conv_prog_value _ _ _ counts) by auto. cbn [g_in g_axes].
    destruct A as (Ls & Lp & S & P). set (axes := axes_of sz kernel (map Z.to_N stride) (map Z.to_N padding)) in *.
    destruct (axes_of_maps sz kernel (map Z.to_N stride) (map Z.to_N padding)) as (Es & Ek & _ & _);
      rewrite ?map_length; try congruence. fold axes in Es, Ek.
    unfold kernels. rewrite Ek. f_equal. apply suml_ext. intro i. apply suml_ext_in. intros q Hq.
    apply in_cells, inside_length in Hq. apply inside_length in Ht. rewrite dims_length in *.
    assert (length counts = length sz) as Lc.
    { apply app_inv_head in E. injection E as <-. rewrite map_length.
      rewrite <- (map_length a_size axes). now rewrite Es. }
    unfold axes. rewrite reach_position by (unfold good_attributes; repeat split; auto; congruence).
    unfold padded. destruct (in_image _ _); [| ring].
    unfold entry, conv_weight, image_dims. cbn [g_in g_out g_axes g_lead]. fold axes. unfold kernels, sizes.
    rewrite Ek, Es, dims_app. reflexivity.
  Qed.
  (** ** Transposed convolution *)
  (** Of all input cells only the one that the program found lands on t. *)
  Lemma landing sz : forall kernel stride padding t q (f : list nat -> R), length kernel = length sz ->
    good_attributes (length sz) stride padding -> length t = length sz -> length q = length sz ->
    (total p in cells (dims sz), if lands_on (position stride padding p q) t then f p else zero)
    = match source (axes_of sz kernel (map Z.to_N stride) (map Z.to_N padding)) t q with
      | Some p => f p
      | None => zero
      end.
  Proof.
    unfold source. induction sz as [| n sz IH];
      intros [| m kernel] [| s stride] [| p padding] [| t0 t] [| r q] f L (Ls & Lp & S & P) Lt Lq; try discriminate.
    - unfold suml. cbn. ring.
    - inversion S; subst. inversion P; subst. cbn in L, Ls, Lp, Lt, Lq.
      cbn [dims map cells axes_of each]. fold (dims sz). rewrite (suml_flat_map R SR).
      set (rest := each source1 _ t q) in *. set (a := Axis n m (Z.to_N s) (Z.to_N p)).
      transitivity (total k in seq 0 (N.to_nat n),
        if (Z.of_nat k * s + Z.of_nat r - p =? Z.of_nat t0)%Z
        then match rest with Some l => f (k :: l) | None => zero end else zero).
      { apply suml_ext. intro k. rewrite suml_map. cbn [position lands_on all2].
        destruct (Z.eqb _ _); cbn [andb]; [| now apply suml_zero].
        apply (IH kernel stride padding t q (fun l => f (k :: l)));
          unfold good_attributes; repeat split; auto; lia. }
      rewrite suml_seq.
      assert (forall k, (Z.of_nat k * s + Z.of_nat r - p =? Z.of_nat t0)%Z = true <->
                        (k * N.to_nat (Z.to_N s) + r = t0 + N.to_nat (Z.to_N p))%nat) as H.
      { intro k. rewrite Z.eqb_eq, <- (scaled k s) by lia. lia. }
      destruct (source1 a t0 r) as [k |] eqn:E.
      + apply source1_iff in E; [| cbn; lia]. cbn [a a_stride a_padding a_size] in E. destruct E as [E G].
        rewrite (sumn_only R SR _ k).
        2: exact G.
        2: { intros j _ Hj. destruct (Z.eqb _ _) eqn:B; [| reflexivity]. apply H in B. exfalso. apply Hj.
             assert (j * N.to_nat (Z.to_N s) = k * N.to_nat (Z.to_N s))%nat as F by lia.
             apply Nat.mul_cancel_r in F; lia. }
        apply H in E. rewrite E. now destruct rest.
      + rewrite (sumn_zero R SR); [reflexivity |]. intros k Hk. destruct (Z.eqb _ _) eqn:B; [| reflexivity].
        apply H in B. assert (source1 a t0 r = Some k) as F; [| congruence].
        apply source1_iff; [cbn; lia | now split].
  Qed.

  Theorem conv_transpose_formula rank world stride padding lead o c kernel sz counts nats (w b x : ten) :
    let attrs := [AInts stride; AInts padding] in
    let shapes := [c :: o :: kernel; [o]; lead ++ c :: sz] in
    let out := lead ++ o :: counts in
    length sz = length kernel ->
    o_shape (conv_transpose_of rank) attrs shapes [] = Some out ->
    forall n k t, inside (dims lead) n -> k < N.to_nat o -> inside (dims counts) t ->
      entry out (prog_fwd (o_prog (conv_transpose_of rank) world attrs shapes out nats) [w; b; x]) (n ++ k :: t)
      = tget b k +
        total i in seq 0 (N.to_nat c), total q in cells (dims kernel), total p in cells (dims sz),
          if lands_on (position stride padding p q) t
          then entry (c :: o :: kernel) w (i :: k :: q) * entry (lead ++ c :: sz) x (n ++ i :: p)
          else zero.
  Proof.
    intros attrs shapes out L. cbn [o_shape o_prog conv_transpose_of].
    destruct (geometry_of true rank attrs shapes) as [g |] eqn:G; [| discriminate].
    apply geometry_accepted in G; [| exact L]. destruct G as (-> & _ & A).
    cbn [g_axes g_lead g_out]. destruct (forallb _ _); [| discriminate]. intro E. injection E as E.
    intros n k t Hn Hk Ht.
    rewrite (conv_prog_value _ _ _ counts) by auto. cbn [g_in g_axes].
    destruct A as (Ls & Lp & S & P).
    set (axes := axes_of sz kernel (map Z.to_N stride) (map Z.to_N padding)) in *.
    destruct (axes_of_maps sz kernel (map Z.to_N stride) (map Z.to_N padding)) as (Es & Ek & _ & _);
      rewrite ?map_length; try congruence. fold axes in Es, Ek.
    unfold kernels. rewrite Ek. f_equal. apply suml_ext. intro i. apply suml_ext_in. intros q Hq.
    apply in_cells, inside_length in Hq. apply inside_length in Ht. rewrite dims_length in *.
    assert (length counts = length sz) as Lc.
    { apply app_inv_head in E. injection E as <-. rewrite map_length.
      rewrite <- (map_length a_size axes). now rewrite Es. }
    rewrite (landing sz kernel) by (unfold good_attributes; repeat split; auto; congruence). fold axes.
    destruct (source axes t q); [| reflexivity].
    unfold entry, transposed_weight, image_dims. cbn [g_in g_out g_axes g_lead]. fold axes. unfold kernels, sizes.
    rewrite Ek, Es, dims_app. reflexivity.
  Qed.
End Formulas.
