"""The image's health check: exit code 0 if the service in this container answers 200 at a path, `/healthz` if none.

It runs every few seconds beside each service, so it imports nothing but what it needs to ask.
"""

import http.client
import sys

# The image lets every service listen here.
_PORT = 8080
_TIMEOUT_S = 4


def main() -> int:
    """Asks, and says why not."""
    path = sys.argv[1] if len(sys.argv) > 1 else "/healthz"
    connection = http.client.HTTPConnection("127.0.0.1", _PORT, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(1_000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        print(f"{path} does not answer: {error}")
        return 1
    finally:
        connection.close()
    # The last answers are kept with the container: `docker inspect` shows which check failed.
    print(f"{answer.status} {body}")
    return 0 if answer.status == http.client.OK else 1


if __name__ == "__main__":
    sys.exit(main())
