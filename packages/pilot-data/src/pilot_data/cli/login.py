"""``pilot-data login``."""

from __future__ import annotations

import click


@click.command
@click.argument("service", type=click.Choice(["globus"]))
@click.option("--profile", default="", help="Name to keep the login under.")
@click.option(
    "--collection", "collections", multiple=True, metavar="ID", help="A mapped collection to be used."
)
@click.option("--scope", "scopes", multiple=True, help="A consent that an error asked for.")
def login(service: str, profile: str, collections: tuple[str, ...], scopes: tuple[str, ...]) -> None:
    """Log in at a service that keeps files, and keep the login."""
    del service  # there is one
    from pilot_data.adaptors.globus import login as globus

    path = globus.login(
        click.echo, lambda: input("Code: "), profile=profile, collections=collections, scopes=scopes
    )
    click.echo(f"Logged in; kept in {path}")
