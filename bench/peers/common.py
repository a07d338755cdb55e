"""What the peers' programs share: the loop that answers each line with what a call took."""
import contextlib
import sys
import time


def forget_peak():
    """Linux: the peak of resident memory starts again from what is resident now."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def peak_mb():
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
    return 0


def answer(call):
    """Runs call() once for every line of standard input and prints its seconds and the most resident memory in MB."""
    call()
    for _ in sys.stdin:
        forget_peak()
        start = time.perf_counter()
        call()
        print(time.perf_counter() - start, peak_mb(), flush=True)
