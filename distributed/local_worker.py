"""A worker that a run starts itself, beside its master."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distributed.link.keys import master_text, worker_text
from distributed.processes import start_child

if TYPE_CHECKING:
    from distributed.link.keys import WorkerKeys
    from distributed.messages import FaultProxy
    from distributed.placement import Seat
    from distributed.processes import Child
    from distributed.run_folder import RunFolder
    from distributed.run_options import Options


def start_worker(
    seat: Seat,
    keys: WorkerKeys,
    target: str,
    proxy: FaultProxy | None,
    master_port: int,
    folder: RunFolder,
    options: Options,
) -> Child:
    """It loads the target's URL, by the proxy if there is one, journals into the run folder, and ends with us."""
    arguments = [
        *("--plan", str(folder.plan), "--worker", seat.worker, "--region", seat.region),
        *("--target", target, "--master-port", str(master_port)),
        *("--journal-dir", str(folder.worker_journals), "--log-level", options.log_level),
        *(() if proxy is None else ("--fault-proxy", proxy.host, str(proxy.port))),
        *(("--smoke",) if options.smoke else ()),
    ]
    return start_child(
        seat.worker,
        "distributed.worker_process",
        arguments,
        log=folder.log,
        stdout=options.smoke_output if options.smoke else None,
        documents={"--key": worker_text(keys), "--master-key": master_text(keys)},
    )
