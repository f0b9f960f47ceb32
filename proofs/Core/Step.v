(** * A step of gradient descent (T4)

    [sgd_step_all] below is src/prooftape/session.py, line by line: the gradients of each unfrozen parameter's
    leaves are summed in leaf order, all updates are computed from the values before the step, then stored; when
    no parameter was used twice the sum is skipped. The theorem says what that comes to, for every type of
    tensors and any operations on it, so bit for bit in floating point. *)
From Coq Require Import List ZArith Bool Arith Lia.
From Prooftape.Spec Require Import Graph.
Import ListNotations.
Open Scope nat_scope.

Section Step.
  Variable T : Type.
  Variables add sub : T -> T -> T.
  Variable scale : T -> T.              (* times the learning rate *)
  Variable finish : T -> T.             (* rounding to the storage format *)
  Notation param := nat (only parsing). (* a parameter's identity *)
  Notation leaf := nat (only parsing).

  (** ** The program *)

  (** A Python dict over parameters, in insertion order. *)
  Notation dict := (list (param * option T)).
  Fixpoint put (d : dict) (p : param) (v : option T) : dict :=
    match d with
    | [] => [(p, v)]
    | (q, u) :: d' => if q =? p then (q, v) :: d' else (q, u) :: put d' p v
    end.
  (** d.get(p): None when missing *)
  Definition get (d : dict) (p : param) : option T :=
    match find (fun e => fst e =? p) d with Some e => snd e | None => None end.

  Variable trained : param -> bool.     (* requires_grad *)
  Variable uses : list (leaf * param).  (* every `use`: its leaf and its parameter, by ascending leaf *)
  Variable grads : leaf -> option T.    (* the cotangents of a backward pass; None: absent *)

  Definition used : list (leaf * param) := filter (fun u => trained (snd u)) uses.

  (** param_grads *)
  Definition total_step (total : dict) (u : leaf * param) : dict :=
    let old := get total (snd u) in
    let new := grads (fst u) in
    let new := match old, new with Some s, Some t => Some (finish (add s t)) | _, _ => new end in
    put total (snd u) (match new with None => old | Some _ => new end).
  Definition param_grads : dict := fold_left total_step used [].

  Definition stepped (stored : param -> T) (p : param) (g : option T) : option T :=
    match g with Some g => Some (finish (sub (stored p) (scale g))) | None => None end.
  Definition store (stored : param -> T) (p : param) (new : option T) : param -> T :=
    match new with Some t => fun q => if q =? p then t else stored q | None => stored end.

  (** len(set(params)) == len(params) *)
  Definition once : bool := length (nodup Nat.eq_dec (map snd uses)) =? length (map snd uses).

  Definition sgd_step_all (stored : param -> T) : param -> T :=
    let updates :=
      if once
      then map (fun u => (snd u, stepped stored (snd u) (grads (fst u)))) used
      else map (fun e => (fst e, stepped stored (fst e) (snd e))) param_grads in
    fold_left (fun now u => store now (fst u) (snd u)) updates stored.

  (** ** What it does *)

  (** The gradient of a parameter: the sum of its leaves' gradients, in leaf order, over those that are present. *)
  Definition leaves_of (p : param) : list leaf := map fst (filter (fun u => snd u =? p) uses).
  Definition gradient (p : param) : option T :=
    fold_left (merge (fun s t => finish (add s t))) (map grads (leaves_of p)) None.

  Lemma get_put d p v q : get (put d p v) q = if p =? q then v else get d q.
  Proof.
    unfold get. induction d as [| [r u] d IH]; cbn.
    - destruct (Nat.eqb_spec p q); reflexivity.
    - destruct (Nat.eqb_spec r p) as [-> | N]; cbn.
      + destruct (Nat.eqb_spec p q); reflexivity.
      + destruct (Nat.eqb_spec r q) as [-> |]; [| exact IH].
        destruct (Nat.eqb_spec p q); [congruence | reflexivity].
  Qed.

  Lemma put_keys d p v q : In q (map fst (put d p v)) -> q = p \/ In q (map fst d).
  Proof.
    induction d as [| [r u] d IH]; cbn; [intuition congruence |].
    destruct (Nat.eqb_spec r p); cbn; intros [| I]; auto. destruct (IH I); auto.
  Qed.

  Lemma put_nodup d p v : NoDup (map fst d) -> NoDup (map fst (put d p v)).
  Proof.
    induction d as [| [r u] d IH]; cbn; intro H; [repeat constructor; intros [] |].
    inversion H as [| x l Hr Hd]. destruct (Nat.eqb_spec r p); cbn; [exact H |].
    constructor; [| now apply IH]. intro I. destruct (put_keys _ _ _ _ I); auto.
  Qed.

  Lemma param_grads_nodup : NoDup (map fst param_grads).
  Proof.
    unfold param_grads. generalize (NoDup_nil param : NoDup (map fst ([] : dict))). generalize ([] : dict).
    induction used as [| u l IH]; intros d H; [exact H |]. cbn [fold_left]. apply IH. now apply put_nodup.
  Qed.

  Lemma get_param_grads p : get param_grads p = if trained p then gradient p else None.
  Proof.
    unfold param_grads, gradient, leaves_of, used.
    enough (forall d o, get d p = (if trained p then o else None) ->
      get (fold_left total_step (filter (fun u => trained (snd u)) uses) d) p
      = if trained p
        then fold_left (merge (fun s t => finish (add s t)))
               (map grads (map fst (filter (fun u => snd u =? p) uses))) o
        else None) as E by (apply E; now destruct (trained p)).
    induction uses as [| [i q] l IH]; intros d o H; [exact H |]. cbn [filter snd].
    destruct (Nat.eqb_spec q p) as [-> | N].
    - destruct (trained p) eqn:Tp; [| now apply (IH d o)].
      cbn [fold_left map]. apply IH. unfold total_step. cbn [fst snd].
      rewrite get_put, Nat.eqb_refl, H. now destruct o, (grads i).
    - destruct (trained q); [| now apply IH]. cbn [fold_left]. apply IH.
      unfold total_step. cbn [fst snd]. rewrite get_put. destruct (Nat.eqb_spec q p); [contradiction | exact H].
  Qed.

  (** Without a parameter used twice, the sums are the gradients themselves. *)
  Lemma once_nodup : once = true -> NoDup (map snd used).
  Proof.
    intro H. apply Nat.eqb_eq in H.
    assert (NoDup (map snd uses)) as N.
    { apply NoDup_incl_NoDup with (l := nodup Nat.eq_dec (map snd uses)); [apply NoDup_nodup | now rewrite H |].
      intros q Q. now apply nodup_In in Q. }
    clear H. unfold used. induction uses as [| u l IH]; [exact N |]. cbn in *. inversion N as [| x m Hu Hl].
    destruct (trained (snd u)); [| now apply IH]. cbn. constructor; [| now apply IH].
    intro I. apply Hu. apply in_map_iff in I. destruct I as [v [<- I]]. apply in_map. now apply filter_In in I.
  Qed.

  Lemma put_fresh d p v : ~ In p (map fst d) -> put d p v = d ++ [(p, v)].
  Proof.
    induction d as [| [r u] d IH]; cbn; intro H; [reflexivity |].
    destruct (Nat.eqb_spec r p); [tauto |]. rewrite IH by tauto. reflexivity.
  Qed.

  Lemma get_fresh d p : ~ In p (map fst d) -> get d p = None.
  Proof.
    unfold get. induction d as [| [r u] d IH]; cbn; intro H; [reflexivity |].
    destruct (Nat.eqb_spec r p); [tauto |]. apply IH. tauto.
  Qed.

  Lemma param_grads_once : once = true -> param_grads = map (fun u => (snd u, grads (fst u))) used.
  Proof.
    intro H. apply once_nodup in H. unfold param_grads.
    enough (forall d, (forall q, In q (map snd used) -> ~ In q (map fst d)) ->
      fold_left total_step used d = d ++ map (fun u => (snd u, grads (fst u))) used) as E by (apply E; intros q _ []).
    induction used as [| [i q] l IH]; intros d F; [symmetry; apply app_nil_r |].
    cbn in H. inversion H as [| x m Hq Hl]. cbn [fold_left map fst snd].
    assert (~ In q (map fst d)) as Fq by (apply F; now left).
    unfold total_step at 2. cbn [fst snd]. rewrite get_fresh, put_fresh by exact Fq.
    rewrite IH; [rewrite <- app_assoc; now destruct (grads i) | exact Hl |].
    intros r Hr. rewrite map_app. intro I. apply in_app_or in I. destruct I as [I | [E | []]].
    - apply (F r); [now right | exact I].
    - cbn in E. subst r. contradiction.
  Qed.

  (** The updates are stored one after the other; each parameter has at most one. *)
  Lemma store_all f (d : dict) : NoDup (map fst d) -> forall now p,
    fold_left (fun now u => store now (fst u) (snd u)) (map (fun e => (fst e, f (fst e) (snd e))) d) now p
    = match find (fun e => fst e =? p) d with
      | Some e => match f p (snd e) with Some t => t | None => now p end
      | None => now p
      end.
  Proof.
    induction d as [| [q v] d IH]; intros H now p; [reflexivity |]. cbn in H. inversion H as [| x l Hq Hd].
    cbn [map fold_left find fst snd]. rewrite (IH Hd). destruct (Nat.eqb_spec q p) as [-> | N].
    - destruct (find (fun e => fst e =? p) d) as [e |] eqn:E.
      + apply find_some in E. destruct E as [E1 E2]. apply Nat.eqb_eq in E2. elim Hq. rewrite <- E2. now apply in_map.
      + cbn [fst snd]. destruct (f p v); cbn; [now rewrite Nat.eqb_refl | reflexivity].
    - assert (store now q (f q v) p = now p) as ->; [| reflexivity].
      destruct (f q v); [| reflexivity]. cbn. destruct (Nat.eqb_spec p q); congruence.
  Qed.

  (** T4. Each trained parameter with a gradient becomes p - lr * gradient; every other one stays. *)
  Theorem sgd_step_all_is stored p :
    sgd_step_all stored p
    = match (if trained p then gradient p else None) with
      | Some g => finish (sub (stored p) (scale g))
      | None => stored p
      end.
  Proof.
    transitivity (fold_left (fun now u => store now (fst u) (snd u))
      (map (fun e => (fst e, stepped stored (fst e) (snd e))) param_grads) stored p).
    - unfold sgd_step_all. destruct once eqn:O; [| reflexivity].
      rewrite (param_grads_once O), map_map. reflexivity.
    - rewrite (store_all (stepped stored)) by exact param_grads_nodup.
      rewrite <- get_param_grads. unfold get.
      destruct (find _ param_grads) as [e |]; [| reflexivity]. now destruct (snd e).
  Qed.

  (** *** Readable cases *)
  Corollary unused_stays stored p : ~ In p (map snd uses) -> sgd_step_all stored p = stored p.
  Proof.
    intro H. rewrite sgd_step_all_is. destruct (trained p); [| reflexivity].
    unfold gradient, leaves_of. replace (filter (fun u => snd u =? p) uses) with (@nil (leaf * param)); [reflexivity |].
    symmetry. induction uses as [| u l IH]; [reflexivity |]. cbn in *.
    destruct (Nat.eqb_spec (snd u) p); [tauto | apply IH; tauto].
  Qed.

  Corollary frozen_stays stored p : trained p = false -> sgd_step_all stored p = stored p.
  Proof. intro H. now rewrite sgd_step_all_is, H. Qed.

  Corollary absent_stays stored p : (forall i, In (i, p) uses -> grads i = None) -> sgd_step_all stored p = stored p.
  Proof.
    intro H. rewrite sgd_step_all_is. destruct (trained p); [| reflexivity].
    replace (gradient p) with (@None T); [reflexivity |]. unfold gradient, leaves_of. symmetry.
    induction uses as [| [i q] l IH]; [reflexivity |]. cbn [filter snd].
    destruct (Nat.eqb_spec q p) as [-> | N]; [| apply IH; intros j J; apply H; now right].
    cbn. rewrite (H i) by now left. apply IH. intros j J. apply H. now right.
  Qed.

  Corollary used_once_steps stored p i g :
    trained p = true -> leaves_of p = [i] -> grads i = Some g ->
    sgd_step_all stored p = finish (sub (stored p) (scale g)).
  Proof. intros Tp L G. rewrite sgd_step_all_is, Tp. unfold gradient. rewrite L. cbn. now rewrite G. Qed.

  Corollary used_twice_steps stored p i j g h :
    trained p = true -> leaves_of p = [i; j] -> grads i = Some g -> grads j = Some h ->
    sgd_step_all stored p = finish (sub (stored p) (scale (finish (add g h)))).
  Proof. intros Tp L G H. rewrite sgd_step_all_is, Tp. unfold gradient. rewrite L. cbn. now rewrite G, H. Qed.
End Step.

(** Witnesses over the integers with learning rate 2. Leaves 0 and 2 are parameter 7, leaf 1 is parameter 8, leaf 3
    the frozen parameter 9, leaf 4 is parameter 6, which has no gradient; parameter 5 is not used. *)
Definition example_trained (p : nat) : bool := negb (p =? 9).
Definition example_uses : list (nat * nat) := [(0, 7); (1, 8); (2, 7); (3, 9); (4, 6)].
Definition example_grads (i : nat) : option Z := nth i [Some 10; Some 20; Some 30; Some 40; None]%Z None.
Definition example_step : nat -> Z :=
  sgd_step_all Z Z.add Z.sub (Z.mul 2) (fun x => x) example_trained example_uses example_grads (fun _ => 100%Z).
Example example_step_is : map example_step [5; 6; 7; 8; 9] = [100; 100; 20; 60; 100]%Z.
Proof. reflexivity. Qed.

(** The hypotheses of the cases can be met: parameter 7 is used twice, 8 once, 9 is frozen, 6 absent, 5 unused. *)
Example example_cases :
  example_step 7 = (100 - 2 * (10 + 30))%Z /\ example_step 8 = (100 - 2 * 20)%Z /\
  example_step 9 = 100%Z /\ example_step 6 = 100%Z /\ example_step 5 = 100%Z.
Proof.
  unfold example_step. refine (conj _ (conj _ (conj _ (conj _ _)))).
  - exact (used_twice_steps Z Z.add Z.sub (Z.mul 2) (fun x => x) example_trained example_uses example_grads _
      7 0 2 10%Z 30%Z eq_refl eq_refl eq_refl eq_refl).
  - exact (used_once_steps Z Z.add Z.sub (Z.mul 2) (fun x => x) example_trained example_uses example_grads _
      8 1 20%Z eq_refl eq_refl eq_refl).
  - now apply frozen_stays.
  - apply absent_stays. intros i H. assert (i = 4) as -> by (cbn in H; intuition congruence). reflexivity.
  - apply unused_stays. cbn. intuition lia.
Qed.

(** The order of the sum is the leaves': here "addition" writes down its operands. *)
Example example_order :
  sgd_step_all (list nat) (fun s t => s ++ t) (fun p g => p ++ g) (fun g => g) (fun x => x) (fun _ => true)
    [(0, 7); (1, 7); (2, 7)] (fun i => Some [i]) (fun _ => []) 7 = [0; 1; 2].
Proof. reflexivity. Qed.

(** Both paths of the program: with no parameter used twice the sum is skipped. *)
Example example_once :
  once [(0, 7); (1, 8)] = true /\ once [(0, 7); (1, 7)] = false.
Proof. split; reflexivity. Qed.
