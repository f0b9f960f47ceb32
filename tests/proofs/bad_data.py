"""Texts whose data are not written as a certificate writes them: letters, spaces, numbers, lists, terms."""

from __future__ import annotations

from collections.abc import Iterator

from text_edits import (
    A_CALL,
    CALL,
    CLAMP,
    COMPUTE,
    INSTR,
    LAST_NODE,
    LEAVES,
    LEMMA,
    LINES,
    NODE,
    PROOF,
    RIGHT,
    THEOREM,
    BadText,
    edited,
    inserted,
    line_of,
    node,
    not_ascii,
    pinned,
)


def bad_data() -> list[BadText]:
    """All of them."""
    return [*letters(), *white_space(), *cut(), *numbers(), *brackets(), *terms()]


# -- letters that look alike ---------------------------------------------------------------------------------
def letters() -> Iterator[BadText]:
    """Anything but plain ASCII is refused by its byte, wherever it is."""

    def byte(name: str, line: str, old: str, new: str | bytes) -> BadText:
        raw = new if isinstance(new, bytes) else new.encode()
        assert old in line, name
        at = RIGHT.index(line + "\n") + line.index(old)
        data = RIGHT[:at].encode() + raw + RIGHT[at + len(old) :].encode()
        code = next(b for b in raw if b > 126 or (b < 32 and b != 10))
        return BadText(f"letter: {name}", data, line_of(RIGHT, line), not_ascii(code))

    yield byte("Cyrillic a in the statement", THEOREM, "a", "\u0430")
    yield byte("Cyrillic e in the lemma's name", LEMMA, "e", "\u0435")
    yield byte("Greek omicron in a command", NODE, "o", "\u03bf")
    yield byte("full-width digit", NODE, "3", "\uff13")
    yield byte("Arabic digit", NODE, "3", "\u0663")
    yield byte("mathematical bold digit", NODE, "3", "\U0001d7d1")
    yield byte("superscript digit", NODE, "3", "\u00b3")
    yield byte("zero-width space", THEOREM, "leaves", "le\u200baves")
    yield byte("zero-width joiner", LEMMA, "check ", "ch\u200deck ")
    yield byte("right-to-left override", THEOREM, "leaves", "\u202eleaves")
    yield byte("no-break space", THEOREM, " leaves", "\u00a0leaves")
    yield byte("soft hyphen", LEMMA, "checked", "check\u00aded")
    yield byte("line separator", COMPUTE, " reflexivity", "\u2028reflexivity")
    yield byte("next line", COMPUTE, " reflexivity", "\u0085reflexivity")
    yield byte("full-width semicolon", NODE, ";", "\uff1b")
    yield byte("curly quotes", CALL, "op_sub", "\u201cop_sub\u201d")
    yield byte("byte-order mark", LINES[0], "(*", "\ufeff(*")
    yield byte("null byte", NODE, "[3", b"\0[3")
    yield byte("escape sequence", LEMMA, "Lemma", b"\x1b[8mLemma")
    yield byte("backspace", LEMMA, "true", b"true\x08\x08\x08\x08")
    yield byte("delete", LEMMA, "true", b"true\x7f")
    yield byte("not UTF-8", LEMMA, "true", b"\xff\xfe")
    yield byte("tab", NODE, " [3", "\t[3")
    yield byte("carriage return", LINES[0], "*)", "*)\r")
    yield byte("carriage return alone", COMPUTE, "Qed.", "Qed.\rAdmitted.")
    yield byte("form feed", COMPUTE, " reflexivity", "\x0creflexivity")
    yield byte("vertical tab", COMPUTE, " reflexivity", "\x0breflexivity")
    yield BadText("letter: UTF-16", RIGHT.encode("utf-16-le"), 1, not_ascii(0))


# -- white space ---------------------------------------------------------------------------------------------
def white_space() -> Iterator[BadText]:
    """One text for one content: what means the same is refused as well."""
    yield node("space", "behind a node", "];", "]; ")
    yield node("space", "before a node", "Node", " Node")
    yield node("space", "doubled", " [3", "  [3")
    yield node("space", "in a list", "3;0", "3; 0")
    yield node("space", "missing", " [3", "[3")
    yield pinned("space", "behind the statement", PROOF, THEOREM, THEOREM + " ")
    yield pinned("space", "before the proof", PROOF, COMPUTE, " " + COMPUTE)
    yield inserted("space", "empty line in the graph", "", NODE, "expected node")
    yield inserted("space", "empty line before the proof", "", LEMMA, f"{PROOF} must read {LEMMA!r}")
    yield BadText(
        "space: empty line first",
        ("\n" + RIGHT).encode(),
        1,
        f"the first line must read {LINES[0]!r}, found ''",
    )
    yield BadText(
        "space: empty line last", (RIGHT + "\n").encode(), len(LINES) + 1, "text after the proof: ''"
    )
    yield edited("space", "two nodes on a line", "node", NODE, NODE, f"{NODE} {NODE}")
    split = RIGHT.replace(NODE, NODE.replace(" []", "\n[]"))
    yield BadText(
        "space: a node on two lines",
        split.encode(),
        line_of(RIGHT, NODE),
        "expected node, found 'Node c1 [3;0]'",
    )


# -- cut off -------------------------------------------------------------------------------------------------
def cut() -> Iterator[BadText]:
    """Files that end too early, or are none."""
    n = len(LINES)
    yield BadText("cut: empty file", b"", 1, "the file is empty")
    yield BadText("cut: a line break alone", b"\n", 1, f"the first line must read {LINES[0]!r}, found ''")
    yield BadText("cut: last line break", RIGHT[:-1].encode(), n, "the last line is cut off")
    yield BadText("cut: last letters", RIGHT[:-3].encode(), n, "the last line is cut off")
    without = "".join(f"{line}\n" for line in LINES[:-1])
    yield BadText(
        "cut: proof of the theorem", without.encode(), n - 1, f"the file ends where {PROOF} should be"
    )
    at = LINES.index(LAST_NODE)
    half = "".join(f"{line}\n" for line in LINES[:at])
    yield BadText(
        "cut: in the graph",
        half.encode(),
        at,
        "the file ends where one more node or the closing '].' should be",
    )
    head = "".join(f"{line}\n" for line in LINES[:7])
    yield BadText(
        "cut: after the preamble", head.encode(), 7, "the file ends where the types of the leaves should be"
    )
    yield BadText(
        "cut: after the first line",
        (LINES[0] + "\n").encode(),
        1,
        "the file ends where the theory's digest should be",
    )
    start = RIGHT.index(NODE)
    yield BadText(
        "cut: in a node", RIGHT[: start + 8].encode(), line_of(RIGHT, NODE), "the last line is cut off"
    )
    yield BadText(
        "cut: a compiled file",
        b"\x00\x00Coq!" + bytes(range(256)),
        1,
        not_ascii(0),
    )
    yield BadText(
        "cut: an empty theory",
        b"Theorem certificate : True.\nProof. exact I. Qed.\n",
        1,
        f"the first line must read {LINES[0]!r}, found 'Theorem certificate : True.'",
    )


# -- numbers -------------------------------------------------------------------------------------------------
def numbers() -> Iterator[BadText]:
    """Slots are naturals in decimal, of at most 40 digits."""

    def slot(name: str, new: str) -> BadText:
        return node("number", name, "3;0", f"{new};0")

    yield slot("negative slot", "(-3)")
    yield slot("negative slot without parentheses", "-3")
    yield slot("minus zero", "-0")
    yield slot("plus sign", "+3")
    yield slot("leading zero", "03")
    yield slot("hexadecimal", "0x3")
    yield slot("underscore", "3_0")
    yield slot("decimal point", "3.0")
    yield slot("exponent", "3e0")
    yield slot("scope", "3%nat")
    yield slot("expression", "1+2")
    yield slot("name", "three")
    yield slot("missing", "")
    yield slot("41 digits", "1" * 41)
    yield slot("a million digits", "1" * 1_000_000)
    yield edited("number", "41 digits in a shape", A_CALL, CALL, "[2;3]", f"[2;{'9' * 41}]")
    yield edited("number", "negative extent", A_CALL, CALL, "[2;3]", "[2;(-3)]")
    yield edited("number", "denominator zero", A_CALL, CLAMP, "Qmake 0 1", "Qmake 0 0")
    yield edited("number", "negative denominator", A_CALL, CLAMP, "Qmake 0 1", "Qmake 0 (-1)")
    yield edited("number", "another notation", A_CALL, CLAMP, "(Qmake 0 1)", "(0#1)")
    yield edited("number", "real number", A_CALL, CLAMP, "Fin (Qmake 0 1)", "0.5")
    yield edited("number", "huge call number", A_CALL, CALL, "c1 ", f"c{'9' * 41} ")


# -- brackets and separators ---------------------------------------------------------------------------------
def brackets() -> Iterator[BadText]:
    """Lists are written one way."""
    yield node("bracket", "closing bracket missing", "0]", "0")
    yield node("bracket", "opening bracket missing", "[3", "3")
    yield node("bracket", "one too many", "0]", "0]]")
    yield node("bracket", "round ones", "[3;0]", "(3;0)")
    yield node("bracket", "comma", "3;0", "3,0")
    yield node("bracket", "separator at the end of a list", "0]", "0;]")
    yield node("bracket", "other notation for a list", "[3;0]", "(3::0::nil)")
    yield node("bracket", "function in a list", "[3;0]", "(rev [0;3])")
    yield node("bracket", "list missing", " []", "")
    yield node("bracket", "two separators", "];", "];;")
    text = RIGHT.replace(LAST_NODE, LAST_NODE + ";")
    yield BadText(
        "bracket: separator after the last node",
        text.encode(),
        line_of(RIGHT, LAST_NODE),
        "the last node must not end in ';'",
    )
    text = RIGHT.replace(NODE, NODE[:-1])
    after = LINES[LINES.index(NODE) + 1]
    yield BadText(
        "bracket: separator missing",
        text.encode(),
        line_of(RIGHT, after),
        f"the node before must end in ';', found {after!r} after it",
    )
    text = RIGHT.replace(f"{LAST_NODE}\n].\n", f"{LAST_NODE}\n")
    closing = "Definition tape : tape opname := ["
    yield BadText(
        "bracket: graph not closed",
        text.encode(),
        line_of(text, closing),
        f"the node before must end in ';', found {closing!r} after it",
    )
    text = RIGHT.replace(f"{LAST_NODE}\n].\n", f"{LAST_NODE}].\n")
    yield BadText(
        "bracket: closed on the last node's line",
        text.encode(),
        line_of(RIGHT, LAST_NODE),
        f"expected node, found {LAST_NODE + '].'!r}",
    )
    tape = LINES[LINES.index("Definition tape : tape opname := [") + 1 :]
    text = RIGHT.replace("\n".join(tape[: tape.index("].")]) + "\n].", "].]")
    yield BadText(
        "bracket: closed twice", text.encode(), line_of(text, "].]"), "expected instruction, found '].]'"
    )


# -- terms that are none -------------------------------------------------------------------------------------
def terms() -> Iterator[BadText]:
    """Calls, types and attributes that `emit` never writes."""

    def of_call(name: str, old: str, new: str) -> BadText:
        return edited("term", name, A_CALL, CALL, old, new)

    yield of_call("an op in capitals", "op_sub", "op_Sub")
    yield of_call("an op with a dot", "op_sub", "op_x.sub")
    yield of_call("another constructor", "Call op_sub", "call_of op_sub")
    yield of_call("another element type", "Ty Real", "Ty Complex")
    yield of_call("result without parentheses", "(Ty Real [2;3])", "Ty Real [2;3]")
    yield of_call("type annotation changed", "call opname", "call nat")
    yield of_call("no annotation", " : call opname", "")
    yield of_call("an expression instead", ":= Call", ":= if true then Call")
    yield of_call("a function", "c1 :", "c1 (x : nat) :")
    yield of_call("attribute of no kind", "[] [Ty", "[0] [Ty")
    yield of_call("attribute a string", "[] [Ty", '[AStr "x"] [Ty')
    yield of_call("attribute an integer without scope", "[] [Ty", "[AInt 1] [Ty")
    yield of_call("attribute a negative without parentheses", "[] [Ty", "[AInt -1%Z] [Ty")
    yield of_call("attribute minus zero", "[] [Ty", "[AInt (-0)%Z] [Ty")
    yield of_call("attribute a boolean by number", "[] [Ty", "[ABool 1] [Ty")
    yield of_call("attribute a triple", "[] [Ty", "[APairs [(1,2,3)]%Z] [Ty")
    yield of_call("attribute a literal without type", "[] [Ty", "[ALit 0] [Ty")
    yield edited("term", "leaves not a list", "the types of the leaves", LEAVES, "[Ty", "rev [Ty")
    yield node("term", "not a node", "Node", "Instr")
    yield node("term", "call written out", "c1", "(Call op_sub [] [] [] (Ty Real []))")
    yield edited("term", "instruction without its result", "instruction", INSTR, " 4 ", " ")
    yield edited("term", "instruction with a pair too long", "instruction", INSTR, "[];", "[(0,1,2)];")
    text = RIGHT.replace(NODE, NODE.replace("c1", "c99"))
    yield BadText(
        "term: call that is not defined",
        text.encode(),
        line_of(RIGHT, NODE),
        "node of call c99, which is not defined",
    )
    text = RIGHT.replace(INSTR, INSTR.replace("c1", "c99"))
    yield BadText(
        "term: instruction of an undefined call",
        text.encode(),
        line_of(RIGHT, INSTR),
        "instruction of call c99, which is not defined",
    )
    text = RIGHT.replace(CALL, CALL.replace("Definition c1", "Definition c2"))
    yield BadText(
        "term: calls misnumbered", text.encode(), line_of(RIGHT, CALL), "call c1 should come next, found c2"
    )
