(** * The derivative of a program is its [prog_jvp]

    Steps are blocks, so this is [block_derivative] along the program: the slots so far form a [curve], and each
    step adds one slot to it. *)
From Coq Require Import Reals Lia QArith List Bool Arith.
Set Warnings "-ambiguous-paths".
From Coquelicot Require Import Coquelicot.
From Prooftape.Spec Require Import Scalar Tensor Block RealNum.
From Prooftape.Core Require Import Side Obligations Calculus Sums DerivativeBlocks.
Import ListNotations.
Open Scope nat_scope.

(** ** Lists of slots *)
Section Slots.
  Context {A : Type}.

  Lemma slot_map (c : list (list A)) ks j :
    slot (map (slot c) ks) j = if j <? length ks then slot c (nth j ks 0) else [].
  Proof.
    unfold slot. destruct (Nat.ltb_spec j (length ks)) as [H|H].
    - now rewrite (nth_map_in (fun k => nth k c []) ks j [] 0).
    - apply nth_overflow. now rewrite map_length.
  Qed.
  Lemma slot_before (c d : list (list A)) j : j < length c -> slot (c ++ d) j = slot c j.
  Proof. apply app_nth1. Qed.
  Lemma slot_added (c : list (list A)) t d : slot (c ++ t :: d) (length c) = t.
  Proof. apply nth_middle. Qed.
  Lemma slot_beyond (c : list (list A)) j : length c <= j -> slot c j = [].
  Proof. apply nth_overflow. Qed.
  Lemma last_is_slot (c : list (list A)) : last c [] = slot c (pred (length c)).
  Proof. induction c as [|t [|t' c] IH]; [reflexivity|reflexivity|]. exact IH. Qed.
End Slots.

(** ** Programs from their last step *)
Lemma run_prefix (R : num) p : forall ctx : list (list R), exists l, run p ctx = ctx ++ l.
Proof.
  induction p as [|s p IH]; intro ctx; simpl; [exists []; now rewrite app_nil_r|].
  destruct (IH (ctx ++ [bfwd (s_blk s) (args_at ctx s)])) as [l ->].
  eexists. rewrite <- app_assoc. reflexivity.
Qed.
Lemma rev_cons_last (s : step) p : p <> [] -> exists t l l', rev (s :: p) = t :: l /\ rev p = t :: l'.
Proof.
  intro H. destruct (rev p) as [|t l] eqn:E.
  - destruct H. now rewrite <- (rev_involutive p), E.
  - exists t, (l ++ [s]), l. simpl. now rewrite E.
Qed.
Lemma prog_still_cons s p : p <> [] -> prog_still (s :: p) = prog_still p.
Proof. intro H. unfold prog_still. destruct (rev_cons_last s p H) as (t & l & l' & -> & ->). reflexivity. Qed.
Lemma prog_size_cons s p : p <> [] -> prog_size (s :: p) = prog_size p.
Proof. intro H. unfold prog_size. destruct (rev_cons_last s p H) as (t & l & l' & -> & ->). reflexivity. Qed.

(** The size of the result's tangent is that of the result. *)
Lemma push_length (R : num) p : p <> [] -> forall ms (full da : list (list R)),
  length (last_slot (push ms p full da)) = prog_size p.
Proof.
  induction p as [|s p IH]; intro Hp; [contradiction|]. intros ms full da. simpl.
  destruct p as [|s' p].
  - simpl. unfold last_slot. rewrite last_last. unfold bjvp. rewrite mk_length. reflexivity.
  - rewrite prog_size_cons by discriminate. apply IH. discriminate.
Qed.

(** No tangents in, no tangent out. *)
Lemma bjvp_zero ms b a out da : (forall j s, rget (slot da j) s = 0%R) ->
  forall i, rget (bjvp (R := Rnum) ms b a out da) i = 0%R.
Proof.
  intros H i. destruct (Nat.lt_ge_cases i (blk_size b)) as [Hi|Hi].
  - unfold bjvp. rewrite (tget_mk Rnum) by exact Hi. apply (sumn_zero Rnum Rnum_laws). intros j _.
    apply (suml_zero_in Rnum Rnum_laws). intros e _. etransitivity; [apply (f_equal (Rmult _)), H|]. apply Rmult_0_r.
  - apply (tget_over Rnum). unfold bjvp. now rewrite mk_length.
Qed.
Lemma push_zero p : p <> [] -> forall ms full da, (forall j s, rget (slot da j) s = 0%R) ->
  forall i, rget (last_slot (push (R := Rnum) ms p full da)) i = 0%R.
Proof.
  intro Hp.
  assert (G : forall ms full da, (forall j s, rget (slot da j) s = 0%R) ->
    forall j i, rget (slot (push (R := Rnum) ms p full da) j) i = 0%R).
  { clear Hp. induction p as [|s p IH]; intros ms full da H; [exact H|]. simpl. apply IH.
    intros j i. destruct (lt_eq_lt_dec j (length da)) as [[Hj| ->]|Hj].
    - rewrite slot_before by exact Hj. apply H.
    - rewrite slot_added. apply bjvp_zero. intros k r. unfold args_at. rewrite slot_map.
      destruct (k <? _); [apply H|apply (tget_nil Rnum)].
    - rewrite slot_beyond; [apply (tget_nil Rnum)|].
      change (car Rnum) with R in *. rewrite app_length. simpl. lia. }
  intros ms full da H i. unfold last_slot. rewrite last_is_slot. apply G, H.
Qed.

(** ** Curves of slots *)
Section Curves.
  Context {U : NormedModule R_AbsRing}.
  Variable x : U.

  (** The operands of a step. *)
  Lemma curve_args ms masks A dA s : length masks = length ms -> curve x ms masks A dA ->
    curve x (sizes_at ms s) (map (fun k => nth k masks false) (s_args s))
      (fun u => args_at (R := Rnum) (A u) s) (fun u => args_at (R := Rnum) (dA u) s).
  Proof.
    intros HM H.
    assert (N : forall (B : Type) (d : B) l j, nth j (map (fun k => nth k l d) (s_args s)) d
      = if j <? length (s_args s) then nth (nth j (s_args s) 0) l d else d).
    { intros B d l j. destruct (Nat.ltb_spec j (length (s_args s))) as [L|L].
      - now rewrite (nth_map_in (fun k => nth k l d) (s_args s) j d 0).
      - apply nth_overflow. now rewrite map_length. }
    unfold sizes_at, args_at. split.
    - intro u. now rewrite !map_length.
    - intro u. now rewrite !map_length.
    - intros j i. eapply D_ext with
        (f := fun u => rget (if j <? length (s_args s) then slot (A u) (nth j (s_args s) 0) else []) i)
        (l := fun u => rget (if j <? length (s_args s) then slot (dA u) (nth j (s_args s) 0) else []) i);
        try (intro u; now rewrite slot_map).
      destruct (j <? _); [apply (curve_D H)|].
      apply (D_ext x (fun _ => 0%R) _ (fun _ => 0%R)); try (intro u; symmetry; apply (tget_nil Rnum)). apply D_const.
    - intros u j r. rewrite N, slot_map. destruct (j <? _); [apply (curve_inside H)|].
      intros _. apply (tget_nil Rnum).
    - intros j. rewrite N. intro Hj.
      apply (still_ext x (fun u => if j <? length (s_args s) then slot (A u) (nth j (s_args s) 0) else [])).
      { intro u. now rewrite slot_map. }
      destruct (j <? _); [now apply (curve_still H)|apply still_const].
    - intros j u r. rewrite N, slot_map. destruct (j <? _); [apply (curve_rest H)|discriminate].
  Qed.

  (** One more slot. *)
  Lemma curve_snoc ms masks A dA n m V dV : length masks = length ms -> curve x ms masks A dA ->
    DT x V dV -> (forall u s, n <= s -> rget (dV u) s = 0%R) ->
    (m = true -> still x V /\ forall u s, rget (dV u) s = 0%R) ->
    curve x (ms ++ [n]) (masks ++ [m]) (fun u => A u ++ [V u]) (fun u => dA u ++ [dV u]).
  Proof.
    intros HM H HV Hn Hm.
    assert (LA := curve_length H). assert (LdA := curve_dlength H).
    assert (cases : forall (P : nat -> Prop), (forall j, j < length ms -> P j) -> P (length ms) ->
      (forall j, length ms < j -> P j) -> forall j, P j).
    { intros P H1 H2 H3 j. destruct (lt_eq_lt_dec j (length ms)) as [[Hj| ->]|Hj]; auto. }
    assert (before : forall (B : Type) (f : U -> list B) u t j d, length (f u) = length ms -> j < length ms ->
      nth j (f u ++ [t]) d = nth j (f u) d).
    { intros B f u t j d L Hj. apply app_nth1. lia. }
    assert (here : forall (B : Type) (l : list B) t d, length l = length ms -> nth (length ms) (l ++ [t]) d = t).
    { intros B l t d <-. apply nth_middle. }
    assert (after : forall (B : Type) (l : list B) t j d, length l = length ms -> length ms < j -> nth j (l ++ [t]) d = d).
    { intros B l t j d L Hj. apply nth_overflow. rewrite app_length. simpl. lia. }
    split.
    - intro u. rewrite !app_length, LA. reflexivity.
    - intro u. rewrite !app_length, LdA. reflexivity.
    - unfold slot. apply cases.
      + intros j Hj. apply (DT_ext x (fun u => slot (A u) j) _ (fun u => slot (dA u) j)); [| |apply (curve_D H)];
          intro u; symmetry; now apply before.
      + apply (DT_ext x V _ dV); [| |exact HV]; intro u; symmetry; now apply here.
      + intros j Hj i. apply (D_ext x (fun _ => 0%R) _ (fun _ => 0%R)); [| |apply D_const];
          intro u; rewrite after by auto; symmetry; apply (tget_nil Rnum).
    - intro u. unfold slot.
      apply (cases (fun j => forall s, nth j (ms ++ [n]) 0 <= s -> rget (nth j (dA u ++ [dV u]) []) s = 0%R)).
      + intros j Hj s. rewrite (app_nth1 ms) by exact Hj. rewrite before by auto. apply (curve_inside H).
      + intro s. rewrite !here by auto. apply Hn.
      + intros j Hj s _. rewrite (after _ (dA u)) by auto. apply (tget_nil Rnum).
    - unfold slot. apply (cases (fun j => nth j (masks ++ [m]) false = true -> still x (fun u => nth j (A u ++ [V u]) []))).
      + intros j Hj. rewrite (app_nth1 masks) by lia. intro E.
        apply (still_ext x (fun u => slot (A u) j)); [|now apply (curve_still H)]. intro u. symmetry. now apply before.
      + rewrite here by exact HM. intro E. apply (still_ext x V); [|now apply Hm]. intro u. symmetry. now apply here.
      + intros j Hj. rewrite after by auto. discriminate.
    - intros j u s. revert j. unfold slot.
      apply (cases (fun j => nth j (masks ++ [m]) false = true -> rget (nth j (dA u ++ [dV u]) []) s = 0%R)).
      + intros j Hj. rewrite (app_nth1 masks) by lia. rewrite before by auto. apply (curve_rest H).
      + rewrite !here by auto. intro E. now apply Hm.
      + intros j Hj. rewrite after by auto. discriminate.
  Qed.

  (** ** The theorem *)
  Theorem prog_derivative p : p <> [] -> forall ms masks A dA, length masks = length ms ->
    curve x ms masks A dA -> scoped (length ms) p = true -> prog_side masks p (A x) ->
    DT x (fun u => prog_fwd (R := Rnum) p (A u)) (fun u => prog_jvp (R := Rnum) ms p (run (R := Rnum) p (A x)) (dA u)) /\
    (prog_still p = true -> still x (fun u => prog_fwd (R := Rnum) p (A u))).
  Proof.
    unfold prog_fwd, prog_jvp.
    induction p as [|s p IH]; intro Hp; [contradiction|]. intros ms masks A dA HM H Hs Hside. clear Hp.
    cbn [scoped] in Hs. apply andb_true_iff in Hs as [Hs Hs']. cbn [prog_side] in Hside. destruct Hside as [Hb Hside].
    pose proof (curve_args ms masks A dA s HM H) as Ha.
    pose proof (block_derivative x _ _ _ _ Ha (s_blk s) Hb) as HD.
    pose proof (block_still x _ _ _ _ Ha (s_blk s) Hb) as HS.
    set (v := fun u => bfwd (R := Rnum) (s_blk s) (args_at (R := Rnum) (A u) s)) in *.
    set (full := run (R := Rnum) p (A x ++ [v x])).
    assert (E1 : args_at (R := Rnum) full s = args_at (R := Rnum) (A x) s).
    { unfold full. destruct (run_prefix Rnum p (A x ++ [v x])) as [l ->]. rewrite <- app_assoc.
      unfold args_at. apply map_ext_in. intros k Hk. apply slot_before. rewrite forallb_forall in Hs.
      specialize (Hs k Hk). apply Nat.ltb_lt in Hs. now rewrite (curve_length H). }
    assert (E2 : slot full (length ms) = v x).
    { unfold full. destruct (run_prefix Rnum p (A x ++ [v x])) as [l ->]. rewrite <- app_assoc.
      rewrite <- (curve_length H x). apply slot_added. }
    set (dv := fun u => bjvp (R := Rnum) (sizes_at ms s) (s_blk s) (args_at (R := Rnum) (A x) s) (v x)
        (args_at (R := Rnum) (dA u) s)).
    assert (HV : DT x v dv) by exact HD.
    change (DT x (fun u => last_slot (run (R := Rnum) p (A u ++ [v u])))
        (fun u => last_slot (push (R := Rnum) (ms ++ [blk_size (s_blk s)]) p full
          (dA u ++ [bjvp (R := Rnum) (sizes_at ms s) (s_blk s) (args_at (R := Rnum) full s) (slot full (length ms))
            (args_at (R := Rnum) (dA u) s)]))) /\
      (prog_still (s :: p) = true -> still x (fun u => last_slot (run (R := Rnum) p (A u ++ [v u]))))).
    rewrite E1, E2.
    destruct p as [|s' p].
    - cbn [run push]. unfold last_slot. split.
      + apply (DT_ext x v _ dv); [| |exact HV]; intro u; symmetry; apply last_last.
      + intro Hst. apply (still_ext x v); [intro u; symmetry; apply last_last|]. apply HS, Hst.
    - assert (Hn : s' :: p <> []) by discriminate. rewrite prog_still_cons by exact Hn.
      refine (IH Hn (ms ++ [blk_size (s_blk s)]) (masks ++ [blk_mask (s_blk s)])
        (fun u => A u ++ [v u]) (fun u => dA u ++ [dv u]) _ _ _ Hside).
      + rewrite !app_length, HM. reflexivity.
      + apply curve_snoc; auto.
        * intros u r Hr. apply (tget_over Rnum). unfold dv, bjvp. now rewrite mk_length.
        * intro Hm. assert (Hst : blk_still (s_blk s) = true) by (unfold blk_still; now rewrite Hm).
          split; [now apply HS|]. intros u r. now apply still_block_tangent.
      + rewrite app_length, Nat.add_1_r. exact Hs'.
  Qed.
End Curves.
