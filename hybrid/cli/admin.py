"""`hybrid admin`: the accounts of the admin page, and who did what there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from hybrid.cli.options import Json, operator
from hybrid.cli.output import console, print_json
from hybrid.errors import AccountError

if TYPE_CHECKING:
    from hybrid.accounts import Accounts

admin = typer.Typer(help="The admin page's accounts and audit trail.", no_args_is_help=True, rich_markup_mode=None)
user = typer.Typer(help="Accounts of the admin page.", no_args_is_help=True, rich_markup_mode=None)
admin.add_typer(user, name="user")
Name = Annotated[str, typer.Argument(help="The user's name.")]
Role = Annotated[str, typer.Option(help="editor: may change things; viewer: may look.")]
Stdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin instead of asking.")]


@user.command("add")
def add_user(name: Name, role: Role = "editor", password_stdin: Stdin = False) -> None:
    """Make an account. Example: hybrid admin user add mei --role viewer"""
    password = _password(password_stdin)
    with _recorded("user_add", name=name, role=role) as accounts:
        accounts.add(name, password, role)
    print(f"{name} may sign in at /admin/ as {role}")


@user.command("password")
def change_password(name: Name, password_stdin: Stdin = False) -> None:
    """Set another password; ends the user's sessions. Example: hybrid admin user password mei"""
    password = _password(password_stdin)
    with _recorded("user_password", name=name) as accounts:
        accounts.change_password(name, password)
    print(f"{name} has another password, and is signed out everywhere")


@user.command("role")
def change_role(name: Name, role: Annotated[str, typer.Argument(help="editor or viewer")]) -> None:
    """Set another role; ends the user's sessions. Example: hybrid admin user role mei editor"""
    with _recorded("user_role", name=name, role=role) as accounts:
        accounts.change_role(name, role)
    print(f"{name} is {role} now, and is signed out everywhere")


@user.command("remove")
def remove_user(name: Name) -> None:
    """Delete an account and end its sessions. Example: hybrid admin user remove mei"""
    with _recorded("user_remove", name=name) as accounts:
        accounts.remove(name)
    print(f"{name} may not sign in any more")


@user.command("list")
def list_users(json: Json = False) -> None:
    """Show the accounts. Example: hybrid admin user list"""
    from rich.table import Table

    from hybrid.services import build_services

    users = build_services().accounts.list()
    if json:
        print_json(users)
        return
    if not users:
        print("no accounts yet; `hybrid admin user add NAME` makes one")
        return
    table = Table("name", "role", "created", box=None)
    for one in users:
        table.add_row(one["name"], one["role"], one["created"])
    console(False).print(table)


@admin.command("audit")
def show_audit(
    size: Annotated[int, typer.Option(min=1, max=10_000, help="How many entries.")] = 50, json: Json = False
) -> None:
    """Show who did what here and on the admin page, newest first. Example: hybrid admin audit --size 20"""
    from rich.table import Table

    from hybrid.services import build_services

    entries, total = build_services().audit.list(size)
    if json:
        print_json({"total": total, "entries": entries})
        return
    table = Table("when", "who", "what", "index", "answer", box=None)
    for entry in entries:
        status = str(entry["status"] or "-")
        table.add_row(entry["at"], entry["user"], entry["action"], entry.get("index") or "", status)
    console(False).print(table)


@contextmanager
def _recorded(action: str, **detail: str) -> Iterator[Accounts]:
    """The accounts; what is done with them in the block is in the audit trail."""
    from hybrid.services import build_services

    services = build_services()
    with services.audit.recorded(operator(), action, **detail):
        yield services.accounts


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise AccountError("no terminal to ask for the password; send it with --password-stdin")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
