"""Kills and stops at random moments, and whether the lab went on as it promises.

    python tests/benchmarks/chaos.py [NUM] [SEED] [FIRST] [--json FILE]
                                                attacks (200), from number FIRST on
    python tests/benchmarks/chaos.py report FILE...             what several of those found
    python tests/benchmarks/chaos.py elections [NUM] [SEED]     leaders that are killed (100)
    python tests/benchmarks/chaos.py long [NUM]                 runs one after another (100)

Each attack has a generator of its own, from the seed and its number: ``chaos.py 1 SEED FIRST``
repeats one. ``NUM`` at least the number of kinds of attacks makes each of them happen. Several
processes may make pieces of one campaign at the same time, each with a ``FIRST`` of its own; what
they write with ``--json`` is told as one by ``report``. Exit status 1 when anything was not as it
has to be.
"""

import os
import sys

if __name__ == "__main__":  # every worker that is started imports this file, and needs no more
    # Dask is loud about workers that die, here and in every process that is started.
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")
    from chaos_campaign import main

    sys.exit(main(sys.argv[1:], __doc__))
