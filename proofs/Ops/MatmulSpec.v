(** * What a matrix product is, in the usual words

    The programs of [matmul] and [bmm] compute sum_p a[i,p] b[p,j], and their VJPs are dA = dY B^T and
    dB = A^T dY. The forward formulas need no law at all: the sum runs over p in ascending order. *)
From Coq Require Import List NArith Arith Lia Ring_theory.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op.
From Prooftape.Core Require Import Sums.
From Prooftape.Ops Require Import Index Moves Linalg.
Import ListNotations.
Open Scope nat_scope.

(** ** Cells of a matrix *)
Lemma digits n x c : c < n -> (x * n + c) / n = x /\ (x * n + c) mod n = c.
Proof.
  intro H. split; [rewrite Nat.div_add_l, Nat.div_small; lia|].
  rewrite Nat.add_comm, Nat.mod_add, Nat.mod_small; lia.
Qed.
Lemma digits_inj n x c y e : c < n -> e < n -> x * n + c = y * n + e -> x = y /\ c = e.
Proof.
  intros Hc He E. destruct (digits n x c Hc) as [Hx Hm], (digits n y e He) as [Hy Hm'].
  rewrite E in Hx, Hm. split; congruence.
Qed.
Lemma below n m x c : x < m -> c < n -> x * n + c < m * n.
Proof. intros. nia. Qed.

(** One block for both ops: [count] products of m x k with k x n matrices, cell (t*m + r)*n + c of the result being
    row r, column c of product t. *)
Definition rows_of_products (count m k n : nat) (row : nat -> list (nat * nat)) : Prop :=
  forall t r c, t < count -> r < m -> c < n ->
    row ((t * m + r) * n + c) = map (fun p => ((t * m + r) * k + p, (t * k + p) * n + c)) (seq 0 k).

Section Products.
  Variables count m k n : nat.
  Variable row : nat -> list (nat * nat).
  Hypothesis row_is : rows_of_products count m k n row.
  Variable R : num.
  Notation ten := (list R).
  Notation block := (Bil (count * m * n) row).

  Lemma products_forward (a b : ten) t r c : t < count -> r < m -> c < n ->
    tget (bfwd block [a; b]) ((t * m + r) * n + c)
    = sumn k (fun p => mul (tget a ((t * m + r) * k + p)) (tget b ((t * k + p) * n + c))).
  Proof.
    intros Ht Hr Hc. cbn [bfwd]. rewrite tget_mk by (apply below; [apply below|]; assumption).
    rewrite row_is, suml_map by assumption. apply suml_seq.
  Qed.

  Section Transposed.
    Hypothesis SR : semi_ring_theory (@zero R) one add mul eq.
    Add Ring semiring_of_products : SR.

    Lemma sumn_split x y (f : nat -> R) : sumn (x * y) f = sumn x (fun i => sumn y (fun j => f (i * y + j))).
    Proof.
      induction x as [|x IH]; [reflexivity|]. cbn [sumn]. rewrite <- IH, Nat.mul_succ_l. now apply sumn_app.
    Qed.

    (** What operand j gets at cell s: over all cells of the result and all p, the terms that read cell s. *)
    Lemma products_vjp_cell j (a b out d : ten) ms s : j < length ms -> s < nth j ms 0 ->
      tget (slot (bvjp ms block [a; b] out d) j) s
      = sumn count (fun t => sumn m (fun r => sumn n (fun c =>
          let i := (t * m + r) * n + c in
          suml (filter (fun e => snd e =? s) (bjac block [a; b] out j i)) (fun e => mul (fst e) (tget d i))))).
    Proof.
      intros Hj Hs. unfold slot, bvjp. rewrite (nth_map_in _ _ _ _ 0) by (now rewrite seq_length).
      rewrite seq_nth, tget_mk, suml_map, suml_seq by assumption. cbn [fst snd blk_size Nat.add].
      rewrite sumn_split, sumn_split. reflexivity.
    Qed.

    Lemma products_vjp_left (a b out d : ten) t r p : t < count -> r < m -> p < k ->
      tget (slot (bvjp [count * m * k; count * k * n] block [a; b] out d) 0) ((t * m + r) * k + p)
      = sumn n (fun c => mul (tget d ((t * m + r) * n + c)) (tget b ((t * k + p) * n + c))).
    Proof.
      intros Ht Hr Hp.
      rewrite products_vjp_cell by (simpl; try apply below; try apply below; auto).
      assert (E : forall t' r' c, t' < count -> r' < m -> c < n ->
        suml (filter (fun e => snd e =? (t * m + r) * k + p) (bjac block [a; b] out 0 ((t' * m + r') * n + c)))
             (fun e => mul (fst e) (tget d ((t' * m + r') * n + c)))
        = sumn k (fun p' => if (t' * m + r') * k + p' =? (t * m + r) * k + p
            then mul (tget b ((t' * k + p') * n + c)) (tget d ((t' * m + r') * n + c)) else zero)).
      { intros t' r' c Ht' Hr' Hc. cbn [bjac]. rewrite row_is, map_map by assumption.
        rewrite (suml_filter R SR), suml_map, suml_seq.
        reflexivity. }
      rewrite (sumn_only R SR count t); [|assumption|].
      - rewrite (sumn_only R SR m r); [|assumption|].
        + apply sumn_ext. intros c Hc. cbv zeta. rewrite E by assumption.
          rewrite (sumn_only R SR k p); [|assumption|].
          * rewrite Nat.eqb_refl. ring.
          * intros p' Hp' N. destruct (Nat.eqb_spec ((t * m + r) * k + p') ((t * m + r) * k + p)); [lia|reflexivity].
        + intros r' Hr' N. apply (sumn_zero R SR). intros c Hc. cbv zeta. rewrite E by assumption.
          apply (sumn_zero R SR). intros p' Hp'.
          destruct (Nat.eqb_spec ((t * m + r') * k + p') ((t * m + r) * k + p)) as [H|]; [|reflexivity].
          apply digits_inj in H; lia.
      - intros t' Ht' N. apply (sumn_zero R SR). intros r' Hr'. apply (sumn_zero R SR). intros c Hc. cbv zeta.
        rewrite E by assumption. apply (sumn_zero R SR). intros p' Hp'.
        destruct (Nat.eqb_spec ((t' * m + r') * k + p') ((t * m + r) * k + p)) as [H|]; [|reflexivity].
        apply digits_inj in H; auto. destruct H as [H _]. apply digits_inj in H; auto. lia.
    Qed.

    Lemma products_vjp_right (a b out d : ten) t p c : t < count -> p < k -> c < n ->
      tget (slot (bvjp [count * m * k; count * k * n] block [a; b] out d) 1) ((t * k + p) * n + c)
      = sumn m (fun r => mul (tget a ((t * m + r) * k + p)) (tget d ((t * m + r) * n + c))).
    Proof.
      intros Ht Hp Hc.
      rewrite products_vjp_cell by (simpl; try apply below; try apply below; auto).
      assert (E : forall t' r' c', t' < count -> r' < m -> c' < n ->
        suml (filter (fun e => snd e =? (t * k + p) * n + c) (bjac block [a; b] out 1 ((t' * m + r') * n + c')))
             (fun e => mul (fst e) (tget d ((t' * m + r') * n + c')))
        = sumn k (fun p' => if (t' * k + p') * n + c' =? (t * k + p) * n + c
            then mul (tget a ((t' * m + r') * k + p')) (tget d ((t' * m + r') * n + c')) else zero)).
      { intros t' r' c' Ht' Hr' Hc'. cbn [bjac]. rewrite row_is, map_map by assumption.
        rewrite (suml_filter R SR), suml_map, suml_seq.
        reflexivity. }
      assert (Z : forall t' r' c', t' < count -> r' < m -> c' < n -> t' <> t \/ c' <> c ->
        sumn k (fun p' => if (t' * k + p') * n + c' =? (t * k + p) * n + c
            then mul (tget a ((t' * m + r') * k + p')) (tget d ((t' * m + r') * n + c')) else zero) = zero).
      { intros t' r' c' Ht' Hr' Hc' N. apply (sumn_zero R SR). intros p' Hp'.
        destruct (Nat.eqb_spec ((t' * k + p') * n + c') ((t * k + p) * n + c)) as [H|]; [|reflexivity].
        apply digits_inj in H; auto. destruct H as [H ?]. apply digits_inj in H; auto. lia. }
      rewrite (sumn_only R SR count t); [|assumption|].
      - apply sumn_ext. intros r Hr. rewrite (sumn_only R SR n c); [|assumption|].
        + cbv zeta. rewrite E by assumption. rewrite (sumn_only R SR k p); [|assumption|].
          * now rewrite Nat.eqb_refl.
          * intros p' Hp' N. destruct (Nat.eqb_spec ((t * k + p') * n + c) ((t * k + p) * n + c)) as [H|]; [|reflexivity].
            apply digits_inj in H; auto. lia.
        + intros c' Hc' N. cbv zeta. rewrite E by assumption. apply Z; auto.
      - intros t' Ht' N. apply (sumn_zero R SR). intros r' Hr'. apply (sumn_zero R SR). intros c' Hc'. cbv zeta.
        rewrite E by assumption. apply Z; auto.
    Qed.
  End Transposed.
End Products.

(** The VJP of a program that is one block over two operands is the VJP of the block. *)
Lemma one_block_vjp (R : num) m n blk (a b d : list R) :
  let p := [Step blk [0; 1]] in
  prog_vjp [m; n] p (run p [a; b]) d = bvjp [m; n] blk [a; b] (bfwd blk [a; b]) d.
Proof. reflexivity. Qed.

Lemma product_row_is left right m k n t r c : left t = t -> right t = t -> r < m -> c < n ->
  product_row left right m k n ((t * m + r) * n + c)
  = map (fun p => ((t * m + r) * k + p, (t * k + p) * n + c)) (seq 0 k).
Proof.
  intros Hl Hr Hrow Hc. unfold product_row.
  destruct (digits n (t * m + r) c Hc) as [-> ->], (digits m t r Hrow) as [-> ->]. rewrite Hl, Hr.
  apply map_ext. intro p. f_equal; ring.
Qed.

(** ** The theorems *)
Definition shape_of (l : list nat) : shape := map N.of_nat l.

Lemma dims_of l : dims (shape_of l) = l.
Proof. unfold dims, shape_of. rewrite map_map, (map_ext _ (fun k => k)) by apply Nat2N.id. apply map_id. Qed.
Lemma entries_of l : entries (shape_of l) = prod l.
Proof. unfold entries. now rewrite <- dims_size, dims_of. Qed.

Definition some_world : world := World (fun _ => []) (fun _ _ => []).
(** the program of [matmul] at m x k times k x n; no program of a product looks at the world or at attributes *)
Definition matrix_product (m k n : nat) : prog :=
  o_prog matmul_def some_world [] [shape_of [m; k]; shape_of [k; n]] (shape_of [m; n]) [].
(** the program of [bmm] at [count] pairs of such matrices *)
Definition batch_product (count m k n : nat) : prog :=
  o_prog bmm_def some_world [] [shape_of [count; m; k]; shape_of [count; k; n]] (shape_of [count; m; n]) [].

(** Both are one block with rows as above. *)
Lemma matrix_product_block m k n : exists row,
  matrix_product m k n = [Step (Bil (1 * m * n) row) [0; 1]] /\ rows_of_products 1 m k n row.
Proof.
  unfold matrix_product. cbn [matmul_def o_prog nth]. unfold products. rewrite entries_of, !dims_of.
  cbn [left_matrix right_matrix last_n length skipn Nat.sub].
  eexists. split; [replace (prod [m; n]) with (1 * m * n) by (cbn; lia); reflexivity|].
  intros t r c Ht Hr Hc. assert (t = 0) by lia. subst t. apply product_row_is; auto.
Qed.

Lemma batch_product_block count m k n : exists row,
  batch_product count m k n = [Step (Bil (count * m * n) row) [0; 1]] /\ rows_of_products count m k n row.
Proof.
  unfold batch_product. cbn [bmm_def o_prog nth]. unfold products. rewrite entries_of, !dims_of.
  cbn [left_matrix right_matrix last_n length skipn Nat.sub].
  eexists. split; [replace (prod [count; m; n]) with (count * m * n) by (cbn; lia); reflexivity|].
  intros t r c Ht Hr Hc. apply product_row_is; auto.
  all: unfold aligned, batch; cbn -[Nat.div Nat.modulo Nat.eqb]; rewrite Nat.div_1_r.
  all: destruct (Nat.eqb_spec count 1); lia.
Qed.

Section Theorems.
  Variable R : num.
  Notation ten := (list R).

  (** y = a b: any numbers at all, floats too; the sum runs over ascending p. *)
  Theorem matmul_value m k n (a b : ten) i j : i < m -> j < n ->
    tget (prog_fwd (matrix_product m k n) [a; b]) (i * n + j)
    = sumn k (fun p => mul (tget a (i * k + p)) (tget b (p * n + j))).
  Proof.
    intros Hi Hj. destruct (matrix_product_block m k n) as (row & -> & H).
    exact (products_forward 1 m k n row H R a b 0 i j Nat.lt_0_1 Hi Hj).
  Qed.
  Theorem bmm_value count m k n (a b : ten) t i j : t < count -> i < m -> j < n ->
    tget (prog_fwd (batch_product count m k n) [a; b]) ((t * m + i) * n + j)
    = sumn k (fun p => mul (tget a ((t * m + i) * k + p)) (tget b ((t * k + p) * n + j))).
  Proof.
    intros Ht Hi Hj. destruct (batch_product_block count m k n) as (row & -> & H).
    exact (products_forward count m k n row H R a b t i j Ht Hi Hj).
  Qed.

  (** The VJPs at cotangent d, over any commutative semiring: da = d b^T and db = a^T d. *)
  Hypothesis SR : semi_ring_theory (@zero R) one add mul eq.

  Definition matmul_vjp m k n (a b d : ten) : list ten :=
    prog_vjp [m * k; k * n] (matrix_product m k n) (run (matrix_product m k n) [a; b]) d.
  Theorem matmul_vjp_left m k n (a b d : ten) i p : i < m -> p < k ->
    tget (slot (matmul_vjp m k n a b d) 0) (i * k + p)
    = sumn n (fun j => mul (tget d (i * n + j)) (tget b (p * n + j))).
  Proof.
    intros Hi Hp. unfold matmul_vjp. destruct (matrix_product_block m k n) as (row & -> & H).
    rewrite one_block_vjp, <- (Nat.mul_1_l m) at 1. rewrite <- (Nat.mul_1_l k) at 2.
    exact (products_vjp_left 1 m k n row H R SR a b _ d 0 i p Nat.lt_0_1 Hi Hp).
  Qed.
  Theorem matmul_vjp_right m k n (a b d : ten) p j : p < k -> j < n ->
    tget (slot (matmul_vjp m k n a b d) 1) (p * n + j)
    = sumn m (fun i => mul (tget a (i * k + p)) (tget d (i * n + j))).
  Proof.
    intros Hp Hj. unfold matmul_vjp. destruct (matrix_product_block m k n) as (row & -> & H).
    rewrite one_block_vjp, <- (Nat.mul_1_l m) at 1. rewrite <- (Nat.mul_1_l k) at 2.
    exact (products_vjp_right 1 m k n row H R SR a b _ d 0 p j Nat.lt_0_1 Hp Hj).
  Qed.

  Definition bmm_vjp count m k n (a b d : ten) : list ten :=
    prog_vjp [count * m * k; count * k * n] (batch_product count m k n) (run (batch_product count m k n) [a; b]) d.
  Theorem bmm_vjp_left count m k n (a b d : ten) t i p : t < count -> i < m -> p < k ->
    tget (slot (bmm_vjp count m k n a b d) 0) ((t * m + i) * k + p)
    = sumn n (fun j => mul (tget d ((t * m + i) * n + j)) (tget b ((t * k + p) * n + j))).
  Proof.
    intros Ht Hi Hp. unfold bmm_vjp. destruct (batch_product_block count m k n) as (row & -> & H).
    rewrite one_block_vjp. exact (products_vjp_left count m k n row H R SR a b _ d t i p Ht Hi Hp).
  Qed.
  Theorem bmm_vjp_right count m k n (a b d : ten) t p j : t < count -> p < k -> j < n ->
    tget (slot (bmm_vjp count m k n a b d) 1) ((t * k + p) * n + j)
    = sumn m (fun i => mul (tget a ((t * m + i) * k + p)) (tget d ((t * m + i) * n + j))).
  Proof.
    intros Ht Hp Hj. unfold bmm_vjp. destruct (batch_product_block count m k n) as (row & -> & H).
    rewrite one_block_vjp. exact (products_vjp_right count m k n row H R SR a b _ d t p j Ht Hp Hj).
  Qed.
End Theorems.

(** Over the natural numbers, by computing. *)
Example matmul_by_hand :
  prog_fwd (R := nat_num) (matrix_product 2 2 2) [[1; 2; 3; 4]; [5; 6; 7; 8]] = [19; 22; 43; 50]
  /\ matmul_vjp nat_num 2 2 2 [1; 2; 3; 4] [5; 6; 7; 8] [1; 0; 0; 1] = [[5; 7; 6; 8]; [1; 3; 2; 4]].
Proof. split; reflexivity. Qed.
