"""Opening and closing a Weights & Biases run without questions, without chatter and without a hang."""

import contextlib
import os
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from metadialog.errors import ConfigError
from metadialog.home import provide_home
from metadialog.loggers.deadline import within

if TYPE_CHECKING:
    import wandb

Mode = Literal["auto", "online", "offline", "disabled"]

DEFAULT_PROJECT = "metadialog"

PROBE_SECONDS = 4.0  # for the server to answer at all
INIT_SECONDS = 15.0  # for the server to accept the run
FINISH_SECONDS = 60.0  # for the uploads at the end; what remains stays on the disk
GRACE_SECONDS = 15.0  # for wandb to notice its own timeouts
SERVICE_SECONDS = 20.0  # for wandb's local service to start or to stop
# The same where the run is interrupted: whoever did that waits, and may kill the process after ten seconds.
HURRIED_FINISH_SECONDS = 5.0
HURRIED_SERVICE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What a run is called with the service, and what it says of itself there.

    Attributes:
        run_dir: directory of the run.
        config: the resolved config.
        title: what the run is called; None for `WANDB_NAME`, else for `default_title`.
        default_title: see `title`.
        run_id: its identifier.
        project: None for `WANDB_PROJECT`, else for `metadialog`.
        entity: None for `WANDB_ENTITY`, else for the default of the key.
        group: None for `WANDB_RUN_GROUP`, else for none.
        tags: empty for `WANDB_TAGS`, else for none.
    """

    run_dir: Path
    config: Mapping[str, object]
    title: str | None
    default_title: str
    run_id: str
    project: str | None
    entity: str | None
    group: str | None
    tags: tuple[str, ...]


def check_environment() -> None:
    """Check `WANDB_MODE`, which wandb itself would refuse with a page of text.

    Raises:
        ConfigError: it is none of wandb's modes.
    """
    mode = os.environ.get("WANDB_MODE")
    if mode and mode not in {"online", "offline", "disabled", "dryrun", "run"}:
        raise ConfigError(f"WANDB_MODE={mode}: should be online, offline or disabled, or not be set")


def open_run(identity: RunIdentity, mode: Mode, say: Callable[[str], None]) -> "wandb.Run | None":
    """Start a run; offline if there is no key or no server, and then `say` so.

    Args:
        identity: what the run is.
        mode: `auto` follows `WANDB_MODE` and wandb's own settings files.
        say: takes one line for the user.

    Returns:
        The run, or None if it is disabled.

    Raises:
        TimeoutError: the local service does not answer.
        Exception: whatever wandb raises if not even an offline run can be started.
    """
    check_environment()
    provide_home()
    # wandb reports its own errors to its server, from offline runs too, and waits for that at the end of the
    # program: ten seconds and more if the server hangs.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    wanted = within(SERVICE_SECONDS + GRACE_SECONDS, lambda: _start_service(identity, mode))
    if wanted == "disabled":
        close_service()  # or the next run of this process would be disabled too
        return None
    if wanted == "online":
        reason = _why_offline()
        if reason is None:
            try:
                return _init(identity, "online")
            except Exception as error:  # noqa: BLE001  (named in the line that is said)
                reason = one_line(error)
                # The service still counts the failed run as its own, and would refuse its id.
                close_service()
                _start_service(identity, "offline")
        say(f"W&B is offline: {reason}; the run is kept in {identity.run_dir / 'wandb'}")
    return _init(identity, "offline")


def close_run(run: "wandb.Run", exit_code: int, *, hurry: bool = False) -> None:
    """Finish a run, and end the local service with it.

    Args:
        run: the run.
        exit_code: what the service is told of its end.
        hurry: leave what is not uploaded within seconds on the disk.

    Raises:
        TimeoutError: the uploads were not done in time; the rest is on the disk.
        Exception: whatever wandb raises.
    """
    try:
        seconds = HURRIED_FINISH_SECONDS if hurry else FINISH_SECONDS + GRACE_SECONDS
        within(seconds, lambda: run.finish(exit_code=exit_code))
    finally:
        close_service(HURRIED_SERVICE_SECONDS if hurry else None)


def close_service(seconds: float | None = None) -> None:
    """End wandb's local service and its threads; the next run starts new ones, with today's environment.

    A run that someone else has in this process keeps it.

    Args:
        seconds: how long to wait for it; None for as long as it may take.
    """
    import wandb

    if wandb.run is not None:
        return
    # If it does not end, then it is gone already, or it ends with this process.
    with contextlib.suppress(Exception, SystemExit):
        within(SERVICE_SECONDS if seconds is None else seconds, wandb.teardown)


def one_line(error: BaseException) -> str:
    """Name an exception and what it says, on one line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _start_service(identity: RunIdentity, mode: Mode) -> str:
    """Start wandb's local service if the mode needs one; return the mode that wandb's settings come to."""
    import wandb

    options = _options(identity)
    settings = wandb.Settings(**options) if mode == "auto" else wandb.Settings(mode=mode, **options)
    result = str(wandb.setup(settings).settings.mode)
    return {"dryrun": "offline", "run": "online"}.get(result, result)


def _options(identity: RunIdentity) -> dict[str, Any]:
    """Return the settings of wandb that keep it silent, in the run directory, and within its time."""
    return {
        "root_dir": str(identity.run_dir.absolute()),
        "use_dot_wandb": False,
        "silent": True,  # what matters is said by the logger, in one line
        "console": "off",
        "save_code": False,
        "disable_git": True,  # it would save the uncommitted changes; status.json has the revision
        "x_disable_stats": True,
        "x_disable_viewer": True,  # a request for the sake of a greeting
        "x_service_wait": SERVICE_SECONDS,
        "init_timeout": INIT_SECONDS,
        "finish_timeout": FINISH_SECONDS,
        "finish_timeout_raises": True,
    }


def _init(identity: RunIdentity, mode: Literal["online", "offline"]) -> "wandb.Run":
    import wandb

    directory = identity.run_dir / "wandb"
    # What the environment and wandb's settings files say; entity and group are looked up there by wandb itself.
    result = wandb.setup().settings
    before = set(directory.glob("*"))
    try:
        return within(
            INIT_SECONDS + GRACE_SECONDS,
            lambda: wandb.init(
                project=identity.project or result.project or DEFAULT_PROJECT,
                entity=identity.entity,
                group=identity.group,
                name=identity.title or result.run_name or identity.default_title,
                tags=identity.tags or result.run_tags or (),
                config=dict(identity.config),
                id=identity.run_id,
                resume="allow",
                mode=mode,
                # Not the process's one global run: a run that was never finished must not be returned again.
                reinit="create_new",
                settings=wandb.Settings(**_options(identity)),
            ),
        )
    except Exception:
        for leftover in set(directory.glob(f"*run-*-{identity.run_id}*")) - before:
            shutil.rmtree(leftover, ignore_errors=True)
        raise


def _why_offline() -> str | None:
    """Say why the run cannot be online, or None if it can."""
    import wandb
    from wandb.errors import AuthenticationError, UsageError

    try:
        # wandb's own look-up: the environment, the settings files, .netrc.
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
            return None  # there is a server; whether to trust it is for wandb to say
        return f"no network, or no server at {url} ({cause})"
    return None


def _request(url: str) -> None:
    """Ask for anything: every HTTP answer, an error too, shows that there is a server."""
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(urllib.request.Request(url, method="HEAD"), timeout=PROBE_SECONDS):  # noqa: S310
            return
    except urllib.error.HTTPError as error:
        error.close()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirection as the answer that it is."""

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
