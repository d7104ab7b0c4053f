"""Settings: one frozen tree with a file a stage, presets, and the YAML files of data sets.

In: a preset, `mmsra.yaml`, `$MMSRA_CONFIG`, `datasets/*.yaml`. Out: `tree.Config` of each, `datasets.DatasetSpec`.
Open first: tree.py.
"""
