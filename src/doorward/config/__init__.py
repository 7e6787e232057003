"""One frozen tree of settings, read once at start; every mistake is reported together, with its place."""

from doorward.config.loading import Loaded, choose_file, load
from doorward.config.settings import Settings
from doorward.config.wrongs import Wrong, WrongSettings

__all__ = ["Loaded", "Settings", "Wrong", "WrongSettings", "choose_file", "load"]
