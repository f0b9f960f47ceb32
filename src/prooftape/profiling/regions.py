"""XLA: timing whole programs as they run, and the parts of one when it is run again.

A program that runs is opaque: XLA fuses nodes into regions. So after the steps each program is compiled once
more from the same instructions, every node's under the node's name, and run on the arguments it had under
JAX's profiler. The names survive compilation as metadata, which says which nodes each region covers.
"""

from __future__ import annotations

import re
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from prooftape.op import Call, Op
from prooftape.profiling.clock import SELF
from prooftape.tape import Instr

if TYPE_CHECKING:
    from prooftape.profiling.collect import Profile, Ran
    from prooftape.session import Session

MODULE: Final = "prooftape_profile"
UPDATE: Final = ("update", -1)
WAYS: Final = {"f": "forward", "b": "backward"}
NAME: Final = re.compile(r"pt_([fb])(\d+)_")
ENGINE_METHODS: Final = {"prepare": "value gradients tangent step update", "to_device": "put"}


# -- while the steps run ------------------------------------------------------------------------------
def watch_engine(profile: Profile, s: Session) -> None:
    """Time the programs of this session's engine, each until its results are there."""
    import jax

    engine, clock = s._xla, profile.clock
    assert engine is not None
    mine, first = engine.__dict__, engine.first
    spread = getattr(engine, "devices", None) is not None  # it places its arguments itself
    on_host = s.__dict__["_on_host"]

    def put(arguments: Sequence[Any]) -> Any:
        entries, tree = jax.tree.flatten(tuple(arguments))
        on_host = [k for k, x in enumerate(entries) if not isinstance(x, jax.Array)]
        if on_host:
            arrays = [np.asarray(entries[k]) for k in on_host]
            profile.moved["to_device"].count += len(arrays)
            profile.moved["to_device"].bytes += sum(a.nbytes for a in arrays)
            for k, x in zip(on_host, transfer(arrays), strict=True):
                entries[k] = x
        return jax.tree.unflatten(tree, entries)

    def transferred(arrays: Sequence[Any]) -> Any:
        with engine.context():
            return _ready(jax.device_put(arrays))

    put, mind = clock.timed(put, SELF), clock.timed(profile.ran, SELF)
    transfer = clock.timed(transferred, "to_device")

    def run_first(program: Any, form: Any, arguments: Sequence[Any]) -> Any:
        if not clock.running or not clock.is_mine():
            return first(program, form, arguments)
        compiles = not program.ran or form is not program.fast
        given = arguments if spread else put(arguments)
        keep = None if spread else lambda: jax.tree.map(np.array, given)
        ran = mind(program, engine, keep, s)
        clock.enter("compile" if compiles else "program")
        start = time.perf_counter()
        try:
            result = _ready(first(program, form, given))
        finally:
            clock.leave()
        ran.runs += 1
        if not compiles:
            ran.seconds.append(time.perf_counter() - start)
        return result

    def _on_host(value: Any, *dtype: str) -> Any:
        profile.moved["to_host"].count += 1
        profile.moved["to_host"].bytes += value.nbytes
        return on_host(value, *dtype)

    for phase, names in ENGINE_METHODS.items():
        for name in names.split():
            mine[name] = clock.timed(getattr(engine, name), phase)
    mine["first"] = run_first
    mine["quick"] = lambda *step: False  # a step that skips the questions skips `first` as well
    engine.observed = True
    s.__dict__["_on_host"] = _on_host


def unwatch_engine(s: Session) -> None:
    """The engine as it was."""
    engine = s._xla
    assert engine is not None
    for name in ("first", "quick", *(n for names in ENGINE_METHODS.values() for n in names.split())):
        engine.__dict__.pop(name, None)
    engine.observed = False


def _ready(results: Any) -> Any:
    import jax

    wait: Any = jax.block_until_ready
    return wait(results)


# -- afterwards ---------------------------------------------------------------------------------------
def measure(profile: Profile, ran: Ran) -> None:
    """Regions and nodes of one program; a note where that fails."""
    label = ran.program.label
    from prooftape.profiling.collect import ProgramTime

    st, _ = ran.program.made_from
    if getattr(ran.engine, "devices", None) is not None:
        profile.notes.append(f"{label}: runs on several devices and is not divided into regions")
        return
    try:
        with ran.engine.context():
            traced, text, times, again = _run_again(ran)
    except Exception as e:  # noqa: BLE001 - a profile is worth having without its last part
        profile.notes.append(f"{label}: not divided into regions: {type(e).__name__}: {e}")
        return
    if not times:
        profile.notes.append(f"{label}: JAX's profiler reported no operations here; its nodes have no times")
    usual = statistics.median(ran.seconds) if ran.seconds else 0.0
    profile.programs.append(ProgramTime(label, ran.runs, usual, again))
    _add(profile, ran, st, traced, regions_of(text), times)


def _run_again(ran: Ran) -> tuple[set[tuple[str, int]], str, dict[str, float], float]:
    """The nodes traced, the program's text, seconds of each of its operations in one run, and of the run."""
    import jax

    from prooftape.xla.compiling import compiler_options
    from prooftape.xla.program import StepArrays

    st, fn = ran.program.made_from

    def prooftape_profile(*arguments: Any) -> Any:
        return fn(StepArrays(st.scalar, False), *arguments)

    low = st.scalar in ("bfloat16", "float16")
    jitted: Any = jax.jit(prooftape_profile, compiler_options=compiler_options(low))
    arguments = jax.tree.map(jax.device_put, ran.arguments)
    traced: set[tuple[str, int]] = set()
    kept, marked = st.instrs, st.marked
    st._instrs = [named(instr, traced) for instr in kept]
    st.marked = lambda instr: named(instr, traced)
    try:
        compiled = jitted.lower(*arguments).compile()
    finally:
        st._instrs, st.marked = kept, marked
    start = time.perf_counter()
    for _ in range(2):
        _ready(compiled(*arguments))
    once = (time.perf_counter() - start) / 2
    runs = max(3, min(30, int(0.3 / max(once, 1e-4))))
    settings = jax.profiler.ProfileOptions()
    settings.python_tracer_level = 0
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=settings):
            spent = []
            for _ in range(runs):
                start = time.perf_counter()
                _ready(compiled(*arguments))
                spent.append(time.perf_counter() - start)
        times = _times(Path(folder), runs)
    return traced, compiled.as_text(), times, statistics.median(spent)


def named(instr: Instr, traced: set[tuple[str, int]]) -> Instr:
    """The same instruction; what its rules trace carries its number, and its running is noted."""
    import jax

    call = instr.call

    def under(way: str, rule: Any) -> Any:
        def traced_rule(*args: Any, **kwargs: Any) -> Any:
            traced.add((WAYS[way], instr.out))
            with jax.named_scope(f"pt_{way}{instr.out}_{call.op.name}"):
                return rule(*args, **kwargs)

        return traced_rule

    rules = {"forward": under("f", call.op.forward), "vjp": under("b", call.op.vjp)}
    op: Op = replace(call.op, **rules, jvp=under("f", call.op.jvp), _calls={})
    other = object.__new__(Call)
    for name in Call.__slots__:
        object.__setattr__(other, name, getattr(call, name))
    object.__setattr__(other, "op", op)
    return instr._replace(call=other)


def _times(folder: Path, runs: int) -> dict[str, float]:
    """Seconds per run of each operation of our module, from the trace that JAX left in the folder."""
    from jax.profiler import ProfileData

    found: dict[str, float] = defaultdict(float)
    for path in folder.rglob("*.xplane.pb"):
        for plane in ProfileData.from_file(str(path)).planes:
            for line in plane.lines:
                for event in line.events:
                    stats = dict(event.stats)
                    if MODULE in str(stats.get("hlo_module", "")) and "hlo_op" in stats:
                        found[str(stats["hlo_op"])] += event.duration_ns * 1e-9 / runs
    return dict(found)


# -- the text of a compiled program -------------------------------------------------------------------
HEADER: Final = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) .*\{\s*$")
INSTRUCTION: Final = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = ")
CALLED: Final = re.compile(r"(?:calls|to_apply|body|condition)=%?([\w.\-]+)")
BRANCHES: Final = re.compile(r"branch_computations=\{([^}]*)\}")
OP_NAME: Final = re.compile(r'op_name="([^"]*)"')


def regions_of(text: str) -> dict[str, tuple[dict[tuple[str, int], int], set[str]]]:
    """Operation -> (nodes it covers with how many instructions each, operations inside it).

    Instructions that no node's rules made, those of the update above all, count for the node ("update", -1).
    """
    inside: dict[str, list[str]] = {}
    calls: dict[str, list[str]] = {}
    own: dict[str, tuple[str, int] | None] = {}
    current = ""
    for line in text.splitlines():
        found = INSTRUCTION.match(line)
        if found is None:
            header = HEADER.match(line)
            if header is not None:
                current = header[1]
                inside[current] = []
            continue
        name = found[1]
        inside.setdefault(current, []).append(name)
        branches = BRANCHES.search(line)
        others = [b.strip().lstrip("%") for b in branches[1].split(",")] if branches else []
        calls[name] = CALLED.findall(line) + others
        metadata = OP_NAME.search(line)
        said = NAME.findall(metadata[1]) if metadata else []
        node = (WAYS[said[-1][0]], int(said[-1][1])) if said else UPDATE
        own[name] = node if metadata else None

    # what a call runs that is not inlined has lost the node's name, which the call itself still has
    for name, of in list(own.items()):
        if of is not None and of != UPDATE:
            todo = calls[name][:]
            while todo:
                for member in inside.get(todo.pop(), ()):
                    if own[member] in (None, UPDATE):
                        own[member] = of
                        todo += calls[member]

    def below(name: str, seen: set[str]) -> Iterator[str]:
        for computation in calls.get(name, ()):
            if computation not in seen:
                seen.add(computation)
                for other in inside.get(computation, ()):
                    yield other
                    yield from below(other, seen)

    result = {}
    for name in own:
        members = set(below(name, set()))
        marks = Counter([of for m in members if (of := own[m]) is not None])
        mine = own[name]
        if not marks and mine is not None:
            marks[mine] = 1
        result[name] = (dict(marks), members)
    return result


def _add(
    profile: Profile,
    ran: Ran,
    st: Any,
    traced: set[tuple[str, int]],
    regions: dict[str, tuple[dict[tuple[str, int], int], set[str]]],
    times: dict[str, float],
) -> None:
    """Regions with their times, and the nodes' shares of them."""
    from prooftape.profiling.collect import NodeTime, Region

    share: dict[tuple[str, int], float] = defaultdict(float)
    for name, seconds in times.items():
        marks, members = regions.get(name, ({}, set()))
        if any(m in times for m in members):
            continue  # a loop or call: its time is that of the operations inside it
        for node, n in marks.items():
            share[node] += seconds * n / sum(marks.values())
        if not marks:
            share[UPDATE] += seconds
        label = _label(st, marks)
        profile.regions.append(Region(ran.program.label, name, marks, label, seconds, ran.runs))
    profile.regions.sort(key=lambda r: -r.seconds * r.runs)
    profile.update_seconds += ran.runs * share[UPDATE]
    for id in sorted({id for _, id in traced}):
        call = st.nodes[id - st.base].call
        where = ran.locations[id] if id < len(ran.locations) else None
        forward, backward = ran.runs * share["forward", id], ran.runs * share["backward", id]
        line = "" if where is None else str(where)
        profile.add_node_time(NodeTime(id, call.op.name, str(call.out), line, forward, backward, ran.runs))


def _label(st: Any, marks: dict[tuple[str, int], int]) -> str:
    """`forward: linear, relu; backward: mul`."""
    parts = []
    for way in ("forward", "backward"):
        ids = sorted({id for w, id in marks if w == way})
        ops = list(dict.fromkeys(st.nodes[id - st.base].call.op.name for id in ids))
        if ops:
            more = f" and {len(ops) - 4} more" if len(ops) > 4 else ""
            parts.append(f"{way}: {', '.join(ops[:4])}{more}")
    if UPDATE in marks:
        parts.append("update and the rest")
    return "; ".join(parts) or "a copy or another without a name"
