"""Containers by testcontainers, for stacks of tests: its reaper ends them even where this process is killed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from deploy.local.engine import SHARED_MEMORY, Launch
from deploy.local.errors import StackError
from deploy.local.ports import LOOPBACK


def is_installed() -> bool:
    """It is one of the developer's requirements, and none that running Remit needs."""
    return find_spec("testcontainers") is not None


def launch(wanted: Launch) -> None:
    """Create and start a container that ends with this process."""
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415

    container = wanted.container
    started = DockerContainer(container.image, name=wanted.name).with_command(list(container.argv))
    started.env.update(container.environment)
    started.with_volume_mapping(wanted.name, container.data, "rw")
    # Its own `with_bind_ports` knows no address and would open them to the network.
    ports: dict[str, Any] = {f"{inside}/tcp": (LOOPBACK, wanted.ports[at]) for at, inside in container.ports.items()}
    started.ports.update(ports)
    started.with_kwargs(stop_signal=container.stop_signal, shm_size=SHARED_MEMORY, labels=wanted.labels)
    try:
        started.start()
    except OSError as error:  # What the engine refuses arrives as an error of the HTTP client.
        raise StackError("testcontainers", f"{wanted.name}: {error}") from None
    finally:
        started.get_docker_client().client.close()
