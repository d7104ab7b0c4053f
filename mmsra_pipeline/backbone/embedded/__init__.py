"""The default backbone, which needs no hub: how it is built, its tower, warm start and drawings."""
