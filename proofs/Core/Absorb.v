(** * Absorbing zero (T5)

    The rules multiply a cotangent (or tangent) entry g by a local derivative c with an absorbing product: an
    exactly zero g times a derivative that is not a finite number is 0. Three facts:
    - over every commutative semiring this changes nothing, neither of programs nor of graphs;
    - without any law, floating point included, a zero cotangent stays zero, whatever the derivatives;
    - a node whose cotangent is absent is never run: its VJP may be anything. *)
From Coq Require Import List NArith ZArith QArith Bool Arith Lia Ring Ring_theory.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op.
From Prooftape.Core Require Import Sums.
Import ListNotations.
Open Scope nat_scope.

(** ** Both modes with any product [times g c] in place of c * g *)
Section With.
  Variable R : num.
  Variable times : R -> R -> R.
  Notation ten := (list R).

  Definition bjvp_with (ms : list nat) (b : blk) (a : list ten) (out : ten) (da : list ten) : ten :=
    mk (blk_size b) (fun i => sumn (length ms) (fun j =>
      suml (filter (fun e => snd e <? nth j ms 0) (bjac b a out j i))
           (fun e => times (tget (slot da j) (snd e)) (fst e)))).
  Definition bvjp_with (ms : list nat) (b : blk) (a : list ten) (out d : ten) : list ten :=
    map (fun j =>
      let rows := map (fun i => (i, bjac b a out j i)) (seq 0 (blk_size b)) in
      mk (nth j ms 0) (fun s => suml rows (fun r =>
        suml (filter (fun e => Nat.eqb (snd e) s) (snd r)) (fun e => times (tget d (fst r)) (fst e)))))
      (seq 0 (length ms)).
  Fixpoint push_with (ms : list nat) (p : prog) (full dctx : list ten) : list ten :=
    match p with
    | [] => dctx
    | s :: p' =>
        push_with (ms ++ [blk_size (s_blk s)]) p' full
          (dctx ++ [bjvp_with (sizes_at ms s) (s_blk s) (args_at full s) (slot full (length ms)) (args_at dctx s)])
    end.
  Fixpoint pull_with (ms : list nat) (p : prog) (full : list ten) (ct : list ten) : list ten :=
    match p with
    | [] => ct
    | s :: p' =>
        let k := length ms in
        let g := pull_with (ms ++ [blk_size (s_blk s)]) p' full ct in
        fold_left (fun g e => tadd_at g (fst e) (snd e))
          (combine (s_args s)
             (bvjp_with (sizes_at ms s) (s_blk s) (args_at full s) (slot full k) (slot g k)))
          (firstn k g)
    end.
  Definition prog_jvp_with (ms : list nat) (p : prog) (full da : list ten) : ten := last_slot (push_with ms p full da).
  Definition prog_vjp_with (ms : list nat) (p : prog) (full : list ten) (d : ten) : list ten :=
    pull_with ms p full (repeat [] (length ms + length p - 1) ++ [d]).

  Section Kernels.
    Variable op : Type.
    Variable decl_of : op -> decl.
    Variable def_of : op -> opdef.
    Variable w : world.

    Definition kern_with (c : call op) : kernel ten :=
      let P := o_prog (def_of (c_op c)) w (c_attrs c) (map t_shape (c_tys c)) (t_shape (c_out c)) in
      let ms := map ty_size (c_tys c) in
      let n := length (c_tys c) in
      let smooth := d_differentiable (decl_of (c_op c)) in
      Kernel
        (fun nats a => prog_fwd (P nats) a)
        (fun nats a _ da =>
           if smooth then Some (prog_jvp_with ms (P nats) (run (P nats) a) (movable (c_tys c) da)) else None)
        (fun nats saved d asks =>
           if smooth then
             let a := map (fun j => dense (saved_at (saves_of decl_of c) saved j)) (seq 0 n) in
             let full := set_last (run (P nats) a) (saved_at (saves_of decl_of c) saved n) in
             map (fun p => if fst (fst p) && is_real (snd (fst p)) then Some (snd p) else None)
               (combine (combine asks (c_tys c)) (prog_vjp_with ms (P nats) full d))
           else map (fun _ => None) asks).
  End Kernels.
End With.
Arguments bjvp_with {R} _ _ _ _ _ _. Arguments bvjp_with {R} _ _ _ _ _ _. Arguments push_with {R} _ _ _ _ _.
Arguments pull_with {R} _ _ _ _ _. Arguments prog_jvp_with {R} _ _ _ _ _. Arguments prog_vjp_with {R} _ _ _ _ _.
Arguments kern_with {R} _ {op} _ _ _ _.

(** The definitions above are those of [Spec] with another product: with the plain one both are equal, as terms. *)
Lemma kern_with_plain (R : num) op (decl_of : op -> decl) def_of w c :
  kern_with (R := R) (fun g c => mul c g) decl_of def_of w c = kern decl_of def_of R w c.
Proof. reflexivity. Qed.

(** ** Equal products give equal programs *)
Section Extensional.
  Variable R : num.
  Variables times times' : R -> R -> R.
  Hypothesis same : forall g c, times g c = times' g c.
  Notation ten := (list R).

  Lemma bjvp_with_ext ms b (a : list ten) out da : bjvp_with times ms b a out da = bjvp_with times' ms b a out da.
  Proof.
    apply mk_ext. intros i _. apply sumn_ext. intros j _. apply suml_ext. intro e. apply same.
  Qed.

  Lemma bvjp_with_ext ms b (a : list ten) out d : bvjp_with times ms b a out d = bvjp_with times' ms b a out d.
  Proof.
    apply map_ext. intro j. apply mk_ext. intros s _. apply suml_ext. intro r. apply suml_ext. intro e. apply same.
  Qed.

  Lemma push_with_ext p : forall ms (full dctx : list ten),
    push_with times ms p full dctx = push_with times' ms p full dctx.
  Proof. induction p as [| s p IH]; intros; [reflexivity |]. cbn [push_with]. now rewrite bjvp_with_ext, IH. Qed.

  Lemma pull_with_ext p : forall ms (full ct : list ten), pull_with times ms p full ct = pull_with times' ms p full ct.
  Proof. induction p as [| s p IH]; intros; [reflexivity |]. cbn [pull_with]. now rewrite IH, bvjp_with_ext. Qed.
End Extensional.

(** ** The absorbing product; [bad] says which derivatives are not finite numbers *)
Section Absorb.
  Variable R : num.
  Variable bad : R -> bool.
  Notation ten := (list R).

  Definition amul (g c : R) : R := if eqb g zero && bad c then zero else mul g c.

  (** *** With the laws of a semiring *)
  Section Laws.
    Hypothesis SR : semi_ring_theory (@zero R) one add mul eq.
    Hypothesis eqb_zero : forall x : R, eqb x zero = true -> x = zero.
    Add Ring semiring_of_absorb : SR.

    Lemma amul_plain g c : amul g c = mul c g.
    Proof.
      unfold amul. destruct (eqb g zero) eqn:E; cbn [andb]; [| ring].
      rewrite (eqb_zero g E). destruct (bad c); ring.
    Qed.

    Theorem absorbing_program_vjp ms p (full : list ten) d : prog_vjp_with amul ms p full d = prog_vjp ms p full d.
    Proof. exact (pull_with_ext R _ _ amul_plain p ms full _). Qed.

    Theorem absorbing_program_jvp ms p (full da : list ten) : prog_jvp_with amul ms p full da = prog_jvp ms p full da.
    Proof. unfold prog_jvp_with. now rewrite (push_with_ext R _ _ amul_plain). Qed.
  End Laws.

  (** *** Without laws: zero stays zero. A zero is what [eqb] says is one, so -0 of floating point is. *)
  Definition is_zero (x : R) : Prop := eqb x zero = true.
  Definition zeros (t : ten) : Prop := forall i, is_zero (tget t i).

  Section Lawless.
    Hypothesis zero_is_zero : is_zero zero.
    Hypothesis zero_add : forall x y, is_zero x -> is_zero y -> is_zero (add x y).
    Hypothesis zero_mul_finite : forall g c, is_zero g -> bad c = false -> is_zero (mul g c).

    Lemma amul_zero g c : is_zero g -> is_zero (amul g c).
    Proof.
      intro H. unfold amul. rewrite H. cbn [andb]. destruct (bad c) eqn:E; [exact zero_is_zero |].
      now apply zero_mul_finite.
    Qed.

    Lemma suml_zeros {A} (l : list A) (f : A -> R) : (forall a, is_zero (f a)) -> is_zero (suml l f).
    Proof.
      intro H. cut (forall z, is_zero z -> is_zero (fold_left (fun s a => add s (f a)) l z)).
      - intro C. now apply C.
      - induction l as [| a l IH]; intros z Z; cbn [fold_left]; auto.
    Qed.

    Lemma mk_zeros n (f : nat -> R) : (forall i, is_zero (f i)) -> zeros (mk n f).
    Proof.
      intros H i. destruct (Nat.lt_ge_cases i n); [now rewrite tget_mk |].
      rewrite tget_over; [exact zero_is_zero | now rewrite mk_length].
    Qed.

    Lemma nil_zeros : zeros [].
    Proof. intro i. rewrite tget_nil. exact zero_is_zero. Qed.

    Lemma tadd_zeros (a b : ten) : zeros a -> zeros b -> zeros (tadd a b).
    Proof.
      revert b. induction a as [| x a IH]; intros b Ha Hb; [exact Hb |]. destruct b as [| y b]; [exact Ha |].
      intros [| i]; [exact (zero_add _ _ (Ha 0) (Hb 0)) |].
      exact (IH b (fun k => Ha (S k)) (fun k => Hb (S k)) i).
    Qed.

    Definition all_zeros (l : list ten) : Prop := Forall zeros l.

    Lemma all_zeros_slot l k : all_zeros l -> zeros (slot l k).
    Proof.
      intro H. unfold slot. destruct (Nat.lt_ge_cases k (length l)) as [G | G].
      - apply (proj1 (Forall_forall _ _) H). now apply nth_In.
      - rewrite nth_overflow by exact G. exact nil_zeros.
    Qed.

    Lemma tadd_at_zeros l k t : all_zeros l -> zeros t -> all_zeros (tadd_at l k t).
    Proof.
      intros H Ht. revert k. induction H as [| x l Hx H IH]; intros [| k]; cbn; constructor; auto using tadd_zeros.
      apply IH.
    Qed.

    Lemma bvjp_with_zeros ms b a out d : zeros d -> all_zeros (bvjp_with amul ms b a out d).
    Proof.
      intro H. apply Forall_forall. intros t I. apply in_map_iff in I. destruct I as [j [<- _]].
      apply mk_zeros. intro s. apply suml_zeros. intro r. apply suml_zeros. intro e. apply amul_zero, H.
    Qed.

    Lemma pull_with_zeros p : forall ms full ct, all_zeros ct -> all_zeros (pull_with amul ms p full ct).
    Proof.
      induction p as [| s p IH]; intros ms full ct H; [exact H |]. cbn [pull_with].
      specialize (IH (ms ++ [blk_size (s_blk s)]) full ct H).
      set (g := pull_with _ _ _ _ _) in *. clearbody g.
      assert (all_zeros (firstn (length ms) g)) as F.
      { apply Forall_forall. intros t I. apply (proj1 (Forall_forall _ _) IH).
        rewrite <- (firstn_skipn (length ms) g). apply in_or_app. now left. }
      assert (all_zeros (bvjp_with amul (sizes_at ms s) (s_blk s) (args_at full s) (slot full (length ms))
        (slot g (length ms)))) as B by (apply bvjp_with_zeros, all_zeros_slot, IH).
      revert F B. generalize (firstn (length ms) g) (bvjp_with amul (sizes_at ms s) (s_blk s) (args_at full s)
        (slot full (length ms)) (slot g (length ms))) (s_args s).
      intros l parts args. revert l args. induction parts as [| t parts IHp]; intros l args F B;
        destruct args as [| i args]; try exact F.
      cbn [combine fold_left]. inversion B. apply IHp; auto. now apply tadd_at_zeros.
    Qed.

    (** A zero cotangent gives zero cotangents, whatever the values: no nan out of a branch not taken. *)
    Theorem zero_cotangent_program ms p (full : list ten) d :
      zeros d -> all_zeros (prog_vjp_with amul ms p full d).
    Proof.
      intro H. apply pull_with_zeros. apply Forall_app. split; [| now constructor].
      apply Forall_forall. intros t I. apply repeat_spec in I. subst t. exact nil_zeros.
    Qed.
  End Lawless.
End Absorb.
Arguments amul {R} _ _ _. Arguments is_zero {R} _. Arguments zeros {R} _. Arguments all_zeros {R} _.

(** ** Graphs *)
Section Kernels.
  Variables (op T : Type).
  Variable add : T -> T -> T.
  Variable default : T.
  Variables K K' : call op -> kernel T.
  Variable saves : call op -> list nat.
  Variable nats : N -> N.
  Variable wanted : N -> bool.
  Hypothesis same_fwd : forall c ns a, k_fwd (K c) ns a = k_fwd (K' c) ns a.

  Notation back K := (backprop_from add default K saves nats wanted).

  Lemma node_value_same ctx n : node_value default K nats ctx n = node_value default K' nats ctx n.
  Proof. apply same_fwd. Qed.

  (** What has a cotangent keeps one. *)
  Lemma contribute_present args parts : forall (ct : list (option T)) k,
    nth k (contribute add ct args parts) None = None -> nth k ct None = None.
  Proof.
    unfold contribute. generalize (combine args parts). intro l.
    induction l as [| [i t] l IH]; intros ct k H; [exact H |]. cbn [fold_left fst snd] in H. apply IH in H.
    revert H. generalize (N.to_nat i). intro j. revert j k.
    induction ct as [| c ct IHc]; intros [| j] [| k] H; cbn in *; auto.
    - destruct c, t; try discriminate; reflexivity.
    - now apply IHc with j.
  Qed.

  (** The law-free half of T5: kernels that differ only in the VJPs of nodes without a cotangent give the same
      backward pass. Nothing is asked of the graph, of [add], or of what those VJPs return. *)
  Theorem absent_never_run g : forall ctx ct,
    (forall m n, nth_error g m = Some n -> nth (length ctx + m) (back K g ctx ct) None = None \/
       forall ns s d asks, k_vjp (K (n_call n)) ns s d asks = k_vjp (K' (n_call n)) ns s d asks) ->
    back K g ctx ct = back K' g ctx ct.
  Proof.
    induction g as [| n g IH]; intros ctx ct H; [reflexivity |]. cbn [backprop_from] in *.
    rewrite <- node_value_same. set (v := node_value default K nats ctx n) in *.
    assert (back K g (ctx ++ [v]) ct = back K' g (ctx ++ [v]) ct) as E.
    { apply IH. intros m n' M. destruct (H (S m) n' M) as [A | A]; [left | now right].
      apply contribute_present in A. rewrite app_length. cbn [length].
      now replace (length ctx + 1 + m) with (length ctx + S m) by lia. }
    rewrite <- E. f_equal. destruct (H 0 n eq_refl) as [A | A].
    - apply contribute_present in A. rewrite Nat.add_0_r in A. now rewrite A.
    - unfold node_parts. destruct (nth _ _ None); [| reflexivity]. now rewrite A, node_value_same.
  Qed.

  Lemma backprop_ext g ctx ct :
    (forall c ns s d asks, k_vjp (K c) ns s d asks = k_vjp (K' c) ns s d asks) -> back K g ctx ct = back K' g ctx ct.
  Proof. intro H. apply absent_never_run. auto. Qed.

  Lemma jvp_ext g : forall ctx dctx,
    (forall c ns a o da, k_jvp (K c) ns a o da = k_jvp (K' c) ns a o da) ->
    jvp_from default K nats g ctx dctx = jvp_from default K' nats g ctx dctx.
  Proof.
    induction g as [| n g IH]; intros ctx dctx H; [reflexivity |]. cbn [jvp_from].
    rewrite IH by exact H. unfold node_tangent. now rewrite node_value_same, H.
  Qed.
End Kernels.

Section AbsorbingGraphs.
  Variable R : num.
  Hypothesis SR : semi_ring_theory (@zero R) one add mul eq.
  Hypothesis eqb_zero : forall x : R, eqb x zero = true -> x = zero.
  Variable bad : R -> bool.
  Variable op : Type.
  Variable decl_of : op -> decl.
  Variable def_of : op -> opdef.
  Variable w : world.
  Variable nats : N -> N.
  Notation absorbing := (kern_with (amul bad) decl_of def_of w).
  Notation plain := (kern decl_of def_of R w).

  (** T5: with absorbing products both modes give what they give with plain ones, for any graph whatever. *)
  Theorem absorbing_backprop wanted g x seed :
    backprop_all_ctx tadd [] absorbing (saves_of decl_of) nats wanted g x seed
    = backprop_all_ctx tadd [] plain (saves_of decl_of) nats wanted g x seed.
  Proof.
    apply backprop_ext; [reflexivity |]. intros c ns s d asks. cbn [kern_with kern k_vjp].
    now rewrite absorbing_program_vjp.
  Qed.

  Theorem absorbing_jvp g x dx : jvp_ctx [] absorbing nats g x dx = jvp_ctx [] plain nats g x dx.
  Proof.
    apply jvp_ext; [reflexivity |]. intros c ns a o da. cbn [kern_with kern k_jvp].
    now rewrite absorbing_program_jvp.
  Qed.
End AbsorbingGraphs.

(** ** Witnesses *)

(** The laws and a correct test for 0: the natural numbers. *)
Example absorbing_witness p full d :
  prog_vjp_with (R := nat_num) (amul (fun _ => true)) [1] p full d = prog_vjp [1] p full d.
Proof. apply absorbing_program_vjp; [exact nat_num_laws | intros x H; now apply Nat.eqb_eq]. Qed.

(** Without laws: natural numbers and a nan, which is what 1 / 0 gives, which no number equals, and which every sum
    and product with it is. *)
Definition lift2 (f : nat -> nat -> nat) (x y : option nat) : option nat :=
  match x, y with Some x, Some y => Some (f x y) | _, _ => None end.
Definition test2 (f : nat -> nat -> bool) (x y : option nat) : bool :=
  match x, y with Some x, Some y => f x y | _, _ => false end.
Definition nan_num : num := {|
  car := option nat; zero := Some 0; one := Some 1; add := lift2 Nat.add; sub := lift2 Nat.sub; mul := lift2 Nat.mul;
  div := fun x y => match y with Some 0 => None | _ => lift2 Nat.div x y end; neg := fun x => x;
  lit := fun q => Some (Z.to_nat (Qnum q)); ltb := test2 Nat.ltb; leb := test2 Nat.leb; eqb := test2 Nat.eqb;
  pow := fun x _ => x; app := fun _ x => x |}.
Definition is_nan (x : nan_num) : bool := match x with None => true | Some _ => false end.

Example zero_cotangent_witness ms p full (d : list nan_num) :
  zeros d -> all_zeros (prog_vjp_with (amul is_nan) ms p full d).
Proof.
  apply zero_cotangent_program; [reflexivity | |].
  - intros [x |] [y |]; unfold is_zero; cbn; rewrite ?Nat.eqb_eq; try discriminate. lia.
  - intros [x |] [y |]; unfold is_zero; cbn; rewrite ?Nat.eqb_eq; try discriminate. intros -> _. reflexivity.
Qed.

(** There the two products do differ: the derivative 1 / x at x = 0, met by the cotangent 0. *)
Example absorbing_matters :
  let p := [Step (Ew 1 (Arg 0) [] [Some (Recip (Arg 0))]) [0]] in
  let full : list (list nan_num) := Block.run (R := nan_num) p [[Some 0]] in
  prog_vjp_with (amul is_nan) [1] p full [Some 0] = [[Some 0]] /\
  prog_vjp (R := nan_num) [1] p full [Some 0] = [[None]].
Proof. split; reflexivity. Qed.

(** Two nodes over one leaf, a cotangent at the first only: the second one's VJP (op [true]) may be any function. *)
Example absent_witness (any : list (option nat)) :
  let t := Ty Real [] in
  let node o k := Node (Call o [] [t] [] t) [k] [] in
  let K dead (c : call bool) := Kernel (T := nat) (fun _ a => hd 0 a) (fun _ _ _ _ => None)
    (fun _ _ d _ => if c_op c then dead else [Some d]) in
  let back dead := backprop_from Nat.add 0 (K dead) (fun _ => []) (fun _ => 0%N) (fun _ => true)
    [node false 0%N; node true 1%N] [5] [None; Some 1; None] in
  back any = back [] /\ back any = [Some 1; Some 1; None].
Proof.
  cbv zeta. split; [| reflexivity]. apply absent_never_run; [reflexivity |].
  intros [| [| [| k]]] n E; try discriminate; injection E as <-; [now right | now left].
Qed.
