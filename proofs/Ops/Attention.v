(** * Multi-head self-attention (Vaswani et al. 2017), without biases

    q, k, v = x wq, x wk, x wv, in heads of d columns; p = softmax(q k^T / sqrt d) over the kept keys; the heads'
    p v side by side, times wo. Operands: wq, wk, wv, wo, x and, if given, the mask (true: keep). A query that keeps
    nothing gets p = 0. *)
From Coq Require Import List NArith ZArith QArith Arith Bool Lia.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op.
From Prooftape.Core Require Import Obligations Saves.
From Prooftape.Ops Require Import Attributes Groups Pieces Smoothness.
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
