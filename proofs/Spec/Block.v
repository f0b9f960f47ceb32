(** * Blocks and programs: what an op means

    Every op is a short program of blocks. A block says how an output cell is made from input cells, and gives
    its Jacobian row by row: for output cell i and operand j, a list of (coefficient, cell of operand j).
    The JVP multiplies by these rows, the VJP by the same rows transposed; a pair that points outside an operand
    counts for nothing in both. Hence adjointness is proved once, for all blocks, and is unconditional. *)
From Coq Require Import List NArith QArith Bool Arith.
From Prooftape.Spec Require Import Scalar Tensor.
Import ListNotations.
Open Scope nat_scope.

Inductive blk :=
| Lin (n : nat) (rows : list (nat -> list (Q * nat)))
    (** out_i = sum over operands j, over (c, s) in row j i, of c * x_j[s] *)
| Bil (n : nat) (row : nat -> list (nat * nat))
    (** out_i = sum over (p, q) in row i of x_0[p] * x_1[q] *)
| Ew (n : nat) (f : sx) (ps : list Q) (ds : list (option sx))
    (** out_i = f(x_0[i], x_1[i], …); ds: the local derivatives, over the operands and the result.
        None: the operand carries no derivative (a mask) *)
| Best (n : nat) (row : nat -> list nat) (share : bool)
    (** out_i = largest x_0[s], s in row i (0 when the row is empty); the derivative goes to the first largest
        cell, or, with [share], in equal parts to all largest cells *)
| Const (l : list Q)
| Cmp (n : nat) (f : sx) (ps : list Q)
    (** a mask: out_i = f(x_0[i], …), 1 or 0, without derivative *)
| BestMask (n : nat) (row : nat -> list nat)
    (** a mask: 1 at cell i if i is the first largest cell of row i *)
| NoneOf (n : nat) (row : nat -> list nat).
    (** out_i = 1 if the mask x_0 is 0 all along row i, else 0; a mask too *)

Definition blk_size (b : blk) : nat :=
  match b with
  | Lin n _ | Bil n _ | Ew n _ _ _ | Best n _ _ | Cmp n _ _ | BestMask n _ | NoneOf n _ => n
  | Const l => length l
  end.

(** Blocks whose result is a mask (0 or 1, piecewise constant). *)
Definition blk_mask (b : blk) : bool :=
  match b with Cmp _ _ _ | BestMask _ _ | NoneOf _ _ => true | _ => false end.

Section Meaning.
  Variable R : num.
  Notation ten := (list R).

  Definition slot {A} (l : list (list A)) (j : nat) : list A := nth j l [].
  Definition cell (a : list ten) (i : nat) : list R := map (fun t => tget t i) a.

  (** The first largest cell of a row: later cells win only when strictly larger. *)
  Definition first_best (x : ten) (row : list nat) : option nat :=
    fold_left (fun best s =>
      match best with
      | None => Some s
      | Some b => if ltb (tget x b) (tget x s) then Some s else Some b
      end) row None.

  Definition bfwd (b : blk) (a : list ten) : ten :=
    match b with
    | Lin n rows => mk n (fun i => suml (combine rows a) (fun p =>
        suml (fst p i) (fun e => mul (lit (fst e)) (tget (snd p) (snd e)))))
    | Bil n row => mk n (fun i => suml (row i) (fun e => mul (tget (slot a 0) (fst e)) (tget (slot a 1) (snd e))))
    | Ew n f ps _ => mk n (fun i => sxe ps (cell a i) f)
    | Best n row _ => mk n (fun i =>
        match first_best (slot a 0) (row i) with Some s => tget (slot a 0) s | None => zero end)
    | Const l => map lit l
    | Cmp n f ps => mk n (fun i => sxe ps (cell a i) f)
    | BestMask n row => mk n (fun i =>
        match first_best (slot a 0) (row i) with Some s => truth (Nat.eqb s i) | None => zero end)
    | NoneOf n row => mk n (fun i => truth (forallb (fun s => negb (holds (tget (slot a 0) s))) (row i)))
    end.

  (** Row i of the Jacobian with respect to operand j, at operand values a and result [out]. *)
  Definition bjac (b : blk) (a : list ten) (out : ten) (j i : nat) : list (R * nat) :=
    match b with
    | Lin n rows => map (fun e => (lit (fst e), snd e)) (nth j rows (fun _ => []) i)
    | Bil n row =>
        match j with
        | 0 => map (fun e => (tget (slot a 1) (snd e), fst e)) (row i)
        | 1 => map (fun e => (tget (slot a 0) (fst e), snd e)) (row i)
        | _ => []
        end
    | Ew n f ps ds =>
        match nth j ds None with
        | Some d => [(sxe ps (cell a i ++ [tget out i]) d, i)]
        | None => []
        end
    | Best n row share =>
        match j, first_best (slot a 0) (row i) with
        | 0, Some s =>
            if share then
              let ties := filter (fun t => eqb (tget (slot a 0) t) (tget (slot a 0) s)) (row i) in
              map (fun t => (lit (1 # Pos.of_nat (length ties))%Q, t)) ties
            else [(one, s)]
        | _, _ => []
        end
    | Const _ | Cmp _ _ _ | BestMask _ _ | NoneOf _ _ => []
    end.

  (** ms: number of entries of each operand. *)
  Definition bjvp (ms : list nat) (b : blk) (a : list ten) (out : ten) (da : list ten) : ten :=
    mk (blk_size b) (fun i => sumn (length ms) (fun j =>
      suml (filter (fun e => snd e <? nth j ms 0) (bjac b a out j i))
           (fun e => mul (fst e) (tget (slot da j) (snd e))))).
  Definition bvjp (ms : list nat) (b : blk) (a : list ten) (out d : ten) : list ten :=
    map (fun j =>
      let rows := map (fun i => (i, bjac b a out j i)) (seq 0 (blk_size b)) in
      mk (nth j ms 0) (fun s => suml rows (fun r =>
        suml (filter (fun e => Nat.eqb (snd e) s) (snd r)) (fun e => mul (fst e) (tget d (fst r))))))
      (seq 0 (length ms)).

  (** ** Programs: slots are the operands, then one per step; the result is the last slot. *)
  Record step := Step { s_blk : blk; s_args : list nat }.
  Definition prog := list step.

  Definition args_at (ctx : list ten) (s : step) : list ten := map (slot ctx) (s_args s).
  Definition sizes_at (ms : list nat) (s : step) : list nat := map (fun k => nth k ms 0) (s_args s).

  (** values of all slots, from those of the slots so far *)
  Fixpoint run (p : prog) (ctx : list ten) : list ten :=
    match p with
    | [] => ctx
    | s :: p' => run p' (ctx ++ [bfwd (s_blk s) (args_at ctx s)])
    end.

  (** tangents of all slots, from those of the slots so far; [full] holds the values of all slots,
      [ms] the sizes of the slots so far *)
  Fixpoint push (ms : list nat) (p : prog) (full dctx : list ten) : list ten :=
    match p with
    | [] => dctx
    | s :: p' =>
        push (ms ++ [blk_size (s_blk s)]) p' full
          (dctx ++ [bjvp (sizes_at ms s) (s_blk s) (args_at full s) (slot full (length ms)) (args_at dctx s)])
    end.

  Fixpoint tadd_at (l : list ten) (k : nat) (t : ten) : list ten :=
    match l, k with
    | [], _ => []
    | x :: l', O => tadd x t :: l'
    | x :: l', S k' => x :: tadd_at l' k' t
    end.

  (** cotangents of the slots so far, from those of all slots *)
  Fixpoint pull (ms : list nat) (p : prog) (full : list ten) (ct : list ten) : list ten :=
    match p with
    | [] => ct
    | s :: p' =>
        let k := length ms in
        let g := pull (ms ++ [blk_size (s_blk s)]) p' full ct in
        fold_left (fun g e => tadd_at g (fst e) (snd e))
          (combine (s_args s)
             (bvjp (sizes_at ms s) (s_blk s) (args_at full s) (slot full k) (slot g k)))
          (firstn k g)
    end.

  Definition last_slot (l : list ten) : ten := last l [].
  Definition prog_fwd (p : prog) (a : list ten) : ten := last_slot (run p a).
  Definition prog_jvp (ms : list nat) (p : prog) (full da : list ten) : ten := last_slot (push ms p full da).
  Definition prog_vjp (ms : list nat) (p : prog) (full : list ten) (d : ten) : list ten :=
    pull ms p full (repeat [] (length ms + length p - 1) ++ [d]).
End Meaning.
Arguments first_best {R} _ _. Arguments bfwd {R} _ _. Arguments bjac {R} _ _ _ _ _. Arguments cell {R} _ _.
Arguments bjvp {R} _ _ _ _ _. Arguments bvjp {R} _ _ _ _ _. Arguments args_at {R} _ _.
Arguments run {R} _ _. Arguments push {R} _ _ _ _. Arguments pull {R} _ _ _ _. Arguments tadd_at {R} _ _ _.
Arguments last_slot {R} _. Arguments prog_fwd {R} _ _. Arguments prog_jvp {R} _ _ _ _.
Arguments prog_vjp {R} _ _ _ _.
