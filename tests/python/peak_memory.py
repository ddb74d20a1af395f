"""Runs a command and prints the most memory that it held, in bytes; its exit code is the command's.

    peak_memory.py COMMAND...

What the command prints on standard output is dropped. The figure is the kernel's (ru_maxrss of the child, in
units of 1 KiB on Linux); it cannot be less than what this interpreter holds while it starts the command.
"""

import resource
import subprocess
import sys

done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=False)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
sys.exit(done.returncode)
