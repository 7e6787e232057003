"""What stops Doorward before it runs."""


class StartRefused(Exception):  # noqa: N818  a refusal, in the word of kernel/errors.py
    """The operator has to change something first; the message says what. The command line exits with status 2."""


class StartFailed(Exception):  # noqa: N818  as above
    """Something outside stops it (a port in use, a database that does not answer). Exit status 1."""
