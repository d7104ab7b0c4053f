"""What can go wrong for a user, each with a message that says what, where and how to fix it."""


class MmsraError(Exception):
    """Base of all errors that a user can fix. The command line prints its text without a traceback."""


class ConfigError(MmsraError):
    """A setting or a dataset description is wrong."""


class DataError(MmsraError):
    """Input data cannot be used as they are."""


class PassingError(MmsraError):
    """Something outside did not answer, or refused; it may do so the next time."""


class StorageError(PassingError):
    """The object store of the root."""


class ServerError(PassingError):
    """A server that generates."""


class TrackingError(PassingError):
    """The tracking server of MLflow."""


class ComputeError(PassingError):
    """Workers or ranks on other processes or machines."""


class NoSpaceError(MmsraError):
    """There is too little free space to begin."""


class MissingInputError(MmsraError):
    """Something that must exist first does not: a table slice, an artifact, a weights package."""
