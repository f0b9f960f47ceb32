(** * Groups: cells that share their position along all but some axes

    Reductions, softmax and normalisation act on groups of cells. A [view] lists the axes of a tensor, each with its
    length and whether the groups run along it. Groups are numbered row-major over the other axes:
    [members v o] are the cells of group o, in row-major order, and [group_of v i] is the group of cell i. *)
From Coq Require Import List NArith ZArith QArith Arith Bool Lia.
From Prooftape.Spec Require Import Graph Block.
From Prooftape.Ops Require Import Index.
Import ListNotations.
Open Scope nat_scope.

Definition view := list (nat * bool).

Fixpoint extent (v : view) : nat :=         (* how many cells *)
  match v with [] => 1 | (n, _) :: v' => n * extent v' end.
Fixpoint groups (v : view) : nat :=         (* how many groups *)
  match v with [] => 1 | (n, true) :: v' => groups v' | (n, false) :: v' => n * groups v' end.
Fixpoint group_size (v : view) : nat :=     (* how many cells in each group *)
  match v with [] => 1 | (n, true) :: v' => n * group_size v' | (n, false) :: v' => group_size v' end.

Fixpoint members (v : view) (o : nat) : list nat :=
  match v with
  | [] => [0]
  | (n, true) :: v' => flat_map (fun k => map (fun p => k * extent v' + p) (members v' o)) (seq 0 n)
  | (n, false) :: v' => map (fun p => o / groups v' * extent v' + p) (members v' (o mod groups v'))
  end.
Fixpoint group_of (v : view) (i : nat) : nat :=
  match v with
  | [] => 0
  | (n, true) :: v' => group_of v' (i mod extent v')
  | (n, false) :: v' => i / extent v' * groups v' + group_of v' (i mod extent v')
  end.

(** The cells of the group that cell i lies in. *)
Definition peers (v : view) (i : nat) : list nat := members v (group_of v i).

(** ** The views that ops use *)

(** groups along the named axes *)
Definition along (axes : list Z) (s : shape) : view :=
  map (fun p => (snd p, existsb (Z.eqb (Z.of_nat (fst p))) axes)) (combine (seq 0 (length s)) (dims s)).
(** groups along one axis: what is before it, itself, what is after it; a scalar is a vector of one *)
Definition along_one (axis : nat) (s : shape) : view :=
  [(prod (firstn axis (dims s)), false); (nth axis (dims s) 1, true); (prod (skipn (S axis) (dims s)), false)].
(** groups along the last axis *)
Definition rows_view (rows len : nat) : view := [(rows, false); (len, true)].

(** ** Rows of blocks *)

(** 1/n; 0 for n = 0, as division by 0 is in the theory of rationals *)
Definition inverse (n : nat) : Q := match n with O => 0%Q | S _ => (1 # Pos.of_nat n)%Q end.

Definition same (i : nat) : list (Q * nat) := [(1%Q, i)].
Definition minus (i : nat) : list (Q * nat) := [((-1)%Q, i)].
Definition weighted (c : Q) (rows : nat -> list nat) (i : nat) : list (Q * nat) := map (fun s => (c, s)) (rows i).
Definition sum_of (rows : nat -> list nat) : nat -> list (Q * nat) := weighted 1 rows.
(** an entry minus the mean of its group *)
Definition centred (v : view) (i : nat) : list (Q * nat) :=
  same i ++ weighted (- inverse (group_size v)) (peers v) i.

(** out_i = x_0[i] * x_1[f i] *)
Definition times (n : nat) (f : nat -> nat) : blk := Bil n (fun i => [(i, f i)]).

(** ** Facts *)
Lemma below a n h g : a < n -> h < g -> a * g + h < n * g.
Proof. intros Ha Hh. assert (S a * g <= n * g) by (apply Nat.mul_le_mono_r; lia). lia. Qed.

Lemma members_length v : forall o, length (members v o) = group_size v.
Proof.
  induction v as [| [n []] v IH]; intro o; cbn [members group_size]; [reflexivity | |].
  - assert (forall l, length (flat_map (fun k => map (fun p => k * extent v + p) (members v o)) l)
                      = length l * group_size v) as E.
    { induction l as [| k l IHl]; cbn [flat_map length]; [reflexivity |].
      rewrite app_length, map_length, IHl, IH. reflexivity. }
    now rewrite E, seq_length.
  - now rewrite map_length, IH.
Qed.

Lemma members_nonempty v o : 0 < group_size v -> members v o <> [].
Proof. intros H E. rewrite <- (members_length v o), E in H. cbn in H. lia. Qed.

Lemma extent_groups v : extent v = groups v * group_size v.
Proof. induction v as [| [n []] v IH]; cbn [extent groups group_size]; [reflexivity | |]; rewrite IH; ring. Qed.

Lemma group_of_lt v : forall i, i < extent v -> group_of v i < groups v.
Proof.
  induction v as [| [n []] v IH]; intros i H; cbn [extent groups group_of] in *; [lia | |].
  - apply IH, Nat.mod_upper_bound. intro E. rewrite E in H. lia.
  - assert (extent v <> 0) as N by (intro E; rewrite E in H; lia).
    assert (i / extent v < n) by (apply Nat.div_lt_upper_bound; lia).
    apply below; auto. apply IH, Nat.mod_upper_bound, N.
Qed.

Lemma group_size_pos v i : i < extent v -> 0 < group_size v.
Proof. rewrite extent_groups. nia. Qed.

Lemma members_lt v : forall o p, o < groups v -> In p (members v o) -> p < extent v.
Proof.
  induction v as [| [n []] v IH]; intros o p Ho Hp; cbn [extent groups members] in *.
  - destruct Hp as [<- | []]. lia.
  - apply in_flat_map in Hp. destruct Hp as (k & Hk & Hp). apply in_map_iff in Hp. destruct Hp as (q & <- & Hq).
    apply in_seq in Hk. apply below; [lia | now apply (IH o)].
  - apply in_map_iff in Hp. destruct Hp as (q & <- & Hq).
    assert (groups v <> 0) as N by (intro E; rewrite E in Ho; lia).
    pose proof (IH _ _ (Nat.mod_upper_bound o _ N) Hq).
    apply below; auto. apply Nat.div_lt_upper_bound; lia.
Qed.

(** The cells of a group lie in it. *)
Lemma group_of_member v : forall o p, o < groups v -> In p (members v o) -> group_of v p = o.
Proof.
  induction v as [| [n []] v IH]; intros o p Ho Hp; cbn [groups members group_of] in *.
  - lia.
  - apply in_flat_map in Hp. destruct Hp as (k & Hk & Hp). apply in_map_iff in Hp. destruct Hp as (q & <- & Hq).
    pose proof (members_lt _ _ _ Ho Hq). rewrite Nat.add_comm, Nat.mod_add, Nat.mod_small by lia. now apply IH.
  - apply in_map_iff in Hp. destruct Hp as (q & <- & Hq).
    assert (groups v <> 0) as N by (intro E; rewrite E in Ho; lia).
    pose proof (Nat.mod_upper_bound o _ N) as Hm. pose proof (members_lt _ _ _ Hm Hq) as L.
    rewrite (Nat.add_comm (_ * _) q) at 2. rewrite Nat.mod_add, Nat.mod_small by lia.
    rewrite Nat.div_add_l, (Nat.div_small q), Nat.add_0_r by lia. rewrite (IH _ _ Hm Hq).
    rewrite (Nat.mul_comm _ (groups v)). symmetry. now apply Nat.div_mod.
Qed.

(** Every cell lies in its group. *)
Lemma self_peer v : forall i, i < extent v -> In i (peers v i).
Proof.
  unfold peers. induction v as [| [n []] v IH]; intros i H; cbn [extent members group_of] in *.
  - left. lia.
  - assert (extent v <> 0) as N by (intro E; rewrite E in H; lia).
    apply in_flat_map. exists (i / extent v). split.
    + apply in_seq. assert (i / extent v < n) by (apply Nat.div_lt_upper_bound; lia). lia.
    + apply in_map_iff. exists (i mod extent v). split.
      * rewrite (Nat.mul_comm _ (extent v)). symmetry. now apply Nat.div_mod.
      * apply IH, Nat.mod_upper_bound, N.
  - assert (extent v <> 0) as N by (intro E; rewrite E in H; lia).
    pose proof (Nat.mod_upper_bound i _ N) as Hm. pose proof (group_of_lt _ _ Hm) as G.
    rewrite Nat.div_add_l, (Nat.div_small (group_of _ _)), Nat.add_0_r by lia.
    rewrite (Nat.add_comm (_ * _)), Nat.mod_add, Nat.mod_small by lia.
    apply in_map_iff. exists (i mod extent v). split.
    + rewrite (Nat.mul_comm _ (extent v)). symmetry. now apply Nat.div_mod.
    + now apply IH.
Qed.

Lemma peers_lt v i p : i < extent v -> In p (peers v i) -> p < extent v.
Proof. intros H. apply members_lt. now apply group_of_lt. Qed.
Lemma peers_of_peer v i p : i < extent v -> In p (peers v i) -> peers v p = peers v i.
Proof. intros H Hp. unfold peers. f_equal. apply group_of_member; auto. now apply group_of_lt. Qed.

Lemma NoDup_shift (l : list nat) c : NoDup l -> NoDup (map (fun p => c + p) l).
Proof.
  induction 1 as [| x l N H IH]; cbn [map]; constructor; auto.
  intro E. apply in_map_iff in E. destruct E as (y & E & Hy). assert (y = x) by lia. now subst.
Qed.
Lemma NoDup_app_disjoint (l m : list nat) :
  NoDup l -> NoDup m -> (forall p, In p l -> ~ In p m) -> NoDup (l ++ m).
Proof.
  induction 1 as [| x l N H IH]; cbn [app]; intros Hm D; auto. constructor.
  - rewrite in_app_iff. intros [E | E]; [easy |]. exact (D x (or_introl eq_refl) E).
  - apply IH; auto. intros p Hp. apply D. now right.
Qed.

(** No cell is listed twice. *)
Lemma members_NoDup v : forall o, o < groups v -> NoDup (members v o).
Proof.
  induction v as [| [n []] v IH]; intros o Ho; cbn [groups members] in *.
  - constructor; [easy | constructor].
  - generalize 0 as k. induction n as [| n IHn]; intro k; cbn [seq flat_map]; [constructor |].
    apply NoDup_app_disjoint; [apply NoDup_shift; auto | apply IHn |].
    intros p Hp Hq. apply in_map_iff in Hp. destruct Hp as (q & <- & Hp). apply in_flat_map in Hq.
    destruct Hq as (j & Hj & Hq). apply in_map_iff in Hq. destruct Hq as (r & E & Hr). apply in_seq in Hj.
    pose proof (members_lt _ _ _ Ho Hp). pose proof (members_lt _ _ _ Ho Hr). nia.
  - apply NoDup_shift, IH, Nat.mod_upper_bound. intro E. rewrite E in Ho. lia.
Qed.

(** *** Sizes of the views *)
Lemma extent_prod v : extent v = prod (map fst v).
Proof. induction v as [| [n b] v IH]; cbn [extent map fst prod fold_right]; [reflexivity | now rewrite IH]. Qed.
Lemma extent_along axes s : extent (along axes s) = N.to_nat (size s).
Proof.
  rewrite extent_prod, <- dims_size. unfold along. rewrite map_map. cbn [fst]. f_equal.
  assert (forall k d, map (fun p : nat * nat => snd p) (combine (seq k (length d)) d) = d) as E.
  { intros k d. revert k. induction d as [| n d IH]; intro k; cbn; [reflexivity | now rewrite IH]. }
  rewrite <- (map_length N.to_nat s). apply E.
Qed.
(** the shape without the axes has one cell per group *)
Lemma groups_along axes s : groups (along axes s)
  = N.to_nat (size (map snd (filter (fun p => negb (existsb (Z.eqb (Z.of_nat (fst p))) axes)) (combine (seq 0 (length s)) s)))).
Proof.
  unfold along, dims. generalize 0 at 1 2 as k.
  induction s as [| n s IH]; intro k; cbn [length seq map combine fst snd filter]; [reflexivity |].
  destruct (existsb (Z.eqb (Z.of_nat k)) axes); cbn [groups negb map size fold_right].
  - apply IH.
  - rewrite N2Nat.inj_mul. f_equal. apply IH.
Qed.
Lemma extent_along_one axis s : axis < Nat.max 1 (length s) -> extent (along_one axis s) = N.to_nat (size s).
Proof.
  intro H. rewrite extent_prod, <- dims_size. unfold along_one. cbn [map fst].
  rewrite <- (map_length N.to_nat s) in H. fold (dims s) in H. revert axis H. generalize (dims s) as d.
  induction d as [| n d IH]; intros axis H; cbn [length] in H.
  - replace axis with 0 by lia. reflexivity.
  - destruct axis as [| axis]; cbn [firstn skipn nth].
    + unfold prod. cbn [fold_right]. ring.
    + destruct d as [| m d]; [cbn [length] in H; lia |]. specialize (IH axis ltac:(cbn [length] in *; lia)).
      unfold prod in *. cbn [fold_right] in *. rewrite <- Nat.mul_assoc. f_equal. exact IH.
Qed.
Lemma extent_rows rows len : extent (rows_view rows len) = rows * len.
Proof. unfold rows_view. cbn [extent]. lia. Qed.
Lemma row_sizes s : s <> [] -> prod (removelast (dims s)) * last (dims s) 1 = N.to_nat (size s).
Proof.
  intro H. rewrite <- dims_size. assert (dims s <> []) as D by now destruct s.
  rewrite (app_removelast_last 1 D) at 3. rewrite prod_app. cbn [prod fold_right]. lia.
Qed.

(** Groups along the last axis are the rows. *)
Lemma rows_members rows len o : members (rows_view rows len) o = map (fun k => o * len + k) (seq 0 len).
Proof.
  cbn [rows_view members groups extent]. rewrite Nat.div_1_r, Nat.mul_1_r.
  induction (seq 0 len) as [| k l IH]; cbn [flat_map map app]; [reflexivity |].
  cbn [map app] in IH. rewrite IH. f_equal. ring.
Qed.
Lemma rows_group rows len i : group_of (rows_view rows len) i = i / len.
Proof. cbn [rows_view group_of groups extent]. rewrite !Nat.mul_1_r. lia. Qed.

(** Groups along one axis: [len] cells at distance [inner]. *)
Lemma line_members outer len inner o r : r < inner ->
  members [(outer, false); (len, true); (inner, false)] (o * inner + r)
  = map (fun k => (o * len + k) * inner + r) (seq 0 len).
Proof.
  intro H. cbn [members groups extent]. rewrite !Nat.mul_1_r.
  rewrite Nat.div_add_l, Nat.div_small, Nat.add_0_r by lia.
  rewrite (Nat.add_comm (o * inner) r), Nat.mod_add, Nat.mod_small by lia. rewrite Nat.div_1_r. cbn [map].
  induction (seq 0 len) as [| k l IH]; cbn [flat_map map app]; [reflexivity |].
  rewrite IH. f_equal. ring.
Qed.
Lemma line_group outer len inner o k r : k < len -> r < inner ->
  group_of [(outer, false); (len, true); (inner, false)] ((o * len + k) * inner + r) = o * inner + r.
Proof.
  intros Hk Hr. cbn [group_of groups extent]. rewrite !Nat.mul_1_r, Nat.div_1_r, Nat.add_0_r.
  replace ((o * len + k) * inner + r) with (o * (len * inner) + (k * inner + r)) by ring.
  assert (k * inner + r < len * inner) by now apply below.
  rewrite Nat.div_add_l, (Nat.div_small (_ + r)), Nat.add_0_r by lia.
  rewrite (Nat.add_comm (o * (_ * _))), Nat.mod_add, (Nat.mod_small (_ + r)) by lia.
  now rewrite (Nat.add_comm (k * inner)), Nat.mod_add, Nat.mod_small by lia.
Qed.
