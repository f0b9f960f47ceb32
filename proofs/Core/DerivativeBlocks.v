(** * The derivative of a block is its [bjvp]

    Operands are curves over any normed space U: every entry of every operand has a derivative (a tangent), masks
    do not move. Where [blk_side] holds, every entry of the block's result then has the entry of [bjvp] as its
    derivative, and the results of mask blocks do not move either. *)
From Coq Require Import Reals Lra Lia QArith Qreals List Bool Arith Ring_theory.
Set Warnings "-ambiguous-paths".
From Coquelicot Require Import Coquelicot.
From Prooftape.Spec Require Import Scalar Tensor Block RealNum.
From Prooftape.Core Require Import Side Calculus ScalarDerivative Sums.
Import ListNotations.
Open Scope R_scope.

Notation rget := (tget (R := Rnum)).
Notation rsumn := (sumn (R := Rnum)).
Notation rsuml := (suml (R := Rnum)).
Notation rmk := (mk (R := Rnum)).

Lemma Rnum_laws : semi_ring_theory (@zero Rnum) one add mul eq.
Proof. constructor; intros; cbn; ring. Qed.

(** ** Sums and entries *)
(** Terms that are 0 may be filtered out. *)
Lemma rsuml_filter A (p : A -> bool) l (f : A -> R) : (forall a, In a l -> p a = false -> f a = 0) ->
  rsuml (filter p l) f = rsuml l f.
Proof.
  intro H. rewrite (suml_filter Rnum Rnum_laws). apply (suml_ext_in Rnum). intros a Ha.
  destruct (p a) eqn:E; [reflexivity|]. symmetry. now apply H.
Qed.
(** How far a sum runs does not matter where its terms are 0. *)
Lemma rsumn_support n m (f : nat -> R) :
  (forall j, (n <= j)%nat -> f j = 0) -> (forall j, (m <= j)%nat -> f j = 0) -> rsumn n f = rsumn m f.
Proof.
  assert (G : forall n k, (forall j, (n <= j)%nat -> f j = 0) -> rsumn (n + k) f = rsumn n f).
  { clear. intros n k H. rewrite (sumn_app Rnum Rnum_laws), (sumn_zero Rnum Rnum_laws k); [apply Rplus_0_r|].
    intros i _. apply H. lia. }
  intros Hn Hm. destruct (Nat.le_ge_cases n m) as [L|L].
  - replace m with (n + (m - n))%nat by lia. symmetry. now apply G.
  - replace n with (m + (n - m))%nat by lia. now apply G.
Qed.
(** A sum over paired lists as a sum over positions; where the first list ends it reads as [d]. *)
Lemma rsuml_combine A B (d : A) (e : B) (F : A -> B -> R) : (forall b, F d b = 0) -> forall la lb,
  rsuml (combine la lb) (fun p => F (fst p) (snd p)) = rsumn (length lb) (fun j => F (nth j la d) (nth j lb e)).
Proof.
  intros H la lb. revert la. induction lb as [|b lb IH]; intro la.
  - destruct la; reflexivity.
  - cbn [length]. rewrite (sumn_first Rnum Rnum_laws). destruct la as [|a la].
    + rewrite (sumn_zero Rnum Rnum_laws) by (intros i _; destruct i; apply H).
      cbn [combine nth]. rewrite H. symmetry. apply Rplus_0_r.
    + cbn [combine nth]. rewrite (suml_cons Rnum Rnum_laws), IH. reflexivity.
Qed.
(** A cell in terms of the operands' entries. *)
Lemma as_positions A (d : A) l : map (fun j => nth j l d) (seq 0 (length l)) = l.
Proof.
  induction l as [|a l IH]; [reflexivity|]. cbn [length seq map nth]. f_equal.
  rewrite <- seq_shift, map_map. exact IH.
Qed.
Lemma cell_entries (a : list (list R)) i :
  cell (R := Rnum) a i = map (fun j => rget (slot a j) i) (seq 0 (length a)).
Proof. unfold cell, slot. rewrite <- (as_positions _ [] a) at 1. now rewrite map_map. Qed.
Lemma cell_entry (a : list (list R)) i j : nth j (cell (R := Rnum) a i) 0 = rget (slot a j) i.
Proof.
  unfold cell, slot. rewrite <- (map_nth (fun t => rget t i)), (tget_nil Rnum). reflexivity.
Qed.

(** ** Curves of tensors *)
Section Curves.
  Context {U : NormedModule R_AbsRing}.
  Variable x : U.

  (** Every entry of T has the derivative that dT says. *)
  Definition DT (T dT : U -> list R) : Prop := forall i, D x (fun u => rget (T u) i) (fun u => rget (dT u) i).

  (** Operands A with tangents dA; [ms] are their sizes, beyond which tangents are 0. *)
  Record curve (ms : list nat) (masks : list bool) (A dA : U -> list (list R)) : Prop := Curve {
    curve_length : forall u, length (A u) = length ms;
    curve_dlength : forall u, length (dA u) = length ms;
    curve_D : forall j, DT (fun u => slot (A u) j) (fun u => slot (dA u) j);
    curve_inside : forall u j s, (nth j ms 0%nat <= s)%nat -> rget (slot (dA u) j) s = 0;
    curve_still : forall j, nth j masks false = true -> still x (fun u => slot (A u) j);
    curve_rest : forall j u s, nth j masks false = true -> rget (slot (dA u) j) s = 0 }.

  Lemma DT_mk n (f lf : nat -> U -> R) : (forall i, (i < n)%nat -> D x (f i) (lf i)) ->
    DT (fun u => rmk n (fun i => f i u)) (fun u => rmk n (fun i => lf i u)).
  Proof.
    intros H i. destruct (lt_dec i n) as [Hi|Hi].
    - eapply D_ext; [| |exact (H i Hi)]; intro u; now rewrite (tget_mk Rnum).
    - eapply D_ext; [| |exact (D_const x 0)]; intro u; rewrite (tget_over Rnum); auto; rewrite mk_length; lia.
  Qed.
  Lemma DT_ext T T' dT dT' : (forall u, T u = T' u) -> (forall u, dT u = dT' u) -> DT T dT -> DT T' dT'.
  Proof.
    intros HT HdT H i. eapply D_ext; [| |exact (H i)]; intro u; cbv beta; [now rewrite HT|now rewrite HdT].
  Qed.
  Lemma still_mk n (f : nat -> U -> R) : (forall i, (i < n)%nat -> still x (f i)) ->
    still x (fun u => rmk n (fun i => f i u)).
  Proof. intro H. apply still_map. intros i Hi. apply in_seq in Hi. apply H. lia. Qed.

  Lemma locally_list {A} (l : list A) (P : A -> U -> Prop) : (forall s, In s l -> locally x (P s)) ->
    locally x (fun u => forall s, In s l -> P s u).
  Proof.
    induction l as [|s l IH]; intro H; [now apply filter_forall|].
    generalize (filter_and _ _ (H s (or_introl eq_refl)) (IH (fun t Ht => H t (or_intror Ht)))).
    apply filter_imp. intros u [Hs Hl] t [<-|Ht]; auto.
  Qed.
End Curves.
Arguments curve_length {U x ms masks A dA} _ _. Arguments curve_dlength {U x ms masks A dA} _ _.
Arguments curve_D {U x ms masks A dA} _ _ _.
Arguments curve_inside {U x ms masks A dA} _ _ _ _ _. Arguments curve_still {U x ms masks A dA} _ _ _.
Arguments curve_rest {U x ms masks A dA} _ _ _ _ _.

(** ** The largest cell of a row *)
Definition wins (x : list R) (row : list nat) (b : nat) : Prop :=
  forall s, In s row -> s <> b -> rget x s < rget x b.

Lemma first_best_wins x row b : In b row -> wins x row b -> first_best (R := Rnum) x row = Some b.
Proof.
  intros Hb Hw. unfold first_best.
  assert (G : forall acc, (forall c, acc = Some c -> c = b \/ rget x c < rget x b) -> acc = Some b \/ In b row ->
    fold_left (fun best s => match best with
      | None => Some s
      | Some b => if Rltb (rget x b) (rget x s) then Some s else Some b end) row acc = Some b).
  { clear Hb. induction row as [|s row IH]; intros acc Hacc Hor; simpl; [destruct Hor; [assumption|contradiction]|].
    assert (Hs : s = b \/ rget x s < rget x b).
    { destruct (Nat.eq_dec s b); [now left|]. right. apply Hw; [now left|assumption]. }
    apply IH.
    - intros t Ht. apply Hw. now right.
    - intros c. destruct acc as [a|]; [|now intros [= <-]].
      destruct Rltb; intros [= <-]; [exact Hs|now apply Hacc].
    - destruct (in_dec Nat.eq_dec b row) as [|Hn]; [now right|left].
      destruct Hor as [->|[->|]]; [| |contradiction].
      + unfold Rltb. destruct Rlt_dec as [L|]; [|reflexivity].
        destruct Hs as [->|Hs]; [reflexivity|]. exfalso. lra.
      + destruct acc as [a|]; [|reflexivity]. unfold Rltb. destruct Rlt_dec as [|L]; [reflexivity|].
        destruct (Hacc a eq_refl) as [->|Ha]; [reflexivity|]. exfalso. lra. }
  apply G; [discriminate|now right].
Qed.
Lemma ties_wins x row b : NoDup row -> In b row -> wins x row b ->
  filter (fun t => Reqb (rget x t) (rget x b)) row = [b].
Proof.
  assert (Hne : forall t, rget x t < rget x b -> Reqb (rget x t) (rget x b) = false).
  { intros t Ht. unfold Reqb. destruct Req_EM_T; [lra|reflexivity]. }
  induction row as [|s row IH]; intros Hd Hb Hw; [contradiction|]. inversion Hd as [|? ? Hs Hd']. subst. simpl.
  destruct (Nat.eq_dec s b) as [->|Hsb].
  - unfold Reqb at 1. destruct Req_EM_T as [_|C]; [|now contradiction C]. f_equal.
    clear IH Hb Hd Hd'. induction row as [|t row IH]; [reflexivity|]. simpl.
    assert (t <> b) by (intros ->; apply Hs; now left).
    rewrite Hne by (apply Hw; [right; now left|assumption]). apply IH.
    + intro. apply Hs. now right.
    + intros r [->|Hr]; apply Hw; [now left|right; now right].
  - rewrite Hne by (apply Hw; [now left|assumption]). apply IH; auto.
    + destruct Hb; [contradiction|assumption].
    + intros t Ht. apply Hw. now right.
Qed.

(** ** The theorem *)
Section Blocks.
  Context {U : NormedModule R_AbsRing}.
  Variable x : U.
  Variables (ms : list nat) (masks : list bool) (A dA : U -> list (list R)).
  Hypothesis HA : curve x ms masks A dA.

  (** Tangents are 0 outside the operands, so the filter of [bjvp] changes nothing. *)
  Lemma bjvp_inside b a out u :
    bjvp (R := Rnum) ms b a out (dA u) = rmk (blk_size b) (fun i => rsumn (length ms) (fun j =>
      rsuml (bjac (R := Rnum) b a out j i) (fun e => fst e * rget (slot (dA u) j) (snd e)))).
  Proof.
    unfold bjvp. apply (mk_ext Rnum). intros i _. apply (sumn_ext Rnum). intros j _. apply rsuml_filter.
    intros e _ He. apply Nat.ltb_ge in He. change (fst e * rget (slot (dA u) j) (snd e) = 0).
    rewrite (curve_inside HA) by exact He. ring.
  Qed.
  (** A sum over the operands may run over any operands that matter. *)
  Lemma over_operands n b a out u i : (forall j, (n <= j)%nat -> bjac (R := Rnum) b a out j i = []) ->
    rsumn (length ms) (fun j => rsuml (bjac (R := Rnum) b a out j i) (fun e => fst e * rget (slot (dA u) j) (snd e)))
    = rsumn n (fun j => rsuml (bjac (R := Rnum) b a out j i) (fun e => fst e * rget (slot (dA u) j) (snd e))).
  Proof.
    intro H. apply rsumn_support; intros j Hj.
    - apply (suml_zero_in Rnum Rnum_laws). intros e _. rewrite (curve_inside HA); [apply Rmult_0_r|].
      rewrite nth_overflow; [lia|exact Hj].
    - now rewrite H.
  Qed.

  (** It is enough to look at one cell, without the filter. *)
  Lemma block_cells b (f : list (list R) -> nat -> R) :
    (forall a, bfwd (R := Rnum) b a = rmk (blk_size b) (f a)) ->
    (forall i, (i < blk_size b)%nat -> D x (fun u => f (A u) i) (fun u => rsumn (length ms) (fun j =>
      rsuml (bjac (R := Rnum) b (A x) (bfwd (R := Rnum) b (A x)) j i) (fun e => fst e * rget (slot (dA u) j) (snd e))))) ->
    DT x (fun u => bfwd (R := Rnum) b (A u)) (fun u => bjvp (R := Rnum) ms b (A x) (bfwd (R := Rnum) b (A x)) (dA u)).
  Proof.
    intros Hf H. eapply DT_ext; [| |exact (DT_mk x (blk_size b) (fun i u => f (A u) i) _ H)]; intro u; cbv beta.
    - now rewrite Hf.
    - now rewrite bjvp_inside.
  Qed.

  Lemma Lin_derivative n rows :
    DT x (fun u => bfwd (R := Rnum) (Lin n rows) (A u))
         (fun u => bjvp (R := Rnum) ms (Lin n rows) (A x) (bfwd (R := Rnum) (Lin n rows) (A x)) (dA u)).
  Proof.
    set (no := fun _ : nat => @nil (Q * nat)).
    eapply block_cells; [intro a; reflexivity|]. intros i _. cbv beta.
    apply D_ext with
      (f := fun u => rsumn (length ms) (fun j =>
         rsuml (nth j rows no i) (fun e => Q2R (fst e) * rget (slot (A u) j) (snd e))))
      (l := fun u => rsumn (length ms) (fun j =>
         rsuml (nth j rows no i) (fun e => Q2R (fst e) * rget (slot (dA u) j) (snd e)))).
    - intro u. rewrite <- (curve_length HA u). symmetry.
      apply (rsuml_combine _ _ no [] (fun r t => rsuml (r i) (fun e => Q2R (fst e) * rget t (snd e)))). reflexivity.
    - intro u. apply (sumn_ext Rnum). intros j _. unfold bjac. now rewrite (suml_map Rnum).
    - apply D_sumn. intros j _. apply D_suml. intros e _.
      exact (D_scal x (Q2R (fst e)) (fun u => rget (slot (A u) j) (snd e)) (fun u => rget (slot (dA u) j) (snd e))
               (curve_D HA j (snd e))).
  Qed.

  Lemma Bil_derivative n row :
    DT x (fun u => bfwd (R := Rnum) (Bil n row) (A u))
         (fun u => bjvp (R := Rnum) ms (Bil n row) (A x) (bfwd (R := Rnum) (Bil n row) (A x)) (dA u)).
  Proof.
    eapply block_cells; [intro a; reflexivity|]. intros i _. cbv beta.
    apply D_ext with
      (f := fun u => rsuml (row i) (fun e => rget (slot (A u) 0) (fst e) * rget (slot (A u) 1) (snd e)))
      (l := fun u => rsuml (row i) (fun e =>
        rget (slot (dA u) 0) (fst e) * rget (slot (A x) 1) (snd e)
        + rget (slot (A x) 0) (fst e) * rget (slot (dA u) 1) (snd e))).
    - reflexivity.
    - intro u. symmetry. rewrite (over_operands 2) by (intros [|[|j]] Hj; [lia|lia|reflexivity]).
      rewrite !(sumn_first Rnum Rnum_laws). unfold bjac. rewrite !(suml_map Rnum).
      etransitivity; [apply f_equal, Rplus_0_r|]. rewrite (suml_add Rnum Rnum_laws (row i)
        (fun e => rget (slot (dA u) 0) (fst e) * rget (slot (A x) 1) (snd e))). apply (f_equal2 Rplus).
      + apply (suml_ext Rnum). intro e. apply Rmult_comm.
      + reflexivity.
    - apply D_suml. intros e _.
      exact (D_mult x (fun u => rget (slot (A u) 0) (fst e)) (fun u => rget (slot (A u) 1) (snd e))
               (fun u => rget (slot (dA u) 0) (fst e)) (fun u => rget (slot (dA u) 1) (snd e))
               (curve_D HA 0%nat (fst e)) (curve_D HA 1%nat (snd e))).
  Qed.

  (** The entries of one cell, as curves. *)
  Lemma entries_through i : curves_through masks (cell (R := Rnum) (A x) i) U x
    (fun j u => rget (slot (A u) j) i) (fun j u => rget (slot (dA u) j) i).
  Proof.
    split; intros j _.
    - split; [symmetry; apply cell_entry|apply (curve_D HA)].
    - intro Hm. split; [|intro u; now apply (curve_rest HA)].
      apply (still_comp x (fun t => rget t i) (fun u => slot (A u) j)). now apply (curve_still HA).
  Qed.

  Lemma cell_size i : @length R (cell (R := Rnum) (A x) i) = length ms.
  Proof. rewrite <- (curve_length HA x). apply (map_length (fun t => rget t i)). Qed.

  Lemma Ew_derivative n f ps ds :
    (forall i, (i < n)%nat -> ew_diff f ps ds masks (cell (R := Rnum) (A x) i)) ->
    DT x (fun u => bfwd (R := Rnum) (Ew n f ps ds) (A u))
         (fun u => bjvp (R := Rnum) ms (Ew n f ps ds) (A x) (bfwd (R := Rnum) (Ew n f ps ds) (A x)) (dA u)).
  Proof.
    intro H. eapply block_cells; [intro a; reflexivity|]. intros i Hi. cbv beta. cbn [blk_size] in Hi.
    pose proof (cell_size i) as L.
    destruct (entries_through i) as [HF HM]. eapply D_ext; [| |exact (H i Hi U x _ _ HF HM)].
    - intro u. cbv beta. now rewrite L, cell_entries, (curve_length HA).
    - intro u. cbv beta. rewrite <- L. apply (sumn_ext Rnum). intros j _. unfold bjac.
      destruct (nth j ds None) as [d|]; [|reflexivity].
      unfold bfwd. rewrite (tget_mk Rnum) by exact Hi. symmetry. apply Rplus_0_l.
  Qed.

  (** The winner stays the winner near the point. *)
  Lemma first_best_still row : unique_best (slot (A x) 0) row ->
    still x (fun u => first_best (R := Rnum) (slot (A u) 0) row).
  Proof.
    intros [->|(b & Hb & _ & Hw)]; [exact (still_const x None)|].
    assert (L : locally x (fun u => wins (slot (A u) 0) row b)).
    { apply (locally_list x row (fun s u => s <> b -> rget (slot (A u) 0) s < rget (slot (A u) 0) b)).
      intros s Hs. destruct (Nat.eq_dec s b) as [->|Hsb]; [apply filter_forall; intros u C; now contradiction C|].
      generalize (D_lt x _ _ _ _ (curve_D HA 0%nat s) (curve_D HA 0%nat b) (Hw s Hs Hsb)). apply filter_imp. auto. }
    unfold still. generalize L. apply filter_imp. intros u Hu.
    rewrite (first_best_wins _ _ b Hb Hu). symmetry. now apply first_best_wins.
  Qed.

  Lemma Best_derivative n row share :
    (forall i, (i < n)%nat -> unique_best (slot (A x) 0) (row i)) ->
    DT x (fun u => bfwd (R := Rnum) (Best n row share) (A u))
         (fun u => bjvp (R := Rnum) ms (Best n row share) (A x) (bfwd (R := Rnum) (Best n row share) (A x)) (dA u)).
  Proof.
    intro H. eapply block_cells; [intro a; reflexivity|]. intros i Hi. cbv beta. cbn [blk_size] in Hi. specialize (H i Hi).
    apply (D_ext_loc x (fun u => match first_best (R := Rnum) (slot (A x) 0) (row i) with
                                 | Some s => rget (slot (A u) 0) s | None => 0 end)).
    { pose proof (first_best_still _ H) as S. unfold still in S. generalize S. apply filter_imp. intros u Hu.
      exact (f_equal (fun o => match o with Some s => rget (slot (A u) 0) s | None => 0 end) (eq_sym Hu)). }
    apply D_ext with
      (f := fun u => match first_best (R := Rnum) (slot (A x) 0) (row i) with
                     | Some s => rget (slot (A u) 0) s | None => 0 end)
      (l := fun u => match first_best (R := Rnum) (slot (A x) 0) (row i) with
                     | Some s => rget (slot (dA u) 0) s | None => 0 end); [reflexivity| |].
    - intro u. symmetry. etransitivity; [apply (over_operands 1)|].
      { intros [|j] Hj; [lia|reflexivity]. }
      cbn [sumn]. unfold bjac. change (car Rnum) with R. destruct H as [E|(b & Hb & Hd & Hw)]; [rewrite E; apply Rplus_0_l|].
      rewrite (first_best_wins _ _ b Hb Hw). destruct share.
      + change (@eqb Rnum) with Reqb. rewrite (ties_wins _ _ b Hd Hb Hw). 
        change (0 + (0 + Q2R 1 * rget (slot (dA u) 0) b) = rget (slot (dA u) 0) b). rewrite RMicromega.Q2R_1. ring.
      + change (0 + (0 + 1 * rget (slot (dA u) 0) b) = rget (slot (dA u) 0) b). ring.
    - destruct first_best; [apply (curve_D HA)|apply D_const].
  Qed.

  (** Blocks whose result does not move have no tangent. *)
  Lemma still_block_tangent b a out da i : blk_still b = true -> rget (bjvp (R := Rnum) ms b a out da) i = 0.
  Proof.
    intro H. destruct (lt_dec i (blk_size b)) as [Hi|Hi].
    - unfold bjvp. rewrite (tget_mk Rnum) by exact Hi. apply (sumn_zero Rnum Rnum_laws). intros j _. now destruct b.
    - apply (tget_over Rnum). unfold bjvp. rewrite mk_length. lia.
  Qed.

  Theorem block_still b : blk_side b masks (A x) -> blk_still b = true -> still x (fun u => bfwd (R := Rnum) b (A u)).
  Proof.
    destruct b as [| | | |l|n f ps|n row|n row]; try discriminate; intros H _; cbn [bfwd blk_side] in *.
    - apply still_const.
    - apply still_mk. intros i Hi.
      pose proof (cell_size i) as L.
      eapply still_ext; [|exact (sx_still_still ps masks _ f (H i Hi) U x _ _ (entries_through i))].
      intro u. cbv beta. now rewrite L, cell_entries, (curve_length HA).
    - apply still_mk. intros i Hi.
      exact (still_comp x (fun o => match o with Some s => if Nat.eqb s i then 1 else 0 | None => 0 end) _
               (first_best_still _ (H i Hi))).
    - apply still_mk. intros i _.
      apply (still_comp x (fun t => truth (R := Rnum) (forallb (fun s => negb (holds (R := Rnum) (rget t s))) (row i)))
               (fun u => slot (A u) 0)). now apply (curve_still HA).
  Qed.

  Theorem block_derivative b : blk_side b masks (A x) ->
    DT x (fun u => bfwd (R := Rnum) b (A u)) (fun u => bjvp (R := Rnum) ms b (A x) (bfwd (R := Rnum) b (A x)) (dA u)).
  Proof.
    intro H. destruct (blk_still b) eqn:E.
    - intro i. eapply D_ext; [| |exact (still_D x _ (still_comp x (fun t => rget t i) _ (block_still b H E)))];
        intro u; [reflexivity|]. symmetry. now apply still_block_tangent.
    - destruct b; try discriminate;
        [apply Lin_derivative|apply Bil_derivative|now apply Ew_derivative|now apply Best_derivative].
  Qed.
End Blocks.
