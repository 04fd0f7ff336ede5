"""Task runners over clusters of others: Dask and Ray (extras `dask` and `ray`).

Up to `THREADS` task runs are on the cluster at a time. Their logs and artifacts come back with their results.
A task that the cluster loses is Crashed here, and tried again if it has retries: clusters that are made here
do not repeat it behind the back of its states. (A Dask scheduler of your own does so, up to its setting
`distributed.scheduler.allowed-failures`.)
"""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from flows.sdk.errands import ProcessLost, carried_out
from flows.sdk.recorder import Recorder
from flows.sdk.runners import RemoteTaskRunner
from flows.sdk.signals import DeadlinePassed
from flows.sdk.states import State
from flows.sdk.timeouts import Limit

THREADS = 250


class MissingExtraError(ImportError):
    """A task runner needs a package that is not installed."""


def _missing(extra: str, error: ImportError) -> NoReturn:
    raise MissingExtraError(
        f"{extra.capitalize()}TaskRunner needs packages that are not installed: "
        f'pip install "portal-orchestrator[{extra}]".'
    ) from error


class DaskTaskRunner(RemoteTaskRunner):
    """Runs submitted tasks on a Dask cluster.

    cluster: a cluster object of `distributed`, which stays open; or
    address: where the scheduler of a running cluster listens, such as "tcp://10.0.0.5:8786"; or else
        a cluster is made for each flow run and closed after it, by
    cluster_class: a class, or its import path; default: "distributed.LocalCluster", and
    cluster_kwargs: its arguments.
    adapt_kwargs: arguments of the cluster's `adapt`: the number of its workers follows the work.
    client_kwargs: arguments of `distributed.Client`.

    Raises ValueError if two of `cluster`, `address` and `cluster_class` are given.
    """

    def __init__(
        self,
        cluster: Any = None,
        address: str | None = None,
        cluster_class: str | Callable[..., Any] | None = None,
        cluster_kwargs: Mapping[str, Any] | None = None,
        adapt_kwargs: Mapping[str, Any] | None = None,
        client_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if sum(given is not None for given in (cluster, address, cluster_class)) > 1:
            raise ValueError("Give only one of cluster, address and cluster_class.")
        super().__init__(THREADS)
        self.cluster = cluster
        self.address = address
        self.cluster_class = cluster_class
        self.cluster_kwargs = cluster_kwargs
        self.adapt_kwargs = adapt_kwargs
        self.client_kwargs = client_kwargs
        self._own_cluster: Any = None
        self._client: Any = None

    def options(self) -> dict[str, Any]:
        names = ("cluster", "address", "cluster_class", "cluster_kwargs", "adapt_kwargs", "client_kwargs")
        return {name: getattr(self, name) for name in names}

    def _prepare(self) -> None:
        self._connected()

    def _carry_out(self, errand: bytes, recorder: Recorder, limit: Limit | None) -> bytes:
        from distributed import CancelledError, TimeoutError
        from distributed.scheduler import KilledWorker

        future = self._connected().submit(carried_out, errand, pure=False)
        try:
            packed: bytes = future.result(timeout=None if limit is None else limit.left())
        except TimeoutError:
            future.cancel(force=True)
            raise DeadlinePassed(limit) from None
        except (KilledWorker, CancelledError) as error:
            raise ProcessLost(f"The Dask cluster lost the task run: {error}") from None
        return packed

    def close(self) -> None:
        super().close()
        with self._lock:
            client, self._client = self._client, None
            cluster, self._own_cluster = self._own_cluster, None
        if client is not None:
            client.close()
        if cluster is not None:
            cluster.close()

    def _connected(self) -> Any:
        """The client of this flow run. The first task makes it, and the cluster if there is none."""
        try:
            from distributed import Client
        except ImportError as error:
            _missing("dask", error)
        with self._lock:
            if self._client is None:
                self._refuse_if_closed()
                cluster = None if self.address else self.cluster or self._new_cluster()
                if cluster is not None and self.adapt_kwargs is not None:
                    cluster.adapt(**self.adapt_kwargs)
                self._client = Client(
                    self.address or cluster, **{"set_as_default": False, **(self.client_kwargs or {})}
                )
        return self._client

    def _new_cluster(self) -> Any:
        import dask
        import distributed
        from distributed.utils import import_term

        made_by = self.cluster_class or distributed.LocalCluster
        if isinstance(made_by, str):
            made_by = import_term(made_by)
        with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
            self._own_cluster = made_by(**(self.cluster_kwargs or {"dashboard_address": "127.0.0.1:0"}))
        return self._own_cluster


class RayTaskRunner(RemoteTaskRunner):
    """Runs submitted tasks on a Ray cluster.

    address: of a running cluster, such as "ray://10.0.0.5:10001"; None: one on this machine, which ends with
        the flow run, unless the process is connected to Ray already.
    init_kwargs: further arguments of `ray.init`.
    """

    def __init__(self, address: str | None = None, init_kwargs: Mapping[str, Any] | None = None) -> None:
        super().__init__(THREADS)
        self.address = address
        self.init_kwargs = init_kwargs
        self._remote: Any = None
        self._is_own = False
        self._under_way: set[Any] = set()

    def options(self) -> dict[str, Any]:
        return {"address": self.address, "init_kwargs": self.init_kwargs}

    def _prepare(self) -> None:
        self._connected()

    def _carry_out(self, errand: bytes, recorder: Recorder, limit: Limit | None) -> bytes:
        import ray

        reference = self._connected().remote(errand)
        self._under_way.add(reference)
        try:
            packed: bytes = ray.get(reference, timeout=None if limit is None else limit.left())
        except ray.exceptions.GetTimeoutError:
            ray.cancel(reference, force=True)
            raise DeadlinePassed(limit) from None
        except ray.exceptions.RayError as error:
            raise ProcessLost(f"The Ray cluster lost the task run: {error}") from None
        finally:
            self._under_way.discard(reference)
        return packed

    def cancel(self, state: State) -> None:
        """End all task runs that are not over in `state`, and their processes."""
        super().cancel(state)
        with self._lock:
            self._closed = True
        for reference in list(self._under_way):
            import ray

            ray.cancel(reference, force=True)

    def close(self) -> None:
        super().close()
        with self._lock:
            ends, self._is_own, self._remote = self._is_own, False, None
        if ends:
            import ray

            ray.shutdown()

    def _connected(self) -> Any:
        """`carried_out` as a function of Ray's. The first task connects to the cluster."""
        try:
            import ray
        except ImportError as error:
            _missing("ray", error)
        with self._lock:
            if self._remote is None:
                self._refuse_if_closed()
                if not ray.is_initialized():
                    ray.init(self.address, **(self.init_kwargs or {}))
                    self._is_own = True
                self._remote = ray.remote(max_retries=0)(carried_out)
        return self._remote
