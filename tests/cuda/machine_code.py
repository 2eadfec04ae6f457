"""Reads GPU machine code: which accesses it makes, and how many instructions a loop costs."""

import functools
import heapq
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    address: int
    guard: str  # predicate under which it runs, as "@!P0"; empty: always
    text: str  # opcode and operands

    @property
    def opcode(self) -> str:
        return self.text.split()[0].rstrip(";")


@functools.cache
def tool(name: str) -> str:
    """Path of cuobjdump or nvdisasm: of the PyPI package, else the toolkit's."""
    try:
        (found,) = [file for file in metadata.files(f"nvidia-cuda-{name}") if file.name == name]
        return str(found.locate())
    except metadata.PackageNotFoundError:
        return shutil.which(name) or f"/usr/local/cuda/bin/{name}"


def disassemble(library: Path, arch: str, symbol: str) -> list[Instruction]:
    """The machine code of one kernel."""
    path = f"{Path(tool('nvdisasm')).parent}:/usr/bin:/bin"  # cuobjdump calls it
    command = [tool("cuobjdump"), "-sass", "-arch", f"sm_{arch}", "-fun", symbol, str(library)]
    listing = subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=True).stdout
    code = re.findall(r"^\s+/\*([0-9a-f]{4,})\*/\s+(@!?U?P\d+ )?\s*(\S[^;]*?)\s*;", listing, re.MULTILINE)
    assert code, f"cuobjdump shows no code of {symbol} for sm_{arch}"
    return [Instruction(int(address, 16), guard.strip(), text) for address, guard, text in code]


def successors(code: list[Instruction]) -> list[list[int]]:
    """Where control may go after each instruction, as indices; ends of the kernel and calls lead nowhere.

    Calls are the slow paths of divisions, for operands that are denormal or out of range. Under a condition a call may
    also be the compiler's way out of a loop, from where it does not return.
    """
    index = {instruction.address: i for i, instruction in enumerate(code)}

    def target_of(instruction: Instruction) -> int:
        return index[int(re.search(r"0x([0-9a-f]+)$", instruction.text)[1], 16)]

    edges = []
    for i, instruction in enumerate(code):
        following = [i + 1] if i + 1 < len(code) else []
        if instruction.opcode.startswith("CALL") and not instruction.guard:
            edges.append([])
        elif instruction.opcode.startswith("CALL"):
            edges.append([*following, target_of(instruction)])
        elif instruction.opcode.startswith(("BRA", "JMP")):
            target = target_of(instruction)
            # "BRA P2, target" and "BRA.DIV" branch under conditions of their own.
            always = not instruction.guard and re.fullmatch(r"\S+(\.U)?\s+`?\(?0x[0-9a-f]+\)?", instruction.text)
            edges.append([target] if always else [*following, target])
        elif instruction.opcode.startswith(("RET", "BRX", "EXIT")):
            edges.append(following if instruction.guard else [])
        else:
            edges.append(following)
    return edges


def innermost_loop(code: list[Instruction], *inside: str) -> tuple[int, int, set[int]]:
    """First instruction, closing branch and all instructions of the smallest loop with opcodes like all of `inside`."""
    edges = successors(code)
    sources: list[list[int]] = [[] for _ in code]
    for i, targets in enumerate(edges):
        for target in targets:
            sources[target].append(i)
    loops = []
    for i, targets in enumerate(edges):
        for head in targets:
            if head > i:
                continue
            body, left = {head, i}, [i]
            while left:  # what reaches the closing branch without passing the head
                at = left.pop()
                new = [source for source in sources[at] if source not in body and at != head]
                body.update(new)
                left.extend(new)
            if all(any(re.match(pattern, code[at].text) for at in body) for pattern in inside):
                loops.append((len(body), head, i, body))
    _, head, end, body = min(loops, key=lambda loop: loop[0])
    return head, end, body


def cheapest_pass(code: list[Instruction], loop: tuple[int, int, set[int]], needs: dict[str, int]) -> Counter[str]:
    """Opcodes of the fewest instructions that lead once through a loop and over `needs[pattern]` such instructions."""
    head, end, body = loop
    edges = successors(code)

    def counted(at: int, seen: tuple[int, ...]) -> tuple[int, ...]:
        matches = (bool(re.search(pattern, code[at].text)) for pattern in needs)
        return tuple(min(n + m, limit) for n, m, limit in zip(seen, matches, needs.values(), strict=True))

    start = (head, counted(head, (0,) * len(needs)))
    goal = (end, tuple(needs.values()))
    costs, before, queue = {start: 1}, {}, [(1, start)]
    while queue:
        cost, state = heapq.heappop(queue)
        if state == goal:
            break
        if cost > costs[state] or state[0] == end:
            continue
        for target in edges[state[0]]:
            following = (target, counted(target, state[1]))
            if target in body and target != head and cost + 1 < costs.get(following, 1 << 30):
                costs[following], before[following] = cost + 1, state
                heapq.heappush(queue, (cost + 1, following))
    assert goal in costs, f"no way through the loop over {needs}"
    passed = [goal]
    while passed[-1] in before:
        passed.append(before[passed[-1]])
    return Counter(code[at].text for at, _ in passed)


# Four masks at a temperature of 0.1: each has two products besides the power's four.
TENTH_POWERS = {r"^FMUL": 24}


def instructions_per_sample(code: list[Instruction], channels_last: bool = False) -> float:
    """What one mask value costs the forward kernel of three float32 channels at full resolution, composites included.

    Each pass through the loop over samples has two loops in it: one computes four samples of a cell a pass, and the
    other writes four pixels of a sample. A thread has four cells and four samples to write. Conditions are the same for
    all threads (layout, alignment, exponent), so the cheapest way over the three wide stores is that of an aligned
    problem. Drawing is counted at a temperature of 0.1. In channels-last layout threads exchange four numbers first.
    """
    draws, writes = r"^LOP3\.LUT .* 0x96", r"^STG\.E\.128"
    drawing = {draws: 18, r"^MUFU\.RCP": 8}  # some of the first and last rounds' three-way ors are folded into others
    loop = innermost_loop(code, draws)
    any_cell = cheapest_pass(code, loop, drawing).total()
    cell = cheapest_pass(code, loop, drawing | TENTH_POWERS).total()
    writing = {writes: 3} | ({r"^SHFL\.BFLY": 4} if channels_last else {})
    sample = cheapest_pass(code, innermost_loop(code, writes), writing).total()
    both = cheapest_pass(code, innermost_loop(code, draws, writes), drawing | writing).total()
    return (both - any_cell + 4 * cell + 3 * sample) / 16
