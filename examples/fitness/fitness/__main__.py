"""`python -m fitness`: the API on this machine, as FITNESS_SETTINGS says."""

import logging
import signal
import sys
from urllib.parse import urlsplit

from werkzeug.serving import WSGIRequestHandler, make_server

from fitness.app import create_app, start
from fitness.settings import Settings


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: a line a request is for servers in front."""


def main() -> None:
    """Serve until SIGTERM or Ctrl-C. For development: in production gunicorn or granian takes `create_app`."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    settings = Settings.read()
    app = create_app(settings)
    start(app)
    place = urlsplit(settings.api_url)
    server = make_server(place.hostname or "", place.port or 80, app, threaded=True, request_handler=_Quiet)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
