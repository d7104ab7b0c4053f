"""A run of one step in a process of its own, to be started and killed by a test: `python -m orchestration.stepping`."""

import os
import sys
import time

import dagster as dg

from mmsra_pipeline.defs.resources import Installation
from mmsra_pipeline.orchestration.instance import open_instance
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.pools import MEMORY
from mmsra_pipeline.orchestration.step_processes import PARTITION_TAG, step_processes
from mmsra_pipeline.storage.locks import is_locked
from mmsra_pipeline.storage.paths import find_paths
from mmsra_pipeline.storage.run_locks import dataset_lock


@dg.asset(partitions_def=datasets, code_version="1", pool=MEMORY)
def raw_reviews(context: dg.AssetExecutionContext, mmsra: Installation) -> None:
    """Say who computes, and take long."""
    stage = mmsra.stage(context)
    turn = is_locked(dataset_lock(stage.paths, "shop"))
    sys.stdout.write(f"step {os.getpid()} of {os.environ['RUN']}, turn held: {turn}\n")
    sys.stdout.flush()
    time.sleep(float(os.environ["SECONDS_OF_STEP"]))


def job() -> dg.JobDefinition:
    """Return the job, which other processes find by this function."""
    whole = dg.define_asset_job("everything", partitions_def=datasets)
    resources = {"mmsra": Installation()}
    definitions = dg.Definitions([raw_reviews], jobs=[whole], resources=resources, executor=step_processes)
    return definitions.resolve_job_def("everything")


def main() -> None:
    """Run it."""
    os.environ["RUN"] = str(os.getpid())
    with open_instance(find_paths()) as instance:
        instance.add_dynamic_partitions("dataset", ["shop"])
        with dg.execute_job(dg.reconstructable(job), instance, tags={PARTITION_TAG: "shop"}) as done:
            sys.stdout.write("success\n" if done.success else "failure\n")


if __name__ == "__main__":
    from orchestration.stepping import main as main_of_module

    main_of_module()
