"""Texts whose frame is not a certificate's: statement, proof, preamble, header, order of the parts."""

from __future__ import annotations

from collections.abc import Iterator

from text_edits import (
    A_CALL,
    APPLY,
    CALL,
    COMPUTE,
    INSTR,
    LEAVES,
    LEMMA,
    LINES,
    NODE,
    PREAMBLE,
    PROOF,
    RIGHT,
    THEOREM,
    BadText,
    edited,
    inserted,
    node,
    pinned,
)


def bad_frames() -> list[BadText]:
    """All of them."""
    return [*statements(), *commands(), *comments(), *headers(), *repeated()]


# -- statement and proof -------------------------------------------------------------------------------------
def statements() -> Iterator[BadText]:
    """Another theorem, a weaker one, another way to end its proof."""

    def proof(name: str, old: str, new: str) -> BadText:
        return pinned("statement", name, PROOF, old, new)

    yield proof("changed", THEOREM, "Theorem certificate : Linked leaves graph tape.")
    yield proof("weakened to true", THEOREM, "Theorem certificate : True.")
    yield proof(
        "under a false premise", THEOREM, "Theorem certificate : False -> Certified leaves graph tape."
    )
    yield proof("of an empty tape", THEOREM, "Theorem certificate : Certified leaves graph [].")
    yield proof("of another name", THEOREM, "Theorem certified : Certified leaves graph tape.")
    yield proof("a definition", THEOREM, "Definition certificate : Certified leaves graph tape.")
    yield proof("another theorem applied", APPLY, "Proof. exact (linked leaves graph tape checked). Qed.")
    yield proof("lemma about nothing", LEMMA, "Lemma checked : check [] [] [] = true.")
    yield proof("lemma negated", LEMMA, "Lemma checked : check leaves graph tape = false.")
    yield proof("lemma replaced by an axiom", LEMMA, "Axiom checked : check leaves graph tape = true.")
    yield proof("admitted", APPLY, "Proof. Admitted.")
    yield proof("aborted", APPLY, "Proof. Abort.")
    yield proof("left open", APPLY, "Proof. exact (certified leaves graph tape checked).")
    yield proof("transparent", APPLY, APPLY.replace("Qed", "Defined"))
    yield proof("computation replaced by admit", COMPUTE, "Proof. admit. Admitted.")
    yield proof("computation by another machine", COMPUTE, "Proof. native_compute. reflexivity. Qed.")
    yield proof("computation given up", COMPUTE, "Proof. give_up. Qed.")
    yield proof("computation left to a tactic", COMPUTE, "Proof. easy. Qed.")


# -- commands that have no place -----------------------------------------------------------------------------
def commands() -> Iterator[BadText]:
    """A line too many, before the proof, among the calls, or after the preamble."""
    must = f"{PROOF} must read {LEMMA!r}"
    types = "expected the types of the leaves"

    def before_proof(name: str, new: str) -> BadText:
        return inserted("command", name, new, LEMMA, must)

    def before_leaves(name: str, new: str) -> BadText:
        return inserted("command", name, new, LEAVES, types)

    yield before_proof("axiom", "Axiom cheat : False.")
    yield before_proof("parameter", "Parameter cheat : forall P : Prop, P.")
    yield before_proof("conjecture", "Conjecture cheat : False.")
    yield before_proof("section with a hypothesis", "Section S. Hypothesis cheat : False.")
    yield before_proof("guard checking off", "Unset Guard Checking.")
    yield before_proof("guard checking on", "Set Guard Checking.")
    yield before_proof("universe checking off", "Unset Universe Checking.")
    yield before_proof("positivity checking off", "Unset Positivity Checking.")
    yield before_proof("check redefined", "Definition check (l : list ty) g t := true.")
    yield before_proof("Certified redefined", "Definition Certified (l : list ty) (g t : nat) := True.")
    yield before_proof("tape redefined", "Definition tape : tape opname := [].")
    yield before_proof("notation for the statement", "Notation Certified := (fun _ _ _ => True).")
    yield before_proof("notation for true", 'Notation "a = b" := True.')
    yield before_proof("tactic redefined", "Ltac vm_compute := idtac.")
    yield before_proof("tactic notation", 'Tactic Notation "reflexivity" := exact cheat.')
    yield before_proof("scope opened", "Open Scope Z_scope.")
    yield before_proof("delimiter moved", "Delimit Scope Z_scope with N.")
    yield before_proof("module", "Module M.")
    yield before_proof("goal", "Goal True.")
    yield before_proof("coercion", "Coercion cheat : nat >-> Prop.")
    yield before_leaves("file loaded", 'Load "/tmp/cheat".')
    yield before_leaves("library required", "From Coq Require Import ClassicalEpsilon.")
    yield before_leaves("path added", 'Add LoadPath "/tmp" as Cheat.')
    yield before_leaves("plugin", 'Declare ML Module "cheat".')
    yield before_leaves("file written", 'Redirect "/tmp/out" Print nat.')
    yield before_leaves("code extracted", 'Extraction "/tmp/out.ml" nat.')
    yield before_leaves("option set", "Set Printing All.")
    among = f"expected {A_CALL}"
    yield inserted("command", "check redefined among the calls", "Definition check := true.", CALL, among)
    yield inserted(
        "command", "theorem redefined among the calls", "Definition certified := I.", LEAVES, among
    )
    yield inserted("command", "in the graph", "Axiom cheat : False.", NODE, "expected node")
    yield inserted("command", "in the tape", "Axiom cheat : False.", INSTR, "expected instruction")
    imports = "From Prooftape.Certificates Require Import Certify."
    yield pinned(
        "command", "another checker imported", PREAMBLE, imports, imports.replace("Certify", "Check")
    )
    yield pinned(
        "command", "another library imported", PREAMBLE, imports, imports.replace("Prooftape", "Mine")
    )
    yield pinned(
        "command", "an import added", PREAMBLE, "Import ListNotations.", "Import ListNotations Classical."
    )
    yield pinned("command", "another scope", PREAMBLE, "Open Scope N_scope.", "Open Scope Z_scope.")
    lists = "Import ListNotations."
    yield pinned("command", "two on a line", PREAMBLE, lists, f"{lists} Axiom a : False.")
    calls = CALL + " Axiom cheat : False."
    yield edited("command", "after a call", A_CALL, CALL, CALL, calls)


# -- comments ------------------------------------------------------------------------------------------------
def comments() -> Iterator[BadText]:
    """Comments hide what they hold from the prover, not from a reader, or the other way round."""
    yield pinned("comment", "behind the statement", PROOF, THEOREM, f"{THEOREM} (* *)")
    yield pinned("comment", "around the theorem", PROOF, THEOREM, f"(* {THEOREM}")
    yield pinned(
        "comment", "inside the statement", PROOF, THEOREM, THEOREM.replace("graph", "(* graph *) []")
    )
    yield pinned("comment", "opened and left open", PROOF, LEMMA, "(*")
    yield pinned(
        "comment", "opened in the preamble", PREAMBLE, "Open Scope N_scope.", "Open Scope N_scope. (*"
    )
    yield inserted(
        "comment", "on a line of its own", "(* fine *)", LEAVES, "expected the types of the leaves"
    )
    yield node("comment", "in a node", "[3;0]", "[3(*;1*);0]")
    yield node("comment", "behind a node", "];", "]; (* *)")
    yield node("comment", "instead of an operand", "[3;0]", "[3;(* 0 *)]")
    yield edited("comment", "a string with an opening", A_CALL, CALL, "[]", '["(*"]')


# -- the first three lines -----------------------------------------------------------------------------------
def headers() -> Iterator[BadText]:
    """Format, theory and graph."""

    def digest(name: str, line: int, what: str, new: str) -> BadText:
        wrong = "\n".join([*LINES[: line - 1], new, *LINES[line:]]) + "\n"
        return BadText(f"header: {name}", wrong.encode(), line, f"expected {what}, found {new[:80]!r}")

    yield pinned(
        "header", "another format", "the first line", LINES[0], LINES[0].replace("format 1", "format 2")
    )
    yield pinned("header", "missing", "the first line", LINES[0], LINES[1])
    theory = LINES[1].split(" ")[2]
    reason = (
        f"it was made for theory {'0' * 16}…, this installation has {theory[:16]}…; "
        "certify the graph again, or verify with the version that made it"
    )
    yield BadText("header: another theory", RIGHT.replace(theory, "0" * 64).encode(), 2, reason)
    the_theory, the_graph = "the theory's digest", "the graph's digest"
    yield digest("theory cut short", 2, the_theory, LINES[1].replace(theory, theory[:63]))
    yield digest("theory in capitals", 2, the_theory, LINES[1].replace(theory, "A" * 64))
    yield digest("theory left out", 2, the_theory, "(* theory *)")
    yield digest("comment closed early", 2, the_theory, LINES[1].replace(" *)", " *) Axiom a : False. (* *)"))
    yield digest("graph before theory", 2, the_theory, LINES[2])
    yield digest("graph cut short", 3, the_graph, LINES[2].replace(" *)", "")[:-1] + " *)")
    yield digest("graph no digest", 3, the_graph, "(* graph mine *)")
    yield pinned("header", "preamble line missing", PREAMBLE, LINES[3], LINES[4])


# -- parts twice, or in another order ------------------------------------------------------------------------
def repeated() -> Iterator[BadText]:
    """Every part stands where it must, once."""
    graph, tape, proof = (
        LINES.index(f)
        for f in ("Definition graph : graph opname := [", "Definition tape : tape opname := [", LEMMA)
    )

    def text(*parts: list[str]) -> str:
        return "".join(f"{line}\n" for part in parts for line in part)

    head, graphs, tapes, end = LINES[:graph], LINES[graph:tape], LINES[tape:proof], LINES[proof:]

    def case(name: str, what: str, line: int, wanted: str, found: str, *parts: list[str]) -> BadText:
        return BadText(
            f"repeated: {name}", text(*parts).encode(), line, f"{what} must read {wanted!r}, found {found!r}"
        )

    yield case("graph twice", "the tape", tape + 1, tapes[0], graphs[0], head, graphs, graphs, tapes, end)
    yield case("tape twice", PROOF, proof + 1, LEMMA, tapes[0], head, graphs, tapes, tapes, end)
    yield case("tape before graph", "the graph", graph + 1, graphs[0], tapes[0], head, tapes, graphs, end)
    yield case("tape missing", "the tape", tape + 1, tapes[0], LEMMA, head, graphs, end)
    yield case("graph missing", "the graph", graph + 1, graphs[0], tapes[0], head, tapes, end)
    yield case("leaves twice", "the graph", graph + 1, graphs[0], LEAVES, head, [LEAVES], graphs, tapes, end)
    yield case(
        "theorem before lemma", PROOF, proof + 1, LEMMA, THEOREM, head, graphs, tapes, end[2:], end[:2]
    )
    after = len(LINES) + 1
    yield BadText(
        "repeated: proof twice", text(LINES, end).encode(), after, f"text after the proof: {LEMMA!r}"
    )
    yield BadText(
        "repeated: two certificates",
        text(LINES, LINES).encode(),
        after,
        f"text after the proof: {LINES[0]!r}",
    )
    more = "Theorem extra : False. Proof. Admitted."
    yield BadText(
        "repeated: a theorem after the proof",
        text(LINES, [more]).encode(),
        after,
        f"text after the proof: {more!r}",
    )
    again = text(LINES[: LINES.index(CALL)], [CALL], LINES[LINES.index(CALL) :])
    at = LINES.index(CALL) + 2
    yield BadText("repeated: a call twice", again.encode(), at, "call c2 should come next, found c1")
    late = text(head[:-1], [LEAVES, CALL], graphs, tapes, end)
    yield BadText(
        "repeated: a call after the leaves",
        late.encode(),
        graph + 1,
        f"the graph must read {graphs[0]!r}, found {CALL[:80]!r}",
    )
