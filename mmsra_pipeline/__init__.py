"""MMSRARec as a pipeline: from raw reviews to ranked, readable recommendations."""

__version__ = "0.1.0"
