"""Opening and closing of Weights & Biases runs, without prompts, output or hanging."""

import contextlib
import os
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPMessage
from typing import IO, TYPE_CHECKING, Any, Literal

from metadialog.errors import ConfigError
from metadialog.home import provide_home
from metadialog.loggers.base import LoggedRun
from metadialog.loggers.service_calls import within

if TYPE_CHECKING:
    import wandb

Mode = Literal["auto", "online", "offline", "disabled"]

DEFAULT_PROJECT = "metadialog"

PROBE_SECONDS = 4.0  # for the server to answer at all
INIT_SECONDS = 15.0  # for the server to accept the run
FINISH_SECONDS = 60.0  # for the uploads at the end; what remains stays on the disk
GRACE_SECONDS = 15.0  # for wandb to notice its own timeouts
SERVICE_SECONDS = 20.0  # for wandb's local service to start or to stop
# The same for interrupted runs, as the process may be killed after ten seconds.
HURRIED_FINISH_SECONDS = 5.0
HURRIED_SERVICE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """The identity of a run with the service.

    Attributes:
        run: the run, with its identifier.
        title: name in the list of runs; None for `WANDB_NAME`, else for that of the run.
        project: None for `WANDB_PROJECT`, else for `metadialog`.
        entity: None for `WANDB_ENTITY`, else for the default of the key.
        group: None for `WANDB_RUN_GROUP`, else for none.
        tags: empty for `WANDB_TAGS`, else for none.
    """

    run: LoggedRun
    title: str | None
    project: str | None
    entity: str | None
    group: str | None
    tags: tuple[str, ...]


def check_environment() -> None:
    """Check `WANDB_MODE`, which wandb itself would refuse with a page of text.

    Raises:
        ConfigError: it is not a mode of wandb.
    """
    mode = os.environ.get("WANDB_MODE")
    if mode and mode not in {"online", "offline", "disabled", "dryrun", "run"}:
        raise ConfigError(f"WANDB_MODE={mode}: should be online, offline or disabled, or not be set")


def open_run(identity: RunIdentity, mode: Mode, say: Callable[[str], None]) -> "wandb.Run | None":
    """Start a run, offline if there is no key or no server.

    Args:
        identity: identity of the run.
        mode: `auto` for `WANDB_MODE` and wandb's settings files.
        say: prints one line to the user.

    Returns:
        The run, or None if it is disabled.

    Raises:
        TimeoutError: the local service does not respond.
        Exception: not even an offline run can be started.
    """
    check_environment()
    provide_home()
    # wandb reports its errors to its server, also in offline runs, and waits for that on exit, for ten seconds or more
    # if the server hangs.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    wanted = within(SERVICE_SECONDS + GRACE_SECONDS, lambda: _start_service(identity, mode))
    if wanted == "disabled":
        close_service()  # otherwise the next run of this process would be disabled too
        return None
    if wanted == "online":
        reason = _why_offline()
        if reason is None:
            try:
                return _init(identity, "online")
            except Exception as error:  # noqa: BLE001  (named in the line that is said)
                reason = one_line(error)
                # The service still holds the failed run, and would refuse its id.
                close_service()
                _start_service(identity, "offline")
        say(f"W&B is offline: {reason}; the run is kept in {identity.run.directory / 'wandb'}")
    return _init(identity, "offline")


def close_run(run: "wandb.Run", exit_code: int, *, hurry: bool = False) -> None:
    """Finish a run, and stop the local service.

    Args:
        run: the run.
        exit_code: exit code reported to the service.
        hurry: whether to leave data that are not uploaded within seconds on the disk.

    Raises:
        TimeoutError: the uploads were not finished in time; the rest is on the disk.
        Exception: wandb failed.
    """
    try:
        seconds = HURRIED_FINISH_SECONDS if hurry else FINISH_SECONDS + GRACE_SECONDS
        within(seconds, lambda: run.finish(exit_code=exit_code))
    finally:
        close_service(HURRIED_SERVICE_SECONDS if hurry else None)


def close_service(seconds: float | None = None) -> None:
    """Stop wandb's local service and its threads, so that the next run starts new ones with the current environment.

    The service is kept if another run in this process uses it.

    Args:
        seconds: time limit; None for no limit.
    """
    import wandb

    if wandb.run is not None:
        return
    # Otherwise it has ended already, or ends with this process.
    with contextlib.suppress(Exception, SystemExit):
        within(SERVICE_SECONDS if seconds is None else seconds, wandb.teardown)


def one_line(error: BaseException) -> str:
    """Format an exception on one line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _start_service(identity: RunIdentity, mode: Mode) -> str:
    """Start wandb's local service if the mode needs one; return the effective mode."""
    import wandb

    options = _options(identity)
    settings = wandb.Settings(**options) if mode == "auto" else wandb.Settings(mode=mode, **options)
    result = str(wandb.setup(settings).settings.mode)
    return {"dryrun": "offline", "run": "online"}.get(result, result)


def _options(identity: RunIdentity) -> dict[str, Any]:
    """Return the settings that keep wandb silent, within the run directory and within time limits."""
    return {
        "root_dir": str(identity.run.directory.absolute()),
        "use_dot_wandb": False,
        "silent": True,  # the logger reports what matters in one line
        "console": "off",
        "save_code": False,
        "disable_git": True,  # it would save the uncommitted changes; status.json has the revision
        "x_disable_stats": True,
        "x_disable_viewer": True,  # avoids a request for a greeting
        "x_service_wait": SERVICE_SECONDS,
        "init_timeout": INIT_SECONDS,
        "finish_timeout": FINISH_SECONDS,
        "finish_timeout_raises": True,
    }


def _init(identity: RunIdentity, mode: Literal["online", "offline"]) -> "wandb.Run":
    import wandb

    directory = identity.run.directory / "wandb"
    # Defaults from the environment and wandb's settings files; entity and group are looked up by wandb itself.
    result = wandb.setup().settings
    before = set(directory.glob("*"))
    try:
        return within(
            INIT_SECONDS + GRACE_SECONDS,
            lambda: wandb.init(
                project=identity.project or result.project or DEFAULT_PROJECT,
                entity=identity.entity,
                group=identity.group,
                name=identity.title or result.run_name or identity.run.name,
                tags=identity.tags or result.run_tags or (),
                config=dict(identity.run.config),
                id=identity.run.id,
                resume="allow",
                mode=mode,
                # Not the global run of the process, as an unfinished run must not be returned again.
                reinit="create_new",
                settings=wandb.Settings(**_options(identity)),
            ),
        )
    except Exception:
        for leftover in set(directory.glob(f"*run-*-{identity.run.id}*")) - before:
            shutil.rmtree(leftover, ignore_errors=True)
        raise


def _why_offline() -> str | None:
    """Return why the run cannot be online; None if it can."""
    import wandb
    from wandb.errors import AuthenticationError, UsageError

    try:
        # wandb's own lookup: the environment, the settings files, .netrc.
        if not within(SERVICE_SECONDS, lambda: wandb.login(prompt=False, verify=False)):
            return "no API key (set WANDB_API_KEY, or run `wandb login`)"
    except (AuthenticationError, UsageError) as error:
        return one_line(error)
    return _why_unreachable(wandb.setup().settings.base_url)


def _why_unreachable(url: str) -> str | None:
    try:
        within(PROBE_SECONDS, lambda: _request(url))
    except TimeoutError:
        return f"no answer from {url} within {PROBE_SECONDS:g} s"
    except OSError as error:
        cause = getattr(error, "reason", error)
        if isinstance(cause, ssl.SSLError):
            return None  # there is a server; wandb decides whether to trust it
        return f"no network, or no server at {url} ({cause})"
    return None


def _request(url: str) -> None:
    """Send a request; any HTTP response, including errors, shows that there is a server."""
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(urllib.request.Request(url, method="HEAD"), timeout=PROBE_SECONDS):  # noqa: S310
            return
    except urllib.error.HTTPError as error:
        error.close()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Does not follow redirections."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        del req, fp, code, msg, headers, newurl
