"""One partition per data set. Partitions come from files in the datasets folder, so none is named in code."""

import dagster as dg

datasets = dg.DynamicPartitionsDefinition(name="dataset")
