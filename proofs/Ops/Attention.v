(** * Multi-head self-attention (Vaswani et al. 2017), without biases

    q, k, v = x wq, x wk, x wv, in heads of d columns; p = softmax(q k^T / sqrt d) over the kept keys; the heads'
    p v side by side, times wo. Operands: wq, wk, wv, wo, x and, if given, the mask (true: keep). A query that keeps
    nothing gets p = 0. *)
From Coq Require Import Reals Lra List NArith ZArith QArith Arith Bool Lia.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Saves Sums.
From Prooftape.Ops Require Import Index Attributes Groups Pieces PieceFacts Smoothness.
From Prooftape.Decl Require Import Names.
Import ListNotations.
Open Scope nat_scope.

Record attention := Attention { batch : nat; tokens : nat; width : nat; heads : nat; head_width : nat }.

Section Layout.
  Variable z : attention.
  Notation B := (batch z). Notation n := (tokens z). Notation D := (width z).
  Notation H := (heads z). Notation d := (head_width z).

  (** Cells of queries, keys and values, (B, H, n, d); of scores, (B, H, n, n); of rows of scores, (B, H, n). *)
  Definition head_cell (b h t e : nat) : nat := ((b * H + h) * n + t) * d + e.
  Definition score_cell (b h t s : nat) : nat := ((b * H + h) * n + t) * n + s.
  Definition head_cells : nat := B * H * n * d.
  Definition score_rows : nat := B * H * n.
  Definition score_cells : nat := score_rows * n.

  (** the cells of row r of the scores *)
  Definition score_row (r : nat) : list nat := map (fun s => r * n + s) (seq 0 n).

  (** x w, laid out by heads: cell (b, h, t, e) is row t of sample b times column h d + e *)
  Definition project_row (i : nat) : list (nat * nat) :=
    let e := i mod d in let t := i / d mod n in let h := i / d / n mod H in let b := i / d / n / H in
    map (fun c => ((b * n + t) * D + c, c * (H * d) + (h * d + e))) (seq 0 D).
  Definition project : blk := Bil head_cells project_row.
  (** q k^T: cell (b, h, t, s) is query t times key s *)
  Definition score : blk := Bil score_cells (fun i =>
    let s := i mod n in let r := i / n in
    map (fun e => (r * d + e, (r / n * n + s) * d + e)) (seq 0 d)).
  (** times the one entry of the other operand *)
  Definition scaled : blk := times score_cells (fun _ => 0).
  (** entries of the mask as 0 or 1 *)
  Definition zero_one : blk := Cmp (n * n) (If (Arg 0) (Lit 1) (Lit 0)) [].
  (** one mask for all samples and heads *)
  Definition keep : blk := times score_cells (fun i => i mod (n * n)).
  (** queries that keep nothing *)
  Definition idle : blk := NoneOf n (fun t => map (fun s => t * n + s) (seq 0 n)).
  Definition row_sums : nat -> list (Q * nat) := sum_of score_row.
  Definition row_query (r : nat) : list (Q * nat) := same (r mod n).
  Definition over_row_sum : blk := times score_cells (fun i => i / n).
  (** p v, laid out with the heads side by side: cell ((b, t), (h, e)) *)
  Definition mix : blk := Bil head_cells (fun i =>
    let e := i mod d in let h := i / d mod H in let t := i / d / H mod n in let b := i / d / H / n in
    map (fun s => (score_cell b h t s, head_cell b h s e)) (seq 0 n)).
  (** times wo *)
  Definition join (cells : nat) : blk := Bil cells (fun i =>
    let c := i mod D in let r := i / D in
    map (fun j => (r * (H * d) + j, j * D + c)) (seq 0 (H * d))).

  (** slots 0 to 4: wq, wk, wv, wo, x *)
  Definition attention_steps (cells : nat) : prog :=
    [Step project [4; 0]; Step project [4; 1]; Step project [4; 2];        (* 5, 6, 7: q, k, v *)
     Step score [5; 6]; Step (inverse_root_of d) []; Step scaled [8; 9];   (* 10: scores *)
     Step (exps score_cells) [10];
     Step (Lin score_rows [row_sums]) [11]; Step (reciprocals score_rows) [12];
     Step over_row_sum [11; 13];                                           (* 14: p *)
     Step mix [14; 7]; Step (join cells) [15; 3]].
  (** slot 5: the mask. The sum over a row that keeps nothing is 0; 1 is added to it. *)
  Definition masked_steps (cells : nat) : prog :=
    [Step project [4; 0]; Step project [4; 1]; Step project [4; 2];        (* 6, 7, 8: q, k, v *)
     Step score [6; 7]; Step (inverse_root_of d) []; Step scaled [9; 10];  (* 11: scores *)
     Step (exps score_cells) [11];
     Step zero_one [5]; Step keep [12; 13]; Step idle [5];                 (* 14: kept exp(scores); 15 *)
     Step (Lin score_rows [row_sums; row_query]) [14; 15]; Step (reciprocals score_rows) [16];
     Step over_row_sum [14; 17];                                           (* 18: p *)
     Step mix [18; 8]; Step (join cells) [19; 3]].
End Layout.

Definition attention_of (attrs : list attr) (shapes : list shape) : attention :=
  let x := map N.to_nat (nth 4 shapes []) in
  let heads := Z.to_nat (int_of (attr_at attrs 0)) in
  let columns := N.to_nat (nth 1 (nth 0 shapes []) 0%N) in
  match x with
  | [b; n; D] => Attention b n D heads (columns / heads)
  | [n; D] => Attention 1 n D heads (columns / heads)
  | _ => Attention 0 0 0 0 0
  end.

(** x is (tokens, width) or (batch, tokens, width). *)
Definition attention_shape (attrs : list attr) (shapes : list shape) (_ : list N) : option shape :=
  match attrs, shapes with
  | [AInt heads], wq :: wk :: wv :: wo :: x :: mask =>
      match rev x, wq with
      | D :: n :: lead, [rows; columns] =>
          guard ((length lead <=? 1) && (rows =? D)%N && shape_eqb wk wq && shape_eqb wv wq
                 && shape_eqb wo [columns; D] && forallb (fun k => (0 <? k)%N) [D; columns; n]
                 && (1 <=? heads)%Z && (Z.of_N columns mod heads =? 0)%Z
                 && forallb (shape_eqb [n; n]) mask) x
      | _, _ => None
      end
  | _, _ => None
  end.

Definition multi_head_attention_def : opdef := {|
  o_shape := attention_shape;
  o_prog := fun _ attrs shapes out _ =>
    let z := attention_of attrs shapes in
    match length shapes with
    | 6 => masked_steps z (N.to_nat (size out))
    | _ => attention_steps z (N.to_nat (size out))
    end |}.

(** An accepted use has five operands, or six. *)
Lemma attention_arity attrs tys lens t :
  infer op_multi_head_attention_decl multi_head_attention_def attrs tys lens = Some t ->
  length tys = 5 \/ length tys = 6.
Proof.
  intro H. apply infer_operands in H. unfold operands_fit in H. cbn [d_variadic op_multi_head_attention_decl] in H.
  apply andb_prop in H. destruct H as [H _]. apply andb_prop in H. destruct H as [H G].
  apply Nat.leb_le in H, G. cbn in H, G. lia.
Qed.

Lemma multi_head_attention_sized : well_sized op_multi_head_attention_decl multi_head_attention_def.
Proof.
  intros w attrs tys lens nats t p (Hi & _ & ->). cbn [o_prog multi_head_attention_def]. rewrite map_length.
  destruct (attention_arity _ _ _ _ Hi) as [-> | ->]; (split; [discriminate | split; reflexivity]).
Qed.
Lemma multi_head_attention_saves : saves_enough op_multi_head_attention_decl multi_head_attention_def.
Proof.
  apply saves_by_check. intros w attrs tys lens nats t p (Hi & _ & ->). cbn [o_prog multi_head_attention_def].
  rewrite map_length. destruct (attention_arity _ _ _ _ Hi) as [-> | ->]; reflexivity.
Qed.

(** ** Derivatives: everywhere *)
Lemma forallb_over A B (g : A -> B) p l : forallb p (map g l) = forallb (fun a => p (g a)) l.
Proof. induction l as [| a l IH]; cbn; [reflexivity | now rewrite IH]. Qed.
Lemma forallb_false A p (l : list A) : forallb p l = false -> exists a, In a l /\ p a = false.
Proof.
  induction l as [| a l IH]; cbn; [easy |]. destruct (p a) eqn:E; [| exists a; auto].
  intro H. destruct (IH H) as (b & Hb & Eb). exists b. auto.
Qed.
Lemma total_pos_at A (l : list A) f a : In a l -> (forall b, In b l -> 0 <= f b)%R -> (0 < f a)%R -> (0 < total l f)%R.
Proof.
  intros Ha H P. induction l as [| b l IH]; [easy |]. rewrite total_cons.
  pose proof (total_nonneg _ l f (fun c C => H c (or_intror C))). pose proof (H b (or_introl eq_refl)).
  destruct Ha as [-> | Ha]; [lra |]. specialize (IH Ha (fun c C => H c (or_intror C))). lra.
Qed.

Section Positive.
  Variable z : attention.
  Notation n := (tokens z).

  Lemma score_row_lt r c : r < score_rows z -> In c (score_row z r) -> c < score_cells z.
  Proof.
    intros Hr Hc. apply in_map_iff in Hc. destruct Hc as (s & <- & Hs). apply in_seq in Hs.
    unfold score_cells. apply below; [exact Hr | lia].
  Qed.

  (** cell (r, s) of the scores meets cell (r mod n, s) of the mask *)
  Lemma mask_cell r s : s < n -> (r * n + s) mod (n * n) = r mod n * n + s.
  Proof.
    intro Hs. rewrite (Nat.div_mod r n) at 1 by lia.
    replace ((n * (r / n) + r mod n) * n + s) with (r mod n * n + s + r / n * (n * n)) by ring.
    rewrite Nat.mod_add by nia. apply Nat.mod_small. apply below; [apply Nat.mod_upper_bound; lia | exact Hs].
  Qed.

  Definition mask_value (m : list R) (t s : nat) : R := if holds (R := Rnum) (entry m (t * n + s)) then 1%R else 0%R.

  Lemma entry_zero_one m c : c < n * n ->
    entry (bfwd (R := Rnum) (zero_one z) [m]) c = if holds (R := Rnum) (entry m c) then 1%R else 0%R.
  Proof.
    intro H. unfold zero_one. cbn [bfwd]. rewrite tget_mk by exact H. cbn [sxe cell map nth].
    destruct (holds _); [exact Q2R_1 | exact RMicromega.Q2R_0].
  Qed.
  Lemma entry_keep e m r s : r < score_rows z -> s < n ->
    entry (bfwd (R := Rnum) (keep z) [e; bfwd (R := Rnum) (zero_one z) [m]]) (r * n + s)
    = (entry e (r * n + s) * mask_value m (r mod n) s)%R.
  Proof.
    intros Hr Hs. unfold keep. rewrite entry_times by (unfold score_cells; now apply below).
    rewrite mask_cell by exact Hs. rewrite entry_zero_one; [reflexivity |].
    apply below; [apply Nat.mod_upper_bound; lia | exact Hs].
  Qed.
  (** 1 if the query keeps nothing, else 0 *)
  Definition keeps_nothing (m : list R) (t : nat) : bool :=
    forallb (fun s => negb (holds (R := Rnum) (entry m (t * n + s)))) (seq 0 n).
  Lemma entry_idle m t : t < n ->
    entry (bfwd (R := Rnum) (idle z) [m]) t = if keeps_nothing m t then 1%R else 0%R.
  Proof.
    intro H. unfold idle. cbn [bfwd]. rewrite tget_mk by exact H. rewrite forallb_over. reflexivity.
  Qed.

  (** What a row of exponentials is divided by is positive: some kept exponential, or 1. *)
  Lemma plain_sum_pos x r : r < score_rows z -> 0 < n ->
    (0 < entry (bfwd (R := Rnum) (Lin (score_rows z) [row_sums z]) [bfwd (R := Rnum) (exps (score_cells z)) [x]]) r)%R.
  Proof.
    intros Hr Hn. rewrite entry_lin by exact Hr. unfold row_sums. rewrite row_sum. apply total_pos.
    - unfold score_row. destruct n; [lia | discriminate].
    - intros c Hc. rewrite entry_exps by now apply (score_row_lt r). apply exp_pos.
  Qed.
  Lemma masked_sum_pos x m r : r < score_rows z -> 0 < n ->
    (0 < entry (bfwd (R := Rnum) (Lin (score_rows z) [row_sums z; row_query z])
           [bfwd (R := Rnum) (keep z) [bfwd (R := Rnum) (exps (score_cells z)) [x]; bfwd (R := Rnum) (zero_one z) [m]];
            bfwd (R := Rnum) (idle z) [m]]) r)%R.
  Proof.
    intros Hr Hn. rewrite entry_lin2 by exact Hr. unfold row_sums, row_query. rewrite row_sum, row_same.
    rewrite entry_idle by (apply Nat.mod_upper_bound; lia). unfold score_row. rewrite total_map.
    assert (forall s, In s (seq 0 n) -> entry (bfwd (R := Rnum) (keep z)
              [bfwd (R := Rnum) (exps (score_cells z)) [x]; bfwd (R := Rnum) (zero_one z) [m]]) (r * n + s)
              = (exp (entry x (r * n + s)) * mask_value m (r mod n) s)%R) as E.
    { intros s Hs. apply in_seq in Hs. rewrite entry_keep by (auto; lia).
      rewrite entry_exps; [reflexivity |]. unfold score_cells. apply below; [exact Hr | lia]. }
    rewrite (total_ext _ _ _ _ E). clear E.
    assert (forall s, 0 <= exp (entry x (r * n + s)) * mask_value m (r mod n) s)%R as P.
    { intro s. pose proof (exp_pos (entry x (r * n + s))). unfold mask_value. destruct (holds _); lra. }
    pose proof (total_nonneg _ (seq 0 n) _ (fun s _ => P s)) as T.
    destruct (keeps_nothing m (r mod n)) eqn:K; [cbn in *; lra |].
    destruct (forallb_false _ _ _ K) as (s & Hs & Hh). apply negb_false_iff in Hh.
    rewrite Rplus_0_r. apply (total_pos_at _ _ _ s Hs); [auto |]. unfold mask_value. rewrite Hh.
    pose proof (exp_pos (entry x (r * n + s))). lra.
  Qed.
End Positive.

Lemma attention_sizes attrs shapes lens out : attention_shape attrs shapes lens = Some out ->
  let z := attention_of attrs shapes in 0 < tokens z /\ 0 < head_width z.
Proof.
  intro H. unfold attention_shape in H.
  destruct attrs as [| [] [|]]; try discriminate.
  destruct shapes as [| wq [| wk [| wv [| wo [| x mask]]]]]; try discriminate.
  destruct (rev x) as [| D [| n lead]] eqn:E; try discriminate.
  destruct wq as [| rows [| columns [|]]]; try discriminate.
  match type of H with (if ?b then _ else _) = _ => destruct b eqn:G; [| discriminate] end.
  repeat (apply andb_prop in G; destruct G as [G ?]).
  repeat match goal with
         | A : forallb _ [_; _; _] = true |- _ => cbn [forallb] in A
         | A : (_ && _)%bool = true |- _ => apply andb_prop in A; destruct A
         | A : (_ <? _)%N = true |- _ => apply N.ltb_lt in A
         | A : (_ <=? _)%Z = true |- _ => apply Z.leb_le in A
         | A : (_ =? _)%Z = true |- _ => apply Z.eqb_eq in A
         | A : (_ <=? _) = true |- _ => apply Nat.leb_le in A
         end.
  assert (0 < N.to_nat columns / Z.to_nat z) as P.
  { apply Nat.div_str_pos. split; [lia |].
    assert (z <= Z.of_N columns)%Z as L.
    { match goal with M : (Z.of_N columns mod z = 0)%Z |- _ => apply Z.mod_divide in M; [| lia] end.
      apply Z.divide_pos_le; [lia | assumption]. }
    lia. }
  rewrite <- (rev_involutive x), E. unfold attention_of. cbn [nth attr_at int_of].
  destruct lead as [| b [|]]; cbn [length] in G; [| | lia]; cbn [rev Datatypes.app map tokens head_width]; split; auto; lia.
Qed.

Definition multi_head_attention_side : side_cond := everywhere.
Lemma multi_head_attention_differentiable :
  side_enough op_multi_head_attention_decl multi_head_attention_def multi_head_attention_side.
Proof.
  intros w attrs tys lens nats t p (Hi & _ & ->) a La _. split; [| split; easy].
  destruct (infer_shape _ _ _ _ _ _ Hi) as [Hs _]. cbn [o_shape o_prog multi_head_attention_def] in *.
  destruct (attention_sizes _ _ _ _ Hs) as [Hn Hd]. rewrite map_length.
  set (z := attention_of attrs (map t_shape tys)) in *.
  destruct (attention_arity _ _ _ _ Hi) as [L | L]; rewrite L in *.
  - destruct a as [| wq [| wk [| wv [| wo [| x [|]]]]]]; try discriminate.
    generalize (map (fun t => negb (is_real t)) tys) as masks. intro masks. unfold attention_steps.
    step q Q; [exact I |]. step k K; [exact I |]. step v V; [exact I |]. step s S; [exact I |].
    step c C; [now apply inverse_root_of_side |]. step sc SC; [exact I |].
    step e E; [apply exps_side |]. step total T; [exact I |]. step inverse J.
    { apply reciprocals_side. intros r Hr. apply Rgt_not_eq. subst total e. now apply plain_sum_pos. }
    step p P; [exact I |]. step y Y; [exact I |]. step out O; exact I.
  - destruct a as [| wq [| wk [| wv [| wo [| x [| m [|]]]]]]]; try discriminate.
    assert (nth 5 (map (fun t => negb (is_real t)) tys) false = true) as M.
    { apply infer_operands in Hi. destruct tys as [| t0 [| t1 [| t2 [| t3 [| t4 [| t5 [|]]]]]]]; try discriminate.
      cbn in Hi. repeat (apply andb_prop in Hi; destruct Hi as [? Hi]). cbn. unfold is_real.
      destruct (t_dtype t5); [discriminate | reflexivity]. }
    destruct (map (fun t => negb (is_real t)) tys) as [| k0 [| k1 [| k2 [| k3 [| k4 [| k5 [|]]]]]]] eqn:K;
      try (cbn in M; discriminate); try (apply (f_equal (@length bool)) in K; rewrite map_length in K; cbn in K; lia).
    cbn [nth] in M. subst k5. unfold masked_steps.
    step q Q; [exact I |]. step k K'; [exact I |]. step v V; [exact I |]. step s S; [exact I |].
    step c C; [now apply inverse_root_of_side |]. step sc SC; [exact I |]. step e E; [apply exps_side |].
    step kept01 Z; [intros i _; cbn [sx_still nth]; split; [reflexivity | now destruct (holds _)] |].
    step kept U; [exact I |]. step free F; [reflexivity |]. step total T; [exact I |]. step inverse J.
    { apply reciprocals_side. intros r Hr. apply Rgt_not_eq. subst total kept free kept01 e.
      now apply masked_sum_pos. }
    step p P; [exact I |]. step y Y; [exact I |]. step out O; exact I.
Qed.
