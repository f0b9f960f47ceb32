(** * The public theorems

    Stable names for what the theory proves. Each line is a name for a theorem proved elsewhere; the comment above
    it is its meaning in a sentence, and names in square brackets are the ops it specifies. `prooftape.theorems`
    lists these, with statement and axioms as Rocq prints them. *)
From Prooftape.Spec Require Import Graph Tape Op Statements RealNum.
From Prooftape.Core Require Link AdjointGraph DerivativeGraph Headline Held Absorb Step ForwardCost Rename DeadCode
  CommonSubexpression Pruning.
From Prooftape.Decl Require Table.
From Prooftape.Certificates Require Certify CheckComplete.
From Prooftape.Ops Require MatmulSpec ConvSpec PoolingSpec SoftmaxSpec NormSpec AttentionSpec.

(** ** T1: the tape is the graph *)
(** The tape's two loops on the compiled tape are eval and backprop_all_ctx: any tensors, any kernels, any addition, no law. *)
Definition link := @Link.compiled_tape_is_graph.

(** ** T2: reverse mode is the transpose of forward mode *)
(** For every well-typed graph over this op table, <jvp dx, seed> = <dx, backprop seed>, in every commutative semiring. *)
Definition adjoint := @AdjointGraph.graph_adjoint.
(** The same of one op's kernels, with the VJP reading saved values only. *)
Definition kernel_adjoint := @AdjointGraph.kernel_adjoint.
(** Every op's VJP is determined by what its record saves. *)
Definition saved_values_suffice := @Table.all_saves.

(** ** T3: forward mode is the derivative *)
(** The JVP is the Fréchet derivative of evaluation, detached values held, where the side conditions hold. *)
Definition jvp_is_derivative := @DerivativeGraph.jvp_is_derivative.
(** The tape's gradient is the Fréchet derivative of every seeded sum of outputs. *)
Definition gradient_is_derivative := @Headline.gradient_is_derivative.
(** Along every line x + t dx: tangents are derivatives, and <dx, gradient> is the derivative of the seeded sum. *)
Definition derivative := @Headline.graph_derivative.
(** At the point where values are held, evaluation with held values is evaluation. *)
Definition held_here := @Held.held_here.
(** Evaluation with held values is evaluation in every graph without detach. *)
Definition nothing_held := @Held.nothing_held.
(** Every op's readable side condition suffices for the derivative. *)
Definition side_conditions_suffice := @Table.all_differentiable.

(** ** T4: steps, costs, rewriting *)
(** sgd_step_all gives p - lr * (sum of its leaves' gradients) for exactly the used, unfrozen parameters with a gradient. *)
Definition sgd_step := @Step.sgd_step_all_is.
(** Forward mode is one pass: one forward kernel and at most one JVP kernel for each node. *)
Definition forward_mode_is_one_pass := @ForwardCost.forward_mode_is_one_pass.
(** A renaming of slots that respects nodes preserves all values. *)
Definition renaming_keeps_values := @Rename.renamed_values.
(** Removing dead code preserves the value of every kept slot. *)
Definition dead_code_removal := @DeadCode.dce_keeps_values.
(** Merging common subexpressions preserves every value. *)
Definition common_subexpressions := @CommonSubexpression.cse_keeps_values.
(** Leaving out cotangents that nobody needs changes none of those that are needed. *)
Definition pruning := @Pruning.pruned_tape.

(** ** T5: zero is absorbing *)
(** Where 0 * a = 0, multiplying by the absorbing product instead does not change any gradient. *)
Definition absorbing_zero := @Absorb.absorbing_backprop.
(** Without any law: a node whose cotangent is absent is never run. *)
Definition absent_never_run := @Absorb.absent_never_run.
(** Without the laws of a ring: a zero cotangent gives zero cotangents, if zero absorbs. *)
Definition zero_gives_zero := @Absorb.zero_cotangent_program.

(** ** T6: certificates *)
(** What the checker accepts is linked, adjoint and differentiable: T1, T2 and T3 of this graph and tape. *)
Definition certified := @Certify.certified.
(** The checker accepts exactly the well-typed graphs with their compiled tapes. *)
Definition check_exact := @CheckComplete.check_exact.

(** ** Textbook formulas *)
(** [matmul] Of two matrices: entry (i, j) is the sum over p of a[i, p] * b[p, j]. *)
Definition matmul_spec := @MatmulSpec.matmul_value.
(** [matmul] The cotangent of a is d b^T. *)
Definition matmul_vjp_left := @MatmulSpec.matmul_vjp_left.
(** [matmul] The cotangent of b is a^T d. *)
Definition matmul_vjp_right := @MatmulSpec.matmul_vjp_right.
(** [bmm] The matrix product, for each of the leading index. *)
Definition bmm_spec := @MatmulSpec.bmm_value.
(** [conv conv2d] b[o] plus the sum over channels c and kernel cells q of w[o, c, q] * x[c, t * stride + q - padding]. *)
Definition conv_spec := @ConvSpec.conv_formula.
(** [conv_transpose conv_transpose2d] b[o] plus the sum of w[c, o, q] * x[c, p] where p * stride + q - padding = t. *)
Definition conv_transpose_spec := @ConvSpec.conv_transpose_formula.
(** [softmax] exp(x_k) over the sum of exp(x_j) along the axis. *)
Definition softmax_spec := @SoftmaxSpec.softmax_spec.
(** [softmax] Subtracting one number from each group, such as its maximum, changes nothing. *)
Definition softmax_shift := @SoftmaxSpec.softmax_shift.
(** [log_softmax] x_k minus the logarithm of the sum of exp(x_j) along the axis. *)
Definition log_softmax_spec := @SoftmaxSpec.log_softmax_spec.
(** [logsumexp] The logarithm of the sum of exp(x_j) over the reduced cells. *)
Definition logsumexp_spec := @SoftmaxSpec.logsumexp_spec.
(** [layer_norm] (x - mean) / sqrt(variance + eps) * gamma + beta along the last axis. *)
Definition layer_norm_spec := @NormSpec.layer_norm_spec.
(** [rms_norm] x / sqrt(mean of squares + eps) * gamma along the last axis. *)
Definition rms_norm_spec := @NormSpec.rms_norm_spec.
(** [multi_head_attention] The heads' softmax(q k^T / sqrt d) v side by side, times wo: the formula of Vaswani et al. 2017. *)
Definition attention_spec := @AttentionSpec.multi_head_attention_spec.
(** [multi_head_attention] The same with a mask: scores that are not kept have weight 0. *)
Definition masked_attention_spec := @AttentionSpec.masked_multi_head_attention_spec.
(** [multi_head_attention] In that formula a query that keeps nothing gets zeros. *)
Definition idle_query_gets_zeros := @AttentionSpec.idle_query_gets_zeros.
(** [max_pool max_pool2d] The largest real cell of each window. *)
Definition max_pool_spec := @PoolingSpec.max_pool_formula.
(** [avg_pool avg_pool2d] The sum of each window's real cells over the size of the window. *)
Definition avg_pool_spec := @PoolingSpec.avg_pool_formula.
(** [smooth_max_pool] The logarithm of the sum of exp(beta x) over each window's real cells, over beta. *)
Definition smooth_max_pool_spec := @PoolingSpec.log_sum_exp_formula.
(** [smooth_max_pool2d] The mean of each window's real cells weighted by exp(beta x). *)
Definition smooth_max_pool2d_spec := @PoolingSpec.weighted_mean_formula.
