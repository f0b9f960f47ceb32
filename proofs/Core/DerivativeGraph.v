(** * The derivative of a graph's evaluation is its JVP

    Leaves move along a curve over any normed space; every entry of every slot of [eval] then has the entry of
    [jvp_ctx] as its derivative, wherever the side conditions of the nodes hold at the values they see. *)
From Coq Require Import Reals Lia NArith List Bool Arith.
Set Warnings "-ambiguous-paths".
From Coquelicot Require Import Coquelicot.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum Statements.
From Prooftape.Core Require Import Typing Side Obligations Calculus Sums Link DerivativeBlocks DerivativeProg.
Import ListNotations.
Open Scope nat_scope.

Lemma D_zero {U : NormedModule R_AbsRing} (x : U) (f l : U -> R) :
  (forall u, f u = 0%R) -> (forall u, l u = 0%R) -> D x f l.
Proof.
  intros Hf Hl. apply (D_ext x (fun _ => 0%R) _ (fun _ => 0%R)); [| |apply D_const]; intro u; now symmetry.
Qed.

(** [node_nats] has the lengths that the call says. *)
Lemma reads_lengths nats starts lens : length starts = length lens ->
  map (fun l => N.of_nat (length l)) (reads nats starts lens) = lens.
Proof.
  unfold reads. revert lens. induction starts as [|s starts IH]; intros [|n lens] H; simpl in *;
    try discriminate; [reflexivity|].
  unfold read at 1. rewrite map_length, seq_length, N2Nat.id. f_equal. apply IH. now injection H.
Qed.

(** Absent tangents are zero tangents. *)
Lemma absent_everywhere {A} (l : list (option A)) j : present l = false -> nth j l None = None.
Proof.
  revert j. induction l as [|[t|] l IH]; intros j H; try discriminate; [now destruct j|].
  destruct j; [reflexivity|]. now apply IH.
Qed.

Section Graphs.
  Variable op : Type.
  Variable decl_of : op -> decl.
  Variable def_of : op -> opdef.
  Variable side_of : op -> side_cond.
  Variable held : op -> bool.
  Hypothesis all_sized : forall o, well_sized (decl_of o) (def_of o).
  Hypothesis all_differentiable : forall o, side_enough (decl_of o) (def_of o) (side_of o).
  Hypothesis held_still : forall o, held o = true -> d_differentiable (decl_of o) = false.
  Variable w : world.
  Variable nats : N -> N.
  Notation K := (kern decl_of def_of Rnum w).

  Section Curves.
    Context {U : NormedModule R_AbsRing}.
    Variable x : U.

    (** Slots of the types [tys] with values X and tangents dX: every entry has its tangent as derivative,
        tangents are 0 beyond the slot's size, masks do not move. *)
    Record moves (tys : list ty) (X : U -> list (list R)) (dX : U -> list (option (list R))) : Prop := Moves {
      moves_length : forall u, length (X u) = length tys;
      moves_dlength : forall u, length (dX u) = length tys;
      moves_D : forall k, DT x (fun u => slot (X u) k) (fun u => dense (R := Rnum) (nth k (dX u) None));
      moves_inside : forall u k s, k < length tys -> ty_size (nth k tys (Ty Mask [])) <= s ->
        rget (dense (R := Rnum) (nth k (dX u) None)) s = 0%R;
      moves_still : forall k, k < length tys -> is_real (nth k tys (Ty Mask [])) = false ->
        still x (fun u => slot (X u) k) }.
    Arguments moves_length {tys X dX} _ _. Arguments moves_dlength {tys X dX} _ _.
    Arguments moves_D {tys X dX} _ _ _. Arguments moves_inside {tys X dX} _ _ _ _ _ _.
    Arguments moves_still {tys X dX} _ _ _ _.

    Definition args_values (X : U -> list (list R)) (n : node op) (u : U) : list (list R) := values [] (X u) n.
    Definition args_tangents (dX : U -> list (option (list R))) (n : node op) (u : U) : list (list R) :=
      movable (R := Rnum) (c_tys (n_call n)) (map (at_ None (dX u)) (n_args n)).

    (** What a node reads is a curve for its program. *)
    Lemma moves_args tys X dX n : moves tys X dX -> node_typed decl_of def_of tys n ->
      curve x (map ty_size (c_tys (n_call n))) (map (fun t => negb (is_real t)) (c_tys (n_call n)))
        (args_values X n) (args_tangents dX n).
    Proof.
      intros H (Hin & Htys & _ & _). set (c := n_call n) in *.
      assert (L : length (c_tys c) = length (n_args n)) by (rewrite <- Htys; apply map_length).
      set (pos := fun j => N.to_nat (nth j (n_args n) 0%N)).
      assert (inside : forall j, j < length (n_args n) -> pos j < length tys).
      { intros j Hj. apply Hin, nth_In, Hj. }
      assert (typed : forall j, j < length (n_args n) -> nth j (c_tys c) (Ty Mask []) = nth (pos j) tys (Ty Mask [])).
      { intros j Hj. rewrite <- Htys. exact (nth_map_in (at_ (Ty Mask []) tys) (n_args n) j _ 0%N Hj). }
      assert (value : forall u j, j < length (n_args n) -> slot (args_values X n u) j = slot (X u) (pos j)).
      { intros u j Hj. exact (nth_map_in (at_ [] (X u)) (n_args n) j [] 0%N Hj). }
      assert (tangent : forall u j, j < length (n_args n) -> slot (args_tangents dX n u) j
        = if is_real (nth (pos j) tys (Ty Mask [])) then dense (R := Rnum) (nth (pos j) (dX u) None) else []).
      { intros u j Hj. unfold slot, args_tangents, movable. fold c. change (car Rnum) with R.
        rewrite (nth_map_in _ _ j [] (Ty Mask [], None)) by (rewrite combine_length, map_length, L; lia).
        rewrite combine_nth_lt by (rewrite ?map_length; lia). cbn [fst snd]. rewrite typed by exact Hj.
        now rewrite (nth_map_in (at_ None (dX u)) (n_args n) j None 0%N Hj). }
      assert (Lv : forall u, length (args_values X n u) = length (n_args n)).
      { intro u. apply map_length. }
      assert (Lt : forall u, length (args_tangents dX n u) = length (n_args n)).
      { intro u. unfold args_tangents, movable. fold c. rewrite map_length, combine_length, map_length, L. lia. }
      split.
      - intro u. now rewrite Lv, map_length.
      - intro u. now rewrite Lt, map_length.
      - intros j i. destruct (Nat.lt_ge_cases j (length (n_args n))) as [Hj|Hj].
        + apply (D_ext x (fun u => rget (slot (X u) (pos j)) i) _
            (fun u => rget
              (if is_real (nth (pos j) tys (Ty Mask [])) then dense (R := Rnum) (nth (pos j) (dX u) None) else []) i)).
          * intro u. now rewrite value.
          * intro u. now rewrite tangent.
          * destruct (is_real _) eqn:E; [apply (moves_D H)|].
            apply (D_ext x (fun u => rget (slot (X u) (pos j)) i) _ (fun _ => 0%R)).
            -- reflexivity.
            -- intro u. symmetry. apply (tget_nil Rnum).
            -- apply still_D, (still_comp x (fun t => rget t i) (fun u => slot (X u) (pos j))).
               apply (moves_still H); auto.
        + apply D_zero; intro u; rewrite slot_beyond by (rewrite ?Lv, ?Lt; exact Hj); apply (tget_nil Rnum).
      - intros u j s Hs. destruct (Nat.lt_ge_cases j (length (n_args n))) as [Hj|Hj].
        + rewrite tangent by exact Hj. destruct (is_real _); [|apply (tget_nil Rnum)].
          apply (moves_inside H); [now apply inside|]. rewrite <- typed by exact Hj.
          rewrite (nth_map_in ty_size (c_tys c) j 0 (Ty Mask [])) in Hs by (rewrite L; exact Hj). exact Hs.
        + rewrite slot_beyond by (rewrite Lt; exact Hj). apply (tget_nil Rnum).
      - intros j Hm. destruct (Nat.lt_ge_cases j (length (n_args n))) as [Hj|Hj].
        + apply (still_ext x (fun u => slot (X u) (pos j))); [intro u; symmetry; now apply value|].
          apply (moves_still H); [now apply inside|]. rewrite <- typed by exact Hj.
          rewrite (nth_map_in (fun t => negb (is_real t)) (c_tys c) j false (Ty Mask [])) in Hm by (rewrite L; exact Hj).
          now apply negb_true_iff.
        + rewrite nth_overflow in Hm by (rewrite map_length, L; exact Hj). discriminate.
      - intros j u s Hm. destruct (Nat.lt_ge_cases j (length (n_args n))) as [Hj|Hj].
        + rewrite (nth_map_in (fun t => negb (is_real t)) (c_tys c) j false (Ty Mask [])) in Hm by (rewrite L; exact Hj).
          rewrite typed in Hm by exact Hj. apply negb_true_iff in Hm.
          rewrite tangent, Hm by exact Hj. apply (tget_nil Rnum).
        + rewrite nth_overflow in Hm by (rewrite map_length, L; exact Hj). discriminate.
    Qed.

    Definition value_of (X : U -> list (list R)) n (u : U) : list R := node_value [] K nats (X u) n.
    Definition tangent_of (X : U -> list (list R)) dX n (u : U) : option (list R) := node_tangent [] K nats (X x) (dX u) n.

    Definition side_at (ctx : list (list R)) (n : node op) : Prop :=
      let c := n_call n in
      side_of (c_op c) w (c_attrs c) (map t_shape (c_tys c)) (t_shape (c_out c)) (node_nats nats n) (values [] ctx n).

    (** One node. *)
    Lemma node_derivative tys X dX n : moves tys X dX -> node_typed decl_of def_of tys n -> side_at (X x) n ->
      DT x (value_of X n) (fun u => dense (R := Rnum) (tangent_of X dX n u)) /\
      (forall u s, ty_size (c_out (n_call n)) <= s -> rget (dense (R := Rnum) (tangent_of X dX n u)) s = 0%R) /\
      (is_real (c_out (n_call n)) = false -> still x (value_of X n)).
    Proof.
      intros H Ht Hside. pose proof (moves_args tys X dX n H Ht) as HA.
      destruct Ht as (_ & Htys & Hnats & Hinfer).
      unfold side_at in Hside. set (c := n_call n) in *.
      set (p := o_prog (def_of (c_op c)) w (c_attrs c) (map t_shape (c_tys c)) (t_shape (c_out c)) (node_nats nats n)).
      assert (Hused : used (decl_of (c_op c)) (def_of (c_op c)) w (c_attrs c) (c_tys c) (c_nats c)
          (node_nats nats n) (c_out c) p).
      { split; [exact Hinfer|]. split; [|reflexivity]. apply reads_lengths, Hnats. }
      destruct (all_sized _ _ _ _ _ _ _ _ Hused) as (Hp & Hscoped & Hsize).
      assert (La : length (values [] (X x) n) = length (c_tys c)).
      { unfold values. rewrite <- Htys. now rewrite !map_length. }
      destruct (all_differentiable _ _ _ _ _ _ _ _ Hused _ La Hside) as (Hprog & Hflat & Hmask).
      assert (Lm : length (map (fun t => negb (is_real t)) (c_tys c)) = length (map ty_size (c_tys c))).
      { now rewrite !map_length. }
      rewrite <- (map_length ty_size) in Hscoped.
      destruct (prog_derivative x p Hp _ _ _ _ Lm HA Hscoped Hprog) as [HD HS].
      set (da := fun u => map (at_ None (dX u)) (n_args n)).
      set (jvp := fun u => prog_jvp (R := Rnum) (map ty_size (c_tys c)) p
        (run (R := Rnum) p (values [] (X x) n)) (movable (R := Rnum) (c_tys c) (da u))).
      change (DT x (fun u => prog_fwd (R := Rnum) p (values [] (X u) n)) jvp) in HD.
      change (prog_still p = true -> still x (fun u => prog_fwd (R := Rnum) p (values [] (X u) n))) in HS.
      assert (Etan : forall u, tangent_of X dX n u =
        if present (da u) then if d_differentiable (decl_of (c_op c)) then Some (jvp u) else None else None) by reflexivity.
      split; [|split].
      - intro i. destruct (d_differentiable (decl_of (c_op c))) eqn:Esm.
        + apply (D_ext x (fun u => rget (prog_fwd (R := Rnum) p (values [] (X u) n)) i) _ (fun u => rget (jvp u) i));
            [reflexivity| |exact (HD i)].
          intro u. rewrite Etan. destruct (present (da u)) eqn:E; [reflexivity|].
          cbn [dense]. transitivity 0%R; [|symmetry; apply (tget_nil Rnum)].
          unfold jvp, prog_jvp. apply push_zero; [exact Hp|]. intros j s. unfold slot, movable. change (car Rnum) with R.
          destruct (Nat.lt_ge_cases j (length (combine (c_tys c) (da u)))) as [Hj|Hj].
          * rewrite (nth_map_in _ _ j [] (Ty Mask [], None)) by exact Hj. rewrite combine_length in Hj.
            rewrite combine_nth_lt by lia. cbn [fst snd]. rewrite absent_everywhere by exact E.
            destruct (is_real _); apply (tget_nil Rnum).
          * rewrite nth_overflow by (rewrite map_length; exact Hj). apply (tget_nil Rnum).
        + apply (D_ext x (fun u => rget (prog_fwd (R := Rnum) p (values [] (X u) n)) i) _ (fun _ => 0%R)).
          * reflexivity.
          * intro u. rewrite Etan. destruct (present (da u)); symmetry; apply (tget_nil Rnum).
          * apply still_D, (still_comp x (fun t => rget t i) (fun u => prog_fwd (R := Rnum) p (values [] (X u) n))).
            apply HS, Hflat. reflexivity.
      - intros u s Hs. rewrite Etan. destruct (present (da u)); [|apply (tget_nil Rnum)].
        destruct (d_differentiable _); [|apply (tget_nil Rnum)].
        cbn [dense]. apply (tget_over Rnum). unfold jvp, prog_jvp. rewrite push_length by exact Hp. now rewrite Hsize.
      - intro Hm. apply HS, Hmask. unfold infer in Hinfer.
        destruct (_ && _)%bool; [|discriminate]. destruct (o_shape _ _ _ _); [|discriminate].
        destruct (_ <=? _); [|discriminate]. injection Hinfer as E. rewrite <- E in Hm. unfold is_real in Hm. simpl in Hm.
        now destruct (d_out _).
    Qed.

    Lemma moves_snoc tys X dX t (V : U -> list R) dV : moves tys X dX ->
      DT x V (fun u => dense (R := Rnum) (dV u)) ->
      (forall u s, ty_size t <= s -> rget (dense (R := Rnum) (dV u)) s = 0%R) ->
      (is_real t = false -> still x V) ->
      moves (tys ++ [t]) (fun u => X u ++ [V u]) (fun u => dX u ++ [dV u]).
    Proof.
      intros H HV Hin Hst.
      assert (L := moves_length H). assert (Ld := moves_dlength H).
      assert (before : forall (A : Type) (l : list A) v k d, length l = length tys -> k < length tys ->
        nth k (l ++ [v]) d = nth k l d) by (intros A l v k d E Hk; apply app_nth1; lia).
      assert (here : forall (A : Type) (l : list A) v d, length l = length tys -> nth (length tys) (l ++ [v]) d = v)
        by (intros A l v d <-; apply nth_middle).
      assert (after : forall (A : Type) (l : list A) v k d, length l = length tys -> length tys < k ->
        nth k (l ++ [v]) d = d) by (intros A l v k d E Hk; apply nth_overflow; rewrite app_length; simpl; lia).
      split.
      - intro u. now rewrite !app_length, L.
      - intro u. now rewrite !app_length, Ld.
      - intro k. unfold slot. destruct (lt_eq_lt_dec k (length tys)) as [[Hk| ->]|Hk].
        + apply (DT_ext x (fun u => slot (X u) k) _ (fun u => dense (R := Rnum) (nth k (dX u) None)));
            [intro u; symmetry; now apply before|intro u; now rewrite before|apply (moves_D H)].
        + apply (DT_ext x V _ (fun u => dense (R := Rnum) (dV u)));
            [intro u; symmetry; now apply here|intro u; now rewrite here|exact HV].
        + intro i. apply D_zero; intro u; rewrite after by auto; apply (tget_nil Rnum).
      - intros u k s Hk Hs. rewrite app_length in Hk. simpl in Hk.
        destruct (Nat.eq_dec k (length tys)) as [->|Hne].
        + rewrite here in Hs by reflexivity. rewrite here by auto. now apply Hin.
        + rewrite before in Hs by lia. rewrite before by (auto; lia). apply (moves_inside H); [lia|exact Hs].
      - intros k Hk Hm. rewrite app_length in Hk. simpl in Hk. unfold slot.
        destruct (Nat.eq_dec k (length tys)) as [->|Hne].
        + rewrite here in Hm by reflexivity.
          apply (still_ext x V); [intro u; symmetry; now apply here|now apply Hst].
        + rewrite before in Hm by lia.
          apply (still_ext x (fun u => slot (X u) k)); [intro u; symmetry; apply before; auto; lia|].
          apply (moves_still H); [lia|exact Hm].
    Qed.

    Lemma moves_ext tys X X' dX dX' t : moves tys X dX -> (forall u, X' u = X u) -> (forall u, dX' u = dX u) ->
      t = tys -> moves t X' dX'.
    Proof.
      intros H EX ED ->. split.
      - intro u. rewrite EX. apply (moves_length H).
      - intro u. rewrite ED. apply (moves_dlength H).
      - intros k. apply (DT_ext x (fun u => slot (X u) k) _ (fun u => dense (R := Rnum) (nth k (dX u) None)));
          [intro u; now rewrite EX|intro u; now rewrite ED|apply (moves_D H)].
      - intros u k s. rewrite ED. apply (moves_inside H).
      - intros k Hk Hm. apply (still_ext x (fun u => slot (X u) k)); [intro u; now rewrite EX|].
        now apply (moves_still H).
    Qed.

    (** A held node does not move, and its tangent is absent. *)
    Lemma held_tangent X dX n u : held (c_op (n_call n)) = true -> tangent_of X dX n u = None.
    Proof.
      intro Hh. apply held_still in Hh. unfold tangent_of, node_tangent. destruct (present _); [|reflexivity].
      unfold kern. cbn [k_jvp]. now rewrite Hh.
    Qed.
    Lemma value_in_base n g ctx : nth (length ctx) (eval_from [] K nats (n :: g) ctx) [] = node_value [] K nats ctx n.
    Proof.
      cbn [eval_from]. destruct (eval_extends op (list Rnum) [] K nats g (ctx ++ [node_value [] K nats ctx n])) as [rest ->].
      rewrite <- app_assoc. apply nth_middle.
    Qed.

    (** Forward mode is the Fréchet derivative of evaluation (held values staying where they are), at every slot. *)
    Theorem jvp_is_derivative g : forall tys X dX, moves tys X dX -> typed_from decl_of def_of tys g ->
      sides_from op decl_of def_of side_of held w nats g (X x) ->
      moves (tys ++ map (fun n => c_out (n_call n)) g)
        (fun u => eval_held op decl_of def_of held w nats (eval [] K nats g (X x)) g (X u))
        (fun u => jvp_ctx [] K nats g (X x) (dX u)).
    Proof.
      unfold eval, jvp_ctx. induction g as [|n g IH]; intros tys X dX H Ht Hs.
      - cbn. rewrite app_nil_r. exact H.
      - destruct Ht as [Htn Htg]. destruct Hs as [Hsn Hsg].
        set (here := node_value [] K nats (X x) n).
        set (V := fun u => if held (c_op (n_call n)) then here else value_of X n u).
        assert (EV : V x = here) by (unfold V; now destruct (held _)).
        assert (HV : DT x V (fun u => dense (R := Rnum) (tangent_of X dX n u)) /\
          (forall u s, ty_size (c_out (n_call n)) <= s -> rget (dense (R := Rnum) (tangent_of X dX n u)) s = 0%R) /\
          (is_real (c_out (n_call n)) = false -> still x V)).
        { unfold V. destruct (held (c_op (n_call n))) eqn:Eh.
          - split; [|split].
            + intro i. apply (D_ext x (fun _ => rget here i) _ (fun _ => 0%R)); [reflexivity| |apply D_const].
              intro u. rewrite held_tangent by exact Eh. symmetry. apply (tget_nil Rnum).
            + intros u s _. rewrite held_tangent by exact Eh. apply (tget_nil Rnum).
            + intros _. apply still_const.
          - exact (node_derivative tys X dX n H Htn (Hsn eq_refl)). }
        destruct HV as (HV & Hin & Hst).
        pose proof (moves_snoc tys X dX (c_out (n_call n)) V (tangent_of X dX n) H HV Hin Hst) as H'.
        assert (Hsg' : sides_from op decl_of def_of side_of held w nats g (X x ++ [V x])) by (rewrite EV; exact Hsg).
        specialize (IH _ _ _ H' Htg Hsg'). cbn [map]. rewrite <- app_assoc in IH.
        cbv beta in IH. rewrite EV in IH.
        assert (E : forall u, (if held (c_op (n_call n))
            then nth (length (X u)) (eval_from [] K nats (n :: g) (X x)) [] else node_value [] K nats (X u) n) = V u).
        { intro u. unfold V. destruct (held _); [|reflexivity].
          now rewrite (moves_length H u), <- (moves_length H x), value_in_base. }
        refine (moves_ext _ _ _ _ _ _ IH _ _ eq_refl); intro u; [cbn [eval_held]; now rewrite E|reflexivity].
    Qed.
  End Curves.
End Graphs.
Arguments moves_length {U x tys X dX} _ _. Arguments moves_dlength {U x tys X dX} _ _.
Arguments moves_D {U x tys X dX} _ _ _. Arguments moves_inside {U x tys X dX} _ _ _ _ _ _.
Arguments moves_still {U x tys X dX} _ _ _ _.
