"""A notebook's process in a campaign: launches a lab, says ``ready``, works, says what came out."""

from __future__ import annotations

import json
import sys

import chaos_work

import labkit


def main(what: str, plan: dict[str, object]) -> None:
    """Train or preprocess once, and print the result as one line of JSON."""
    with labkit.launch(2, device="cpu", timeout_s=chaos_work.PATIENCE_S) as cluster:
        print("ready", flush=True)
        if what == "train":
            run = chaos_work.start_run(cluster, labkit.Plan.from_dict(plan))
            print(json.dumps(run.wait(chaos_work.PATIENCE_S).losses), flush=True)
        else:
            print(json.dumps(chaos_work.preprocess(cluster)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
