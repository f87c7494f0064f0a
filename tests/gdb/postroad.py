# SPDX-License-Identifier: ISC
"""Coroutines in gdb, in a live process and in a core file:

    (gdb) source tests/gdb/postroad.py
    (gdb) co list           every coroutine: number, state, name, what it is busy with, since when it waits
    (gdb) co bt 3           where coroutine 3 waits
    (gdb) co bt all

A parked coroutine's registers lie at its saved stack pointer (lib/co/co_switch_*.S, or a ucontext_t); from there
the chain of frame pointers is followed, because the registers of a core file cannot be set.
"""
import gdb

STATES = {0: "ready", 1: "running", 2: "parked", 3: "done"}


def coroutines():
    """All of them, oldest first, as `struct co` values."""
    kind = gdb.lookup_type("struct co")
    offset = next(f.bitpos // 8 for f in kind.fields() if f.name == "in_all")
    head = gdb.parse_and_eval("&co_all")
    node = head["next"]
    while node != head:
        address = int(node) - offset
        yield gdb.Value(address).cast(kind.pointer()).dereference()
        node = node["next"]


def word(address):
    return int(gdb.Value(address).cast(gdb.lookup_type("unsigned long").pointer()).dereference())


def has_symbol(name):
    try:
        gdb.parse_and_eval(f"(long) &{name}")
        return True
    except gdb.error:
        return False


def saved_registers(co):
    """Program counter and frame pointer of a parked coroutine."""
    sp = int(co["context"]["sp"])
    machine = gdb.selected_inferior().architecture().name()
    if not has_symbol("co_boot"):                  # it is in the assembly files only
        registers = gdb.Value(sp).cast(gdb.lookup_type("ucontext_t").pointer())["uc_mcontext"]
        if "x86-64" in machine:
            return int(registers["gregs"][16]), int(registers["gregs"][10])
        return int(registers["pc"]), int(registers["regs"][29])
    if "x86-64" in machine:
        return word(sp + 48), word(sp + 40)
    return word(sp + 8), word(sp)


def frames(pc, fp, low, high):
    """Program counters from the innermost frame outwards, as long as the chain stays in the stack and rises."""
    while pc:
        yield pc
        if not low <= fp < high:
            return
        pc, next_fp = word(fp + 8), word(fp)
        if next_fp and next_fp <= fp:
            return
        fp = next_fp


def describe(pc, is_innermost):
    where = gdb.find_pc_line(pc if is_innermost else pc - 1)
    block = gdb.block_for_pc(pc if is_innermost else pc - 1)
    while block is not None and block.function is None:
        block = block.superblock
    if block is not None:
        name = block.function.print_name
    else:
        name = gdb.execute(f"info symbol {pc:#x}", to_string=True).split(" in section")[0].split(" + ")[0].strip()
    line = f" at {where.symtab.filename}:{where.line}" if where.symtab else ""
    return f"{pc:#018x} in {name}{line}"


def title(number, co):
    words = [f"{number:>4}", f"{STATES.get(int(co['state']), '?'):<8}", co["name"].string()]
    what = co["what"].string()
    if what:
        words.append(f"[{what}]")
    if int(co["state"]) == 2 and int(co["parked_at"]):
        words.append(f"waits since {int(co['parked_at']) / 1000:.3f} s")
    if int(co["cancelled"]):
        words.append("cancelled")
    return " ".join(words)


def show_stack(number, co):
    print(title(number, co))
    if int(co["state"]) == 1:
        print("     it runs: see `bt`")
        return
    low = int(co["stack_low"])
    pc, fp = saved_registers(co)
    for depth, address in enumerate(frames(pc, fp, low, low + int(co["stack_size"]))):
        print(f"     #{depth:<2} {describe(address, depth == 0)}")


class Co(gdb.Command):
    """co list | co bt NUMBER | co bt all: Postroad's coroutines."""

    def __init__(self):
        super().__init__("co", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        if words == ["list"]:
            for number, co in enumerate(coroutines()):
                print(title(number, co))
        elif len(words) == 2 and words[0] == "bt" and (words[1] == "all" or words[1].isdigit()):
            for number, co in enumerate(coroutines()):
                if words[1] in ("all", str(number)):
                    show_stack(number, co)
        else:
            raise gdb.GdbError("co list | co bt NUMBER | co bt all")


Co()
