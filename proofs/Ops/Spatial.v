(** * Sliding windows: the index arithmetic that convolutions and pools share

    An image is ([batch],) channels, then spatial axes. Along a spatial axis of [a_size] cells, padded on both
    sides by [a_padding], windows of [a_kernel] cells start every [a_stride] cells. Shape rules compute with
    binary numbers (sizes may be large); programs compute positions in [nat]. *)
From Coq Require Import List NArith ZArith Arith Bool Lia.
From Prooftape.Spec Require Import Graph Op.
From Prooftape.Core Require Import Obligations.
From Prooftape.Ops Require Import Index Smoothness.
Import ListNotations.
Open Scope nat_scope.

Record axis := Axis { a_size : N; a_kernel : N; a_stride : N; a_padding : N }.

(** ** Shape rules *)

(** An attribute with one integer >= [least] per spatial axis. *)
Definition per_axis (a : attr) (rank : nat) (least : Z) : option (list N) :=
  match a with
  | AInts l => if (length l =? rank) && forallb (fun v => (least <=? v)%Z) l then Some (map Z.to_N l) else None
  | _ => None
  end.

(** An image with [rank] spatial axes, none empty, and at most one axis before its channels. *)
Definition image (rank : nat) (x : shape) : option (shape * N * shape) :=
  let lead := length x - rank - 1 in
  if (length x =? lead + S rank) && (lead <=? 1)
  then match skipn lead x with
       | c :: sizes => if forallb (fun n => (0 <? n)%N) sizes then Some (firstn lead x, c, sizes) else None
       | [] => None
       end
  else None.

Fixpoint axes_of (sizes kernel stride padding : list N) : list axis :=
  match sizes, kernel, stride, padding with
  | n :: sizes, k :: kernel, s :: stride, p :: padding => Axis n k s p :: axes_of sizes kernel stride padding
  | _, _, _, _ => []
  end.

(** A window fits into the padded axis. *)
Definition fits (a : axis) : bool := (a_kernel a <=? a_size a + 2 * a_padding a)%N.
(** Number of windows along an axis where one fits. *)
Definition windows (a : axis) : N := ((a_size a + 2 * a_padding a - a_kernel a) / a_stride a + 1)%N.

(** ** Positions *)
Definition sizes (axes : list axis) : list nat := dims (map a_size axes).
Definition kernels (axes : list axis) : list nat := dims (map a_kernel axes).

(** Cell q of window t, as a cell of the axis; None in the padding. *)
Definition reach1 (a : axis) (t q : nat) : option nat :=
  let k := t * N.to_nat (a_stride a) + q in
  let p := N.to_nat (a_padding a) in
  if (p <=? k) && (k - p <? N.to_nat (a_size a)) then Some (k - p) else None.
(** the same along every axis *)
Fixpoint each (f : axis -> nat -> nat -> option nat) (axes : list axis) (t q : list nat) : option (list nat) :=
  match axes, t, q with
  | [], [], [] => Some []
  | a :: axes, k :: t, r :: q =>
      match f a k r, each f axes t q with Some s, Some l => Some (s :: l) | _, _ => None end
  | _, _, _ => None
  end.
Definition reach : list axis -> list nat -> list nat -> option (list nat) := each reach1.

(** The cells that window [ix] of a pool sees, row-major; [front] are the axes before the spatial ones. *)
Definition window (front : list nat) (axes : list axis) (ix : list nat) : list nat :=
  let n := firstn (length front) ix in
  let t := skipn (length front) ix in
  flat_map (fun q =>
    match reach axes t q with
    | Some s => [ravel (front ++ sizes axes) (n ++ s)]
    | None => []
    end) (cells (kernels axes)).

(** ** Facts about shape rules *)
(** An accepted use satisfies the shape rule of its op. *)
Lemma used_shape d o w attrs tys lens nats t p : used d o w attrs tys lens nats t p ->
  o_shape o attrs (map t_shape tys) lens = Some (t_shape t) /\
  p = o_prog o w attrs (map t_shape tys) (t_shape t) nats.
Proof.
  intros (I & _ & P). split; [now apply infer_shape in I | exact P].
Qed.

Lemma per_axis_inv a rank least l : per_axis a rank least = Some l ->
  exists z, a = AInts z /\ l = map Z.to_N z /\ length l = rank /\ forall v, In v z -> (least <= v)%Z.
Proof.
  unfold per_axis. destruct a; try discriminate.
  destruct (length l0 =? rank) eqn:L; [| discriminate]. destruct (forallb _ _) eqn:B; [| discriminate].
  intro E. injection E as <-. apply Nat.eqb_eq in L. rewrite forallb_forall in B. exists l0.
  repeat split; [now rewrite map_length | intros v Hv; now apply Z.leb_le, B].
Qed.

Lemma per_axis_least a rank least l : (0 <= least)%Z -> per_axis a rank least = Some l ->
  length l = rank /\ forall v, In v l -> (Z.to_N least <= v)%N.
Proof.
  intros P H. apply per_axis_inv in H. destruct H as (z & _ & -> & L & B). split; [exact L |].
  intros v Hv. apply in_map_iff in Hv. destruct Hv as (y & <- & Hy). specialize (B y Hy). lia.
Qed.

Lemma image_inv rank x lead c s : image rank x = Some (lead, c, s) ->
  x = lead ++ c :: s /\ length lead <= 1 /\ length s = rank /\ forall n, In n s -> (0 < n)%N.
Proof.
  unfold image. set (k := length x - rank - 1).
  destruct (length x =? k + S rank) eqn:L; [| discriminate]. destruct (k <=? 1) eqn:M; [| discriminate].
  apply Nat.eqb_eq in L. apply Nat.leb_le in M. cbn [andb].
  destruct (skipn k x) as [| c' s'] eqn:E; [discriminate |].
  destruct (forallb _ _) eqn:B; [| discriminate]. intro H. injection H as <- <- <-.
  assert (x = firstn k x ++ c' :: s') as Hx by (now rewrite <- E, firstn_skipn).
  rewrite forallb_forall in B. repeat split; auto.
  - rewrite firstn_length. lia.
  - apply (f_equal (@length N)) in E. rewrite skipn_length in E. cbn in E. lia.
  - intros n Hn. now apply N.ltb_lt, B.
Qed.

Lemma image_of rank lead c s : length lead <= 1 -> length s = rank -> (forall n, In n s -> (0 < n)%N) ->
  image rank (lead ++ c :: s) = Some (lead, c, s).
Proof.
  intros L <- B. unfold image. rewrite app_length. cbn [length].
  replace (length lead + S (length s) - length s - 1) with (length lead) by lia.
  rewrite Nat.eqb_refl. destruct (Nat.leb_spec (length lead) 1); [| lia]. cbn [andb].
  rewrite skipn_app, skipn_all, Nat.sub_diag. cbn [skipn app].
  rewrite firstn_app, firstn_all, Nat.sub_diag. cbn [firstn]. rewrite app_nil_r.
  destruct (forallb _ _) eqn:F; [reflexivity |]. exfalso. apply Bool.not_true_iff_false in F. apply F.
  apply forallb_forall. intros n Hn. now apply N.ltb_lt, B.
Qed.

Lemma axes_of_maps sizes : forall kernel stride padding,
  length kernel = length sizes -> length stride = length sizes -> length padding = length sizes ->
  let axes := axes_of sizes kernel stride padding in
  map a_size axes = sizes /\ map a_kernel axes = kernel /\
  map a_stride axes = stride /\ map a_padding axes = padding.
Proof.
  induction sizes as [| n sizes IH]; intros [| k kernel] [| s stride] [| p padding] K S P; try discriminate.
  - now repeat split.
  - cbn. injection K as K. injection S as S. injection P as P. destruct (IH _ _ _ K S P) as (-> & -> & -> & ->).
    now repeat split.
Qed.

(** ** Positions of a shape *)
Lemma ravel_inj d a b : inside d a -> inside d b -> ravel d a = ravel d b -> a = b.
Proof. intros A B E. rewrite <- (unravel_ravel _ _ A), <- (unravel_ravel _ _ B). now rewrite E. Qed.

Lemma NoDup_flat_map {A B} (f : A -> list B) l : NoDup l -> (forall a, In a l -> NoDup (f a)) ->
  (forall a a' b, In a l -> In a' l -> In b (f a) -> In b (f a') -> a = a') -> NoDup (flat_map f l).
Proof.
  induction 1 as [| a l Ha Hl IH]; intros Hf Hd; cbn; [constructor |]. apply nodup_app.
  - apply Hf. now left.
  - apply IH; [intros; apply Hf; now right |]. intros x y b Hx Hy. apply Hd; now right.
  - intros b Hb Hr. apply in_flat_map in Hr. destruct Hr as (x & Hx & H). apply Ha.
    rewrite (Hd a x b); auto; [now left | now right].
Qed.

Lemma dims_app a b : dims (a ++ b) = dims a ++ dims b.
Proof. apply map_app. Qed.
Lemma dims_length a : length (dims a) = length a.
Proof. apply map_length. Qed.

Lemma inside_app d e a b : inside d a -> inside e b -> inside (d ++ e) (a ++ b).
Proof. intros. now apply Forall2_app. Qed.
Lemma inside_split d e ix : inside (d ++ e) ix ->
  inside d (firstn (length d) ix) /\ inside e (skipn (length d) ix).
Proof.
  intro H. apply Forall2_app_inv_r in H. destruct H as (a & b & Ha & Hb & ->).
  rewrite <- (inside_length d a Ha), firstn_app, skipn_app, firstn_all, skipn_all, Nat.sub_diag.
  cbn. rewrite app_nil_r. now split.
Qed.

(** ** Facts about windows *)
Lemma reach1_iff a t q s : reach1 a t q = Some s <->
  s + N.to_nat (a_padding a) = t * N.to_nat (a_stride a) + q /\ s < N.to_nat (a_size a).
Proof.
  unfold reach1. set (k := t * _ + q). set (p := N.to_nat _). set (n := N.to_nat _).
  destruct (Nat.leb_spec p k); cbn [andb]; [| split; [discriminate | lia]].
  destruct (Nat.ltb_spec (k - p) n); split; try discriminate; try lia.
  - intro E. injection E as <-. lia.
  - intros [E _]. f_equal. lia.
Qed.

Lemma each_inside f axes : (forall a t q s, f a t q = Some s -> s < N.to_nat (a_size a)) ->
  forall t q s, each f axes t q = Some s -> inside (sizes axes) s.
Proof.
  intro Hf. induction axes as [| a axes IH]; intros [| k t] [| r q] s; cbn [each]; try discriminate.
  - intro E. injection E as <-. constructor.
  - destruct (f a k r) as [s1 |] eqn:E1; [| discriminate]. destruct (each f axes t q) as [s' |] eqn:E; [| discriminate].
    intro H. injection H as <-. constructor; [now apply (Hf a k r) | now apply (IH t q)].
Qed.

Lemma reach_inside axes t q s : reach axes t q = Some s -> inside (sizes axes) s.
Proof. apply each_inside. intros a k r l H. now apply reach1_iff in H. Qed.

(** Different cells of a window are different cells of the image. *)
Lemma reach_inj axes : forall t q q' s, reach axes t q = Some s -> reach axes t q' = Some s -> q = q'.
Proof.
  unfold reach. induction axes as [| a axes IH]; intros [| k t] [| r q] [| r' q'] s; cbn [each]; try discriminate; auto.
  destruct (reach1 a k r) as [s1 |] eqn:E1; [| discriminate].
  destruct (each reach1 axes t q) as [s2 |] eqn:E2; [| discriminate]. intro H. injection H as <-.
  destruct (reach1 a k r') as [s3 |] eqn:E3; [| discriminate].
  destruct (each reach1 axes t q') as [s4 |] eqn:E4; [| discriminate]. intro H. injection H as -> ->.
  apply reach1_iff in E1, E3. f_equal; [lia | now apply (IH t q q' s2)].
Qed.

Lemma window_NoDup front axes ix : inside front (firstn (length front) ix) -> NoDup (window front axes ix).
Proof.
  intro H. unfold window. apply NoDup_flat_map; [apply cells_nodup | |].
  - intros q _. destruct (reach _ _ q); repeat constructor; auto.
  - intros q q' k _ _. destruct (reach _ _ q) as [s |] eqn:E; [| intros []].
    destruct (reach _ _ q') as [s' |] eqn:E'; [| intros _ []]. intros [<- | []] [R | []].
    assert (firstn (length front) ix ++ s' = firstn (length front) ix ++ s) as A.
    { eapply ravel_inj; [| | exact R]; apply inside_app; auto; eapply reach_inside; eauto. }
    apply app_inv_head in A. subst s'. now apply (reach_inj axes (skipn (length front) ix) q q' s).
Qed.

(** Where the padding is at most half the kernel, every window has a cell that is not padding. *)
Definition pooled (a : axis) : Prop :=
  (0 < a_size a /\ 0 < a_kernel a /\ 0 < a_stride a /\ 2 * a_padding a <= a_kernel a)%N /\ fits a = true.

Lemma reach1_exists a t : pooled a -> t < N.to_nat (windows a) ->
  exists q s, q < N.to_nat (a_kernel a) /\ reach1 a t q = Some s.
Proof.
  intros [(Hn & Hk & Hs & Hp) Hf] Ht. unfold fits in Hf. apply N.leb_le in Hf.
  assert (t * N.to_nat (a_stride a) + N.to_nat (a_kernel a)
          <= N.to_nat (a_size a) + 2 * N.to_nat (a_padding a)) as Hw.
  { unfold windows in Ht.
    assert (N.of_nat t <= (a_size a + 2 * a_padding a - a_kernel a) / a_stride a)%N as Hd by lia.
    pose proof (N.mul_div_le (a_size a + 2 * a_padding a - a_kernel a) (a_stride a) ltac:(lia)) as Hm.
    assert (a_stride a * N.of_nat t <= a_size a + 2 * a_padding a - a_kernel a)%N by nia.
    assert (a_stride a * N.of_nat t = N.of_nat (t * N.to_nat (a_stride a)))%N by lia. lia. }
  set (k := t * N.to_nat (a_stride a)) in *.
  destruct (Nat.le_gt_cases k (N.to_nat (a_padding a))) as [H | H].
  - exists (N.to_nat (a_padding a) - k), 0. rewrite reach1_iff. fold k. lia.
  - exists 0, (k - N.to_nat (a_padding a)). rewrite reach1_iff. fold k. lia.
Qed.

Lemma reach_exists axes : forall t, Forall pooled axes -> inside (dims (map windows axes)) t ->
  exists q s, inside (kernels axes) q /\ reach axes t q = Some s.
Proof.
  induction axes as [| a axes IH]; intros t P H; inversion H as [| k n t' d Hk Ht]; subst.
  - exists [], []. split; [constructor | reflexivity].
  - inversion P as [| ? ? Pa P']; subst. destruct (IH _ P' Ht) as (q & s & Hq & R).
    destruct (reach1_exists a k Pa Hk) as (q1 & s1 & Hq1 & R1). exists (q1 :: q), (s1 :: s).
    split; [now constructor | unfold reach in *; cbn [each]; now rewrite R1, R].
Qed.

Lemma window_nonempty front axes ix : Forall pooled axes ->
  inside (front ++ dims (map windows axes)) ix -> window front axes ix <> [].
Proof.
  intros P H. apply inside_split in H. destruct H as [_ H].
  destruct (reach_exists axes _ P H) as (q & s & Hq & R).
  intro E. apply in_cells in Hq. assert (In (ravel (front ++ sizes axes) (firstn (length front) ix ++ s))
    (window front axes ix)) as I; [| now rewrite E in I].
  apply in_flat_map. exists q. split; [exact Hq |]. rewrite R. now left.
Qed.

(** The cells of a window lie in the image. *)
Lemma window_inside front axes ix k : inside front (firstn (length front) ix) ->
  In k (window front axes ix) -> k < prod (front ++ sizes axes).
Proof.
  intros H I. apply in_flat_map in I. destruct I as (q & _ & I).
  destruct (reach _ _ q) as [s |] eqn:E; [| destruct I]. destruct I as [<- | []].
  apply ravel_lt, inside_app; [exact H | now apply (reach_inside _ _ _ _ E)].
Qed.
