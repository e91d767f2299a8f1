"""The ``molam`` command. Each subcommand is imported only when it is called."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from dataclasses import dataclass

import click

from molam.entrypoints.local import StartRefused, end_with_parent
from molam.kernel.refusals import Outage, Refusal
from molam.platform.binaries import EmbeddedRefused
from molam.platform.db.migrations import MigrationRefused
from molam.platform.settings import SettingsRefused

REFUSED = 2
"""Exit code: nothing was done, and the line on stderr says why."""

_ANTICIPATED = (StartRefused, EmbeddedRefused, MigrationRefused, SettingsRefused)


@dataclass(frozen=True, slots=True)
class Deferred:
    """A subcommand that is not imported yet, and what ``--help`` says of it."""

    module: str
    help: str


class DeferredGroup(click.Group):
    """
    A group whose subcommands are modules, each with a `command`.

    A worker of the process tree has to fit in little memory and to start at once;
    importing the web framework for it would cost both.
    """

    def __init__(self, name: str, deferred: dict[str, Deferred], help_: str) -> None:
        super().__init__(name, help=help_, no_args_is_help=True)
        self._deferred = deferred

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._deferred, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        deferred = self._deferred.get(cmd_name)
        if deferred is None:
            return super().get_command(ctx, cmd_name)
        command = importlib.import_module(deferred.module).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, deferred.help) for name, deferred in self._deferred.items()]
        rows += [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


cli = DeferredGroup(
    "molam",
    {
        "up": Deferred("molam.entrypoints.up", "Start everything, with demo data and traffic."),
        "worker": Deferred("molam.entrypoints.worker", "Consume events and run jobs."),
        "migrate": Deferred("molam.entrypoints.migrate", "Bring the database up to date."),
        "import": Deferred("molam.entrypoints.import_", "Load a merchant's history from CSV."),
        "statements": Deferred(
            "molam.entrypoints.statements", "Import, match and close bank statements."
        ),
        "simulate": Deferred("molam.entrypoints.simulate", "Send simulated wallet traffic."),
        "seed": Deferred("molam.entrypoints.seed", "Add the demo merchants and people."),
        "token": Deferred("molam.entrypoints.token", "Print a development access token."),
        "dsn": Deferred("molam.entrypoints.dsn", "Print the database URL."),
        "dead-letters": Deferred(
            "molam.entrypoints.dead_letters", "List or put back what could not be done."
        ),
        "dashboard": Deferred("molam.entrypoints.dashboard", "Rebuild the dashboard's figures."),
        "audit": Deferred(
            "molam.entrypoints.audit", "Export, verify and explain the record of decisions."
        ),
        "drill": Deferred(
            "molam.entrypoints.drill", "Fail a simulated bank or drain a float, and watch."
        ),
        "sira": Deferred(
            "molam.entrypoints.sira_commands", "Train the health model; compare routers."
        ),
        "rates": Deferred("molam.entrypoints.rates", "Import and list exchange rates."),
        "doctor": Deferred("molam.entrypoints.doctor", "Check every dependency and advise."),
    },
    "Molam Connect: payments of West African merchants, watched live.",
)
cli.add_command(
    DeferredGroup(
        "serve",
        {
            "merchant": Deferred("molam.entrypoints.serve_merchant", "Merchant app and API, 3001."),
            "identity": Deferred("molam.entrypoints.serve_identity", "Development issuer, 3100."),
            "ops": Deferred(
                "molam.entrypoints.serve_ops", "Approval engine and ops console, 3136."
            ),
            "mesh": Deferred("molam.entrypoints.serve_mesh", "Mesh API and control room, 3138."),
            "sira": Deferred("molam.entrypoints.serve_sira", "Health and risk scores, 8000."),
        },
        "Serve one of the web applications.",
    )
)


def main() -> None:
    """Run the command line; every failure is one line on stderr and an exit code."""
    signal.signal(signal.SIGTERM, _leave)
    end_with_parent()
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 128 + signal.SIGINT
    except _ANTICIPATED as error:
        code = _say(str(error))
    except Refusal as error:
        code = _say(f"{error.title}: {error.detail}")
    except Outage as error:
        code = _say(f"the {error.dependency} does not answer; `molam doctor` says more")
    except BrokenPipeError:
        # Whoever read our output has seen enough; nor may the exit flush fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        if os.environ.get("LOG_LEVEL") == "debug":
            raise
        _say(f"unexpected {type(error).__name__}: {error} (LOG_LEVEL=debug shows where)")
        code = 1
    sys.exit(code)


def _say(sentence: str) -> int:
    click.echo(f"molam: {' '.join(sentence.split())}", err=True)
    return REFUSED


def _leave(number: int, _frame: object) -> None:
    # Unlike the default, this lets every `finally` on the way out do its work.
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
