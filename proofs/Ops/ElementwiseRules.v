(** Derivatives of elementwise ops by the rules of calculus: the tactics of the op files. Each leaves equations of real
    numbers, the slopes of the Python rules on one side and the derivative on the other. *)
From Coq Require Import Reals List QArith Qreals Bool Arith Lra.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Op RealNum.
From Prooftape.Core Require Import Side Obligations Functions ScalarDerivative.
From Prooftape.Ops Require Import Smoothness Elementwise.
Import ListNotations.
Open Scope R_scope.

(** No side condition. *)
Lemma elementwise_everywhere d ok f slopes :
  d_variadic d = false -> d_optional d = 0%nat -> d_differentiable d = true -> d_out d = Real ->
  (forall ps v, length v = length (d_operands d) -> ok ps = true -> True ->
     ew_diff f ps slopes (mask_dtypes (d_operands d)) v) ->
  side_enough d (elementwise_if ok f slopes) everywhere.
Proof.
  intros Hv Ho Hd Hr H w attrs tys lens nats t p U a La _.
  refine (elementwise_differentiable d ok f slopes (fun _ _ => True) Hv Ho Hd Hr H (fun _ _ _ _ h => h)
            w attrs tys lens nats t p U a La _).
  now intros i Hi.
Qed.

(** ** Masks and comparisons of real numbers *)
Lemma holds_truth b : holds (R := Rnum) (truth b) = b.
Proof. unfold holds, truth. cbn. unfold Reqb. destruct b, (Req_EM_T _ 0); try reflexivity; lra. Qed.

Lemma Reqb_refl x : Reqb x x = true.
Proof. unfold Reqb. now destruct (Req_EM_T x x). Qed.
Lemma Reqb_false x y : x <> y -> Reqb x y = false.
Proof. unfold Reqb. now destruct (Req_EM_T x y). Qed.

Lemma half : Q2R (1 # 2) = / 2.
Proof. unfold Q2R. cbn. lra. Qed.

(** ** Tactics *)
(** expressions of real numbers, and integer literals, as the reals they are *)
Ltac as_reals :=
  cbn [sx_ok sx_still sx_d sxe fn_ok fn_d slopes_agree nth Datatypes.app Nat.eqb mask_dtypes map dtype_eqb
       Scalar.zero Scalar.one Scalar.add Scalar.sub Scalar.mul Scalar.div Scalar.neg Scalar.lit Scalar.ltb Scalar.leb
       Scalar.eqb Scalar.pow Scalar.app car Rnum Rapp];
  rewrite ?Q2R_integer, ?half.

(** [side_enough] of an elementwise op with this expression and these slopes: what is left are the conditions of the
    rules, then one equation per operand that is no mask *)
Ltac by_rules f slopes :=
  first [apply elementwise_everywhere | apply elementwise_differentiable]; try reflexivity; try same_entries;
  intros ps [|x [|y [|z [|]]]] L Hok H; try discriminate L; clear L; cbn [nth] in H;
  first [apply ew_by_rules_1 | apply ew_by_rules_2 | apply ew_by_rules_3];
  unfold f, slopes; as_reals; rewrite ?holds_truth.

(** [side_enough] of a result without derivative: the conditions under which it does not move *)
Ltac by_stillness f :=
  apply piecewise_constant_differentiable; try reflexivity; try same_entries;
  intros ps [|x [|y [|]]] L H; try discriminate L; clear L; cbn [nth] in H; unfold f; as_reals.
