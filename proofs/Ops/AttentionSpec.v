(** * Attention is what the paper says

    Entry c of the output for token t of sample b is the sum over heads h and their columns e of
    head(b, h, t, e) * wo[h d + e, c], where head(b, h, t, e) = sum over s of p(b, h, t, s) v(b, h, s, e), and p is the
    softmax over the kept keys of q(b, h, t, .) . k(b, h, s, .) / sqrt(d). A query that keeps nothing gets p = 0, so
    zeros. *)
From Coq Require Import Reals Lra Lia List NArith ZArith QArith Qreals Arith Bool.
Set Warnings "-ambiguous-paths".
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Sums.
From Prooftape.Ops Require Import Index Attributes Groups Pieces PieceFacts Attention.
Import ListNotations.
Open Scope R_scope.

(** ** Positions *)
Lemma quotient a d e : (e < d)%nat -> ((a * d + e) / d = a)%nat.
Proof. intro H. rewrite Nat.div_add_l, Nat.div_small; lia. Qed.
Lemma remainder a d e : (e < d)%nat -> ((a * d + e) mod d = e)%nat.
Proof. intro H. rewrite Nat.add_comm, Nat.mod_add, Nat.mod_small; lia. Qed.
(** A sum over h * d + e is a double sum. *)
Lemma sum_by_blocks H d (f : nat -> R) :
  sumn (R := Rnum) (H * d) f = sumn (R := Rnum) H (fun h => sumn (R := Rnum) d (fun e => f (h * d + e)%nat)).
Proof.
  induction H as [| H IH]; [reflexivity |]. replace (S H * d)%nat with (H * d + d)%nat by ring.
  rewrite (sumn_app Rnum real_laws), IH. reflexivity.
Qed.

Section Formula.
  Variable z : attention.
  Notation B := (batch z). Notation n := (tokens z). Notation D := (width z).
  Notation H := (heads z). Notation d := (head_width z).
  Notation sum := (sumn (R := Rnum)).
  Variables wq wk wv wo x : list R.

  (** ** The formula *)

  (** column e of head h of x w, at token t of sample b *)
  Definition projected (w : list R) (b h t e : nat) : R :=
    sum D (fun c => entry x ((b * n + t) * D + c) * entry w (c * (H * d) + (h * d + e))).
  Definition similarity (b h t s : nat) : R :=
    sum d (fun e => projected wq b h t e * projected wk b h s e) / sqrt (INR d).
  (** [keep t s]: 1 if query t sees key s, else 0. No key: weights 0. *)
  Definition attention_weight (keep : nat -> nat -> R) (b h t s : nat) : R :=
    let weight s := exp (similarity b h t s) * keep t s in weight s / sum n weight.
  Definition head_output (p : nat -> nat -> nat -> nat -> R) (b h t e : nat) : R :=
    sum n (fun s => p b h t s * projected wv b h s e).
  Definition attention_output (p : nat -> nat -> nat -> nat -> R) (b t c : nat) : R :=
    sum H (fun h => sum d (fun e => head_output p b h t e * entry wo ((h * d + e) * D + c))).

  (** ** What the blocks compute *)
  Section At.
    Variables b h t : nat.
    Hypothesis Hb : (b < B)%nat.
    Hypothesis Hh : (h < H)%nat.
    Hypothesis Ht : (t < n)%nat.

    Definition row : nat := ((b * H + h) * n + t)%nat.
    Lemma row_lt : (row < score_rows z)%nat.
    Proof. unfold row, score_rows. apply below; [now apply below | exact Ht]. Qed.
    Lemma head_cell_lt e : (e < d)%nat -> (head_cell z b h t e < head_cells z)%nat.
    Proof. intro He. unfold head_cell, head_cells. apply below; [exact row_lt | exact He]. Qed.
    Lemma score_cell_lt s : (s < n)%nat -> (row * n + s < score_cells z)%nat.
    Proof. intro Hs. unfold score_cells. apply below; [exact row_lt | exact Hs]. Qed.
    Lemma row_parts : (row / n = b * H + h /\ row mod n = t)%nat.
    Proof. unfold row. split; [now apply quotient | now apply remainder]. Qed.

    Lemma entry_project w e : (e < d)%nat ->
      entry (bfwd (R := Rnum) (project z) [x; w]) (head_cell z b h t e) = projected w b h t e.
    Proof.
      intro He. unfold project. rewrite entry_bil by now apply head_cell_lt. unfold project_row, head_cell.
      rewrite !quotient, !remainder by assumption. now rewrite total_map, total_seq.
    Qed.
  End At.

  Lemma entry_score b h t s q k : (b < B)%nat -> (h < H)%nat -> (t < n)%nat -> (s < n)%nat ->
    entry (bfwd (R := Rnum) (score z) [q; k]) (row b h t * n + s)
    = sum d (fun e => entry q (head_cell z b h t e) * entry k (head_cell z b h s e)).
  Proof.
    intros Hb Hh Ht Hs. unfold score. rewrite entry_bil by now apply score_cell_lt.
    rewrite quotient, remainder by exact Hs. rewrite total_map, total_seq. cbn [fst snd].
    now rewrite (proj1 (row_parts b h t Ht)).
  Qed.

  Lemma entry_mix b t h e p v : (b < B)%nat -> (t < n)%nat -> (h < H)%nat -> (e < d)%nat ->
    entry (bfwd (R := Rnum) (mix z) [p; v]) ((b * n + t) * (H * d) + (h * d + e))
    = sum n (fun s => entry p (row b h t * n + s) * entry v (head_cell z b h s e)).
  Proof.
    intros Hb Ht Hh He. unfold mix.
    assert ((b * n + t) * (H * d) + (h * d + e) = ((b * n + t) * H + h) * d + e)%nat as E by ring.
    rewrite entry_bil.
    - rewrite E, !quotient, !remainder by assumption. now rewrite total_map, total_seq.
    - rewrite E. unfold head_cells. replace (B * H * n)%nat with (B * n * H)%nat by ring.
      apply below; [apply below; [now apply below | exact Hh] | exact He].
  Qed.

  Lemma entry_join b t c m : (b < B)%nat -> (t < n)%nat -> (c < D)%nat ->
    entry (bfwd (R := Rnum) (join z (B * n * D)) [m; wo]) ((b * n + t) * D + c)
    = sum H (fun h => sum d (fun e => entry m ((b * n + t) * (H * d) + (h * d + e)) * entry wo ((h * d + e) * D + c))).
  Proof.
    intros Hb Ht Hc. unfold join. rewrite entry_bil by (apply below; [now apply below | exact Hc]).
    rewrite quotient, remainder by exact Hc. rewrite total_map, total_seq. cbn [fst snd]. apply sum_by_blocks.
  Qed.

  (** scores, from the projections *)
  Lemma entry_scaled b h t s q k y : (0 < d)%nat -> (b < B)%nat -> (h < H)%nat -> (t < n)%nat -> (s < n)%nat ->
    q = bfwd (R := Rnum) (project z) [x; wq] -> k = bfwd (R := Rnum) (project z) [x; wk] ->
    y = bfwd (R := Rnum) (score z) [q; k] ->
    entry (bfwd (R := Rnum) (scaled z) [y; bfwd (R := Rnum) (inverse_root_of d) []]) (row b h t * n + s)
    = similarity b h t s.
  Proof.
    intros Hd Hb Hh Ht Hs -> -> ->. unfold scaled. rewrite entry_times by now apply score_cell_lt.
    rewrite entry_score by assumption. unfold similarity, Rdiv. f_equal.
    - refine (sumn_ext Rnum _ _ _ _). intros e He. now rewrite !entry_project.
    - cbn. unfold Rdiv. rewrite Rmult_1_l. do 2 f_equal. unfold Q2R. cbn. rewrite Rinv_1, Rmult_1_r. symmetry.
      apply INR_IZR_INZ.
  Qed.

  (** The last two steps, for any weights. *)
  Lemma entry_output p v m b t c : (b < B)%nat -> (t < n)%nat -> (c < D)%nat ->
    v = bfwd (R := Rnum) (project z) [x; wv] -> m = bfwd (R := Rnum) (mix z) [p; v] ->
    entry (bfwd (R := Rnum) (join z (B * n * D)) [m; wo]) ((b * n + t) * D + c)
    = attention_output (fun b h t s => entry p (row b h t * n + s)) b t c.
  Proof.
    intros Hb Ht Hc -> ->. rewrite entry_join by assumption. refine (sumn_ext Rnum _ _ _ _). intros h Hh.
    refine (sumn_ext Rnum _ _ _ _). intros e He. f_equal. rewrite entry_mix by assumption.
    refine (sumn_ext Rnum _ _ _ _). intros s Hs. now rewrite entry_project.
  Qed.

  Lemma output_ext p p' b t c : (forall h s, (h < H)%nat -> (s < n)%nat -> p b h t s = p' b h t s) ->
    attention_output p b t c = attention_output p' b t c.
  Proof.
    intro E. refine (sumn_ext Rnum _ _ _ _). intros h Hh. refine (sumn_ext Rnum _ _ _ _). intros e He. f_equal.
    refine (sumn_ext Rnum _ _ _ _). intros s Hs. now rewrite E.
  Qed.

  (** ** The theorems *)
  Definition everything : nat -> nat -> R := fun _ _ => 1.

  Theorem attention_spec b t c : (0 < d)%nat -> (b < B)%nat -> (t < n)%nat -> (c < D)%nat ->
    entry (prog_fwd (R := Rnum) (attention_steps z (B * n * D)) [wq; wk; wv; wo; x]) ((b * n + t) * D + c)
    = attention_output (attention_weight everything) b t c.
  Proof.
    intros Hd Hb Ht Hc. unfold attention_steps.
    value q Q. value k K. value v V. value y Y. value i I. value a A. value e E. value l L. value r R. value p P.
    value m M. value o O. last_value. subst o. rewrite (entry_output p v m) by assumption.
    apply output_ext. intros h s Hh Hs. subst p. unfold over_row_sum.
    pose proof (row_lt b h t Hb Hh Ht) as Hr.
    rewrite entry_times by now apply score_cell_lt. rewrite quotient by exact Hs. subst r.
    rewrite entry_reciprocals by exact Hr. subst l. rewrite entry_lin by exact Hr. unfold row_sums. rewrite row_sum.
    unfold score_row. rewrite total_map, total_seq.
    assert (forall j, (j < n)%nat -> entry e (row b h t * n + j) = exp (similarity b h t j) * everything t j) as W.
    { intros j Hj. subst e a i. rewrite entry_exps by now apply score_cell_lt.
      rewrite (entry_scaled b h t j q k y) by assumption. unfold everything. as_reals. ring. }
    unfold attention_weight. rewrite W by exact Hs. unfold Rdiv. do 2 f_equal. exact (sumn_ext Rnum _ _ _ W).
  Qed.

  (** With a mask: a query that keeps nothing gets zeros, any other the softmax over the keys it keeps. *)
  Variable mask : list R.
  Definition masked_weight (b h t s : nat) : R :=
    if keeps_nothing z mask t then 0 else attention_weight (mask_value z mask) b h t s.

  Theorem masked_attention_spec b t c : (0 < d)%nat -> (b < B)%nat -> (t < n)%nat -> (c < D)%nat ->
    entry (prog_fwd (R := Rnum) (masked_steps z (B * n * D)) [wq; wk; wv; wo; x; mask]) ((b * n + t) * D + c)
    = attention_output masked_weight b t c.
  Proof.
    intros Hd Hb Ht Hc. unfold masked_steps.
    value q Q. value k K. value v V. value y Y. value i I. value a A. value e E. value g G. value f F. value u U.
    value l L. value r R. value p P. value m M. value o O. last_value. subst o.
    rewrite (entry_output p v m) by assumption.
    apply output_ext. intros h s Hh Hs. subst p. unfold over_row_sum.
    pose proof (row_lt b h t Hb Hh Ht) as Hr. pose proof (row_parts b h t Ht) as [_ Hrt].
    rewrite entry_times by now apply score_cell_lt. rewrite quotient by exact Hs. subst r.
    rewrite entry_reciprocals by exact Hr. subst l. rewrite entry_lin2 by exact Hr. unfold row_sums, row_query.
    rewrite row_sum, row_same. unfold score_row. rewrite total_map, total_seq. rewrite Hrt.
    assert (forall j, (j < n)%nat -> entry f (row b h t * n + j) = exp (similarity b h t j) * mask_value z mask t j) as W.
    { intros j Hj. subst f g. rewrite entry_keep by assumption. rewrite Hrt. f_equal. subst e a i.
      rewrite entry_exps by now apply score_cell_lt. now rewrite (entry_scaled b h t j q k y). }
    rewrite W by exact Hs. subst u. rewrite entry_idle by exact Ht. unfold masked_weight.
    rewrite (sumn_ext Rnum _ _ _ W). destruct (keeps_nothing z mask t) eqn:N.
    - unfold keeps_nothing in N. rewrite forallb_forall in N.
      assert (mask_value z mask t s = 0) as ->; [| as_reals; ring].
      unfold mask_value. specialize (N s ltac:(apply in_seq; lia)). now destruct (holds _).
    - unfold attention_weight. rewrite Rplus_0_r. reflexivity.
  Qed.

  Theorem idle_query_gets_zeros b t c : keeps_nothing z mask t = true -> attention_output masked_weight b t c = 0.
  Proof.
    intro N. refine (sumn_zero Rnum real_laws _ _ _). intros h _. refine (sumn_zero Rnum real_laws _ _ _). intros e _.
    unfold head_output. rewrite (sumn_zero Rnum real_laws); [apply Rmult_0_l |].
    intros s _. unfold masked_weight. rewrite N. apply Rmult_0_l.
  Qed.
End Formula.

(** ** The op: its sizes are those of its operands' shapes *)
Lemma attention_sizes_of_shapes B n D H d wk wv wo mask : (0 < H)%nat ->
  let wq := [N.of_nat D; N.of_nat (H * d)] in
  let sizes x := attention_of [AInt (Z.of_nat H)] (wq :: wk :: wv :: wo :: x :: mask) in
  sizes [N.of_nat B; N.of_nat n; N.of_nat D] = Attention B n D H d /\
  sizes [N.of_nat n; N.of_nat D] = Attention 1 n D H d.
Proof.
  intros HH wq sizes. unfold sizes, attention_of, wq. cbn [nth map attr_at int_of].
  rewrite !Nat2N.id, !Nat2Z.id. rewrite (Nat.mul_comm H d), Nat.div_mul by lia. auto.
Qed.

Theorem multi_head_attention_spec w B n D H d nats wq wk wv wo x b t c :
  (0 < H)%nat -> (0 < d)%nat -> (b < B)%nat -> (t < n)%nat -> (c < D)%nat ->
  let matrix r c := [N.of_nat r; N.of_nat c] in
  let s := [N.of_nat B; N.of_nat n; N.of_nat D] in
  let z := Attention B n D H d in
  entry (prog_fwd (R := Rnum)
           (o_prog multi_head_attention_def w [AInt (Z.of_nat H)]
              [matrix D (H * d)%nat; matrix D (H * d)%nat; matrix D (H * d)%nat; matrix (H * d)%nat D; s] s nats)
           [wq; wk; wv; wo; x]) ((b * n + t) * D + c)
  = attention_output z wv wo x (attention_weight z wq wk x everything) b t c.
Proof.
  intros HH Hd Hb Ht Hc matrix s z. cbn [o_prog multi_head_attention_def length]. unfold matrix, s.
  rewrite (proj1 (attention_sizes_of_shapes B n D H d _ _ _ [] HH)). fold z.
  replace (N.to_nat (size _)) with (batch z * tokens z * width z)%nat.
  - now apply (attention_spec z).
  - cbn [size fold_right batch tokens width z]. lia.
Qed.

(** The same with a mask, an (n, n) operand of zeros and ones. *)
Theorem masked_multi_head_attention_spec w B n D H d nats wq wk wv wo x mask b t c :
  (0 < H)%nat -> (0 < d)%nat -> (b < B)%nat -> (t < n)%nat -> (c < D)%nat ->
  let matrix r c := [N.of_nat r; N.of_nat c] in
  let s := [N.of_nat B; N.of_nat n; N.of_nat D] in
  let z := Attention B n D H d in
  entry (prog_fwd (R := Rnum)
           (o_prog multi_head_attention_def w [AInt (Z.of_nat H)]
              [matrix D (H * d)%nat; matrix D (H * d)%nat; matrix D (H * d)%nat; matrix (H * d)%nat D; s; matrix n n]
              s nats)
           [wq; wk; wv; wo; x; mask]) ((b * n + t) * D + c)
  = attention_output z wv wo x (masked_weight z wq wk x mask) b t c.
Proof.
  intros HH Hd Hb Ht Hc matrix s z. cbn [o_prog multi_head_attention_def length]. unfold matrix, s.
  rewrite (proj1 (attention_sizes_of_shapes B n D H d _ _ _ [_] HH)). fold z.
  replace (N.to_nat (size _)) with (batch z * tokens z * width z)%nat.
  - now apply (masked_attention_spec z).
  - cbn [size fold_right batch tokens width z]. lia.
Qed.
