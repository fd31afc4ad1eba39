"""`container_disconnect`: a container is taken off a network, or all of its networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadproof.faults.docker import Container
from loadproof.faults.fault import EndedEarlyError, FaultError

if TYPE_CHECKING:
    from loadproof.faults.fault import Undo


class ContainerDisconnect:
    def __init__(self, name: str, network: str | None) -> None:
        self._name = name
        self._network = network

    def prepare(self) -> Undo:
        container = Container(self._name)
        found = container.running()
        places: dict[str, Any] = found["NetworkSettings"]["Networks"] or {}
        wanted = list(places) if self._network is None else [self._network]
        shared = sorted({"host", "none"} & places.keys())
        if missing := sorted(set(wanted) - places.keys()):
            raise FaultError(
                f"the container {self._name} is not in the network {missing[0]}; it is in {', '.join(places)}"
            )
        if not wanted or shared:
            raise FaultError(f"the container {self._name} has no network of its own")
        return {
            "id": found["Id"],
            "engine": container.engine,
            "networks": {places[name]["NetworkID"]: _place(places[name]) for name in wanted},
        }

    def inject(self, undo: Undo) -> None:
        container = Container(undo["id"], undo["engine"])
        for network in undo["networks"]:
            container.ask(
                "POST", f"/networks/{network}/disconnect", {"Container": undo["id"], "Force": False}
            )

    def revert(self, undo: Undo) -> str:
        container = Container(undo["id"], undo["engine"])
        here = {place["NetworkID"] for place in container.inspect()["NetworkSettings"]["Networks"].values()}
        failed, gone = [], []
        for network, place in undo["networks"].items():
            if network in here:
                continue
            try:
                _connect(container, undo["id"], network, place)
            except EndedEarlyError as error:
                gone.append(str(error))
            except FaultError as error:
                failed.append(str(error))
        if failed:
            raise FaultError("; ".join(failed))
        if gone:
            raise EndedEarlyError("; ".join(gone))
        return ""


def _place(given: dict[str, Any]) -> dict[str, Any]:
    """What must be said to get the same names there again, and the same address."""
    kept = {key: given.get(key) for key in ("Aliases", "Links", "DriverOpts")}
    return {**kept, "IPAMConfig": given.get("IPAMConfig"), "IPAddress": given.get("IPAddress")}


def _connect(container: Container, identity: str, network: str, place: dict[str, Any]) -> None:
    config = {key: value for key, value in place.items() if key != "IPAddress"}

    def connect() -> None:
        container.ask(
            "POST", f"/networks/{network}/connect", {"Container": identity, "EndpointConfig": config}
        )

    if config["IPAMConfig"] or not place["IPAddress"]:
        connect()
        return
    config["IPAMConfig"] = {"IPv4Address": place["IPAddress"]}
    try:
        connect()
    except FaultError:
        # An address can be asked for in a network only that was made with a subnet.
        config["IPAMConfig"] = None
        connect()
