"""What stops Doorward before it runs."""


class StartRefused(Exception):  # noqa: N818  a refusal, in the word of kernel/errors.py
    """The operator has to change something first; the message says what. The command line exits with status 2."""
