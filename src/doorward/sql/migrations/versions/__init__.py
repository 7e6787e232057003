"""One file a revision, r<number>_<what>.py; `migrate.HEAD` names the newest."""
